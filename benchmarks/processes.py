"""What the kernel says of processes: time, memory, ends."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.worker import NotMeasuredError

_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)


class Usage(NamedTuple):
    """What processes have used since they started.

    Attributes:
        cpu: Seconds of CPU time.
        switches: Context switches: each is a time they woke up, or were put aside.
    """

    cpu: float
    switches: int

    def since(self, before: Usage) -> Usage:
        """Return what was used between two looks."""
        return Usage(self.cpu - before.cpu, self.switches - before.switches)


def usage(pids: Iterable[int]) -> Usage:
    """Return what processes have used, all threads of them; one that is gone counts as nothing."""
    nanoseconds = switches = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                nanoseconds += int((task / "schedstat").read_text().split()[0])
                switches += sum(map(int, _SWITCHES.findall((task / "status").read_text())))
    return Usage(nanoseconds / 1e9, switches)


def memory(pids: Iterable[int], kind: str) -> float:
    """Return MiB of memory: Rss, or Pss, where what is shared counts in shares."""
    kilobytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found = re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)
            kilobytes += int(found[1]) if found else 0
    return kilobytes / 1024


def all_pids() -> Iterator[int]:
    """Yield every pid there is."""
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def children(pid: int) -> list[int]:
    """Return the pids of a process's children."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def runs(pid: int, wanted: os.stat_result) -> bool:
    """Whether a process runs an executable; containers show the same file."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.stat(f"/proc/{pid}/exe"), wanted)
    return False


def family(pid: int, executable: Path) -> list[int]:
    """Return a process and all below it, but for those that run an executable."""
    wanted = executable.stat()
    found = [pid]
    for each in found:  # it grows meanwhile
        found += [child for child in children(each) if not runs(child, wanted)]
    return found


def running(executable: Path) -> list[int]:
    """Return the pids of all processes that run an executable."""
    wanted = executable.stat()
    return [pid for pid in all_pids() if runs(pid, wanted)]


def outside(space: str) -> dict[int, int]:
    """Return the processes of a PID namespace: pid inside -> pid as seen from here.

    Args:
        space: What the links in /proc/PID/ns say of it.
    """
    found = {}
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/pid") == space:
                text = Path(f"/proc/{pid}/status").read_text()
                numbers = re.search(r"^NSpid:\s+(.*)$", text, re.MULTILINE)
                assert numbers
                found[int(numbers[1].split()[-1])] = pid
    return found


def named(name: str, space: str) -> list[int]:
    """Return the pids, as seen from here, of the processes of a name in a PID namespace."""
    return [
        pid
        for pid in outside(space).values()
        if Path(f"/proc/{pid}/comm").read_text().strip() == name
    ]


class Ends:
    """Looks out for the end of processes; nothing is polled."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._fds = [os.pidfd_open(pid) for pid in pids]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._fds:
            os.close(fd)

    def wait(self, timeout: float) -> float:
        """Return when the last one ended, seconds of the monotonic clock.

        Raises:
            NotMeasuredError: Some are left after so many seconds.
        """
        deadline = time.monotonic() + timeout
        with select.epoll() as epoll:
            for fd in self._fds:
                epoll.register(fd, select.EPOLLIN)
            left = len(self._fds)
            while left:
                events = epoll.poll(max(0.0, deadline - time.monotonic()), maxevents=256)
                if not events:
                    raise NotMeasuredError(f"{left} are left after {timeout:g} s")
                for fd, _ in events:
                    epoll.unregister(fd)
                left -= len(events)
        return time.monotonic()


def kill(pids: Iterable[int]) -> None:
    """Send SIGKILL; one that is gone already is no matter."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
