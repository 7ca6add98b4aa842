"""The program under supervision, compiled for each run, and what it tells us of its starts."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("worker.c")
FLOOD_LINE_BYTES = 128
_STAMP = struct.Struct("=Qii48s")
_CHECK_SECONDS = 2.0
_COMPILERS = ("cc", "gcc", "clang")


class NotMeasuredError(Exception):
    """A figure could not be had: the peer is missing, too slow, or did not do the work."""


class WrongResultError(NotMeasuredError):
    """A peer did the work, and did it wrong: a line is lost, a program is not up."""


class Kind(IntEnum):
    """What a stamp says; `enum kind` of worker.c."""

    STARTED = 0
    WRITTEN = 1


class Stamp(NamedTuple):
    """Something that a worker did.

    Attributes:
        time: When, seconds of the monotonic clock.
        pid: Its pid, as it sees it itself.
        kind: What.
        name: The name of the process.
    """

    time: float
    pid: int
    kind: Kind
    name: str

    @property
    def program(self) -> str:
        """The name of the program: that of the process up to the number."""
        return self.name.partition("_")[0]


def compile_worker(folder: Path) -> Path:
    """Compile the worker into a folder; return it.

    It is linked statically: it starts as fast as a program can, and in any container.

    Raises:
        NotMeasuredError: There is no C compiler, or it fails.
    """
    compiler = next(filter(shutil.which, _COMPILERS), None)
    if compiler is None:
        raise NotMeasuredError(f"no C compiler is here (looked for {', '.join(_COMPILERS)})")
    worker = folder / "worker"
    command = [compiler, "-O2", "-static", "-Wall", "-o", str(worker), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    if done.returncode:
        raise NotMeasuredError(f"cannot compile the worker:\n{done.stderr}")
    return worker


def check_lines(worker: Path, files: Sequence[Path], length: int) -> int:
    """Return how many lines are in files, oldest first; all are numbered, none is missing.

    Raises:
        WrongResultError: A line is missing, twice there, or broken.
    """
    with subprocess.Popen(["cat", *map(str, files)], stdout=subprocess.PIPE) as cat:
        done = subprocess.run(
            [str(worker), "check", str(length)],
            stdin=cat.stdout, capture_output=True, check=False, encoding="utf-8",
        )  # fmt: skip
    if done.returncode:
        raise WrongResultError(f"the log of {files[-1].name} is not what was written: "
                               f"{done.stdout.strip()}")  # fmt: skip
    return int(done.stdout)


class Stamps:
    """The FIFO that workers stamp, and all that came out of it.

    Attributes:
        path: The FIFO, as seen from here.
        watch: Called with every stamp that is read, wanted or not.
        check: Called now and then while there is none, to give up waiting by an exception.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watch: Callable[[Stamp], None] = lambda _: None
        self.check: Callable[[], None] = lambda: None
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        # Room for all stamps of a start of thousands: no worker waits for us.
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, 1 << 20)
        self._rest = b""

    def close(self) -> None:
        """Close it; a worker that starts from now on waits."""
        os.close(self._fd)

    def forget(self) -> None:
        """Read away what has come until now."""
        list(self._read())

    def take(self, count: int, timeout: float, wanted: Callable[[Stamp], bool]) -> list[Stamp]:
        """Return the next stamps that are wanted, as soon as there are so many; drop others.

        Nothing is polled: what waits here takes no time from what is measured.

        Args:
            count: How many.
            timeout: Seconds until it counts as failed.
            wanted: Tells them from others.

        Raises:
            NotMeasuredError: They did not come in time.
        """
        found: list[Stamp] = []
        deadline = time.monotonic() + timeout
        while len(found) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotMeasuredError(f"{len(found)} of {count} within {timeout:g} s")
            if not select.select([self._fd], [], [], min(left, _CHECK_SECONDS))[0]:
                self.check()
            found += filter(wanted, self._read())
        return found

    def started(self, program: str, count: int = 1, timeout: float = 30) -> list[Stamp]:
        """Return the next starts of processes of a program; see `take`."""
        return self.take(
            count, timeout, lambda it: it.kind == Kind.STARTED and it.program == program
        )

    def _read(self) -> Iterator[Stamp]:
        while True:
            try:
                data = self._rest + os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return
            whole = len(data) - len(data) % _STAMP.size
            self._rest = data[whole:]
            for nanoseconds, pid, kind, name in _STAMP.iter_unpack(data[:whole]):
                stamp = Stamp(nanoseconds / 1e9, pid, Kind(kind), name.rstrip(b"\0").decode())
                self.watch(stamp)
                yield stamp
