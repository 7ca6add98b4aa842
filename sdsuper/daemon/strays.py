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

A list of our children says something of all whose main process was reaped before it was read. So
many that end together share one: the first that ends in a turn of the loop is looked for at once,
and what follows in that turn together, at the begin of the next.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sdsuper import eventloop
from sdsuper.daemon import proctable
from sdsuper.daemon.environment import INVOCATION_VARIABLE
from sdsuper.daemon.leftovers import Emptying
from sdsuper.dataclass import dataclass, field
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
    seen: Mapping[int, int]  # pid -> start time, from before the main process ended
    grace: float
    done: Callable[[int], None]
    told: set[tuple[int, int]] = field(default_factory=set)
    found: set[tuple[int, int]] = field(default_factory=set)  # all that were signalled
    beyond: set[tuple[int, int]] = field(default_factory=set)  # another user's, out of our reach
    killing: bool = False
    timer: eventloop.TimerHandle | None = None
    adopted: bool = False
    watched: dict[tuple[int, int], int] = field(default_factory=dict)  # pidfds, where adopted

    __eq__ = object.__eq__
    __hash__ = object.__hash__


Left = dict[Sweep, list[proctable.Entry] | None]
"""What is left alive of each; None where that changes too fast to tell."""


class _Owned(NamedTuple):
    """Whose a process is.

    Attributes:
        owners: Whose it is for sure.
        unsure: It may be anybody else's as well: it is just exiting.
    """

    owners: set[Sweep]
    unsure: bool = False


class _Owners:
    """Tells whose a process is, by all that may say so, at one look at the process."""

    def __init__(self, sweeps: Iterable[Sweep]) -> None:
        self._by_group: dict[int, list[Sweep]] = {}
        self._by_mark: dict[bytes, list[Sweep]] = {}
        self._by_seen: dict[tuple[int, int], list[Sweep]] = {}
        for sweep in sweeps:
            self._by_group.setdefault(sweep.group, []).append(sweep)
            self._by_mark.setdefault(sweep.mark, []).append(sweep)
            for key in sweep.seen.items():
                self._by_seen.setdefault(key, []).append(sweep)

    def of(self, pid: int) -> _Owned:
        """Return whose it is."""
        entry = proctable.look_up(pid)
        if entry is None or entry.zombie:
            return _Owned(set())
        owners = {*self._by_group.get(entry.group, ()), *self._by_seen.get(entry.key, ())}
        marked = False
        for mark in proctable.assignments(pid, INVOCATION_VARIABLE):
            marked = True
            owners.update(self._by_mark.get(mark, ()))
        entry = None if marked else proctable.look_up(pid)
        return _Owned(owners, entry is not None and entry.exiting and not entry.zombie)


class Strays:
    """Finds and ends strays; wakes when a child that is no main process was reaped.

    Args:
        mains: Collections of the children that are no strays, as they are at each moment.
        report: Writes to the daemon's log.
        known: Returns how many children we surely have in them, None where that is not certain.
    """

    def __init__(
        self,
        mains: Iterable[Collection[int]],
        report: Callable[[Level, str], None],
        known: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._mains = tuple(mains)
        self._known = known
        self._children = proctable.OwnChildren()
        self._report = report
        self._sweeps: dict[Sweep, None] = {}
        self._ended: list[Sweep] = []  # in this turn of the loop, not looked for yet
        self._overdue: list[Sweep] = []  # in this turn of the loop, not killed yet
        self._turn: eventloop.Handle | None = None
        self._emptyings: set[Emptying] = set()

    @property
    def busy(self) -> bool:
        """Whether any sweep is under way."""
        return bool(self._sweeps or self._ended or self._emptyings)

    def close(self) -> None:
        """Stop; what is left lives on."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._children.close()
        self._ended.clear()
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
            loop = eventloop.get_running_loop()
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
        seen: Mapping[int, int],
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
                at once where nothing was and it is the first that ends in this turn of the loop.
            adopted: An earlier daemon started it: its strays need not be our children.
        """
        mark = f"{INVOCATION_VARIABLE}={invocation}".encode()
        self._ended.append(Sweep(name, mark, pid, seen, grace, done, adopted=adopted))
        if self._turn is None:
            self._turn = eventloop.get_running_loop().call_soon(self._next_turn)
            self._begin()

    def _next_turn(self) -> None:
        self._turn = None
        self._begin()

    def _begin(self) -> None:
        """Look for what is left of all that have ended."""
        ended = deque(self._ended)
        self._ended.clear()
        found = self._find(ended)
        try:
            while ended:
                sweep = ended.popleft()
                self._begin_one(sweep, found[sweep])
        finally:
            if ended:  # whatever that was must not concern the others
                self._ended.extend(ended)
                self._turn = self._turn or eventloop.get_running_loop().call_soon(self._next_turn)

    def _begin_one(self, sweep: Sweep, left: list[proctable.Entry] | None) -> None:
        if left is not None and not left:
            sweep.done(0)
            return
        if left:
            self._report(
                Level.WARN,
                f"ending what '{sweep.name}' ({sweep.group}) left behind: "
                f"{', '.join(map(str, left))}",
            )
        self._sweeps[sweep] = None
        loop = eventloop.get_running_loop()
        sweep.timer = loop.call_later(sweep.grace, self._kill_soon, sweep)
        self._signal(sweep, left or (), signal.SIGTERM)

    def left_of(self, invocation: str) -> tuple[proctable.Entry, ...]:
        """Return what is still alive of an invocation whose strays are being ended."""
        mark = f"{INVOCATION_VARIABLE}={invocation}".encode()
        found = self._find([sweep for sweep in (*self._sweeps, *self._ended) if sweep.mark == mark])
        return tuple(entry for entries in found.values() for entry in entries or ())

    def look_again(self) -> None:
        """Check all sweeps; called when a child that is no main process was reaped."""
        self._advance(self._sweeps)

    def _advance(self, sweeps: Iterable[Sweep]) -> None:
        for sweep, left in self._find(sweeps).items():
            if sweep not in self._sweeps:
                continue  # what the end of another led to
            if left is None or left:
                number = signal.SIGKILL if sweep.killing else signal.SIGTERM
                self._signal(sweep, left or (), number)
                continue
            del self._sweeps[sweep]
            _let_go(sweep)
            sweep.done(len(sweep.found))

    def _kill_soon(self, sweep: Sweep) -> None:
        """Kill what is left, by one look for all whose time is over in this turn of the loop."""
        if not self._overdue:
            eventloop.get_running_loop().call_soon(self._kill)
        self._overdue.append(sweep)

    def _kill(self) -> None:
        overdue = [sweep for sweep in self._overdue if sweep in self._sweeps]
        self._overdue.clear()
        loop = eventloop.get_running_loop()
        for sweep, left in self._find(overdue).items():
            if left and not sweep.killing:
                self._report(
                    Level.WARN,
                    f"killing what '{sweep.name}' ({sweep.group}) left behind with SIGKILL: "
                    f"{', '.join(map(str, left))}",
                )
            sweep.killing = True
            sweep.told.clear()
            sweep.timer = loop.call_later(_KILL_AGAIN_AFTER, self._kill_soon, sweep)
        self._advance(overdue)

    def _find(self, sweeps: Iterable[Sweep]) -> Left:
        """Return what is left alive of each."""
        found: Left = dict.fromkeys(sweeps)
        adopted = [sweep for sweep in found if sweep.adopted]
        try:
            found.update(self._find_among_children([each for each in found if not each.adopted]))
            if adopted:
                found.update(_find_anywhere(adopted, self._others))
        except OSError:  # descriptors ran out: nobody may be taken for gone
            return found
        for sweep in adopted:
            self._wait_for(sweep, found[sweep] or ())
        return found

    def _find_among_children(self, missing: Sequence[Sweep]) -> Left:
        """Return what is left alive of invocations that we started ourselves.

        Our children leave the list only when we reap them, and each stray descends from one of
        them. So a list that is the same before and after a look has missed nobody: a stray
        that forked and ended meanwhile would have handed us its child. The one gap is a stray
        that is just exiting: its environment is gone already while its children are still its
        own, so it cannot be told whose it is until it has ended.
        """
        found: Left = dict.fromkeys(missing)
        before = self._orphans() if missing else set()
        for _ in range(_LOOKS):
            if not missing:
                break
            if not before:
                found.update((sweep, []) for sweep in missing)
                break
            owners = _Owners(missing)
            owned = {pid: owners.of(pid) for pid in before}
            left = _left_alive(missing, owned)
            after = self._orphans()
            if after == before:
                unsure = [each.owners for each in owned.values() if each.unsure]
                still = [each for each in missing if any(each not in them for them in unsure)]
                found.update((sweep, left[sweep]) for sweep in missing if sweep not in still)
                missing = still
            before = after
        return found

    def _wait_for(self, sweep: Sweep, entries: Iterable[proctable.Entry]) -> None:
        """Look again when one of these has ended: nobody tells us of another's children."""
        loop = eventloop.get_running_loop()
        for entry in entries:
            if entry.key in sweep.watched:
                continue
            with contextlib.suppress(OSError):  # gone, or no pidfds: the next SIGKILL looks again
                pidfd = os.pidfd_open(entry.pid)
                sweep.watched[entry.key] = pidfd
                loop.add_reader(pidfd, self._ended_elsewhere, sweep, entry.key)

    def _ended_elsewhere(self, sweep: Sweep, key: tuple[int, int]) -> None:
        pidfd = sweep.watched.pop(key)
        eventloop.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        self._advance([sweep])

    def _orphans(self) -> set[int]:
        return set(self._children.pids(self._known())).difference(*self._mains)

    def _others(self) -> set[int]:
        return set(proctable.pids()).difference((os.getpid(),), *self._mains)

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
                eventloop.get_running_loop().call_soon(self.look_again)
            except OSError:
                continue  # gone meanwhile


def _find_anywhere(sweeps: Collection[Sweep], candidates: Callable[[], set[int]]) -> Left:
    """Return what is left alive of adopted invocations, of each the same at two looks in a row.

    Who has the pid of a main process by now, if anybody, leads a group of its own by that number.
    """
    for sweep in sweeps:
        leader = proctable.look_up(sweep.group)
        if leader is not None and not leader.zombie:
            ours = proctable.has_variable(leader.pid, sweep.mark)
            ours = ours or sweep.seen.get(leader.pid) == leader.started
            sweep.group = sweep.group if ours else 0
    found: Left = dict.fromkeys(sweeps)
    before: dict[Sweep, set[tuple[int, int]]] = {}
    missing = list(sweeps)
    for _ in range(_LOOKS):
        owners = _Owners(missing)
        left = _left_alive(missing, {pid: owners.of(pid) for pid in candidates()})
        keys = {sweep: {entry.key for entry in left[sweep]} for sweep in missing}
        same = [sweep for sweep in missing if keys[sweep] == before.get(sweep)]
        found.update((sweep, left[sweep]) for sweep in same)
        missing = [sweep for sweep in missing if found[sweep] is None]
        if not missing:
            break
        before = keys
    return found


def _left_alive(
    sweeps: Iterable[Sweep], owned: Mapping[int, _Owned]
) -> dict[Sweep, list[proctable.Entry]]:
    """Return what is alive of each in the trees of what it owns.

    Args:
        sweeps: Who owns.
        owned: What it may be, by pid.
    """
    roots: dict[Sweep, list[int]] = {sweep: [] for sweep in sweeps}
    for pid, each in owned.items():
        for sweep in each.owners:
            roots[sweep].append(pid)
    return {sweep: list(_alive(sweep, pids)) for sweep, pids in roots.items()}


def _alive(sweep: Sweep, roots: Iterable[int]) -> Iterator[proctable.Entry]:
    for pid in proctable.tree(roots):
        entry = proctable.look_up(pid)
        if entry is not None and not entry.zombie and entry.key not in sweep.beyond:
            yield entry


def _let_go(sweep: Sweep) -> None:
    if sweep.timer is not None:
        sweep.timer.cancel()
    for pidfd in sweep.watched.values():
        eventloop.get_running_loop().remove_reader(pidfd)
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
