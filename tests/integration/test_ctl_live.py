"""Our client where it stays: following logs, in the foreground, at a terminal, in a pipe."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.integration.harness import BIN, Daemon, clean_environment

CTL = str(BIN / "sdsuperctl")
PROGRAMS = """\
[program:cat]
command=sh -c "printf 'h\\303\\251\\377\\n'; exec cat"
startsecs=0
[program:späti]
command=cat
startsecs=0
[program:late]
command=cat
autostart=false
startsecs=0
"""
HEAVY = (
    *("asyncio", "xmlrpc", "click", "logging", "subprocess", "email", "http", "re", "typing"),
    *("readline", "getpass"),  # the shell's
)
StartDaemon = Callable[..., Daemon]


@pytest.fixture
def daemon(start_daemon: StartDaemon, peer: str) -> Daemon:
    """Either daemon: our client must get on with both."""
    started = start_daemon(PROGRAMS, peer=peer)
    for name in ("cat", "späti"):
        started.wait_state(name, "RUNNING")
    started.wait(lambda: _content(started), what="cat has printed")
    return started


def _content(daemon: Daemon) -> bytes:
    with open(daemon.info("cat")["stdout_logfile"], "rb") as log:
        return log.read()


class Running:
    """A client that runs, and what it has printed so far.

    Attributes:
        popen: Its process.
    """

    def __init__(self, popen: subprocess.Popen[bytes], fd: int) -> None:
        self.popen = popen
        self._fd = fd
        self._read = b""

    def until(self, text: bytes, timeout: float = 20) -> bytes:
        """Return what was printed up to and with `text`."""
        deadline = time.monotonic() + timeout
        while text not in self._read:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self._read!r}"
            if select.select([self._fd], [], [], left)[0]:
                data = os.read(self._fd, 65536)
                assert data, f"ended before {text!r}: {self._read!r}"
                self._read += data
        before, _, self._read = self._read.partition(text)
        return before + text

    def end(self, timeout: float = 20) -> int:
        """Return the exit status once it has ended."""
        return self.popen.wait(timeout)


@contextmanager
def piped(daemon: Daemon, *words: str) -> Iterator[Running]:
    """Run the client with pipes."""
    command = [CTL, "-c", str(daemon.ini), *words]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment(),
    ) as popen:
        assert popen.stdout is not None
        try:
            yield Running(popen, popen.stdout.fileno())
        finally:
            popen.kill()


@contextmanager
def at_terminal(daemon: Daemon, *words: str) -> Iterator[tuple[Running, int]]:
    """Run the client at a terminal of its own; yield it and the terminal to type into."""
    master, slave = pty.openpty()
    command = ["setsid", "--ctty", CTL, "-c", str(daemon.ini), *words]
    popen = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=clean_environment({"TERM": "dumb"}),
    )
    os.close(slave)
    try:
        yield Running(popen, master), master
    finally:
        popen.kill()
        popen.wait()
        os.close(master)


def test_a_log_is_followed_byte_by_byte_until_ctrl_c(daemon: Daemon) -> None:
    with piped(daemon, "tail", "-f", "cat") as client:
        client.until(b"==> Press Ctrl-C to exit <==\n")
        assert client.until(b"\n") == b"h\xc3\xa9\xff\n"
        daemon.rpc.supervisor.sendProcessStdin("cat", "more é\n")
        assert client.until(b"\n") == b"more \xc3\xa9\n"
        client.popen.send_signal(signal.SIGINT)
        assert client.until(b"\n") == b"\n"
        assert client.end() == 0


def test_a_log_of_a_name_beyond_ascii_is_followed(daemon: Daemon) -> None:
    with piped(daemon, "tail", "-f", "späti") as client:
        client.until(b"<==\n")
        daemon.rpc.supervisor.sendProcessStdin("späti", "hello\n")
        assert client.until(b"\n") == b"hello\n"


def test_the_main_log_is_followed_until_the_daemon_ends(daemon: Daemon) -> None:
    with piped(daemon, "maintail", "-f") as client:
        client.until(b"<==\n")
        daemon.ctl("start", "late")
        client.until(b"spawned: 'late'")
        daemon.terminate()
        assert client.end() == 0


def test_what_is_typed_goes_to_the_process_and_its_output_comes_back(daemon: Daemon) -> None:
    with at_terminal(daemon, "fg", "cat") as (client, terminal):
        client.until(b"<==\r\n")
        os.write(terminal, b"typed\n")
        assert client.until(b"typed\r\n").endswith(b"typed\r\n")  # the terminal's echo
        client.until(b"typed\r\n")  # the program's own
        os.write(terminal, b"\x03")
        client.until(b"Exiting foreground\r\n")
        assert client.end() == 0


def test_the_foreground_ends_with_its_input(daemon: Daemon) -> None:
    done = daemon.run_ctl("fg", "cat", peer="sdsuper", stdin="one\ntwo")
    assert done.stdout.startswith("==> Press Ctrl-C to exit <==\n")
    assert done.stdout.endswith("Exiting foreground\n")
    daemon.wait(lambda: b"one\n" in _content(daemon))
    assert b"two" not in _content(daemon)


def test_the_foreground_ends_when_the_process_has_gone(daemon: Daemon) -> None:
    with piped(daemon, "fg", "cat") as client:
        client.until(b"<==\n")
        daemon.ctl("stop", "cat")
        assert client.popen.stdin is not None
        client.popen.stdin.write(b"anybody?\n")
        client.popen.stdin.flush()
        client.until(b"Process got killed\nExiting foreground\n")
        assert client.end() == 0


def test_the_foreground_reads_on_where_the_shell_has_stopped(daemon: Daemon) -> None:
    done = daemon.run_ctl(peer="sdsuper", stdin="fg cat\nfrom a pipe\n")
    assert done.stdout.endswith("Exiting foreground\nsupervisor> \n")
    daemon.wait(lambda: b"from a pipe\n" in _content(daemon))


def test_ctrl_c_in_a_command_that_waits_is_130_and_silent(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:slow]\ncommand=cat\nstartsecs=600\nautostart=false\n")
    with piped(daemon, "start", "slow") as client:
        daemon.wait_state("slow", "STARTING")
        client.popen.send_signal(signal.SIGINT)
        assert client.end() == 130
        assert client.popen.stdout is not None
        assert client.popen.stdout.read() == b""


def test_nobody_reads_the_output(daemon: Daemon) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [CTL, "-c", str(daemon.ini), "status"],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("locale", ["C", "oops", "POSIX"])
def test_names_are_utf_8_whatever_the_locale(daemon: Daemon, locale: str) -> None:
    done = subprocess.run(
        [CTL, "-c", str(daemon.ini), "status", "späti"],
        check=False,
        capture_output=True,
        env={**clean_environment(), "LC_ALL": locale},
    )
    assert done.returncode == 0
    assert done.stdout.startswith("späti   ".encode())


def test_json(daemon: Daemon) -> None:
    done = daemon.run_ctl("--json", "status", "cat", "late", peer="sdsuper")
    cat, late = json.loads(done.stdout)
    assert (cat["state"], cat["pid"]) == ("RUNNING", daemon.pid_of("cat"))
    assert (late["state"], late["pid"]) == ("STOPPED", 0)
    assert done.returncode == 3
    changes = json.loads(daemon.run_ctl("--json", "reread", peer="sdsuper").stdout)
    assert changes == {"added": [], "changed": [], "removed": []}
    avail = json.loads(daemon.run_ctl("--json", "avail", peer="sdsuper").stdout)
    assert [entry["name"] for entry in avail] == ["cat", "late", "späti"]


@pytest.mark.parametrize("action", ["status", "pid", "version", "stop late", "tail cat", "reread"])
def test_common_commands_import_next_to_nothing(daemon: Daemon, action: str) -> None:
    code = (
        "import sys; from sdsuper.sdsuperctl import main; status = main(); "
        f"found = [name for name in {HEAVY} if name in sys.modules]; "
        "print(found, file=sys.stderr)"
    )
    words = ["-c", str(daemon.ini), *action.split()]
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *words], check=True, capture_output=True, text=True
    )
    assert done.stdout
    assert done.stderr == "[]\n"
