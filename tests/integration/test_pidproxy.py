"""pidproxy, as a command of its own and under the daemon."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.pidproxy import is_alive, read_pid
from tests.integration.harness import BIN, Daemon, wait_until

PIDPROXY = str(BIN / "sdsuper-pidproxy")

LEAVES_A_DAEMON = "sleep 4711 & echo $! >$0.new; mv $0.new $0"
"""A command that ends and leaves its daemon behind, as its pid file ($0) tells."""

TELLS_SIGNALS = """
for each in HUP USR1 USR2 INT QUIT TERM; do trap "echo $each" $each; done
echo $$ >$0.new; mv $0.new $0
while :; do sleep 0.01; done
"""


class Proxies:
    """Runs of pidproxy with one pid file."""

    def __init__(self, folder: Path) -> None:
        self.pidfile = folder / "daemon.pid"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start one."""
        process = subprocess.Popen(
            [PIDPROXY, str(self.pidfile), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def shell(self, script: str) -> subprocess.Popen[str]:
        """Start one with a shell, whose $0 is the pid file."""
        return self.start("sh", "-c", script, str(self.pidfile))

    def daemon(self) -> int:
        """Return the pid in the file, once it is there."""
        return int(wait_until(lambda: read_pid(str(self.pidfile)), what="the pid file"))


@pytest.fixture
def proxies(tmp_path: Path) -> Iterator[Proxies]:
    proxies = Proxies(tmp_path)
    yield proxies
    for process in proxies.started:
        # The group is of our own making; its leader may have been waited for already.
        left = ["pkill", "-KILL", "-g", str(process.pid)]
        subprocess.run(left, check=False)
        process.communicate(timeout=20)


def test_it_says_how_it_is_used(proxies: Proxies) -> None:
    process = proxies.start()
    assert process.wait(20) == 1
    assert process.communicate()[0].startswith("Usage: sdsuper-pidproxy <pidfile> <command>")


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 128 + 9)]
)
def test_without_a_daemon_it_ends_as_the_command_does(
    proxies: Proxies, script: str, status: int
) -> None:
    assert proxies.shell(script).wait(20) == status


@pytest.mark.parametrize(("command", "status"), [("/no/such/command", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_started_is_told(
    proxies: Proxies, command: str, status: int
) -> None:
    process = proxies.start(command)
    assert process.wait(20) == status
    assert process.communicate()[1].startswith(f"{command}: ")


def test_it_lives_as_long_as_the_daemon_that_was_left_behind(proxies: Proxies) -> None:
    process = proxies.shell(LEAVES_A_DAEMON)
    daemon = proxies.daemon()
    # The daemon writes nothing, so that its end shows in the proxy's alone.
    assert process.poll() is None
    os.kill(daemon, signal.SIGKILL)
    assert process.wait(20) == 0


@pytest.mark.parametrize("number", ["HUP", "USR1", "USR2", "TERM", "INT", "QUIT"])
def test_signals_are_sent_on(proxies: Proxies, number: str) -> None:
    process = proxies.shell(TELLS_SIGNALS)
    daemon = proxies.daemon()
    process.send_signal(getattr(signal, f"SIG{number}"))
    assert process.stdout is not None
    assert process.stdout.readline() == f"{number}\n"
    assert process.poll() is None  # the daemon has not ended, so neither have we
    os.kill(daemon, signal.SIGKILL)
    assert process.wait(20) == (0 if number in ("TERM", "INT", "QUIT") else 128 + 9)


def test_it_ends_when_the_daemon_has_stopped_and_not_before(proxies: Proxies) -> None:
    process = proxies.shell(LEAVES_A_DAEMON)
    daemon = proxies.daemon()
    process.terminate()
    assert process.wait(20) == 0
    assert not is_alive(daemon)


def test_a_missing_pid_file_is_told(proxies: Proxies) -> None:
    process = proxies.shell("echo up; exec sleep 4711")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    told = f"Can't read child pidfile {proxies.pidfile}!\n"
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == told
    assert process.poll() is None
    process.terminate()
    assert process.wait(20) == 0
    assert process.stdout.readline() == told


def test_it_does_not_wait_for_the_one_whose_number_is_in_a_leftover(proxies: Proxies) -> None:
    proxies.pidfile.write_text(f"{os.getpid()}\n", encoding="ascii")
    assert proxies.shell("exit 0").wait(20) == 0


def test_under_the_daemon_nothing_is_left(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    script = tmp_path / "start"
    script.write_text(f"#!/bin/sh\nsleep 4711 &\necho $! >{pidfile}\n", encoding="ascii")
    script.chmod(0o755)
    with Daemon(f"[program:p]\ncommand={PIDPROXY} {pidfile} {script}\nstartsecs=0\n") as daemon:
        inner = int(wait_until(lambda: read_pid(str(pidfile)), what="the pid file"))
        assert daemon.state("p") == "RUNNING"
        assert is_alive(inner)
        daemon.ctl("stop", "p")
        assert not is_alive(inner)
        assert "ending what" not in daemon.log()  # the proxy saw to it
