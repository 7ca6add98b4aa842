"""Clients of a daemon that is replaced: who keeps a connection, who waits, who follows a log."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import ProtocolError

from tests.integration.conftest import StartDaemon
from tests.integration.harness import BIN, CtlResult, Daemon, UnixConnection, clean_environment
from tests.integration.reexec import launched_by, reexec, vanishing_launcher
from tests.integration.unit import Unit

COUNT = (
    "[program:count]\ncommand=sh -c 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.002; done'\n"
    "stdout_logfile=%(here)s/count\nstartsecs=0\n"
)
CAT = "[program:cat]\ncommand=cat\nstartsecs=0\nstdout_logfile=%(here)s/cat\n"
DEAF = (
    "[program:deaf]\ncommand=sh -c '[ -e %(here)s/soft ] || trap \"\" TERM; echo ready; exec cat'\n"
    "stopwaitsecs=300\nstartsecs=0\nstdout_logfile=%(here)s/deaf\n"
)
BEING_REPLACED = (
    "ERROR: the daemon is being replaced; what was asked for goes on: look at the status\n"
)


def wait_for_text(daemon: Daemon, name: str, text: str) -> None:
    path = daemon.dir / name
    daemon.wait(lambda: path.exists() and path.read_text() == text)


class Following:
    """A client that follows a log.

    Attributes:
        shown: The file that has what it has shown.
    """

    def __init__(self, daemon: Daemon, *words: str) -> None:
        self.shown = daemon.dir / f"shown-{'-'.join(words).replace('/', '-')}"
        with self.shown.open("wb") as out:
            self.process = subprocess.Popen(
                [BIN / "sdsuperctl", "-c", daemon.ini, *words],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
            )

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def lines(self) -> list[str]:
        """What it has shown after the first words, but for a line that is not whole."""
        text = self.shown.read_text()
        return text[: text.rfind("\n") + 1].splitlines()[1:]

    def numbers(self) -> list[int]:
        """The same, where all of it are numbers; the first is cut."""
        return [int(line.rpartition(" ")[2]) for line in self.lines()[1:]]

    def check(self) -> None:
        """Nothing is missing in what was shown, and nothing is there twice."""
        found = self.numbers()
        assert found == list(range(found[0], found[0] + len(found)))


@contextmanager
def following(daemon: Daemon, *words: str) -> Iterator[Following]:
    found = Following(daemon, *words)
    try:
        yield found
    finally:
        assert found.process.stdin is not None
        found.process.stdin.close()
        if found.process.poll() is None:
            found.process.send_signal(signal.SIGINT)
        found.process.wait(30)


class Asking:
    """A command of the client that takes its time, and what came of it."""

    def __init__(self, daemon: Daemon, *words: str) -> None:
        self._result: CtlResult | None = None
        self._thread = threading.Thread(target=self._ask, args=(daemon, words))
        self._thread.start()

    def _ask(self, daemon: Daemon, words: tuple[str, ...]) -> None:
        self._result = daemon.ctl(*words)

    def result(self) -> CtlResult:
        self._thread.join(60)
        assert self._result is not None
        return self._result


def incarnation(daemon: Daemon) -> Any:
    return daemon.rpc.sdsuper.getIncarnation()


def test_connections_that_are_kept_go_on(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    kept = UnixConnection(daemon.socket)
    silent = UnixConnection(daemon.socket)
    silent.connect()  # it has said nothing yet
    kept.request("GET", "/ok.html")
    assert kept.getresponse().read() == b"OK"
    ours, theirs = kept.sock, silent.sock
    first = incarnation(daemon)
    assert (first["number"], first["how"], first["replacing"]) == (1, "start", False)
    for number in range(2, 12):
        reexec(daemon)
        found = incarnation(daemon)
        assert (found["number"], found["how"], found["pid"]) == (number, "re-exec", daemon.pid)
        kept.request("GET", "/ok.html")
        assert kept.getresponse().read() == b"OK"
        assert kept.sock is ours
    silent.request("GET", "/ok.html")
    assert silent.getresponse().read() == b"OK"
    assert silent.sock is theirs
    kept.close()
    silent.close()


def test_what_is_said_meanwhile_is_answered_by_the_next(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    assert incarnation(daemon)["number"] == 1
    done: list[int] = []

    def ask_on() -> None:
        while not done or done[-1] < 3:
            done.append(incarnation(daemon)["number"])

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        reexec(daemon)
        reexec(daemon)
    finally:
        asking.join(60)
    assert done == sorted(done)
    assert set(done) == {1, 2, 3}


def test_calls_that_take_too_long_are_told_to_come_again(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        "[program:slow]\ncommand=cat\nstartsecs=300\nautostart=false\n"
        "[program:quick]\ncommand=cat\nstartsecs=1\nautostart=false\n" + DEAF
    )
    wait_for_text(daemon, "deaf", "ready\n")
    slow, stopping = Asking(daemon, "start", "slow"), Asking(daemon, "stop", "deaf")
    daemon.wait_state("slow", "STARTING")
    daemon.wait_state("deaf", "STOPPING")
    pid = daemon.pid_of("slow")
    quick = Asking(daemon, "start", "quick")
    daemon.wait_state("quick", "STARTING", "RUNNING")
    reexec(daemon)
    assert quick.result() == ("quick: started\n", 0)
    assert slow.result() == (BEING_REPLACED, 1)
    assert stopping.result() == (BEING_REPLACED, 1)
    assert daemon.state("slow") == "STARTING"
    assert daemon.pid_of("slow") == pid
    os.kill(daemon.pid_of("deaf"), signal.SIGKILL)
    daemon.wait_state("deaf", "STOPPED")


def test_other_clients_get_a_protocol_error(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:slow]\ncommand=cat\nstartsecs=300\nautostart=false\n")
    raised: list[ProtocolError] = []

    def start() -> None:
        try:
            daemon.rpc.supervisor.startProcess("slow")
        except ProtocolError as error:
            raised.append(error)

    starting = threading.Thread(target=start)
    starting.start()
    try:
        daemon.wait(lambda: "STARTING" in daemon.ctl("status").stdout)
        reexec(daemon)
    finally:
        starting.join(60)
    assert [error.errcode for error in raised] == [503]
    assert raised[0].headers["Retry-After"] == "1"
    assert daemon.state("slow") == "STARTING"


def test_what_consists_of_several_steps_is_finished(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(DEAF + DEAF.replace("deaf", "mute"))
    for name in ("deaf", "mute"):
        wait_for_text(daemon, name, "ready\n")
    before = daemon.pid_of("mute")
    daemon.ini.write_text(
        daemon.ini.read_text().replace(
            "exec cat'\nstopwaitsecs=300\nstartsecs=0\nstdout_logfile=%(here)s/deaf",
            "exec cat'\nstartsecs=0\nstdout_logfile=%(here)s/new",
        )
    )
    updating, restarting = Asking(daemon, "update"), Asking(daemon, "restart", "mute")
    daemon.wait_state("deaf", "STOPPING")
    daemon.wait_state("mute", "STOPPING")
    reexec(daemon)
    (daemon.dir / "soft").touch()
    for name in ("deaf", "mute"):
        assert daemon.state(name) == "STOPPING"
        os.kill(daemon.pid_of(name), signal.SIGKILL)
    assert updating.result() == ("deaf: stopped\ndeaf: updated process group\n", 0)
    assert restarting.result().stdout.endswith("mute: started\n")
    assert daemon.info("deaf")["stdout_logfile"].endswith("/new")
    assert daemon.state("mute") == "RUNNING"
    assert daemon.pid_of("mute") != before


def test_an_update_that_is_under_way_comes_first(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(DEAF)
    wait_for_text(daemon, "deaf", "ready\n")
    daemon.ini.write_text(daemon.ini.read_text().replace(DEAF, CAT))
    updating = Asking(daemon, "update", "--keep")
    daemon.wait_state("deaf", "STOPPING")
    daemon.signal(signal.SIGRTMIN + 25)
    daemon.wait_log("INFO received SIGRTMIN+25")
    daemon.wait(lambda: incarnation(daemon)["replacing"])
    os.kill(daemon.pid_of("deaf"), signal.SIGKILL)
    done = "deaf: stopped\ndeaf: removed process group\ncat: added process group\n"
    assert updating.result() == (done, 0)
    daemon.wait_log("INFO going on with 1 running process")
    assert daemon.state("cat") == "RUNNING"
    assert daemon.log().index("stopped: deaf") < daemon.log().index("takes over")
    assert daemon.ctl("update") == ("", 0)


def test_logs_are_followed_without_a_gap(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(COUNT + COUNT.replace("count", "more"))
    daemon.wait_state("count", "RUNNING")
    with (
        following(daemon, "tail", "-f", "count") as one,
        following(daemon, "tail", "-f", "count", "more") as several,
        following(daemon, "maintail", "-f") as main,
    ):
        daemon.wait(lambda: min(len(one.lines()), len(several.lines())) > 10)
        daemon.wait(lambda: len(main.lines()) > 1)
        for _ in range(3):
            reexec(daemon)
        far = 20 + max(one.numbers())
        daemon.wait(lambda: one.numbers()[-1] > far)
        one.check()

        def of(name: str) -> list[int]:
            mine = [line for line in several.lines() if line.startswith(f"{name:<5} | ")][1:]
            return [int(line.rpartition(" ")[2]) for line in mine]

        daemon.wait(lambda: min(of("count")[-1], of("more")[-1]) > far)
        for name in ("count", "more"):
            found = of(name)
            assert found == list(range(found[0], found[0] + len(found)))
        daemon.wait(lambda: main.shown.read_text().count("INFO going on with 2") == 3)
        shown = main.lines()[1:]
        assert "\n".join(shown) in daemon.log()


def test_a_rotation_loses_nothing_either(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(COUNT + "stdout_logfile_maxbytes=4KB\n")
    daemon.wait_state("count", "RUNNING")
    with following(daemon, "tail", "-f", "count") as one:
        daemon.wait(lambda: len(one.lines()) > 10)
        reexec(daemon)
        daemon.wait((daemon.dir / "count.1").exists)
        far = int((daemon.dir / "count.1").read_text().split()[-1])
        daemon.wait(lambda: one.numbers()[-1] > far)
        one.check()


def test_a_log_is_followed_over_a_crash() -> None:
    with Unit(COUNT) as daemon:
        daemon.wait_state("count", "RUNNING")
        with following(daemon, "tail", "-f", "count") as one:
            daemon.wait(lambda: len(one.lines()) > 10)
            daemon.kill()
            assert incarnation(daemon)["how"] == "adoption"
            assert incarnation(daemon)["number"] == 2
            far = one.numbers()[-1] + 50
            daemon.wait(lambda: one.numbers()[-1] > far)
            one.check()
            daemon.terminate()
            assert one.process.wait(30) == 0


def test_the_foreground_goes_on(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.wait_state("cat", "RUNNING")
    with following(daemon, "fg", "cat") as front:
        front.type("one")
        daemon.wait(lambda: front.lines() == ["one"])
        reexec(daemon)
        front.type("two")
        daemon.wait(lambda: front.lines() == ["one", "two"])


def test_who_is_refused_by_the_kernel_goes_on_as_before(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    script = vanishing_launcher(tmp_path)
    daemon = start_daemon(COUNT, prefix=launched_by(script))
    kept = UnixConnection(daemon.socket)
    kept.request("GET", "/ok.html")
    assert kept.getresponse().read() == b"OK"
    sock = kept.sock
    with following(daemon, "tail", "-f", "count") as one:
        daemon.wait(lambda: len(one.lines()) > 10)
        said, status = daemon.ctl("reexec")
        assert said == "ERROR: not replaced, everything goes on: its log says why (maintail)\n"
        assert status == 1
        assert stat.S_IMODE(script.stat().st_mode) == 0o600
        kept.request("GET", "/ok.html")
        assert kept.getresponse().read() == b"OK"
        assert kept.sock is sock
        far = one.numbers()[-1] + 50
        daemon.wait(lambda: one.numbers()[-1] > far)
        one.check()
    kept.close()
    found = incarnation(daemon)
    assert (found["number"], found["replacing"]) == (1, False)
    assert daemon.ctl("update") == ("", 0)
