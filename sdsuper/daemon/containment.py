"""A cgroup for each process, where a tree of cgroups is delegated to the daemon.

    <unit>/daemon/                      the daemon and its helpers
    <unit>/programs/GROUP:PROCESS/      a process and all that descends from it
    <unit>/uncontained/GROUP:PROCESS/   the same for containment=none: nothing is ended in there

The unit's own cgroup stays empty: version 2 allows no processes beside cgroups that controllers
are enabled for. A process keeps its cgroup over restarts, until it is forgotten.

*Entry.* A child that we fork ourselves enters its cgroup before it does anything else. One that
comes by vfork has executed its program when we get to move it, and may have left children by then
where it was born, in our own cgroup. So we look there afterwards: who is new and descends from
the child is moved too, until a look finds nobody (see `Cgroup.pids` for why that proves it). Only
one child is on its way at any time, so an orphan that is new there can be no other's.

Moving takes a lock of the kernel for which a large host may wait for some milliseconds (an RCU
grace period), once for many moves in a row. Measured beside it: a fork (it grows with our
memory), a shell that enters and then executes the program (slower than all of this, and its
failures are not ours to tell), and posix_spawn with a cgroup (as fast as no cgroup at all, but
glibc has it since 2.39 only).

Without delegation there is no `Containment`, and strays are found as `strays.py` says.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Callable, Collection, Iterable

from sdsuper.daemon import leftovers, proctable
from sdsuper.systemd.cgroup import (
    DAEMON,
    Cgroup,
    find_delegated,
    is_delegated,
    process_name,
)
from sdsuper.values import Level, Namespec

Report = Callable[[Level, str], None]

PROGRAMS = "programs"
UNCONTAINED = "uncontained"

_KILL = "cgroup.kill"  # since Linux 5.14

_READ_BYTES = 65536

_LOOKS_MAX = 10_000
"""Looks for what a child has started; each that finds anybody moves them."""

_GENERATIONS_MAX = 1000

_WITHOUT = "processes get no cgroup of their own"


class Containment:
    """The cgroups that are ours.

    Args:
        unit: What was delegated to us.
        report: Writes to the daemon's log.

    Attributes:
        unit: The same; holds no process itself.
        daemon: Where the daemon lives.
        programs: Above those of the processes.
        uncontained: Above those of processes with containment=none.
    """

    def __init__(self, unit: Cgroup, report: Report) -> None:
        self.unit = unit
        self.daemon = unit.child(DAEMON)
        self.programs = unit.child(PROGRAMS)
        self.uncontained = unit.child(UNCONTAINED)
        self._report = report
        self._lock: int | None = None
        self._strangers = _Strangers()
        self._moved = False
        self._enabled: set[str] = set()

    @classmethod
    def settle(cls, report: Report) -> Containment | None:
        """Move into a leaf of the cgroup that is delegated to us.

        Where none is, or where that does not work, one line of the log says why.
        """
        found = find_delegated(os.getpid(), _read, is_delegated)
        if found.unit is None:
            report(Level.INFO, f"{_WITHOUT}: {found.reason}")
            return None
        containment = cls(found.unit, report)
        try:
            containment._settle()
        except OSError as error:
            containment.close()
            report(Level.WARN, f"{_WITHOUT}: {_told(error)} ({found.unit.path})")
            return None
        return containment

    def _settle(self) -> None:
        lock = os.open(self.unit.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise OSError(error.errno, "another daemon uses it") from None
        self._lock = lock
        self.daemon.make()
        if os.getpid() not in self.daemon.pids():
            self.daemon.enter(0)
            self._moved = True
        for above in (self.programs, self.uncontained):
            above.make()
        if not os.path.exists(f"{self.programs.path}/{_KILL}"):
            raise OSError(errno.ENOSYS, "this kernel has no cgroup.kill (Linux 5.14 has)")
        self._strangers.open(self.daemon)

    def close(self) -> None:
        """Remove what we made and is empty, and go back to where we came from."""
        if self._lock is None:
            return  # all of it is another daemon's
        self._strangers.close()
        self.programs.remove()
        self.uncontained.remove()
        self._disable()
        if self._moved:
            with contextlib.suppress(OSError):
                self.unit.enter(0)
                self._moved = False
            self.daemon.remove()
        os.close(self._lock)
        self._lock = None

    # --- processes ----------------------------------------------------------------------------

    def cgroup(self, name: Namespec, *, contained: bool = True) -> Cgroup:
        """Return the cgroup of a process, which need not exist.

        Args:
            name: The process.
            contained: Whether what is left in it is ended (containment=tree).
        """
        above = self.programs if contained else self.uncontained
        return above.child(process_name(name.group, name.process))

    def prepare(self, name: Namespec, *, contained: bool = True) -> Cgroup:
        """Return the cgroup of a process, made and ready to be entered.

        Raises:
            OSError: It cannot be made.
        """
        cgroup = self.cgroup(name, contained=contained)
        if not cgroup.make():
            cgroup.reset()
        return cgroup

    def entry(self, cgroup: Cgroup) -> Entry:
        """Return the way of one child into its cgroup."""
        return Entry(cgroup, self._strangers, self._report)

    def forget(self, name: Namespec) -> None:
        """Remove the cgroup of a process, unless something lives in it still."""
        for contained in (True, False):
            self.cgroup(name, contained=contained).remove()

    def end_leftovers(self, grace: float, adopted: Collection[Cgroup] = ()) -> None:
        """End what an earlier daemon has left in `programs`, and return when it is gone.

        Nothing may be started before. What was left with containment=none lives on.

        Args:
            grace: Seconds between SIGTERM and SIGKILL.
            adopted: Cgroups whose processes are ours now, and stay.
        """
        for each in self.programs.children():
            if each in adopted or not each.populated:
                continue
            name = os.path.basename(each.path)
            leftovers.end(each, grace, f"what an earlier daemon left of '{name}'", self._report)
        for above in (self.programs, self.uncontained):
            for each in above.children():
                if each not in adopted:
                    each.remove()

    # --- controllers --------------------------------------------------------------------------

    def enable(self, controllers: Iterable[str]) -> dict[str, str]:
        """Make controllers act on the cgroups of processes, whose files appear with that.

        They are disabled again by `close`. A daemon that dies before that leaves them: where its
        processes survive it, systemd cannot put a new daemon into the unit's cgroup, unless
        DelegateSubgroup= names a leaf for it or ExecStopPost= disables them, the lowest first.

        Returns:
            Why not, for each that does not act.
        """
        available = self.unit.controllers()
        missing = {}
        for controller in sorted(controllers):
            if controller not in available:
                missing[controller] = f"the cgroup controller '{controller}' is not delegated to us"
                continue
            self._enabled.add(controller)
            try:
                for each in self._controlling():
                    each.write("cgroup.subtree_control", f"+{controller}")
            except OSError as error:
                missing[controller] = (
                    f"cannot enable the cgroup controller '{controller}': {_told(error)}"
                    f"{self._intruders(error)}"
                )
        return missing

    def _controlling(self) -> Iterable[Cgroup]:
        """Return the cgroups that hand controllers on, from the top."""
        return self.unit, self.programs, self.uncontained

    def _disable(self) -> None:
        for each in reversed([*self._controlling()]):
            for controller in self._enabled & each.enabled():
                with contextlib.suppress(OSError):
                    each.write("cgroup.subtree_control", f"-{controller}")
        self._enabled.clear()

    def _intruders(self, error: OSError) -> str:
        """Name what lives in the unit's own cgroup, where that is in the way."""
        pids = self.unit.pids() if error.errno == errno.EBUSY else []
        return f"; these live in {self.unit.path} itself: {pids}" if pids else ""


class _Strangers:
    """Who lives in the daemon's own cgroup besides the daemon."""

    def __init__(self) -> None:
        self._fd: int | None = None

    def open(self, cgroup: Cgroup) -> None:
        # Kept open: to open it takes four times as long as to read it.
        self._fd = os.open(f"{cgroup.path}/cgroup.procs", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def look(self) -> bytes:
        """Return the pids, a line each, as the kernel tells them."""
        if self._fd is None:
            return b""
        parts = []
        offset = 0
        while part := os.pread(self._fd, _READ_BYTES, offset):
            parts.append(part)
            offset += len(part)
        return b"".join(parts)


class Entry:
    """The way of one child into its cgroup; one of the two is used.

    Attributes:
        cgroup: Where it goes.
    """

    def __init__(self, cgroup: Cgroup, strangers: _Strangers, report: Report) -> None:
        self.cgroup = cgroup
        self._strangers = strangers
        self._report = report
        self._before = b""

    def enter(self) -> None:
        """In the child, before anything else.

        Raises:
            OSError: It cannot be entered.
        """
        self.cgroup.enter(0)

    def open(self) -> None:
        """In the daemon, right before the child comes to be."""
        self._before = self._strangers.look()

    def bring(self, pid: int) -> None:
        """In the daemon, right after: move the child, and what it has started meanwhile.

        Raises:
            OSError: It cannot be moved; then all of it was ended, and the child must be reaped.
        """
        try:
            with contextlib.suppress(ProcessLookupError):  # it has ended, maybe not without heirs
                self.cgroup.enter(pid)
            self._bring_descendants(pid)
        except OSError:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            self._each_descendant(pid, lambda each: os.kill(each, signal.SIGKILL))
            raise

    def _bring_descendants(self, child: int) -> None:
        if not self._each_descendant(child, self.cgroup.enter):
            self._report(
                Level.CRITICAL,
                f"what {child} starts runs away faster than it can be moved to {self.cgroup.path}",
            )

    def _each_descendant(self, child: int, act: Callable[[int], None]) -> bool:
        """Act on what descends from a child and lives where we do, until nobody does.

        Returns:
            Whether it came to that; a tree that forks too fast is given up some time.
        """
        moved: set[int] = set()
        before: set[int] | None = None
        for _ in range(_LOOKS_MAX):
            look = self._strangers.look()
            if look == self._before:
                return True
            if before is None:
                before = set(map(int, self._before.split()))
            found = [
                pid
                for pid in map(int, look.split())
                if pid not in before and _descends(pid, child, moved, before)
            ]
            if not found:
                return True
            for pid in found:
                moved.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    act(pid)
        return False


def _descends(pid: int, child: int, moved: Collection[int], before: Collection[int]) -> bool:
    """Whether a process that is new among us descends from a child, or is an orphan of its."""
    own = os.getpid()
    for _ in range(_GENERATIONS_MAX):
        if pid in (child, own) or pid in moved:
            return True
        entry = proctable.look_up(pid)
        if entry is None:
            return True  # gone: what it leaves is found by the next look
        pid = entry.parent
        if pid == 0 or (pid in before and pid != own):
            return False  # a helper's, a plug-in's, or whoever's
    return False


def _told(error: OSError) -> str:
    return error.strerror or str(error)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
