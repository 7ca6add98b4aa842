"""A cgroup for each process, where a tree of cgroups is delegated to the daemon.

    <unit>/daemon/                      the daemon and its helpers
    <unit>/programs/GROUP:PROCESS/      a process and all that descends from it
    <unit>/uncontained/GROUP:PROCESS/   the same for containment=none: nothing is ended in there

The unit's own cgroup stays empty: version 2 allows no processes beside cgroups that controllers
are enabled for. A process keeps its cgroup over restarts, until it is forgotten.

Without delegation there is no `Containment`, and strays are found as `strays.py` says.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Collection, Iterable

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

    def close(self) -> None:
        """Remove what we made and is empty, and go back to where we came from."""
        if self._lock is None:
            return  # all of it is another daemon's
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
        cgroup.make()
        cgroup.thaw()
        return cgroup

    def forget(self, name: Namespec) -> None:
        """Remove the cgroup of a process, unless something lives in it still."""
        for contained in (True, False):
            self.cgroup(name, contained=contained).remove()

    # --- controllers --------------------------------------------------------------------------

    @property
    def controllers(self) -> frozenset[str]:
        """What may be enabled: memory, cpu, pids ... as far as the host delegates them."""
        return self.unit.controllers()

    def enable(self, controllers: Collection[str]) -> frozenset[str]:
        """Make controllers act on the cgroups of processes, whose files appear with that.

        They are disabled again by `close`. A daemon that dies before that leaves them: where its
        processes survive it, systemd cannot put a new daemon into the unit's cgroup, unless
        DelegateSubgroup= names a leaf for it or ExecStopPost= disables them, the lowest first.

        Returns:
            Those that do act; what is missing is told to the log.
        """
        available = self.controllers
        enabled = set()
        for controller in sorted(controllers):
            if controller not in available:
                self._report(
                    Level.WARN, f"the cgroup controller '{controller}' is not delegated to us"
                )
                continue
            self._enabled.add(controller)
            try:
                for each in self._controlling():
                    each.write("cgroup.subtree_control", f"+{controller}")
            except OSError as error:
                self._report(
                    Level.WARN,
                    f"cannot enable the cgroup controller '{controller}': {_told(error)}"
                    f"{self._intruders(error)}",
                )
            else:
                enabled.add(controller)
        return frozenset(enabled)

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


def _told(error: OSError) -> str:
    return error.strerror or str(error)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
