"""A disk that hangs, as a frozen file system does: what is written by a program of its own.

A write to it cannot be interrupted, not even by a kill. Whoever does it is lost until the disk is
back, and so it must be somebody else than the daemon: a FIFO is between the two.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon
from tests.integration.reexec import reexec

pytestmark = [pytest.mark.root, pytest.mark.freezes]

LINES = 200_000
"""Of some 7 bytes: more than the pipes between program and disk hold, and what may wait."""


class Disk:
    """A file system of our own.

    Attributes:
        folder: Where it is mounted.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(64 << 20)
        _run("mkfs.ext4", "-q", str(image))
        _run("mount", "-o", "loop", str(image), str(folder))
        self._frozen = False

    def freeze(self) -> None:
        """Let everybody hang who writes to it."""
        _run("fsfreeze", "--freeze", str(self.folder))
        self._frozen = True

    def thaw(self) -> None:
        """Let them go on."""
        if self._frozen:
            _run("fsfreeze", "--unfreeze", str(self.folder))
            self._frozen = False

    def close(self) -> None:
        """Be rid of it."""
        self.thaw()
        _run("umount", "--lazy", str(self.folder))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with ExitStack() as stack:
        disk = Disk(tmp_path / "image", tmp_path / "disk")
        stack.callback(disk.close)
        yield disk


def programs(disk: Disk, fifo: Path) -> str:
    os.mkfifo(fifo)
    return (
        f"[program:count]\ncommand=sh -c 'read go; seq {LINES}; exec cat'\nstdout_logfile={fifo}\n"
        f"[program:write]\ncommand=sh -c 'exec cat <{fifo} >>{disk.folder}/count.log'\n"
        "stdout_logfile=NONE\nstopwaitsecs=1\n"
        "[program:other]\ncommand=cat\nstdout_logfile=%(here)s/other.log\n"
    )


def hangs(pid: int) -> Callable[[], bool]:
    return lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"


def flooded(start_daemon: StartDaemon, disk: Disk, fifo: Path) -> Daemon:
    """Return a daemon whose `write` hangs and whose `count` is held up for that."""
    daemon = start_daemon(programs(disk, fifo))
    for name in ("count", "write", "other"):
        daemon.wait_state(name, "RUNNING")
    disk.freeze()
    daemon.rpc.supervisor.sendProcessStdin("count", "go\n")
    daemon.wait(hangs(daemon.pid_of("write")), what="the writer hangs")
    return daemon


def assert_all_there(daemon: Daemon, disk: Disk) -> None:
    wanted = "".join(f"{number}\n" for number in range(1, LINES + 1))
    log = disk.folder / "count.log"
    daemon.wait(lambda: log.stat().st_size >= len(wanted), 60, "all is in the file")
    assert log.read_text() == wanted


def test_a_disk_that_hangs_holds_up_who_writes_to_it_and_nobody_else(
    start_daemon: StartDaemon, disk: Disk, tmp_path: Path
) -> None:
    daemon = flooded(start_daemon, disk, tmp_path / "fifo")
    before = daemon.pid_of("other")
    os.kill(before, signal.SIGKILL)
    daemon.wait(lambda: daemon.pid_of("other") not in (0, before), what="it is replaced")
    daemon.wait_state("other", "RUNNING")
    daemon.rpc.supervisor.sendProcessStdin("other", "hello\n")
    daemon.wait(lambda: (daemon.dir / "other.log").read_bytes() == b"hello\n")
    assert "RUNNING" in daemon.ctl("status", "count").stdout
    assert not (disk.folder / "count.log").read_bytes()
    disk.thaw()
    assert_all_there(daemon, disk)


def test_who_hangs_outlives_another_daemon_and_loses_nothing(
    start_daemon: StartDaemon, disk: Disk, tmp_path: Path
) -> None:
    daemon = flooded(start_daemon, disk, tmp_path / "fifo")
    reexec(daemon)
    assert daemon.state("write") == "RUNNING"
    disk.thaw()
    assert_all_there(daemon, disk)


def test_who_hangs_is_replaced_when_the_disk_is_back(
    start_daemon: StartDaemon, disk: Disk, tmp_path: Path
) -> None:
    daemon = flooded(start_daemon, disk, tmp_path / "fifo")
    os.kill(daemon.pid_of("count"), signal.SIGKILL)
    daemon.wait(lambda: daemon.state("count") == "RUNNING", what="it is replaced")
    daemon.rpc.supervisor.stopProcess("count")
    assert daemon.state("count") == "STOPPED"
    disk.thaw()
    daemon.rpc.supervisor.stopProcess("write")
    assert daemon.state("write") == "STOPPED"
