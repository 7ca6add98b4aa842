"""Whether the kernel killed what belongs to a process for want of memory (cgroups(7)).

The cgroup of a process counts such kills, over all processes that ever lived in it; what matters
here is what has been added since an invocation began. The kernel tells of a change (EPOLLPRI of
memory.events), so that the loss of a worker is told when it happens, while the main process lives.
A process of another cgroup, and one that was killed by somebody's SIGKILL, does not count.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import NamedTuple

from sdsuper import eventloop
from sdsuper.config.model import LimitsConfig
from sdsuper.daemon.resources import kills_all
from sdsuper.systemd.cgroup import Cgroup, keyed
from sdsuper.values import ExitStatus, Level

Report = Callable[[Level, str], None]

_EVENTS = "memory.events"
_READ_BYTES = 4096
_SIGKILL = 9

_DYING_SECONDS = 10.0
"""How long after a kill the exit of the main process is put down to it: much memory takes time."""


class Kills(NamedTuple):
    """What memory.events says.

    Attributes:
        limit: How often memory_max was in the way and nothing could be reclaimed.
        kills: Processes that were killed, whatever ran out of memory: the cgroup or the machine.
    """

    limit: int
    kills: int


def _counts(text: str) -> Kills:
    found = keyed(text)
    return Kills(int(found.get("oom", 0)), int(found.get("oom_kill", 0)))


def _nothing() -> None:
    """Tell nobody."""


class MemoryCount:
    """The kills in the cgroup of one invocation.

    Args:
        fd: Of memory.events.
        name: Of the process, for the log.
        limits: Of the process, for the log.
        report: Writes to the daemon's log.
        known: What an earlier daemon knew of, None where the invocation begins.

    Attributes:
        fd: The same; the kernel tells there of more.
        known: What has been told of, or was there before the invocation.
        on_change: Called when that has changed.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        limits: LimitsConfig,
        report: Report,
        known: Kills | None = None,
    ) -> None:
        self.fd = fd
        self.on_change: Callable[[], None] = _nothing
        self._name = name
        self._limits = limits
        self._report = report
        self.known = self._read()
        if known is not None:  # the kernel begins anew where nobody counted for a while
            self.known = known if known.kills <= self.known.kills else Kills(0, 0)
        self._killed_at: float | None = None

    def reconfigure(self, limits: LimitsConfig) -> None:
        """Tell of other limits from now on."""
        self.look()
        self._limits = limits

    def look(self) -> None:
        """Tell what has been killed since the last look."""
        now = self._read()
        kills = now.kills - self.known.kills
        reached = now.limit > self.known.limit
        if kills <= 0:
            return  # that the limit was reached comes before what is killed for it
        self.known = now
        self._killed_at = time.monotonic()
        what = "a process" if kills == 1 else f"{kills} processes"
        if kills_all(self._limits):
            what = "all processes"  # it counts some of them twice
        why = "no memory is left for the unit or the machine"
        if reached:
            why = f"memory_max={self._limits.memory_max} was reached"
        self._report(Level.WARN, f"the kernel killed {what} of '{self._name}': {why}")
        self.on_change()

    def ended(self, status: ExitStatus) -> bool:
        """Whether the end of the main process was such a kill.

        Args:
            status: How it ended; nobody may know, where an earlier daemon started it.
        """
        self.look()
        unknown = status.code is None and status.signal is None
        if not (status.signal == _SIGKILL or (unknown and kills_all(self._limits))):
            return False
        just = time.monotonic() - _DYING_SECONDS
        return self._killed_at is not None and self._killed_at > just

    def _read(self) -> Kills:
        try:
            return _counts(os.pread(self.fd, _READ_BYTES, 0).decode())
        except OSError:  # ENODEV: the cgroup is gone, or memory is not counted any more
            return Kills(0, 0)


class MemoryWatch:
    """Watches the counts that are open.

    Args:
        report: Writes to the daemon's log.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._counts: dict[int, MemoryCount] = {}
        # An epoll of its own: the files count as readable at any time, which is of no interest.
        self._epoll: select.epoll | None = None

    def open(
        self, cgroup: Cgroup, name: str, limits: LimitsConfig, known: Kills | None = None
    ) -> MemoryCount | None:
        """Begin to count for an invocation; None where the kernel does not count memory there.

        Args:
            cgroup: Where it lives.
            name: Of the process, for the log.
            limits: Of the process, for the log.
            known: What an earlier daemon knew of, None where the invocation begins.
        """
        try:
            fd = os.open(f"{cgroup.path}/{_EVENTS}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        count = MemoryCount(fd, name, limits, self._report, known)
        if self._epoll is None:
            self._epoll = select.epoll()
            eventloop.get_running_loop().add_reader(self._epoll.fileno(), self._changed)
        self._epoll.register(fd, select.EPOLLPRI)
        self._counts[fd] = count
        return count

    def close(self, count: MemoryCount) -> None:
        """Count no longer."""
        del self._counts[count.fd]
        if self._epoll is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(count.fd)
        os.close(count.fd)

    def close_all(self) -> None:
        """Let go of everything."""
        for count in list(self._counts.values()):
            self.close(count)
        if self._epoll is not None:
            eventloop.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _changed(self) -> None:
        if self._epoll is None:
            return
        for fd, _ in self._epoll.poll(0):
            self._counts[fd].look()
