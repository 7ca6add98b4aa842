"""All processes and groups: ordering, deadlines, adding and removing, shutdown.

Theory of operation
-------------------
`Manager.handle` takes one fact, hands it to the process it names (`step`), and adds what concerns
more than one: autostart, groups, deadlines, the ordered shutdown. It holds the current
`Process` of each name and nothing that a process holds itself. The cost of a fact about one
process does not depend on how many there are.

*Invocations* are numbered by one counter, so a number is never used twice, not even
by a process that was removed and added again.

*Deadlines.* A heap of (moment, name). Nothing is taken out when a process changes its mind: an
entry counts only while the process still has that very deadline, and is dropped when it comes to
the top. When stale entries outnumber the processes the heap is built anew.

*Ghosts.* A group may be removed while strays of its processes are still being ended, or (in
UNKNOWN) while a child lives that could not be signalled. The process goes, its ghost stays until
nothing of it is left. A process added under the same name meanwhile has the ghost's invocation as
its `residue`, so it spawns nothing before the ghost is gone. Ghosts log, but publish nothing.

*Changes.* The configuration of a group may be replaced while its processes live (`GroupChanged`):
each goes on as it is under its new options, single ones come and go, and a new priority puts the
group, or the process within it, where it belongs. Which differences a living process can
take is not known here: whoever sends the fact has seen to it that the others are down. Once
a shutdown has begun, nothing is changed any more.

*Shutdown.* Groups of equal priority form a level; the highest level stops first, all of it at
once, highest process priority first. The next level follows when every process of the one before
is down and its strays are gone. A level that is down already costs nothing. `Finish` comes
once, when nothing is up and nothing is left, ghosts included. All of it is bounded: what is down
but not clear is waited for only while it has a deadline. A child that could not be signalled
(UNKNOWN) gets one SIGKILL and max(2, stopwaitsecs) seconds, strays get their patience
(see `process.py`); then the shutdown goes on without them.

*Handing on.* All that a manager knows is plain values: `whole`, the groups, the processes, the
ghosts. A successor that is given them (`restored`) goes on as if nothing had happened. Facts may
have been lost on the way, and answers to what was asked for: `owed` says what to do once more.
`touched` says what to write down anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import assert_never

from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.core import events
from sdsuper.core.actions import Action, EndStrays, Finish, Forget, Log, Publish, Spawn
from sdsuper.core.facts import (
    Cleared,
    DaemonStarted,
    DeadlinePassed,
    Exited,
    Fact,
    GroupAdded,
    GroupChanged,
    GroupRemoved,
    Notified,
    Reconfigured,
    RestartRequested,
    ShutdownBegan,
    ShutdownReached,
    ShutdownRequested,
    SignalFailed,
    SignalRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StepFact,
    StopRequested,
)
from sdsuper.core.history import AUTOSTART, DAEMON, PastInvocation, Requester, remembered
from sdsuper.core.process import STRAYS_GRACE_MIN, Process, speaks_within, step
from sdsuper.core.states import STOPPED_STATES, ManagerState, ProcessState
from sdsuper.dataclass import dataclass, field, replace
from sdsuper.values import Instant, Level, Namespec

FORGOTTEN_MAX = 64
"""Processes without a group whose history is kept: `update` takes a group out and in again."""

REPORT_INTERVAL = 3.0
"""Seconds between two `waiting for ... to die` lines at least."""


@dataclass(frozen=True, slots=True)
class Group:
    """An active group: its configuration and the names of its processes, by priority."""

    config: GroupConfig
    names: tuple[Namespec, ...]


@dataclass(frozen=True, slots=True)
class Stopping:
    """An ordered shutdown under way, as plain values.

    Attributes:
        levels: The levels to come, the next one last.
        reached: Processes of the levels that came already.
        pending: Those of them that are not down.
        report_at: Monotonic second at which to say again who is waited for.
        finished: Whether `Finish` was given out.
        by: Who asked for it first.
    """

    levels: tuple[tuple[Namespec, ...], ...]
    reached: frozenset[Namespec]
    pending: frozenset[Namespec]
    report_at: float
    finished: bool
    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class Whole:
    """What a manager knows beside its groups, processes and ghosts.

    Attributes:
        started: Whether autostart has begun.
        invocations: The latest number that was given out, at the time of writing at least.
        groups: The names of the active groups, in order.
    """

    state: ManagerState
    started: bool
    invocations: int
    groups: tuple[str, ...]
    stopping: Stopping | None = None


@dataclass(slots=True)
class _Shutdown:
    """An ordered shutdown under way.

    Attributes:
        levels: The levels to come, the next one last; each in the order of its stop signals.
        reached: Processes of the levels that came already, the present one included.
        pending: Those of them that are not down.
        report_at: Monotonic second at which to say again who is waited for.
        finished: Whether `Finish` was given out.
        by: Who asked for it first.
    """

    levels: list[tuple[Namespec, ...]]
    report_at: float
    by: Requester = DAEMON
    reached: set[Namespec] = field(default_factory=set)
    pending: set[Namespec] = field(default_factory=set)
    finished: bool = False


class Manager:
    """The whole: facts in, actions out. It never looks at a clock and does no I/O.

    Attributes:
        state: State of the daemon.
        groups: Active groups by name, ascending by priority.
        processes: Every process of the active groups.
        histories: The latest invocations of each that are over, the latest last.
        touched: Processes that changed, came or went since somebody emptied this.
        revision: Grows when what `whole` says, or a group, may have changed.
    """

    state: ManagerState
    groups: dict[str, Group]
    processes: dict[Namespec, Process]
    histories: dict[Namespec, tuple[PastInvocation, ...]]
    touched: set[Namespec]
    revision: int

    def __init__(self) -> None:
        self.state = ManagerState.RUNNING
        self.groups = {}
        self.processes = {}
        self.histories = {}
        self._forgotten: dict[Namespec, None] = {}  # in the order in which they were
        self.touched = set()
        self.revision = 0
        self._started = False
        self._invocations = 0
        self._deadlines: list[tuple[float, Namespec]] = []
        self._ghosts: dict[Namespec, Process] = {}
        self._shutdown: _Shutdown | None = None

    # --- what others ask ------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Return the monotonic second at which `DeadlinePassed` is due, None for never."""
        self._drop_stale_deadlines()
        first = self._deadlines[0][0] if self._deadlines else None
        if self._shutdown is None or self._shutdown.finished:
            return first
        report = self._shutdown.report_at
        return report if first is None else min(first, report)

    def names_in_order(
        self, group: str | None = None, *, descending: bool = False
    ) -> list[Namespec]:
        """Return the processes in the order in which to start them, or to stop them.

        Args:
            group: One group, None for all of them.
            descending: The order of stopping: highest priority first.

        Raises:
            KeyError: There is no such group.
        """
        groups = self.groups.values() if group is None else [self.groups[group]]
        names = [name for each in groups for name in each.names]
        return names[::-1] if descending else names

    def waited_for(self) -> list[Process]:
        """Return those that an ordered stop waits for, ghosts last."""
        found = [self.processes[name] for name in self.names_in_order()]
        waited_for = {each.name: each for each in found if not _is_down(each)}
        for name, ghost in self._ghosts.items():
            if ghost.deadline is not None:
                waited_for.setdefault(name, ghost)
        return list(waited_for.values())

    # --- handing on -----------------------------------------------------------------------------

    @property
    def ghosts(self) -> Mapping[Namespec, Process]:
        """What is left of processes that were removed."""
        return self._ghosts

    def whole(self) -> Whole:
        """Return what a successor needs beside the groups, processes and ghosts."""
        shutdown = self._shutdown
        stopping = (
            None
            if shutdown is None
            else Stopping(
                tuple(shutdown.levels),
                frozenset(shutdown.reached),
                frozenset(shutdown.pending),
                shutdown.report_at,
                shutdown.finished,
                shutdown.by,
            )
        )
        return Whole(self.state, self._started, self._invocations, tuple(self.groups), stopping)

    @classmethod
    def restored(
        cls,
        whole: Whole,
        groups: Iterable[GroupConfig],
        processes: Mapping[Namespec, Process],
        ghosts: Mapping[Namespec, Process],
        histories: Mapping[Namespec, tuple[PastInvocation, ...]],
    ) -> Manager:
        """Return a manager that goes on from there.

        Args:
            whole: What its predecessor returned.
            groups: The active ones; those that `whole` names come first, in its order.
            processes: As they were. One that is missing is as if it had never been started.
            ghosts: As they were.
            histories: As they were, in the order in which those without a group were forgotten.
        """
        manager = cls()
        manager.state = whole.state
        manager._started = whole.started
        manager._ghosts = dict(ghosts)
        manager.histories = dict(histories)
        by_name = {config.name: config for config in groups}
        order = [name for name in whole.groups if name in by_name]
        for name in dict.fromkeys((*order, *by_name)):
            group = manager._insert(by_name[name])
            configs = {config.name: config for config in group.config.processes}
            for each in group.names:
                known = processes.get(each)
                manager.processes[each] = known or manager._newborn(each, configs[each.process])
        gone = [name for name in histories if name not in manager.processes]
        manager._forgotten = dict.fromkeys(gone)
        everybody = (*manager.processes.values(), *ghosts.values())
        latest = (max(each.invocation, each.residue or 0) for each in everybody)
        manager._invocations = max(whole.invocations, *latest, 0)
        for process in everybody:
            if process.deadline is not None:
                manager._set_deadline(process.deadline, process.name)
        if whole.stopping is not None:
            manager._shutdown = manager._stopping(whole.stopping)
        return manager

    def _stopping(self, stopping: Stopping) -> _Shutdown:
        """Return a shutdown that goes on: who is down, or is no more, may have changed."""
        reached = {name for name in stopping.reached if name in self.processes}
        return _Shutdown(
            levels=list(stopping.levels),
            report_at=stopping.report_at,
            reached=set(stopping.reached),
            pending={name for name in reached if not _is_down(self.processes[name])},
            finished=stopping.finished,
            by=stopping.by,
        )

    def listen_again(self, now: Instant) -> None:
        """Nobody has listened for a while: who had to speak meanwhile gets the time for it anew."""
        for table in (self.processes, self._ghosts):
            for name, process in table.items():
                seconds = speaks_within(process)
                due = process.deadline
                if seconds is None or due is None or due >= now.mono + seconds:
                    continue
                table[name] = replace(process, deadline=now.mono + seconds)
                self.touched.add(name)
                self._set_deadline(now.mono + seconds, name)

    def owed(self) -> list[Action]:
        """Return what was given out and is not answered, to be carried out once more.

        A `Spawn` may have been carried out, and even its child may have ended: whoever carries
        it out again has to look.
        """
        actions: list[Action] = []
        everybody = (*self.processes.items(), *self._ghosts.items())
        for name, process in everybody:
            if process.spawning:
                actions.append(Spawn(name, process.invocation, process.config))
            if process.residue is not None and process.residue == process.invocation:
                grace = max(STRAYS_GRACE_MIN, process.config.stopwaitsecs)
                actions.append(EndStrays(name, process.residue, grace))
        if self._shutdown is not None and self._shutdown.finished:
            actions.append(Finish(restart=self.state is ManagerState.RESTARTING))
        return actions

    # --- facts ----------------------------------------------------------------------------------

    def handle(self, fact: Fact, now: Instant) -> list[Action]:
        """Take one fact into account; return what to do, in order.

        A fact about a process or group that does not exist is ignored.
        """
        actions: list[Action] = []
        match fact:
            case StartRequested(name=name):
                if self._shutdown is None:
                    self._step(name, fact, now, actions)
            case StopRequested(name=name) | SignalRequested(name=name):
                self._step(name, fact, now, actions)
            case (
                Spawned(name=name)
                | SpawnFailed(name=name)
                | Exited(name=name)
                | Cleared(name=name)
                | SignalFailed(name=name)
                | Notified(name=name)
            ):
                self._step_ghost(name, fact, now, actions)
                self._step(name, fact, now, actions)
            case GroupAdded():
                self._add(fact, now, actions)
            case GroupChanged():
                self._change(fact, now, actions)
            case GroupRemoved(group=group):
                self._remove(group, actions)
            case DaemonStarted():
                self._start(now, actions)
            case ShutdownRequested(by=by):
                self._stop(ManagerState.SHUTDOWN, by, now, actions)
            case RestartRequested(by=by):
                self._stop(ManagerState.RESTARTING, by, now, actions)
            case DeadlinePassed():
                self._pass_deadlines(fact, now, actions)
            case _:
                assert_never(fact)
        if self._shutdown is not None:
            self._advance(self._shutdown, now, actions)
        return actions

    def _step(self, name: Namespec, fact: StepFact, now: Instant, actions: list[Action]) -> None:
        before = self.processes.get(name)
        if before is None:
            return
        after, follows = step(before, fact, now, self._invocations + 1)
        if after.invocation != before.invocation:
            self._invocations = after.invocation
        self.processes[name] = after
        self.touched.add(name)
        actions += follows
        self._keep_deadline(before, after, fact)
        self._remember(before, after)
        if self._shutdown is not None:
            self._watch(self._shutdown, before, after, now, actions)

    # --- history --------------------------------------------------------------------------------

    def _remember(self, before: Process, after: Process) -> None:
        if after.past is not None and after.past is not before.past:
            history = self.histories.get(after.name, ())
            self.histories[after.name] = remembered(history, after.past)

    def _forget_history_later(self, name: Namespec) -> None:
        if name in self.histories:
            self._forgotten[name] = None
        while len(self._forgotten) > FORGOTTEN_MAX:
            oldest = next(iter(self._forgotten))
            del self._forgotten[oldest], self.histories[oldest]

    # --- deadlines ------------------------------------------------------------------------------

    def _keep_deadline(self, before: Process, after: Process, fact: StepFact) -> None:
        """Put the deadline of a step's outcome into the heap, if it is not there."""
        if after.deadline is None:
            return
        taken_out = isinstance(fact, DeadlinePassed)  # the next one may be the same moment
        if taken_out or after.deadline != before.deadline:
            self._set_deadline(after.deadline, after.name)

    def _set_deadline(self, moment: float, name: Namespec) -> None:
        heapq.heappush(self._deadlines, (moment, name))
        if len(self._deadlines) > 2 * (len(self.processes) + len(self._ghosts)) + 64:
            self._deadlines = [entry for entry in set(self._deadlines) if self._in_force(*entry)]
            heapq.heapify(self._deadlines)

    def _drop_stale_deadlines(self) -> None:
        heap = self._deadlines
        while heap and not self._in_force(*heap[0]):
            heapq.heappop(heap)

    def _in_force(self, moment: float, name: Namespec) -> bool:
        process, ghost = self.processes.get(name), self._ghosts.get(name)
        return (process is not None and process.deadline == moment) or (
            ghost is not None and ghost.deadline == moment
        )

    def _pass_deadlines(self, fact: DeadlinePassed, now: Instant, actions: list[Action]) -> None:
        due: dict[Namespec, None] = {}  # each once: what a step sets anew is for another time
        while self._deadlines and self._deadlines[0][0] <= now.mono:
            moment, name = heapq.heappop(self._deadlines)
            if self._in_force(moment, name):
                due[name] = None
        for name in due:
            self._step_ghost(name, fact, now, actions)
            self._step(name, fact, now, actions)

    # --- groups ---------------------------------------------------------------------------------

    def _add(self, fact: GroupAdded, now: Instant, actions: list[Action]) -> None:
        config = fact.config
        if config.name in self.groups:
            return
        group = self._insert(config)
        names = group.names
        configs = {each.name: each for each in config.processes}
        for name in names:
            self.processes[name] = self._newborn(name, configs[name.process])
            self.touched.add(name)
        actions.append(Publish(events.ProcessGroupAdded(config.name)))
        if not self._started or self._shutdown is not None:
            return
        if fact.start is None:
            self._autostart(names, AUTOSTART if fact.by == DAEMON else fact.by, now, actions)
            return
        for name in names:
            if name.process in fact.start:
                self._step(name, StartRequested(name, fact.by), now, actions)

    def _newborn(self, name: Namespec, config: ProcessConfig) -> Process:
        ghost = self._ghosts.get(name)
        self._forgotten.pop(name, None)
        return Process(name=name, config=config, residue=ghost.invocation if ghost else None)

    def _insert(self, config: GroupConfig) -> Group:
        """Take in a group, or give an active one another configuration, where it belongs."""
        configs = {Namespec(config.name, each.name): each for each in config.processes}
        self.revision += 1
        group = Group(config, tuple(sorted(configs, key=lambda name: configs[name].priority)))
        before = self.groups.get(config.name)
        last = next(reversed(self.groups.values()), None)
        self.groups[config.name] = group
        if before is not None:
            stays = before.config.priority == config.priority
        else:
            stays = last is None or last.config.priority <= config.priority
        if not stays:
            ordered = sorted(self.groups.items(), key=lambda item: item[1].config.priority)
            self.groups.clear()
            self.groups.update(ordered)
        return group

    def _change(self, fact: GroupChanged, now: Instant, actions: list[Action]) -> None:
        config = fact.config
        before = self.groups.get(config.name)
        if before is None or self._shutdown is not None:
            return
        configs = {Namespec(config.name, each.name): each for each in config.processes}
        gone = [name for name in before.names if name not in configs]
        if any(self.processes[name].state not in STOPPED_STATES for name in gone):
            return
        for name in gone:
            self._drop(name, actions)
        names = self._insert(config).names
        for name in names:
            self._configure(name, configs[name], now, actions)
        for name in names if self._started else ():
            if name.process in fact.start:
                self._step(name, StartRequested(name, fact.by), now, actions)

    def _configure(
        self, name: Namespec, config: ProcessConfig, now: Instant, actions: list[Action]
    ) -> None:
        """Give a process of a changed group its configuration; it may be new."""
        process = self.processes.get(name)
        if process is None:
            self.processes[name] = self._newborn(name, config)
            self.touched.add(name)
        elif process.config == config:  # but for where it is written
            self.processes[name] = replace(process, config=config)
        else:
            self._step(name, Reconfigured(name, config), now, actions)

    def _remove(self, name: str, actions: list[Action]) -> None:
        group = self.groups.get(name)
        if group is None:
            return
        if any(self.processes[each].state not in STOPPED_STATES for each in group.names):
            return
        self.revision += 1
        del self.groups[name]
        for each in group.names:
            self._drop(each, actions)
        actions.append(Publish(events.ProcessGroupRemoved(name)))

    def _drop(self, name: Namespec, actions: list[Action]) -> None:
        """Take out a process that is down; what is left of it becomes its ghost."""
        process = self.processes.pop(name)
        self.touched.add(name)
        if name not in self._ghosts and (process.pid or process.residue is not None):
            self._ghosts[name] = process
        if self._shutdown is not None:
            self._shutdown.pending.discard(name)
        self._forget_history_later(name)
        actions.append(Forget(name))

    def _step_ghost(
        self, name: Namespec, fact: StepFact, now: Instant, actions: list[Action]
    ) -> None:
        before = self._ghosts.get(name)
        if before is None:
            return
        ghost, follows = step(before, fact, now)
        actions += [each for each in follows if not isinstance(each, Publish)]
        if name in self.histories:
            self._remember(before, ghost)
        self.touched.add(name)
        if ghost.pid or ghost.residue is not None:
            self._ghosts[name] = ghost
            self._keep_deadline(before, ghost, fact)
            return
        del self._ghosts[name]
        self._step(name, Cleared(name, ghost.invocation), now, actions)

    # --- autostart ------------------------------------------------------------------------------

    def _start(self, now: Instant, actions: list[Action]) -> None:
        if self._started or self._shutdown is not None:
            return
        self.revision += 1
        self._started = True
        actions.append(Publish(events.SupervisorRunning()))
        self._autostart(self.names_in_order(), AUTOSTART, now, actions)

    def _autostart(
        self, names: Iterable[Namespec], by: Requester, now: Instant, actions: list[Action]
    ) -> None:
        for name in names:
            process = self.processes[name]
            if process.config.autostart and process.started is None:
                self._step(name, StartRequested(name, by), now, actions)

    # --- shutdown -------------------------------------------------------------------------------

    def _stop(
        self, state: ManagerState, by: Requester, now: Instant, actions: list[Action]
    ) -> None:
        if self._shutdown is not None:
            if state is ManagerState.SHUTDOWN:
                self.state = state
            return
        self.state = state
        actions.append(Publish(events.SupervisorStopping()))
        for name in self.processes:
            self._step(name, ShutdownBegan(name, by), now, actions)
        for name in tuple(self._ghosts):
            self._step_ghost(name, ShutdownReached(name, by), now, actions)
        self._shutdown = _Shutdown(levels=self._levels(), report_at=now.mono, by=by)

    def _levels(self) -> list[tuple[Namespec, ...]]:
        levels = []
        groups = self.groups.values()
        for _, equal in groupby(groups, key=lambda group: group.config.priority):
            names = [name for group in equal for name in group.names]
            names.sort(key=lambda name: self.processes[name].config.priority)
            levels.append(tuple(reversed(names)))
        return levels

    def _watch(
        self,
        shutdown: _Shutdown,
        before: Process,
        after: Process,
        now: Instant,
        actions: list[Action],
    ) -> None:
        """Keep count of who is waited for, after one of them changed."""
        if after.name not in shutdown.reached:
            return
        became_unknown = after.state is ProcessState.UNKNOWN and before.state is not after.state
        if became_unknown:
            self._step(after.name, ShutdownReached(after.name, shutdown.by), now, actions)
        elif _is_down(after):
            shutdown.pending.discard(after.name)
        else:
            shutdown.pending.add(after.name)

    def _advance(self, shutdown: _Shutdown, now: Instant, actions: list[Action]) -> None:
        """Go on to the next level when the present one is down, to the end, or report."""
        while not shutdown.pending and shutdown.levels:
            level = [name for name in shutdown.levels.pop() if name in self.processes]
            shutdown.reached.update(level)
            for name in level:
                self._step(name, ShutdownReached(name, shutdown.by), now, actions)
        if shutdown.finished:
            return
        haunted = any(ghost.deadline is not None for ghost in self._ghosts.values())
        if not shutdown.pending and not haunted:
            shutdown.finished = True
            actions.append(Finish(restart=self.state is ManagerState.RESTARTING))
        elif shutdown.report_at <= now.mono:
            shutdown.report_at = now.mono + REPORT_INTERVAL
            waited_for = ", ".join(process.name.process for process in self.waited_for())
            actions.append(Log(Level.INFO, f"waiting for {waited_for} to die"))


def _is_down(process: Process) -> bool:
    """Whether a shutdown need not wait for a process any more.

    A deadline of one that is stopped says until when to wait for what may still be alive of it.
    """
    return process.state in STOPPED_STATES and process.deadline is None
