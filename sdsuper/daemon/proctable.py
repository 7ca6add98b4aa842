"""What /proc says of processes (proc(5)); nothing here is kept between calls."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator

from sdsuper.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One process as seen at one moment; pid and start time together name it for good.

    Attributes:
        started: Start time in clock ticks since boot.
        zombie: Dead, and not yet reaped by its parent.
        exiting: On its way to that: its memory is gone, its children are still its own.
    """

    pid: int
    parent: int
    group: int
    started: int
    zombie: bool
    exiting: bool
    comm: str

    @property
    def key(self) -> tuple[int, int]:
        """What names it for good."""
        return self.pid, self.started

    def __str__(self) -> str:
        return f"{self.comm} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class Consumption:
    """What one process has taken so far.

    Attributes:
        started: Start time in clock ticks since boot.
        ticks: CPU time in clock ticks, user and system.
        resident: Memory in pages; what it shares with others counts in full.
    """

    started: int
    ticks: int
    resident: int


_STATE, _PPID, _PGRP, _FLAGS, _UTIME, _STIME, _STARTTIME, _RSS = 0, 1, 2, 6, 11, 12, 19, 21
"""Fields of /proc/PID/stat, counted behind the command name."""

_PF_EXITING = 0x4  # linux/sched.h

_LINKS_OF_ONE_THREAD = 3
"""Of /proc/PID/task: `.`, its name, and one folder for each thread."""

_CHUNK_BYTES = 64 * 1024

_ENVIRON_MAX_BYTES = 6 * 1024 * 1024  # three quarters of _STK_LIM, whatever ulimit -s says


def is_readable() -> bool:
    """Whether there is a table at all: a container may have none, or one of another namespace."""
    return look_up(os.getpid()) is not None


def look_up(pid: int) -> Entry | None:
    """Return what is known of a pid, None when there is no such process."""
    found = _stat(pid)
    if found is None:
        return None
    head, fields = found
    return Entry(
        pid=pid,
        parent=int(fields[_PPID]),
        group=int(fields[_PGRP]),
        started=int(fields[_STARTTIME]),
        zombie=fields[_STATE] in (b"Z", b"X"),
        exiting=bool(int(fields[_FLAGS]) & _PF_EXITING),
        comm=head.partition(b"(")[2].decode(errors="replace"),
    )


def consumption(pid: int) -> Consumption | None:
    """Return what a process has taken, None when there is no such process."""
    found = _stat(pid)
    if found is None:
        return None
    _, fields = found
    ticks = int(fields[_UTIME]) + int(fields[_STIME])
    return Consumption(int(fields[_STARTTIME]), ticks, int(fields[_RSS]))


def _stat(pid: int) -> tuple[bytes, list[bytes]] | None:
    """Return the fields of /proc/PID/stat: up to the command name, and behind it."""
    try:
        text = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    head, _, tail = text.rpartition(b")")
    return head, tail.split()


def pids() -> list[int]:
    """Return all pids that the table shows, in no order; [] where there is no table."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def children(pid: int) -> list[int]:
    """Return the pids of the direct children of a process, of all its threads."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found: list[int] = []
    try:
        for task in tasks:
            try:
                text = _read(f"/proc/{pid}/task/{task}/children")
            except ProcessLookupError:
                continue
            if text:
                found.extend(map(int, text.split()))
    except FileNotFoundError:
        # Either the process went away, or the kernel was built without CONFIG_PROC_CHILDREN.
        if os.path.exists(f"/proc/{pid}/task/{pid}"):
            return _children_by_table(pid)
    return found


class OwnChildren:
    """The children of this process, which are asked for at every end: by descriptors kept open.

    They are opened at once, so that the end of a process needs no descriptor that its start has
    not left.
    """

    def __init__(self) -> None:
        self._threads: int | None = None
        self._list: int | None = None
        with contextlib.suppress(OSError):
            self._open()

    def _open(self) -> tuple[int, int]:
        if self._threads is None or self._list is None:
            own = os.getpid()
            self._threads = os.open(f"/proc/{own}/task", os.O_PATH | os.O_CLOEXEC)
            self._list = os.open(f"/proc/{own}/task/{own}/children", os.O_RDONLY | os.O_CLOEXEC)
        return self._threads, self._list

    def pids(self, known: int | None = None) -> list[int]:
        """Return the pids of our children.

        Args:
            known: How many of them are known already, by a count that cannot be too high. Where
                they are no more than that, [] is returned.

        Raises:
            OSError: Descriptors ran out.
        """
        text = self._text()
        if text is None:
            return children(os.getpid())
        if text.count(b" ") == known:  # there is one behind each
            return []
        return [*map(int, text.split())]

    def _text(self) -> bytes | None:
        """Return the list as the kernel tells it, None where it is not the list of all."""
        try:
            threads, listed = self._open()
            if os.fstat(threads).st_nlink != _LINKS_OF_ONE_THREAD:
                return None  # a plugin's, which may have children, too
            text = chunk = os.pread(listed, _CHUNK_BYTES, 0)
            while chunk:
                chunk = os.pread(listed, _CHUNK_BYTES, len(text))
                text += chunk
        except OSError:
            self.close()
            return None
        return text

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self._threads, self._list):
            if fd is not None:
                os.close(fd)
        self._threads = self._list = None


def _read(path: str, limit: int = sys.maxsize) -> bytes:
    """Return what is in a file of /proc: with the least calls, since this is done very often."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = chunk = os.read(fd, min(limit, _CHUNK_BYTES))
        while chunk and len(text) < limit:
            chunk = os.read(fd, min(limit - len(text), _CHUNK_BYTES))
            text += chunk
    finally:
        os.close(fd)
    return text


def _children_by_table(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def tree(roots: Iterable[int]) -> Iterator[int]:
    """Yield the roots and all their descendants, parents first."""
    pending = list(roots)
    seen: set[int] = set()
    while pending:
        pid = pending.pop()
        if pid not in seen:
            seen.add(pid)
            yield pid
            pending.extend(children(pid))


def account(pid: int) -> int | None:
    """Return the effective uid of a process, None when there is no such process."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def has_variable(pid: int, assignment: bytes) -> bool:
    """Whether `NAME=value` is in the environment that a process was started with.

    See `assignments`.
    """
    return assignment in assignments(pid, assignment.partition(b"=")[0].decode())


def assignments(pid: int, name: str) -> Iterator[bytes]:
    """Yield each `NAME=value` of one variable in the environment a process was started with.

    A process may declare any part of its memory to be its environment (prctl(2), PR_SET_MM_MAP), so
    no more is read than execve(2) would ever take.
    """
    try:
        text = b"\0%b\0" % _read(f"/proc/{pid}/environ", _ENVIRON_MAX_BYTES)
    except OSError:
        return
    start = b"\0%b=" % name.encode()
    at = text.find(start)
    while at >= 0:
        end = text.index(b"\0", at + 1)
        yield text[at + 1 : end]
        at = text.find(start, end)
