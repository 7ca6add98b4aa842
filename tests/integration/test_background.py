"""The daemon as most start it by hand: in the background, while the command returns."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import BIN, MARK, Daemon, clean_environment, wait_until


class Background(Daemon):
    """A daemon that goes into the background by itself."""

    def start(self) -> None:
        """Start it; it is set up when the command returns."""
        assert self.run() == 0

    def run(self, ini: str | None = None) -> int:
        """Return the exit status of the command; `ini` is how it is told of its file."""
        with (self.dir / "console").open("ab") as console:
            return subprocess.run(
                [str(BIN / "sdsuperd"), "-c", ini or str(self.ini)],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self.dir,
                env=clean_environment({MARK: self._mark}),
                timeout=60,
            ).returncode

    @property
    def pid(self) -> int:
        """What its pid file says."""
        return int((self.dir / "d.pid").read_text())

    def end(self) -> None:
        """Shut it down and wait for its end."""
        pid = self.pid
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: has_ended(pid), what="the daemon ends", show=self.log())


def has_ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def background() -> Iterator[Background]:
    with Background('[program:w]\ncommand=sh -c "sleep 7777 & exec sleep 8888"\n') as daemon:
        yield daemon
        daemon.end()


def test_command_returns_when_pid_file_and_socket_are_there(background: Background) -> None:
    assert background.pid != os.getpid()
    assert background.socket.is_socket()
    assert os.getsid(background.pid) == background.pid
    for standard in ("0", "1", "2"):
        assert os.readlink(f"/proc/{background.pid}/fd/{standard}") == "/dev/null"
    assert "INFO daemonizing the supervisord process" in background.messages()
    assert f"INFO supervisord started with pid {background.pid}" in background.messages()


def test_what_a_program_leaves_behind_is_ended_there_too(background: Background) -> None:
    background.wait_state("w", "RUNNING")
    background.ctl("stop", "w")
    assert not [found for found in background.processes() if found.command.startswith("sleep")]


def test_second_daemon_is_refused_and_says_so(background: Background) -> None:
    assert background.run() == 2
    assert "Another program is already listening" in background.console()
    assert background.state("w") in {"STARTING", "RUNNING"}


def test_relative_file_is_the_same_after_the_directory_was_entered() -> None:
    daemon = Background("[program:cat]\ncommand=cat\n", settings="directory=/")
    try:
        assert daemon.run(daemon.ini.name) == 0
        assert os.readlink(f"/proc/{daemon.pid}/cwd") == "/"
        daemon.write("[program:other]\ncommand=cat\n")
        assert "other: available\n" in daemon.ctl("reread").stdout
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.wait_log("spawned: 'other'")
        daemon.end()
    finally:
        daemon._end(show=False)
