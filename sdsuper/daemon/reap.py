"""Ended children -> facts: pidfds for main processes, SIGCHLD for everything else.

A pidfd says which child ended without a look at any other. Strays that were handed to us (the
daemon is a subreaper, or PID 1 of a container) have none: they are collected when SIGCHLD says
that some child ended. Both ways meet in `collect`, and whichever comes first wins.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from sdsuper.values import ExitStatus, Level


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

    def watch(self, pid: int) -> None:
        """Wait for the end of a child; it may have ended already."""
        pidfd = None
        if self._use_pidfds:
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:  # ENOSYS on old kernels, EMFILE: SIGCHLD tells of it all the same
                pidfd = None
        self._watched[pid] = pidfd
        if pidfd is not None:
            asyncio.get_running_loop().add_reader(pidfd, self._collect, pid)

    def is_watched(self, pid: int) -> bool:
        """Whether this child is a main process."""
        return pid in self._watched

    def child_ended(self) -> None:
        """SIGCHLD arrived: collect whatever has ended."""
        strays = False
        while True:
            try:
                result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if result is None:
                break
            if result.si_pid in self._watched:
                self._collect(result.si_pid)
            else:
                _, status = os.waitpid(result.si_pid, 0)
                strays = True
                self._report(
                    Level.INFO, f"reaped unknown pid {result.si_pid} ({decode(status).describe()})"
                )
        if strays:
            self._stray_ended()

    def close(self) -> None:
        """Stop watching."""
        for pid in list(self._watched):
            self._unwatch(pid)

    def _collect(self, pid: int) -> None:
        try:
            reaped, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            reaped, status = pid, 0  # somebody else reaped it: its status is lost
            self._report(
                Level.CRITICAL,
                f"waitpid error for pid {pid}; a process may not be cleaned up properly",
            )
        if reaped == pid:
            self._unwatch(pid)
            self._ended(pid, decode(status))

    def _unwatch(self, pid: int) -> None:
        pidfd = self._watched.pop(pid)
        if pidfd is not None:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)


def decode(status: int) -> ExitStatus:
    """Turn a wait status (wait(2)) into an ExitStatus."""
    if os.WIFSIGNALED(status):
        return ExitStatus(None, os.WTERMSIG(status), os.WCOREDUMP(status))
    return ExitStatus(os.waitstatus_to_exitcode(status))
