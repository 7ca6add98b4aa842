"""A fake world: it carries out what the core asks for, as badly as the real one may.

Answers come late, twice and out of order; spawns fail; children die when they like, ignore signals,
leave strays behind or cannot be signalled at all; they say what they like of themselves, or
nothing; both clocks jump. The world keeps the truth,
so that the invariants can compare what the core believes with what is.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import assert_never

from sdsuper.config.model import Containment
from sdsuper.core.actions import (
    Action,
    EndStrays,
    Finish,
    Forget,
    Log,
    Publish,
    Reconfigure,
    SendSignal,
    Spawn,
)
from sdsuper.core.facts import (
    Cleared,
    Exited,
    Fact,
    Notified,
    SignalFailed,
    Spawned,
    SpawnFailed,
)
from sdsuper.core.notice import Notice
from sdsuper.values import ExitStatus, Instant, Namespec

SIGKILL = 9
ALL_IS_WELL = Notice(ready=True, watchdog=0.0)
"""What a kind child says: it is up, and need not ping."""


@dataclass
class Child:
    """The truth about one invocation."""

    name: Namespec
    invocation: int
    pid: int
    born: float
    alive: bool = True
    strays: bool = False
    stubborn: bool = False  # its strays never end
    untouchable: bool = False  # signals fail with EPERM
    spawn_told: bool = False  # its Spawned was handed to the core
    reap_told: bool = False  # its Exited was handed to the core


@dataclass(frozen=True)
class Delivery:
    """A fact on its way."""

    fact: Fact
    again: bool = False  # it was handed over before


@dataclass(frozen=True)
class Death:
    """A child ends."""

    invocation: int
    status: ExitStatus


@dataclass(frozen=True)
class StraysEnd:
    """The last stray of an invocation ends."""

    invocation: int
    fact: Cleared


Happening = Delivery | Death | StraysEnd


@dataclass
class World:
    """Clocks, children, and what is under way.

    Attributes:
        kind: Nothing goes wrong any more: what is spawned stays up and dies when told to.
    """

    rng: random.Random
    kind: bool = False
    mono: float = 1000.0
    wall: float = 1_700_000_000.0
    children: dict[int, Child] = field(default_factory=dict)
    finished: list[bool] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    _agenda: list[tuple[float, int, Happening]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _pids: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    # --- the clocks -----------------------------------------------------------------------------

    def now(self) -> Instant:
        return Instant(self.mono, self.wall)

    def pass_time(self, until: float) -> None:
        passed = max(0.0, until - self.mono)
        self.mono += passed
        self.wall += passed

    def jump(self) -> None:
        """Set the wall clock to anything, or lose a large piece of time on both (suspend)."""
        if self.rng.random() < 0.7:
            self.wall += self.rng.choice((-1, 1)) * 10 ** self.rng.uniform(0, 8)
        else:
            self.pass_time(self.mono + 10 ** self.rng.uniform(1, 6))

    # --- what happens ---------------------------------------------------------------------------

    def next_at(self) -> float | None:
        return self._agenda[0][0] if self._agenda else None

    def owes(self, name: Namespec, invocation: int) -> bool:
        """Whether anything about an invocation is still under way."""
        return any(_concerns(what, name, invocation) for _, _, what in self._agenda)

    def happen(self) -> Delivery | None:
        """Let the next thing happen; return it if it is a fact for the core."""
        at, _, what = heapq.heappop(self._agenda)
        self.pass_time(at)
        match what:
            case Delivery():
                return self._deliver(what)
            case Death(invocation, status):
                self._die(invocation, status)
            case StraysEnd(invocation, fact):
                self.children[invocation].strays = False
                self._tell(fact)
            case _:
                assert_never(what)
        return None

    def _deliver(self, delivery: Delivery) -> Delivery:
        fact = delivery.fact
        match fact:
            case Spawned(invocation=invocation):
                self.children[invocation].spawn_told = True
            case Exited(invocation=invocation):
                self.children[invocation].reap_told = True
            case Notified(invocation=invocation, notice=Notice(main_pid=int(pid))):
                child = self.children[invocation]
                if child.spawn_told and not child.reap_told:
                    child.pid = pid
            case _:
                pass
        if not self.kind and not delivery.again and self.rng.random() < 0.1:
            self._schedule(self.rng.expovariate(0.3), Delivery(fact, again=True))
        return delivery

    def _die(self, invocation: int, status: ExitStatus) -> None:
        child = self.children[invocation]
        if child.alive:
            child.alive = False
            oom = status.signal == SIGKILL and invocation % 3 == 0
            self._tell(Exited(child.name, invocation, status, oom))

    def _tell(self, fact: Fact) -> None:
        self._schedule(self._delay(), Delivery(fact))

    def _delay(self) -> float:
        if self.kind or self.rng.random() < 0.7:
            return 0.0
        return self.rng.expovariate(1.0)

    def _schedule(self, after: float, what: Happening) -> None:
        heapq.heappush(self._agenda, (self.mono + after, next(self._order), what))

    # --- what the core asks for -----------------------------------------------------------------

    def execute(self, action: Action) -> None:
        match action:
            case Spawn():
                self._spawn(action)
            case SendSignal():
                self._signal(action)
            case EndStrays():
                self._end_strays(action)
            case Finish(restart):
                self.finished.append(restart)
            case Log(message=message):
                self.logged.append(message)
            case Publish() | Reconfigure() | Forget():
                pass
            case _:
                assert_never(action)

    def _spawn(self, action: Spawn) -> None:
        if not self.kind and self.rng.random() < 0.15:
            self._tell(SpawnFailed(action.name, action.invocation, "no such file"))
            return
        child = Child(action.name, action.invocation, next(self._pids), self.mono)
        self.children[action.invocation] = child
        self._tell(Spawned(action.name, action.invocation, child.pid))
        if self.kind:
            self._tell(Notified(action.name, action.invocation, ALL_IS_WELL))
            return
        for _ in range(self.rng.choice((0, 0, 1, 3, 6))):
            fact = Notified(action.name, action.invocation, self._notice())
            self._schedule(self.rng.uniform(0, 15), Delivery(fact))
        child.untouchable = self.rng.random() < 0.03
        child.strays = action.config.containment is Containment.TREE and self.rng.random() < 0.25
        child.stubborn = child.strays and self.rng.random() < 0.1
        if self.rng.random() < 0.7:
            life = self.rng.choice((0.0, 0.5, 1.0, 3.0, 20.0)) * self.rng.uniform(0.5, 1.5)
            self._schedule(life, Death(child.invocation, self._status()))

    def _notice(self) -> Notice:
        dice = self.rng.random
        return Notice(
            ready=dice() < 0.5,
            reloading=dice() < 0.1,
            stopping=dice() < 0.05,
            ping=dice() < 0.5,
            trigger=dice() < 0.05,
            status=self.rng.choice((None, "", "busy")),
            errno=self.rng.choice((None, None, 98)),
            extend=self.rng.choice((None, None, 0.0, 1.0, 100.0)),
            watchdog=self.rng.choice((None, None, None, 0.0, 2.0)),
            main_pid=next(self._pids) if dice() < 0.1 else None,
        )

    def _status(self) -> ExitStatus:
        if self.rng.random() < 0.3:
            return ExitStatus(None, self.rng.choice((9, 11, 15)), self.rng.random() < 0.2)
        return ExitStatus(self.rng.choice((0, 0, 1, 2, 127)))

    def _signal(self, action: SendSignal) -> None:
        child = self.children[action.invocation]
        if not child.alive:
            return
        if child.untouchable:
            self._tell(SignalFailed(action.name, action.invocation, "EPERM"))
        elif action.signal == SIGKILL:
            self._schedule(self._delay(), Death(action.invocation, ExitStatus(None, SIGKILL)))
        elif self.kind or self.rng.random() < 0.6:
            self._schedule(self._delay(), Death(action.invocation, self._status()))

    def _end_strays(self, action: EndStrays) -> None:
        fact = Cleared(action.name, action.invocation)
        child = self.children[action.invocation]
        if child.stubborn:
            return
        if child.strays:
            fact = replace(fact, strays=1)
            ending = self.rng.uniform(0, action.grace + 0.1)
            self._schedule(ending, StraysEnd(action.invocation, fact))
        else:
            self._tell(fact)

    # --- becoming kind --------------------------------------------------------------------------

    def become_kind(self) -> None:
        """From now on nothing goes wrong; answers that were on their way still come."""
        self.kind = True
        self._agenda = [each for each in self._agenda if not _is_over(each[2])]
        heapq.heapify(self._agenda)
        for child in self.children.values():
            if child.alive:
                # Behind a Spawned that is still on its way.
                self._schedule(60.0, Delivery(Notified(child.name, child.invocation, ALL_IS_WELL)))


def _is_over(what: Happening) -> bool:
    """Whether something does not happen in a kind world."""
    return isinstance(what, Death) or (
        isinstance(what, Delivery) and isinstance(what.fact, Notified)
    )


def _concerns(what: Happening, name: Namespec, invocation: int) -> bool:
    match what:
        case Delivery(fact):
            known = (Spawned, SpawnFailed, Exited, Cleared, SignalFailed)
            return isinstance(fact, known) and fact.name == name and fact.invocation == invocation
        case Death() | StraysEnd():
            return what.invocation == invocation
        case _:
            assert_never(what)
