"""What must hold whatever the world does: one function each, its docstring is the rule.

A function takes the simulation just after the core handled a fact and before the world carries
out the actions, and asserts. `AT_REST` is asked when a kind world has come to rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from sdsuper.config.model import Autorestart, Containment
from sdsuper.core.actions import EndStrays, Finish, Log, Publish, Purpose, SendSignal, Spawn
from sdsuper.core.events import (
    ProcessExited,
    ProcessRunning,
    ProcessStateChange,
    ProcessStopped,
)
from sdsuper.core.facts import (
    Cleared,
    DeadlinePassed,
    Exited,
    GroupChanged,
    Notified,
    Spawned,
    SpawnFailed,
    StartRequested,
)
from sdsuper.core.history import HISTORY_MAX, Next
from sdsuper.core.process import Process
from sdsuper.core.states import STOPPED_STATES, TRANSITIONS, ProcessState, Wanted
from sdsuper.values import Namespec
from tests.unit.simulation.simulation import Simulation, Turn
from tests.unit.simulation.world import Child

ActionT = TypeVar("ActionT")

MAY_HAVE_A_CHILD = frozenset(
    {
        ProcessState.STARTING,
        ProcessState.RUNNING,
        ProcessState.STOPPING,
        ProcessState.UNKNOWN,
    }
)
REPORT_INTERVAL = 3.0


def of(kind: type[ActionT], turn: Turn) -> Iterator[ActionT]:
    return (action for action in turn.actions if isinstance(action, kind))


def changed(sim: Simulation, turn: Turn) -> Iterator[Process]:
    for name, process in sim.manager.processes.items():
        if turn.before.get(name) is not process:
            yield process


def remains(sim: Simulation, name: Namespec) -> Iterator[Child]:
    """What is alive of a process, in truth."""
    for child in sim.world.children.values():
        if child.name == name and (child.alive or child.strays):
            yield child


# --- after each fact ----------------------------------------------------------------------------


def never_two_children(sim: Simulation, turn: Turn) -> None:
    """A process never has two children: none is alive when another is spawned."""
    for spawn in of(Spawn, turn):
        alive = [child for child in remains(sim, spawn.name) if child.alive]
        assert not alive, f"{spawn} beside {alive}"
    spawned = [spawn.name for spawn in of(Spawn, turn)]
    assert len(spawned) == len(set(spawned)), f"spawned twice at once: {spawned}"


def no_spawn_beside_strays(sim: Simulation, turn: Turn) -> None:
    """Nothing is spawned while something an earlier invocation left behind is alive."""
    for spawn in of(Spawn, turn):
        strays = [child for child in remains(sim, spawn.name) if child.strays]
        assert not strays, f"{spawn} beside strays of {strays}"


def invocations_are_fresh(sim: Simulation, turn: Turn) -> None:
    """No two spawns have the same number."""
    for spawn in of(Spawn, turn):
        assert spawn.invocation not in sim.spawned, f"{spawn} again"


def signals_name_what_lives(sim: Simulation, turn: Turn) -> None:
    """A signal names an invocation, and its true pid, whose end the core was not told of."""
    for signal in of(SendSignal, turn):
        child = sim.world.children.get(signal.invocation)
        assert child is not None, f"{signal}: no such invocation"
        assert signal.pid == child.pid, f"{signal}: it is {child}"
        assert signal.name == child.name, f"{signal}: it is {child}"
        assert not child.reap_told, f"{signal}: reaped already"


def strays_are_ended_once(sim: Simulation, turn: Turn) -> None:
    """EndStrays follows an exit, once, with at least two seconds, and only if wanted."""
    fact = turn.fact
    for order in of(EndStrays, turn):
        assert isinstance(fact, Exited), f"{order} without an exit"
        assert (order.name, order.invocation) == (fact.name, fact.invocation), f"{order}: {fact}"
        assert not turn.again, f"{order} again"
        assert order.grace >= 2, f"{order}: too little time"
        process = turn.before.get(order.name)
        if process is not None and process.invocation == order.invocation:
            assert process.config.containment is Containment.TREE, f"{order} was not asked for"
            assert order.grace <= max(2, process.config.stopwaitsecs), f"{order}: too much time"


def running_only_after_startsecs(sim: Simulation, turn: Turn) -> None:
    """RUNNING is never entered before startsecs have passed since the child was there."""
    for publish in of(Publish, turn):
        if isinstance(publish.event, ProcessRunning):
            before = turn.before[publish.event.process]
            if before.config.notify:
                continue  # ready_is_said is about these
            since = sim.up_since.get(before.invocation, turn.now.mono)
            assert turn.now.mono >= since + before.config.startsecs, f"{publish}: {before}"


def ready_is_said(sim: Simulation, turn: Turn) -> None:
    """A program with `notify` enters RUNNING when its child says that it is ready, only then."""
    for publish in of(Publish, turn):
        if isinstance(publish.event, ProcessRunning):
            before, fact = turn.before[publish.event.process], turn.fact
            if before.config.notify:
                said = isinstance(fact, Notified) and fact.notice.ready
                assert said, f"{publish}: {fact}"


def who_fails_is_ended(sim: Simulation, turn: Turn) -> None:
    """A child that misses what it must do is signalled at once, and killed if that is no use."""
    for process in changed(sim, turn):
        before = turn.before.get(process.name)
        if process.failing is None or not process.pid or before is None:
            continue
        if before.failing is None:
            signalled = [each for each in of(SendSignal, turn) if each.name == process.name]
            assert signalled, f"not ended: {process}"
        if process.state is not ProcessState.UNKNOWN:
            assert process.deadline is not None, f"no SIGKILL to come: {process}"


def failing_is_not_expected(sim: Simulation, turn: Turn) -> None:
    """What a failing child exits with is never taken for success."""
    for publish in of(Publish, turn):
        event = publish.event
        if isinstance(event, ProcessExited):
            assert not event.expected or turn.before[event.process].failing is None, f"{event}"


def long_enough_is_running(sim: Simulation, turn: Turn) -> None:
    """An exit at startsecs or later never counts as a failed start."""
    fact = turn.fact
    if not isinstance(fact, Exited) or turn.again:
        return
    before = turn.before.get(fact.name)
    if before is None or before.invocation != fact.invocation or before.config.notify:
        return
    since = sim.up_since.get(fact.invocation, turn.now.mono)
    if turn.now.mono >= since + before.config.startsecs:
        after = sim.manager.processes[fact.name]
        assert after.state is not ProcessState.BACKOFF, f"{before} -> {after}"
        assert after.state is not ProcessState.FATAL, f"{before} -> {after}"


def retries_are_bounded(sim: Simulation, turn: Turn) -> None:
    """After a start by hand, or after RUNNING, at most startretries + 1 spawns follow."""
    running = {
        publish.event.process
        for publish in of(Publish, turn)
        if isinstance(publish.event, ProcessRunning)
    }
    for spawn in of(Spawn, turn):
        attempts = 1 if spawn.name in running else sim.attempts.get(spawn.name, 0) + 1
        allowed = max(0, spawn.config.startretries) + 1
        assert attempts <= allowed, f"attempt {attempts} of {allowed}: {spawn}"


def retries_wait(sim: Simulation, turn: Turn) -> None:
    """A retry comes no sooner after the failure than as many seconds as there were failures."""
    for name, before in turn.before.items():
        after = sim.manager.processes.get(name)
        if before.state is ProcessState.BACKOFF and after is not None:
            if after.state is not ProcessState.STARTING:
                continue
            assert before.deadline is not None, f"{before} had nothing to wait for"
            assert turn.now.mono >= before.deadline, f"{before} -> {after}"


def events_tell_the_changes(sim: Simulation, turn: Turn) -> None:
    """The events of a process are the chain of its states: none missing, none too many."""
    state = {name: process.state for name, process in turn.before.items()}
    for publish in of(Publish, turn):
        event = publish.event
        if isinstance(event, ProcessStateChange):
            entered = ProcessState[event.eventname.removeprefix("PROCESS_STATE_")]
            left = state.get(event.process, ProcessState.STOPPED)
            assert event.from_state is left, f"{event} in {left!r}"
            assert (left, entered) in TRANSITIONS, f"{event}: not allowed"
            state[event.process] = entered
    for name, process in sim.manager.processes.items():
        told = state.get(name, ProcessState.STOPPED)
        assert process.state is told, f"{name} is {process.state!r}, told was {told!r}"


def events_name_the_dead(sim: Simulation, turn: Turn) -> None:
    """EXITED and STOPPED carry the pid of the child that ended, or 0."""
    for publish in of(Publish, turn):
        event = publish.event
        if isinstance(event, ProcessExited | ProcessStopped) and event.pid:
            owners = [each for each in sim.world.children.values() if each.pid == event.pid]
            assert [each.name for each in owners] == [event.process], f"{event}: {owners}"
            assert not owners[0].alive, f"{event}: {owners[0]}"


def what_was_said_before_changes_nothing(sim: Simulation, turn: Turn) -> None:
    """An answer or an exit that is handed over a second time has no effect."""
    if turn.again and isinstance(turn.fact, Spawned | SpawnFailed | Exited | Cleared):
        others = [each for each in turn.actions if not is_report(each)]
        assert not others, f"{turn.fact} again: {others}"
        assert not list(changed(sim, turn)), f"{turn.fact} again"


def a_child_is_of_its_state(sim: Simulation, turn: Turn) -> None:
    """Only STARTING, RUNNING, STOPPING and UNKNOWN have a pid; RUNNING and UNKNOWN always do."""
    for process in changed(sim, turn):
        if process.pid:
            assert process.state in MAY_HAVE_A_CHILD, f"{process}"
            assert process.residue is None, f"{process}"
        elif process.state in {ProcessState.RUNNING, ProcessState.UNKNOWN}:
            raise AssertionError(f"no child: {process}")


def no_stop_without_an_end(sim: Simulation, turn: Turn) -> None:
    """STOPPING always has a deadline, or waits for the answer to a Spawn that is on its way."""
    for process in changed(sim, turn):
        if process.state is not ProcessState.STOPPING or process.deadline is not None:
            continue
        assert not process.pid, f"no SIGKILL to come: {process}"
        assert process.residue is None, f"endless patience: {process}"
        assert sim.world.owes(process.name, process.invocation), f"nothing comes: {process}"


def no_wait_without_an_end(sim: Simulation, turn: Turn) -> None:
    """STARTING and BACKOFF always wait for something that comes, or that cannot come."""
    for process in changed(sim, turn):
        if process.state is ProcessState.BACKOFF:
            waits = process.deadline is not None
            assert waits is (process.wanted is Wanted.UP), f"{process}"
        elif process.state is ProcessState.STARTING and process.pid:
            for_ever = process.config.notify and process.config.start_timeout == 0
            assert process.deadline is not None or for_ever, f"{process}"
        elif process.state is ProcessState.STARTING:
            awaited = process.invocation if process.residue is None else process.residue
            asked_now = any(
                order.invocation == awaited
                for order in turn.actions
                if isinstance(order, Spawn | EndStrays)
            )
            owed = sim.world.owes(process.name, awaited)
            lives = any(child.invocation == awaited for child in remains(sim, process.name))
            assert owed or asked_now or lives, f"nothing comes: {process}"


def deadlines_are_never_stale(sim: Simulation, turn: Turn) -> None:
    """The next deadline is the least of the processes', and none is left behind when it passes."""
    states = {
        ProcessState.STARTING,
        ProcessState.RUNNING,
        ProcessState.BACKOFF,
        ProcessState.STOPPING,
        ProcessState.UNKNOWN,
    }
    pending = [
        ghost.deadline for ghost in sim.manager._ghosts.values() if ghost.deadline is not None
    ]
    for process in sim.manager.processes.values():
        if process.state is ProcessState.RUNNING:
            must = process.watchdog > 0 or process.told.stopping or process.failing is not None
            assert must is (process.deadline is not None), f"{process}"
        if process.deadline is not None:
            assert process.state in states or process.residue is not None, f"{process}"
            pending.append(process.deadline)
            if isinstance(turn.fact, DeadlinePassed) and process.deadline <= turn.now.mono:
                touched = turn.before.get(process.name) is not process
                assert touched, f"left behind: {process}"
    named = sim.manager.deadline()
    if sim.stopping and not sim.world.finished:
        assert named is None or not pending or named <= min(pending), f"{named}: {pending}"
    else:
        assert named == min(pending, default=None), f"{named}: {pending}"


def kills_are_spaced(sim: Simulation, turn: Turn) -> None:
    """While a process stops or fails, SIGKILL comes at most once a second; it is always told."""
    for signal in of(SendSignal, turn):
        if signal.purpose is not Purpose.KILL:
            continue
        said = f"killing '{signal.name.process}' ({signal.pid}) with SIGKILL"
        assert any(each.message == said for each in of(Log, turn)), f"{signal} untold"
        last = sim.killed.get(signal.invocation)
        after = sim.manager.processes.get(signal.name)
        if last is None or after is None or after.state is ProcessState.UNKNOWN:
            continue
        asked_again = after.stop_sent is not None and last <= after.stop_sent.mono
        assert asked_again or turn.now.mono >= last + 1, f"{signal}: the last one was at {last}"


def nothing_starts_during_a_shutdown(sim: Simulation, turn: Turn) -> None:
    """From the request to the end nothing is spawned, for no reason."""
    if sim.stopping:
        assert not list(of(Spawn, turn)), f"{turn.actions}"


def levels_stop_in_order(sim: Simulation, turn: Turn) -> None:
    """A shutdown stops a process only when all groups of higher priority are down and clear."""
    if not sim.stopping or isinstance(turn.fact, StartRequested):
        return
    priorities = {name: group.config.priority for name, group in sim.manager.groups.items()}
    for publish in of(Publish, turn):
        event = publish.event
        if not isinstance(event, ProcessStateChange) or event.process not in turn.before:
            continue
        if "STOPPING" not in event.eventname or event.process in sim.stopped_by_hand:
            continue
        if turn.before[event.process].held:
            continue
        mine = priorities[event.process.group]
        for other in sim.manager.processes.values():
            if priorities[other.name.group] > mine:
                assert is_down(sim, other), f"{event} while {other}"


def the_end_is_the_end(sim: Simulation, turn: Turn) -> None:
    """Finish comes once, on request, when nothing is up and no stray is left."""
    finish = list(of(Finish, turn))
    if not finish:
        return
    assert sim.stopping, "nobody asked for it"
    assert len(finish) + len(sim.world.finished) == 1, "it came before"
    for process in sim.manager.processes.values():
        assert is_down(sim, process), f"still up, or not clear: {process}"
    left = [
        child
        for child in sim.world.children.values()
        if (child.alive or child.strays) and (child.reap_told or not child.untouchable)
        if not has_had_its_time(sim, child.invocation)
    ]
    assert not left, f"left behind: {left}"


def is_down(sim: Simulation, process: Process) -> bool:
    """Whether it is stopped and nothing is left of it but what could not be ended in time."""
    if process.state not in STOPPED_STATES:
        return False
    residue = process.residue
    return residue is None or sim.world.children[residue].alive or has_had_its_time(sim, residue)


def has_had_its_time(sim: Simulation, invocation: int) -> bool:
    return sim.lost_patience_at.get(invocation, math.inf) <= sim.world.mono


def reports_are_spaced(sim: Simulation, turn: Turn) -> None:
    """`waiting for ... to die` is said at once, then at most every three seconds."""
    for log in of(Log, turn):
        if is_report(log):
            assert sim.stopping, f"{log}"
            assert log.message != "waiting for  to die", "for nobody"
            if sim.reported is not None:
                assert turn.now.mono >= sim.reported + REPORT_INTERVAL, f"{log}"


def history_is_bounded_and_in_order(sim: Simulation, turn: Turn) -> None:
    """No more invocations are remembered than HISTORY_MAX, each once, in the order of their end."""
    for process in changed(sim, turn):
        history = sim.manager.histories.get(process.name, ())
        assert len(history) <= HISTORY_MAX, f"{len(history)} of {process}"
        numbers = [past.number for past in history]
        assert numbers == sorted(set(numbers)), f"{numbers}"
        for past in history:
            assert past.started is not None, f"{past}"
            moments = (past.started, past.spawned, past.attempt.ready, past.ended)
            times = [moment.mono for moment in moments if moment is not None]
            assert times == sorted(times), f"{past}"
            assert (past.status is None) is (past.spawned is None), f"{past}"


def history_tells_the_ends(sim: Simulation, turn: Turn) -> None:
    """Each end of an invocation is remembered, with what was told of it and decided then."""
    for process in changed(sim, turn):
        before, end = turn.before.get(process.name), process.last_exit
        history = sim.manager.histories.get(process.name, ())
        if before is not None and isinstance(turn.fact, SpawnFailed) and before.spawning:
            assert history[-1].error == turn.fact.error, f"{turn.fact}: {history[-1:]}"
        if end is None or (before is not None and before.last_exit is end):
            continue
        latest = history[-1]
        told = (latest.number, latest.pid, latest.status, latest.ended, latest.expected)
        assert told == (end.invocation, end.pid, end.status, end.at, end.expected), f"{latest}"
        follows = process.state in {ProcessState.STARTING, ProcessState.BACKOFF}
        follows = follows and process.wanted is Wanted.UP
        assert follows is (latest.decision is Next.RESTART), f"{latest}: {process}"
        assert (process.state is ProcessState.FATAL) is (latest.decision is Next.GIVE_UP), (
            f"{latest}"
        )


def who_asked_is_remembered(sim: Simulation, turn: Turn) -> None:
    """What was stopped on request says so, and what ended otherwise does not."""
    for process in changed(sim, turn):
        before = turn.before.get(process.name)
        if before is None or before.past is process.past or process.past is None:
            continue
        asked = before.state is ProcessState.STOPPING
        if before.state is not ProcessState.UNKNOWN:
            past = before.past if process.past.number != before.invocation else process.past
            assert past is not None, f"{process}"
            stopped = past.attempt.stopped_by is not None
            assert stopped is asked or isinstance(turn.fact, Cleared), f"{before}: {past}"


def configurations_are_in_force(sim: Simulation, turn: Turn) -> None:
    """The processes of a group are those of its configuration, each with its own, in order."""
    for name, group in sim.manager.groups.items():
        configs = {Namespec(name, each.name): each for each in group.config.processes}
        assert set(group.names) == set(configs), f"{group.names} of {name}"
        order = [configs[each].priority for each in group.names]
        assert order == sorted(order), f"{order} in {name}"
        for each in group.names:
            assert sim.manager.processes[each].config == configs[each], f"{each}"
    priorities = [group.config.priority for group in sim.manager.groups.values()]
    assert priorities == sorted(priorities), f"{priorities}"


def a_change_disturbs_nothing(sim: Simulation, turn: Turn) -> None:
    """What lives on under another configuration is what it was, and so is what stays down."""
    if not isinstance(turn.fact, GroupChanged):
        return
    started = {spawn.name for spawn in of(Spawn, turn)}
    assert not list(of(SendSignal, turn)), f"{turn.actions}"
    for process in changed(sim, turn):
        before = turn.before.get(process.name)
        if before is None or process.name in started or process.held:
            continue
        kept = replace(process, config=before.config, deadline=before.deadline)
        assert kept == before, f"{before} -> {process}"


def startsecs_are_those_in_force(sim: Simulation, turn: Turn) -> None:
    """A child that has to stay up is RUNNING when it has, as startsecs says by now."""
    for process in changed(sim, turn):
        waits = process.state is ProcessState.STARTING and process.pid
        if waits and not process.config.notify and process.failing is None:
            due = sim.up_since.get(process.invocation, turn.now.mono) + process.config.startsecs
            assert process.deadline == due, f"{process}"


# --- when a kind world has come to rest ---------------------------------------------------------


def what_is_wanted_is_reached(sim: Simulation) -> None:
    """What the operator asked for last is so, as far as policy and the world allow."""
    for name, process in sim.manager.processes.items():
        if sim.asked[name] is Wanted.UP:
            policy = sim.policies.get(name)
            assert is_up_or_may_rest(process, policy), f"wanted up: {process}"
        else:
            assert process.state in STOPPED_STATES, f"wanted down: {process}"


def is_up_or_may_rest(process: Process, policy: Autorestart | None) -> bool:
    """Whether policy and world allow a process to be as it is.

    Args:
        process: It was asked to be up.
        policy: What autorestart said when it ended by itself last.
    """
    match process.state:
        case ProcessState.RUNNING | ProcessState.FATAL | ProcessState.UNKNOWN:
            return True
        case ProcessState.STOPPED:  # reaped in UNKNOWN
            return process.trouble is not None
        case ProcessState.STARTING:  # held by strays that cannot be ended
            return process.held and process.deadline is None
        case ProcessState.EXITED:
            expected = process.last_exit is not None and process.last_exit.expected
            return policy is Autorestart.NEVER or (policy is Autorestart.UNEXPECTED and expected)
        case _:
            return False


def every_spawn_is_reaped(sim: Simulation) -> None:
    """Every child that lives is known as such, and none is that does not live."""
    records = {**sim.manager._ghosts, **sim.manager.processes}
    believed = {process.pid for process in records.values()} - {0}
    believed |= {ghost.pid for ghost in sim.manager._ghosts.values()} - {0}
    living = {child.pid for child in sim.world.children.values() if child.alive}
    assert believed == living, f"believed {believed}, living {living}"


def no_stray_is_left(sim: Simulation) -> None:
    """What a dead child left behind has ended, or cannot end; nothing else is waited for."""
    for child in sim.world.children.values():
        assert child.alive or not child.strays or child.stubborn, f"{child}"
    for process in sim.manager.processes.values():
        remaining = sim.world.children.get(process.residue or 0)
        assert remaining is None or remaining.stubborn or remaining.alive, f"{process}"


def a_shutdown_ends(sim: Simulation) -> None:
    """A shutdown that was asked for has ended, in the way that was asked for last."""
    if sim.stopping:
        assert len(sim.world.finished) == 1, f"finished: {sim.world.finished}"


# --- all of them --------------------------------------------------------------------------------


def is_report(action: object) -> bool:
    return isinstance(action, Log) and action.message.endswith(" to die")


AFTER_EACH_FACT: dict[str, Callable[[Simulation, Turn], None]] = {
    each.__name__: each
    for each in (
        never_two_children,
        no_spawn_beside_strays,
        invocations_are_fresh,
        signals_name_what_lives,
        strays_are_ended_once,
        running_only_after_startsecs,
        ready_is_said,
        who_fails_is_ended,
        failing_is_not_expected,
        long_enough_is_running,
        retries_are_bounded,
        retries_wait,
        events_tell_the_changes,
        events_name_the_dead,
        what_was_said_before_changes_nothing,
        a_child_is_of_its_state,
        no_stop_without_an_end,
        no_wait_without_an_end,
        deadlines_are_never_stale,
        kills_are_spaced,
        nothing_starts_during_a_shutdown,
        levels_stop_in_order,
        the_end_is_the_end,
        reports_are_spaced,
        history_is_bounded_and_in_order,
        history_tells_the_ends,
        who_asked_is_remembered,
        configurations_are_in_force,
        a_change_disturbs_nothing,
        startsecs_are_those_in_force,
    )
}
AT_REST: dict[str, Callable[[Simulation], None]] = {
    each.__name__: each
    for each in (
        what_is_wanted_is_reached,
        every_spawn_is_reaped,
        no_stray_is_left,
        a_shutdown_ends,
    )
}
