"""What an invocation leaves behind is ended before anything takes its place.

Where it has a cgroup, what lives in there is what it left, and `leftovers.py` ends it. The rest of
this is for where no cgroups are delegated to us.

The daemon is a child subreaper (prctl(2)): a process whose parent died becomes our child, and
stays one until we reap it, so its pid cannot be taken by another meanwhile. A stray is known by
its process group (that of the main process), by the mark that each invocation puts into the
environment, by having been seen below the main process when the stop began, or by descending
from one of these.

A stray that left the process group, wiped its environment and forked itself away before the
stop is told from other programs' strays by nothing that an unprivileged look at the process
table shows. Such a process is reaped when it ends, but not ended.

An adopted invocation was started by an earlier daemon, at whose death its strays became children
of somebody else. They are looked for in the whole table, by group and mark, and waited for by
pidfd.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import field

from sdsuper.daemon import proctable
from sdsuper.daemon.environment import INVOCATION_VARIABLE
from sdsuper.daemon.leftovers import Emptying
from sdsuper.dataclass import dataclass
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.values import Level

_KILL_AGAIN_AFTER = 0.05
"""Seconds between two rounds of SIGKILL, against trees that fork faster than they die."""


_TRY_AGAIN_AFTER = 1.0
"""Seconds until a cgroup is looked at again that could not be looked at."""

_LOOKS = 20
"""How often in a row the table is looked at before it counts as changing too fast."""


@dataclass(slots=True)
class Sweep:
    """One invocation's strays on their way out."""

    name: str
    mark: bytes
    group: int
    seen: dict[int, int]  # pid -> start time, from before the main process ended
    done: Callable[[int], None]
    told: set[tuple[int, int]] = field(default_factory=set)
    found: set[tuple[int, int]] = field(default_factory=set)  # all that were signalled
    beyond: set[tuple[int, int]] = field(default_factory=set)  # another user's, out of our reach
    killing: bool = False
    timer: asyncio.TimerHandle | None = None
    adopted: bool = False
    watched: dict[tuple[int, int], int] = field(default_factory=dict)  # pidfds, where adopted


class Strays:
    """Finds and ends strays; wakes when a child that is no main process was reaped."""

    def __init__(
        self,
        is_main: Callable[[int], bool],
        report: Callable[[Level, str], None],
    ) -> None:
        self._is_main = is_main
        self._report = report
        self._sweeps: list[Sweep] = []
        self._emptyings: set[Emptying] = set()

    @property
    def busy(self) -> bool:
        """Whether any sweep is under way."""
        return bool(self._sweeps or self._emptyings)

    def close(self) -> None:
        """Stop; what is left lives on."""
        for emptying in self._emptyings:
            emptying.close()
        self._emptyings.clear()
        for sweep in self._sweeps:
            _let_go(sweep)
        self._sweeps.clear()

    def empty(
        self, cgroup: Cgroup, name: str, pid: int, grace: float, done: Callable[[int], None]
    ) -> None:
        """End what is left in the cgroup of an invocation, whoever its parent is.

        Args:
            cgroup: The cgroup.
            name: Of the process, for the log.
            pid: Its main process had.
            grace: Seconds between SIGTERM and SIGKILL.
            done: Called once, when nothing is left, with the number of processes that were there;
                at once where nothing was.
        """

        def emptied() -> None:
            self._emptyings.discard(emptying)
            done(found)

        try:
            if not cgroup.populated:
                done(0)
                return
            found = len(cgroup.all_pids())
            emptying = Emptying(cgroup, name, pid, grace, self._report, emptied)
        except OSError as error:  # descriptors ran out: nothing may be taken for empty
            self._report(Level.WARN, f"cannot look at what '{name}' ({pid}) left behind: {error}")
            loop = asyncio.get_running_loop()
            loop.call_later(_TRY_AGAIN_AFTER, self.empty, cgroup, name, pid, grace, done)
            return
        self._emptyings.add(emptying)

    def snapshot(self, pid: int) -> dict[int, int]:
        """Return the descendants of a main process that is about to be stopped."""
        entries = (proctable.look_up(each) for each in proctable.tree([pid]) if each != pid)
        return {entry.pid: entry.started for entry in entries if entry is not None}

    def end(
        self,
        name: str,
        invocation: str,
        pid: int,
        seen: dict[int, int],
        grace: float,
        done: Callable[[int], None],
        *,
        adopted: bool = False,
    ) -> None:
        """End what is left of an invocation: SIGTERM, `grace` seconds, SIGKILL until all is gone.

        Args:
            name: Of the process, for the log.
            invocation: The identity that marks the environment of what it started.
            pid: Of the main process, which has been reaped.
            seen: What `snapshot` returned, {} without one.
            grace: Seconds between SIGTERM and SIGKILL.
            done: Called once, when nothing is left, with the number of processes that were ended;
                at once where nothing was.
            adopted: An earlier daemon started it: its strays need not be our children.
        """
        mark = f"{INVOCATION_VARIABLE}={invocation}".encode()
        sweep = Sweep(name, mark, pid, seen, done, adopted=adopted)
        left = self._find(sweep)
        if left is not None and not left:
            done(0)
            return
        if left:
            self._report(
                Level.WARN,
                f"ending what '{name}' ({pid}) left behind: {', '.join(map(str, left))}",
            )
        self._sweeps.append(sweep)
        sweep.timer = asyncio.get_running_loop().call_later(grace, self._kill, sweep)
        self._signal(sweep, left or (), signal.SIGTERM)

    def left_of(self, invocation: str) -> tuple[proctable.Entry, ...]:
        """Return what is still alive of an invocation whose strays are being ended."""
        mark = f"{INVOCATION_VARIABLE}={invocation}".encode()
        found = [self._find(sweep) for sweep in self._sweeps if sweep.mark == mark]
        return tuple(entry for entries in found for entry in entries or ())

    def look_again(self) -> None:
        """Check all sweeps; called when a child that is no main process was reaped."""
        for sweep in list(self._sweeps):
            self._advance(sweep)

    def _advance(self, sweep: Sweep) -> None:
        left = self._find(sweep)
        if left is None or left:
            number = signal.SIGKILL if sweep.killing else signal.SIGTERM
            self._signal(sweep, left or (), number)
            return
        self._sweeps.remove(sweep)
        _let_go(sweep)
        sweep.done(len(sweep.found))

    def _kill(self, sweep: Sweep) -> None:
        left = self._find(sweep)
        if left and not sweep.killing:
            self._report(
                Level.WARN,
                f"killing what '{sweep.name}' ({sweep.group}) left behind with SIGKILL: "
                f"{', '.join(map(str, left))}",
            )
        sweep.killing = True
        sweep.told.clear()
        loop = asyncio.get_running_loop()
        sweep.timer = loop.call_later(_KILL_AGAIN_AFTER, self._kill, sweep)
        self._advance(sweep)

    def _find(self, sweep: Sweep) -> list[proctable.Entry] | None:
        """Return what is left alive, None where that changes too fast to tell.

        Our children leave the list only when we reap them, and each stray descends from one of
        them. So a list that is the same before and after a look has missed nobody: a stray
        that forked and ended meanwhile would have handed us its child. The one gap is a stray
        that is just exiting: its environment is gone already while its children are still its
        own, so it cannot be told whose it is until it has ended.
        """
        if sweep.adopted:
            return self._find_anywhere(sweep)
        before = self._orphans()
        for _ in range(_LOOKS):
            if not before:
                return []
            owned = {pid: self._belongs(sweep, pid) for pid in before}
            roots = [pid for pid, belongs in owned.items() if belongs]
            entries = [proctable.look_up(pid) for pid in proctable.tree(roots)]
            after = self._orphans()
            if after == before and None not in owned.values():
                return [
                    entry
                    for entry in entries
                    if entry is not None and not entry.zombie and entry.key not in sweep.beyond
                ]
            before = after
        return None

    def _find_anywhere(self, sweep: Sweep) -> list[proctable.Entry] | None:
        """Return what is left alive of an adopted invocation, None where that changes too fast.

        Who has its pid by now, if anybody, leads a group of its own by that number.
        """
        leader = proctable.look_up(sweep.group)
        if leader is not None and not leader.zombie:
            ours = proctable.has_variable(leader.pid, sweep.mark)
            ours = ours or sweep.seen.get(leader.pid) == leader.started
            sweep.group = sweep.group if ours else 0
        before: set[tuple[int, int]] | None = None
        for _ in range(_LOOKS):
            roots = [pid for pid in proctable.pids() if pid != os.getpid()]
            roots = [pid for pid in roots if not self._is_main(pid) and self._belongs(sweep, pid)]
            found = [proctable.look_up(pid) for pid in proctable.tree(roots)]
            left = [entry for entry in found if entry is not None and not entry.zombie]
            left = [entry for entry in left if entry.key not in sweep.beyond]
            keys = {entry.key for entry in left}
            if keys == before:
                self._wait_for(sweep, left)
                return left
            before = keys
        return None

    def _wait_for(self, sweep: Sweep, entries: Iterable[proctable.Entry]) -> None:
        """Look again when one of these has ended: nobody tells us of another's children."""
        loop = asyncio.get_running_loop()
        for entry in entries:
            if entry.key in sweep.watched:
                continue
            with contextlib.suppress(OSError):  # gone, or no pidfds: the next SIGKILL looks again
                pidfd = os.pidfd_open(entry.pid)
                sweep.watched[entry.key] = pidfd
                loop.add_reader(pidfd, self._ended_elsewhere, sweep, entry.key)

    def _ended_elsewhere(self, sweep: Sweep, key: tuple[int, int]) -> None:
        pidfd = sweep.watched.pop(key)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        self._advance(sweep)

    def _orphans(self) -> list[int]:
        return [pid for pid in proctable.children(os.getpid()) if not self._is_main(pid)]

    @staticmethod
    def _belongs(sweep: Sweep, pid: int) -> bool | None:
        entry = proctable.look_up(pid)
        if entry is None or entry.zombie:
            return False
        if entry.group == sweep.group or sweep.seen.get(pid) == entry.started:
            return True
        if proctable.has_variable(pid, sweep.mark):
            return True
        entry = proctable.look_up(pid)
        return None if entry is not None and entry.exiting and not entry.zombie else False

    def _signal(
        self, sweep: Sweep, entries: Iterable[proctable.Entry], number: signal.Signals
    ) -> None:
        for entry in entries:
            if entry.key in sweep.told:
                continue
            sweep.told.add(entry.key)
            try:
                _signal_same(entry, number)
                sweep.found.add(entry.key)
            except PermissionError:
                sweep.beyond.add(entry.key)
                self._report(
                    Level.WARN, f"not permitted to end what '{sweep.name}' left behind: {entry}"
                )
                asyncio.get_running_loop().call_soon(self.look_again)
            except OSError:
                continue  # gone meanwhile


def _let_go(sweep: Sweep) -> None:
    if sweep.timer is not None:
        sweep.timer.cancel()
    for pidfd in sweep.watched.values():
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
    sweep.watched.clear()


def _signal_same(entry: proctable.Entry, number: signal.Signals) -> None:
    """Signal the very process that was looked up, not a later one of the same pid."""
    if not hasattr(os, "pidfd_open"):
        os.kill(entry.pid, number)
        return
    pidfd = os.pidfd_open(entry.pid)
    try:
        again = proctable.look_up(entry.pid)
        if again is not None and again.started == entry.started:
            signal.pidfd_send_signal(pidfd, number)
            # A stopped process does not act on SIGTERM before it is continued.
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    finally:
        os.close(pidfd)
