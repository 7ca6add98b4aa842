"""Ended children -> facts: pidfds for main processes, SIGCHLD for everything else.

A pidfd says which child ended without a look at any other. Strays that were handed to us (the
daemon is a subreaper, or PID 1 of a container) have none: they are collected when SIGCHLD says
that some child ended. Both ways meet in `_collect`, and whichever comes first wins.

What follows from an end may be a new child that ends at once. So however many signals came, one
turn of the loop collects just what had ended when it began: otherwise nobody else would get a
turn while a program ends again and again.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from sdsuper import eventloop
from sdsuper.daemon import pidinfo, proctable
from sdsuper.values import ExitStatus, Level

_COLLECTED_AT_ONCE = 100
"""Ends that one call collects at most (Supervisor's number)."""

_REAPED_PAUSE = 0.001
_REAPED_WITHIN = 5.0
"""Seconds in which whoever is the parent of an adopted process is expected to reap it."""


class Reaper:
    """Collects ended children.

    Args:
        ended: Called with pid and status of each watched child that ended.
        stray_ended: Called after children that nobody watched were reaped.
        report: Writes to the daemon's log.
        use_pidfds: False forces the way of kernels that have none (before 5.3).
    """

    def __init__(
        self,
        ended: Callable[[int, ExitStatus], None],
        stray_ended: Callable[[], None],
        report: Callable[[Level, str], None],
        *,
        use_pidfds: bool = True,
    ) -> None:
        self._ended = ended
        self._stray_ended = stray_ended
        self._report = report
        self._use_pidfds = use_pidfds and hasattr(os, "pidfd_open")
        self._watched: dict[int, int | None] = {}
        self._strangers: set[int] = set()
        self._asking: dict[int, eventloop.TimerHandle] = {}
        self._patience: dict[int, float] = {}
        self._born: set[int] = set()  # watched since `_collect_all` began
        self._due: eventloop.Handle | None = None

    def watch(self, pid: int) -> None:
        """Wait for the end of a child; it may have ended already."""
        pidfd = None
        if self._use_pidfds:
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:  # ENOSYS on old kernels, EMFILE: SIGCHLD tells of it all the same
                pidfd = None
        self._watched[pid] = pidfd
        self._born.add(pid)
        if pidfd is not None:
            eventloop.get_running_loop().add_reader(pidfd, self._collect, pid)

    def adopt(self, pid: int, pidfd: int | None, started: int | None) -> None:
        """Wait for the end of a process that an earlier daemon has started.

        It may be a child of ours, or of somebody else; it may have ended already. Where there is no
        pidfd the start time tells whether that pid is still the same process.

        Args:
            pid: Its pid.
            pidfd: A descriptor of it, which is ours from here on.
            started: When it started, in clock ticks since boot.
        """
        if pidfd is None:
            if self._use_pidfds:
                with contextlib.suppress(OSError):
                    pidfd = os.pidfd_open(pid)
            entry = proctable.look_up(pid)
            gone = entry is None and pidfd is not None
            if gone or (entry is not None and started not in (None, entry.started)):
                if pidfd is not None:
                    os.close(pidfd)
                self._lost(pid)
                return
        if pidfd is not None:
            os.set_blocking(pidfd, False)
        self._watched[pid] = pidfd
        self._strangers.add(pid)
        self._patience[pid] = _REAPED_WITHIN
        if pidfd is not None:
            eventloop.get_running_loop().add_reader(pidfd, self._collect, pid)
        else:
            self.child_ended()

    def _lost(self, pid: int) -> None:
        """Tell of a process whose pid is another's by now: nobody knows how it ended."""
        eventloop.get_running_loop().call_soon(self._ended, pid, ExitStatus(None))

    def pidfd(self, pid: int) -> int | None:
        """Return the descriptor of a process that we wait for, None where it has none."""
        return self._watched.get(pid)

    def send(self, pid: int, number: int) -> None:
        """Send a signal to a process that we wait for, and to no other that has its pid by now.

        Raises:
            OSError: As kill(2).
        """
        pidfd = self._watched.get(pid)
        if pidfd is not None and pid in self._strangers:
            signal.pidfd_send_signal(pidfd, number)
        else:
            os.kill(pid, number)

    def watch_other(self, pid: int) -> None:
        """Wait for the end of a process that may be no child of ours, or become one later.

        Where it is not ours by then its status is unknown. Without pidfds the end of one that
        never becomes ours is noticed at the next `child_ended`.
        """
        self.watch(pid)
        self._strangers.add(pid)

    def forget(self, pid: int) -> None:
        """Wait no longer for the end of a process, if we do."""
        if pid in self._watched:
            self._unwatch(pid)

    def watches(self, pid: int) -> bool:
        """Return whether the end of a child will be noticed."""
        return pid in self._watched

    @property
    def own(self) -> int | None:
        """How many that we wait for are children of ours, None where some need not be."""
        return None if self._strangers else len(self._watched)

    def child_ended(self) -> None:
        """SIGCHLD arrived, or may have: collect what has ended, once in this turn of the loop."""
        if self._due is None:
            self._due = eventloop.get_running_loop().call_soon(self._collect_all)

    def _collect_all(self) -> None:
        self._due = None
        self._born.clear()
        strays = False
        for _ in range(_COLLECTED_AT_ONCE):
            pid = self._next_ended()
            if pid is None:
                break
            if pid in self._born:
                self.child_ended()
                break
            if pid in self._watched:
                self._collect(pid)
            else:
                self._collect_stray(pid)
                strays = True
        else:
            self.child_ended()
        for pid in [each for each in self._strangers if self._watched[each] is None]:
            if pid in self._watched and not _is_alive(pid):
                self._collect(pid)
        if strays:
            self._stray_ended()

    @staticmethod
    def _next_ended() -> int | None:
        """Return a child that has ended, the eldest first, and leave it as it is."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        return None if found is None else found.si_pid

    def _collect_stray(self, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        self._report(Level.INFO, f"reaped unknown pid {pid} ({decode(status).describe()})")

    def close(self) -> None:
        """Stop watching."""
        if self._due is not None:
            self._due.cancel()
        for pid in list(self._watched):
            self._unwatch(pid)

    def _collect(self, pid: int) -> None:
        try:
            reaped, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError as error:  # somebody else reaps it
            if pid in self._strangers:
                self._collect_stranger(pid)
                return
            self._report(
                Level.CRITICAL,
                f"waitpid error {error.errno}; a process may not be cleaned up properly",
            )
            self._unwatch(pid)
            self._ended(pid, ExitStatus(None))
            return
        if reaped == pid:
            self._unwatch(pid)
            self._ended(pid, decode(status))

    def _collect_stranger(self, pid: int, waited: float = 0.0) -> None:
        """Take the end of a process that is not ours: its status is there once it is reaped."""
        self._asking.pop(pid, None)
        pidfd = self._watched.get(pid)
        found = pidinfo.UNKNOWN if pidfd is None else pidinfo.status(pidfd)
        if found is pidinfo.NOT_REAPED and waited < self._patience.get(pid, 0.0):
            assert pidfd is not None
            loop = eventloop.get_running_loop()
            loop.remove_reader(pidfd)
            pause = max(_REAPED_PAUSE, waited / 4)
            self._asking[pid] = loop.call_later(pause, self._collect_stranger, pid, waited + pause)
            return
        self._unwatch(pid)
        self._ended(pid, decode(found) if isinstance(found, int) else ExitStatus(None))

    def _unwatch(self, pid: int) -> None:
        pidfd = self._watched.pop(pid)
        self._strangers.discard(pid)
        self._patience.pop(pid, None)
        asking = self._asking.pop(pid, None)
        if asking is not None:
            asking.cancel()
        if pidfd is not None:
            eventloop.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    entry = proctable.look_up(pid)
    return entry is None or not entry.zombie  # its parent may never wait for it


def decode(status: int) -> ExitStatus:
    """Turn a wait status (wait(2)) into an ExitStatus."""
    if os.WIFSIGNALED(status):
        return ExitStatus(None, os.WTERMSIG(status), os.WCOREDUMP(status))
    return ExitStatus(os.waitstatus_to_exitcode(status))
