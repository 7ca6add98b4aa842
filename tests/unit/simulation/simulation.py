"""One run: a core, a fake world, an operator without a plan, and invariants after each fact."""

from __future__ import annotations

import itertools
import json
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sdsuper.config.model import Autorestart, Containment, GroupConfig, ProcessConfig
from sdsuper.core.actions import Action, EndStrays, Log, Publish, Purpose, SendSignal, Spawn
from sdsuper.core.events import ProcessExited, ProcessRunning
from sdsuper.core.facts import (
    DaemonStarted,
    DeadlinePassed,
    Fact,
    GroupAdded,
    GroupChanged,
    GroupRemoved,
    RestartRequested,
    ShutdownRequested,
    SignalRequested,
    Spawned,
    StartRequested,
    StopRequested,
)
from sdsuper.core.history import PastInvocation
from sdsuper.core.manager import Manager, Whole
from sdsuper.core.process import STRAYS_PATIENCE, Process
from sdsuper.core.states import RUNNING_STATES, STOPPED_STATES, ProcessState, Wanted
from sdsuper.handover.codec import codec_of
from sdsuper.values import Instant, Namespec
from tests.unit.core.builders import group_config, process_config
from tests.unit.core.script import shown
from tests.unit.simulation.world import Delivery, World

SETTLING_STEPS_MAX = 3000
"""Facts within which a kind world must come to rest; far more than any run needs."""


CHANGE_LIVE = (
    "priority",
    "autostart",
    "autorestart",
    "startsecs",
    "startretries",
    "stopwaitsecs",
    "stopasgroup",
    "start_timeout",
)
"""The options of a random process that may change while it lives."""

SUCCESSION_SHARE = 0.05
"""Of how many facts, handled and carried out, a successor takes over after."""


def succeeded(manager: Manager) -> Manager:
    """Return a core that knows of another what can be written down, and nothing else."""

    def copied(hint: object, value: object) -> Any:
        codec = codec_of(hint)
        notes: list[str] = []
        found = codec.decode(json.loads(json.dumps(codec.encode(value))), "core", notes)
        assert not notes
        return found

    successor = Manager.restored(
        copied(Whole, manager.whole()),
        [copied(GroupConfig, group.config) for group in manager.groups.values()],
        copied(dict[Namespec, Process], manager.processes),
        copied(dict[Namespec, Process], manager.ghosts),
        copied(dict[Namespec, tuple[PastInvocation, ...]], manager.histories),
    )
    assert successor.whole() == manager.whole()
    assert successor.groups == manager.groups
    assert successor.processes == manager.processes
    assert successor.ghosts == manager.ghosts
    assert successor.histories == manager.histories
    assert set(successor._forgotten) == set(manager._forgotten)
    assert successor.deadline() == manager.deadline()
    return successor


class BrokenInvariantError(AssertionError):
    """An invariant does not hold.

    Attributes:
        invariant: Its name.
    """

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


@dataclass(frozen=True)
class Turn:
    """One fact and its consequences."""

    fact: Fact
    again: bool  # the same fact was handed over before
    now: Instant
    before: Mapping[Namespec, Process]
    actions: list[Action]

    def __str__(self) -> str:
        """Return the fact and the actions, a line each."""
        again = " (again)" if self.again else ""
        lines = [f"{self.now.mono:.3f} {self.fact}{again}", *map(shown, self.actions)]
        return "\n    ".join(lines)


@dataclass
class Simulation:
    """A run under way: the core, the world, and what was seen so far.

    Attributes:
        asked: What the operator asked for last of each process, and was not refused.
        stopping: Whether the core was told to shut down or restart.
        stopped_by_hand: Processes that the operator asked to stop while it shut down.
        spawned: Every invocation that a Spawn named.
        attempts: Spawns of each process since it was last up, or started by hand.
        up_since: When the core was told of a child, by invocation (monotonic seconds).
        killed: When SIGKILL was sent last, by invocation (monotonic seconds).
        lost_patience_at: When the strays of an invocation may be taken for endless.
        policies: What autorestart said of each process when it ended by itself last.
        reported: When the core said last whom it waits for (monotonic seconds).
    """

    seed: int
    invariants: Mapping[str, Callable[[Simulation, Turn], None]]
    at_rest: Mapping[str, Callable[[Simulation], None]]
    manager: Manager = field(default_factory=Manager)
    asked: dict[Namespec, Wanted] = field(default_factory=dict)
    stopping: bool = False
    stopped_by_hand: set[Namespec] = field(default_factory=set)
    spawned: set[int] = field(default_factory=set)
    attempts: dict[Namespec, int] = field(default_factory=dict)
    up_since: dict[int, float] = field(default_factory=dict)
    killed: dict[int, float] = field(default_factory=dict)
    lost_patience_at: dict[int, float] = field(default_factory=dict)
    policies: dict[Namespec, Autorestart] = field(default_factory=dict)
    reported: float | None = None
    steps: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.world = World(self.rng)
        self.trail: deque[Turn] = deque(maxlen=30)
        self.successions = random.Random(self.seed)

    # --- a whole run ----------------------------------------------------------------------------

    def run(self) -> int:
        """Chaos, peace, chaos again, and the end; return the number of facts handled."""
        for index in range(self.rng.randint(1, 5)):
            self.give(GroupAdded(self.random_group(f"g{index}")))
        self.give(DaemonStarted())
        self.chaos(self.rng.randint(50, 300))
        if self.rng.random() < 0.5:
            self.settle()
            self.world.kind = False
            self.chaos(self.rng.randint(10, 100))
        if not self.stopping:
            self.give(self.rng.choice((ShutdownRequested(), RestartRequested())))
        self.chaos(self.rng.randint(0, 60))
        self.settle()
        return self.steps

    def chaos(self, facts: int) -> None:
        for _ in range(facts):
            if self.rng.random() < 0.2:
                self.give(self.command())
            elif self.rng.random() < 0.02:
                self.world.jump()
            else:
                self.advance()

    def settle(self) -> None:
        """Make the world kind, let everything come that is to come, and look at the result."""
        self.world.become_kind()
        for _ in range(SETTLING_STEPS_MAX):
            if not self.advance():
                break
        else:
            raise BrokenInvariantError(
                "everything_comes_to_rest", "facts and deadlines without end"
            )
        for name, check in self.at_rest.items():
            self.check(name, lambda check=check: check(self))

    def advance(self) -> bool:
        """Let the next thing happen, in the world or by the clock; return whether there was one."""
        happens = self.world.next_at()
        deadline = self.manager.deadline()
        if happens is None and deadline is None:
            return False
        if deadline is not None and (happens is None or deadline <= happens):
            self.world.pass_time(deadline + self.lateness())
            self.give(DeadlinePassed())
            return True
        delivery = self.world.happen()
        if delivery is not None:
            self.deliver(delivery)
        return True

    def lateness(self) -> float:
        if self.world.kind or self.rng.random() < 0.8:
            return 0.0
        return self.rng.expovariate(2.0)

    # --- one fact -------------------------------------------------------------------------------

    def give(self, fact: Fact) -> None:
        self.deliver(Delivery(fact))

    def deliver(self, delivery: Delivery) -> None:
        fact, now = delivery.fact, self.world.now()
        self.steps += 1
        before = dict(self.manager.processes)
        self.note_request(fact)
        actions = self.manager.handle(fact, now)
        turn = Turn(fact, delivery.again, now, before, actions)
        self.trail.append(turn)
        for name, invariant in self.invariants.items():
            self.check(name, lambda invariant=invariant: invariant(self, turn))
        self.remember(turn)
        for action in actions:
            self.world.execute(action)
        if self.successions.random() < SUCCESSION_SHARE:
            self.manager = succeeded(self.manager)

    def check(self, name: str, invariant: Callable[[], None]) -> None:
        try:
            invariant()
        except BrokenInvariantError:
            raise
        except AssertionError as error:
            raise BrokenInvariantError(name, str(error)) from error

    def note_request(self, fact: Fact) -> None:
        """Keep in mind what the operator may expect."""
        match fact:
            case StartRequested(name=name) if name in self.manager.processes:
                state = self.manager.processes[name].state
                if state in STOPPED_STATES - {ProcessState.UNKNOWN} and not self.stopping:
                    self.asked[name] = Wanted.UP
                    self.attempts[name] = 0
            case StopRequested(name=name) if name in self.manager.processes:
                if self.manager.processes[name].state in RUNNING_STATES:
                    self.asked[name] = Wanted.DOWN
                if self.stopping:
                    self.stopped_by_hand.add(name)
            case GroupAdded(config=config) if config.name not in self.manager.groups:
                for each in config.processes:
                    name = Namespec(config.name, each.name)
                    up = each.autostart and not self.stopping
                    self.asked[name] = Wanted.UP if up else Wanted.DOWN
                    self.attempts[name] = 0
            case GroupChanged() if self.may_change(fact):
                self.note_change(fact)
            case ShutdownRequested() | RestartRequested():
                self.stopping = True
                self.asked = dict.fromkeys(self.asked, Wanted.DOWN)
            case _:
                pass

    def may_change(self, fact: GroupChanged) -> bool:
        group = self.manager.groups.get(fact.config.name)
        if group is None or self.stopping:
            return False
        kept = {process.name for process in fact.config.processes}
        gone = [name for name in group.names if name.process not in kept]
        return all(self.manager.processes[name].state in STOPPED_STATES for name in gone)

    def note_change(self, fact: GroupChanged) -> None:
        for config in fact.config.processes:
            name = Namespec(fact.config.name, config.name)
            known = self.manager.processes.get(name)
            can_start = known is None or (known.state in STOPPED_STATES - {ProcessState.UNKNOWN})
            if known is None:
                self.asked[name] = Wanted.DOWN
            if can_start and config.name in fact.start and self.manager.whole().started:
                self.asked[name] = Wanted.UP
                self.attempts[name] = 0
            # With fewer retries than there have been, the one that is due comes still.
            attempts = self.attempts.get(name, 0)
            self.attempts[name] = min(attempts, max(0, config.startretries))

    def remember(self, turn: Turn) -> None:
        """Keep in mind what the core did."""
        if isinstance(turn.fact, Spawned):
            self.up_since.setdefault(turn.fact.invocation, turn.now.mono)
        for action in turn.actions:
            match action:
                case Publish(ProcessRunning(process=name)):
                    self.attempts[name] = 0
                case Publish(ProcessExited(process=name)):
                    self.policies[name] = turn.before[name].config.autorestart
                case SendSignal(invocation=invocation, purpose=Purpose.KILL):
                    self.killed[invocation] = turn.now.mono
                case EndStrays(invocation=invocation, grace=grace):
                    self.lost_patience_at[invocation] = turn.now.mono + grace + STRAYS_PATIENCE
                case Log(message=message) if message.endswith(" to die"):
                    self.reported = turn.now.mono
                case _:
                    pass
        for action in turn.actions:  # a Spawn comes before the events of its own turn
            if isinstance(action, Spawn):
                self.spawned.add(action.invocation)
                self.attempts[action.name] = self.attempts.get(action.name, 0) + 1

    # --- an operator without a plan -------------------------------------------------------------

    def command(self) -> Fact:
        known = list(self.manager.processes) or [Namespec("no", "such")]
        name = self.rng.choice(known)
        dice = self.rng.random()
        if dice < 0.35:
            return StartRequested(name)
        if dice < 0.65:
            return StopRequested(name)
        if dice < 0.75:
            return SignalRequested(name, self.rng.choice((1, 9, 10, 42)))
        if dice < 0.83:
            return GroupRemoved(name.group)
        if dice < 0.87:
            return GroupAdded(self.random_group(f"g{self.rng.randint(0, 6)}"))
        if dice < 0.93:
            return self.random_change(name.group)
        if dice < 0.98:
            return DeadlinePassed()
        if dice < 0.985:
            return self.rng.choice((ShutdownRequested(), RestartRequested()))
        return DaemonStarted()

    def random_group(self, name: str) -> GroupConfig:
        processes = [
            self.random_process(f"p{index}", name) for index in range(self.rng.randint(0, 3))
        ]
        return group_config(name, *processes, priority=self.rng.choice((-1, 1, 1, 999)))

    def random_change(self, name: str) -> GroupChanged:
        """Return another configuration of a group, as whoever has compared both sends it."""
        flip = lambda: self.rng.random() < 0.5  # noqa: E731  said thrice
        group = self.manager.groups.get(name)
        members = self.manager.processes
        processes = []
        for each in () if group is None else group.names:
            process = members[each]
            fresh = self.random_process(each.process, name)
            if process.state not in STOPPED_STATES or process.pid:
                options = {key: getattr(fresh, key) for key in CHANGE_LIVE}
                processes.append(replace(process.config, **options) if flip() else process.config)
            elif self.rng.random() < 0.8:
                processes.append(fresh if flip() else process.config)
        taken = {process.name for process in processes}
        free = next(f"p{index}" for index in itertools.count() if f"p{index}" not in taken)
        processes += [self.random_process(free, name)] * flip()
        start = frozenset(process.name for process in processes if flip())
        changed = group_config(name, *processes, priority=self.rng.choice((-1, 1, 999)))
        return GroupChanged(changed, start)

    def random_process(self, name: str, group: str) -> ProcessConfig:
        choice = self.rng.choice
        return process_config(
            name,
            group,
            priority=choice((1, 5, 999)),
            autostart=choice((True, True, False)),
            autorestart=choice(tuple(Autorestart)),
            startsecs=choice((-1, 0, 1, 1, 2, 10)),
            startretries=choice((-1, 0, 1, 3)),
            stopwaitsecs=choice((0, 1, 3, 10)),
            stopasgroup=choice((True, False)),
            containment=choice((Containment.TREE, Containment.TREE, Containment.NONE)),
            notify=choice((False, False, True)),
            start_timeout=choice((0, 2, 10)),
            watchdog=choice((0, 0, 3, 10)),
        )
