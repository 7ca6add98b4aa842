"""What systemd would hear: a real datagram socket in its place."""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon

CAT = "[program:cat]\ncommand=cat\n"


class Systemd:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, sock: socket.socket, path: str) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = sock

    def hear_until(self, pattern: str) -> str:
        """Return the first message from now on that matches."""
        for _ in range(10_000):
            message = self._receive()
            if re.search(pattern, message):
                return message
        raise AssertionError(f"never heard {pattern!r}: {self.heard[-20:]}")

    def _receive(self) -> str:
        message = self._socket.recv(65536).decode()
        if not message.startswith("FDSTORE"):  # what is kept for a successor is no news
            self.heard.append(message)
        return message

    def hear_silence(self, seconds: float) -> None:
        """Return when nothing was said for so long."""
        for _ in range(10_000):
            readable, _, _ = select.select([self._socket], [], [], seconds)
            if not readable:
                return
            self._receive()
        raise AssertionError(f"never silent: {self.heard[-20:]}")


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with (
        tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        path = str(Path(folder, "notify"))
        sock.bind(path)
        sock.settimeout(20)
        yield Systemd(sock, path)


def test_ready_comes_when_everything_was_started(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    daemon = start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path})
    message = systemd.hear_until("READY=1")
    assert message == "READY=1\nSTATUS=0 running, 1 starting: cat"
    assert systemd.heard == [message]
    assert "spawned: 'cat'" in daemon.log()
    systemd.hear_until("^STATUS=1 running$")


def test_the_status_line_tells_of_trouble(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon(
        CAT + "[program:bad]\ncommand=/no/such\nstartretries=0\n",
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    systemd.hear_until("^STATUS=1 running, 1 FATAL: bad$")


def test_nothing_is_told_while_nothing_changes(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon(
        CAT + "[program:bad]\ncommand=/no/such\nstartretries=0\n",
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    systemd.hear_until("^STATUS=1 running, 1 FATAL: bad$")
    heard = len(systemd.heard)
    systemd.hear_silence(2.5)  # longer than the line of what should pass is left alone
    assert len(systemd.heard) == heard


def test_stopping_is_told(start_daemon: StartDaemon, systemd: Systemd) -> None:
    daemon = start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path})
    systemd.hear_until("READY=1")
    daemon.terminate()
    systemd.hear_until("STOPPING=1")


def extension(message: str) -> int | None:
    """Return the microseconds that a message asks for."""
    found = re.search(r"^EXTEND_TIMEOUT_USEC=(\d+)$", message, re.MULTILINE)
    return int(found[1]) if found else None


def test_a_stop_asks_for_time_again_and_again(start_daemon: StartDaemon, systemd: Systemd) -> None:
    trap = "trap 'until test -e go; do sleep 0.01; done; exit' TERM"
    daemon = start_daemon(
        f'[program:slow]\ncommand=sh -c "{trap}; echo up; while :; do sleep 0.01; done"\n'
        "stopwaitsecs=500\n[program:quick]\ncommand=cat\n",
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    daemon.wait(lambda: "up" in daemon.ctl("tail", "slow").stdout, what="its trap is set")
    daemon.signal(signal.SIGTERM)
    message = systemd.hear_until("STOPPING=1")
    told = systemd.hear_until(r"^STATUS=shutting down, waiting for 1: slow \([1-9] s\)\n")
    for each in (message, told):
        # Not for all of the 500 s at once: a daemon that hangs meanwhile must be noticed.
        assert extension(each) == 70_000_000
    (daemon.dir / "go").touch()
    assert daemon.wait_end() == 0
    systemd.hear_until("\nSTATUS=shutting down$")


def test_a_program_that_asks_for_time_to_stop_gets_it_from_systemd_too(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    code = (
        "import os, signal, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
        "s.connect(os.environ['NOTIFY_SOCKET']); "
        "signal.signal(15, lambda *_: s.send(b'EXTEND_TIMEOUT_USEC=900000000')); "
        "s.send(b'READY=1'); signal.pause(); signal.pause()"
    )
    daemon = start_daemon(
        f'[program:slow]\ncommand={sys.executable} -c "{code}"\nnotify=true\n',
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    systemd.hear_until("^STATUS=1 running$")
    pid = daemon.pid_of("slow")
    daemon.signal(signal.SIGTERM)
    systemd.hear_until("EXTEND_TIMEOUT_USEC=70000000$")  # again and again, never for all at once
    os.kill(pid, signal.SIGKILL)
    daemon.wait_end()


def test_a_restart_is_a_reload_to_systemd(start_daemon: StartDaemon, systemd: Systemd) -> None:
    daemon = start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path})
    systemd.hear_until("READY=1")
    daemon.signal(signal.SIGHUP)
    message = systemd.hear_until("RELOADING=1")
    assert re.match(r"RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=restarting", message)
    heard = len(systemd.heard)
    systemd.hear_until("READY=1")
    assert not any("STOPPING=1" in each for each in systemd.heard[heard:])


def test_a_refused_restart_is_not_told(start_daemon: StartDaemon, systemd: Systemd) -> None:
    daemon = start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path})
    daemon.write("[program:cat]\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("restart refused")
    daemon.terminate()
    systemd.hear_until("STOPPING=1")
    assert not any("RELOADING" in each for each in systemd.heard)


def test_the_loop_pings_the_watchdog(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "200000"})
    for _ in range(5):
        systemd.hear_until("^WATCHDOG=1$")


# --- when it is up ----------------------------------------------------------------------------

RUNNING = "ready=running"


def slow_cat(name: str, seconds: int, more: str = "") -> str:
    return f"[program:{name}]\ncommand=cat\nstartsecs={seconds}\n{more}\n"


def test_it_is_up_when_what_is_required_is_running(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    """The others do not matter, whether they fail or take their time."""
    daemon = start_daemon(
        slow_cat("web", 2, "required=true")
        + slow_cat("slow", 300)
        + "[program:bad]\ncommand=/no/such\nstartretries=0\n",
        settings=RUNNING,
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    waiting = systemd.hear_until(r"1 s\)")
    assert extension(waiting) is not None
    assert waiting.startswith("STATUS=0 running, 2 starting: ")
    assert "1 FATAL: bad" in waiting
    ready = systemd.hear_until("READY=1")
    assert "STATUS=1 running, 1 starting: slow (2 s), 1 FATAL: bad" in ready
    assert sum("READY=1" in message for message in systemd.heard) == 1
    assert daemon.state("web") == "RUNNING"


def test_all_are_required_where_none_is(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon(
        slow_cat("web", 1) + slow_cat("db", 0) + slow_cat("other", 0, "autostart=false"),
        settings=RUNNING,
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    assert "STATUS=2 running, 1 stopped" in systemd.hear_until("READY=1")
    systemd.hear_silence(1.0)
    assert sum("READY=1" in message for message in systemd.heard) == 1


def test_without_programs_it_is_up_at_once(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon("", settings=RUNNING, environment={"NOTIFY_SOCKET": systemd.path})
    systemd.hear_silence(1.0)
    assert systemd.heard[0] == "READY=1\nSTATUS=0 running"
    assert sum("READY=1" in message for message in systemd.heard) == 1


def test_programs_that_are_up_at_once(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon(slow_cat("web", 0), settings=RUNNING, environment={"NOTIFY_SOCKET": systemd.path})
    systemd.hear_silence(1.0)
    assert systemd.heard[0] == "READY=1\nSTATUS=1 running"
    assert sum("READY=1" in message for message in systemd.heard) == 1


def test_a_required_program_that_is_given_up_fails_the_start(systemd: Systemd) -> None:
    # No startsecs=0 for the others: they are up only until they are stopped.
    daemon = Daemon(
        slow_cat("web", 300) + "[program:bad]\ncommand=false\nstartretries=1\n",
        settings=RUNNING,
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    said, status = daemon.refuse()
    reason = (
        "required process bad is FATAL: Exited too quickly (process log may have details); "
        "2 attempts failed (startretries)"
    )
    assert status == 7
    assert f"CRIT the start failed: {reason}\n" in said
    assert said.endswith(f"Error: the start failed: {reason}\n")
    assert "stopped: web (terminated by SIGTERM)" in said
    message = systemd.hear_until("STOPPING=1")
    assert f"\nERRNO={errno.ESRCH}\n" in message
    assert f"\nSTATUS=start failed: {reason.removeprefix('required process ')}" in message
    assert not any("READY=1" in each for each in systemd.heard)


def test_a_required_program_that_exits_for_good_fails_the_start() -> None:
    daemon = Daemon(
        slow_cat("web", 300)
        + "[program:once]\ncommand=sh -c 'exit 3'\nstartsecs=0\nautorestart=false\n",
        settings=RUNNING,
    )
    said, status = daemon.refuse()
    assert status == 7
    assert (
        "required process once is EXITED: exit status 3, not expected (autorestart=false)" in said
    )


def test_one_shots_count(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon(
        slow_cat("web", 1) + "[program:once]\ncommand=true\nstartsecs=0\n",
        settings=RUNNING,
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    assert "STATUS=1 running, 1 exited" in systemd.hear_until("READY=1")


def test_a_start_that_an_operator_holds_up_gets_no_more_time(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    daemon = start_daemon(
        slow_cat("web", 300), settings=RUNNING, environment={"NOTIFY_SOCKET": systemd.path}
    )
    daemon.ctl("stop", "web")
    told = systemd.hear_until("the start waits for")
    assert told == "STATUS=0 running, 1 stopped; the start waits for web"
    daemon.write(slow_cat("web", 0).replace("=cat", "=cat -u"))
    daemon.ctl("update")
    systemd.hear_until("READY=1")


def test_a_required_program_that_is_removed_is_not_waited_for(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    daemon = start_daemon(
        slow_cat("web", 300) + slow_cat("db", 0),
        settings=RUNNING,
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    daemon.write(slow_cat("db", 0))
    daemon.ctl("update")
    assert "STATUS=1 running" in systemd.hear_until("READY=1")


def test_a_required_program_that_is_replaced_is_waited_for(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    """Between its end and its new beginning it is not as if it had never been required."""
    bad = "[program:bad]\ncommand=/no/such\nstartretries=0\n"
    daemon = start_daemon(
        slow_cat("web", 300, "required=true") + bad,
        settings=RUNNING,
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    daemon.wait_state("bad", "FATAL")
    daemon.write(slow_cat("web", 2, "required=true").replace("=cat", "=cat -u") + bad)
    told = "web: stopped\nweb: updated process group\n"
    assert daemon.ctl("update", "--keep") == (told, 0)
    assert daemon.state("web") == "STARTING"
    systemd.hear_until(r"1 s\)")
    assert "STATUS=1 running, 1 FATAL: bad" in systemd.hear_until("READY=1")
    assert sum("READY=1" in message for message in systemd.heard) == 1


def test_a_restart_is_over_though_a_required_program_fails(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    daemon = start_daemon(
        slow_cat("web", 0), settings=RUNNING, environment={"NOTIFY_SOCKET": systemd.path}
    )
    systemd.hear_until("READY=1")
    daemon.write(slow_cat("web", 1) + "[program:bad]\ncommand=/no/such\nstartretries=0\n")
    daemon.signal(signal.SIGHUP)
    systemd.hear_until("RELOADING=1")
    assert "STATUS=1 running, 1 FATAL: bad" in systemd.hear_until("READY=1")
    assert "CRIT required process bad is FATAL: " in daemon.log()
    assert daemon.returncode is None


def test_a_restart_is_over_though_a_required_program_is_held_up(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    daemon = start_daemon("", settings=RUNNING, environment={"NOTIFY_SOCKET": systemd.path})
    systemd.hear_until("READY=1")
    daemon.write(slow_cat("web", 300))
    daemon.signal(signal.SIGHUP)
    systemd.hear_until("STATUS=0 running, 1 starting: web")
    daemon.ctl("stop", "web")
    assert "STATUS=0 running, 1 stopped" in systemd.hear_until("READY=1")
    daemon.wait_log("WARN the restart is over, though not all required programs run")


def test_a_restart_before_the_daemon_is_up_is_still_its_start(systemd: Systemd) -> None:
    with Daemon(
        slow_cat("web", 300), settings=RUNNING, environment={"NOTIFY_SOCKET": systemd.path}
    ) as daemon:
        daemon.write("[program:bad]\ncommand=/no/such\nstartretries=0\n")
        daemon.signal(signal.SIGHUP)
        assert daemon.wait_end() == 7
    systemd.hear_until("STOPPING=1")
    assert not any("RELOADING=1" in each or "READY=1" in each for each in systemd.heard)


def test_a_shutdown_before_the_daemon_is_up_is_no_failure(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    daemon = start_daemon(
        slow_cat("web", 300) + "[program:bad]\ncommand=/no/such\nstartretries=100\n",
        settings=RUNNING,
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    daemon.wait_state("bad", "BACKOFF")
    assert daemon.terminate() == 0
    assert "ERRNO" not in systemd.hear_until("STOPPING=1")


def test_a_program_may_say_itself_that_it_is_ready(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    talker = Path(__file__).with_name("talker.py")
    daemon = start_daemon(
        f"[program:talker]\ncommand={sys.executable} {talker} wait:%(here)s/go say:READY=1\n"
        "notify=true\nstart_timeout=50\n",
        settings=RUNNING,
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    told = systemd.hear_until(r"1 starting: talker \(1 s\)")
    seconds = extension(told)
    assert seconds is not None
    assert 50_000_000 < seconds < 60_000_000
    (daemon.dir / "go").touch()
    assert "STATUS=1 running" in systemd.hear_until("READY=1")


def test_why_it_cannot_start_is_told(systemd: Systemd) -> None:
    daemon = Daemon(
        "[program:x]\ncommand=x\nstartsecs=soon\n", environment={"NOTIFY_SOCKET": systemd.path}
    )
    assert daemon.refuse().status == 2
    told = systemd.hear_until("STATUS=")
    assert re.match(r'STATUS=cannot start: \S+d\.conf:\d+: \[program:x\] startsecs="soon"', told)


# --- the watchdog -----------------------------------------------------------------------------


def test_lag_is_told_and_withholds_no_ping(start_daemon: StartDaemon, systemd: Systemd) -> None:
    daemon = start_daemon(
        CAT, environment={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "200000"}
    )
    systemd.hear_until("^WATCHDOG=1$")
    daemon.signal(signal.SIGSTOP)
    systemd.hear_silence(1.0)
    daemon.signal(signal.SIGCONT)
    systemd.hear_until("^WATCHDOG=1$")
    late = re.search(r"WARN the loop came (\S+) s late", daemon.wait_log("s late"))
    assert late is not None
    assert "WATCHDOG=trigger" not in systemd.heard


SABOTAGE = """\
from sdsuper import eventloop
import sys
from sdsuper import sdsuperd
from sdsuper.daemon.loop import Daemon

start = Daemon.start

def broken_start(daemon):
    start(daemon)
    eventloop.get_running_loop().call_later(0.5, lambda: {})

Daemon.start = broken_start
sys.exit(sdsuperd.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("sabotage", "told"),
    [
        ("daemon._timer.cancel()", "the next deadline is"),
        ("daemon._facts.append(None)", "facts are left in the queue"),
        ("setattr(daemon, '_handling', True)", "the handling of a fact never ended"),
        (
            "daemon._executor.reaper._watched.clear()",
            "nobody would notice the end of cat (",
        ),
    ],
)
def test_a_broken_daemon_asks_to_be_replaced(
    start_daemon: StartDaemon, systemd: Systemd, tmp_path: Path, sabotage: str, told: str
) -> None:
    script = tmp_path / "broken.py"
    script.write_text(SABOTAGE.format(sabotage), encoding="utf-8")
    daemon = start_daemon(
        slow_cat("cat", 300),
        prefix=(sys.executable, str(script)),
        environment={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "200000"},
        may_leave=True,
    )
    systemd.hear_until("^WATCHDOG=trigger$")
    assert f"CRIT broken invariant: {told}" in daemon.log()
    systemd.hear_silence(1.0)
    daemon.signal(signal.SIGKILL)
    daemon.wait_end()


def test_sigabrt_leaves_a_traceback(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT, may_leave=True)
    daemon.signal(signal.SIGABRT)
    assert daemon.wait_end() == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in daemon.console()
    assert "most recent call first" in daemon.console()
