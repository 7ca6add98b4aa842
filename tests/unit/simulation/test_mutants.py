"""The simulation can fail: for each invariant a core that is broken in one way, and is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sdsuper.core import manager, process
from sdsuper.core.actions import Action, EndStrays, Finish, Log, Publish
from sdsuper.core.events import ProcessBackoff
from sdsuper.core.facts import (
    DeadlinePassed,
    Exited,
    Spawned,
    SpawnFailed,
    StartRequested,
    StepFact,
)
from sdsuper.core.manager import Manager
from sdsuper.core.process import Process
from sdsuper.core.restart import Rest, Restart
from sdsuper.core.states import ProcessState
from sdsuper.values import Instant, Level
from tests.unit.simulation.invariants import AFTER_EACH_FACT, AT_REST
from tests.unit.simulation.simulation import BrokenInvariantError, Simulation

SEEDS = range(1, 400)

Stepped = tuple[Process, tuple[Action, ...]]
Mutant = Callable[[pytest.MonkeyPatch], None]


def in_step(
    change: Callable[[Process, StepFact, Instant, int | None], Stepped],
) -> Mutant:
    """A mutant whose processes take their steps another way."""
    return lambda patch: patch.setattr(manager, "step", change)


def after_step(change: Callable[[Process], Process]) -> Mutant:
    """A mutant whose processes come out of a step changed."""

    def changed(before: Process, fact: StepFact, now: Instant, fresh: int | None = None) -> Stepped:
        after, actions = process.step(before, fact, now, fresh)
        return change(after), actions

    return in_step(changed)


def without(unwanted: Callable[[Action], bool]) -> Mutant:
    """A mutant whose processes do not do something."""

    def silent(before: Process, fact: StepFact, now: Instant, fresh: int | None = None) -> Stepped:
        after, actions = process.step(before, fact, now, fresh)
        return after, tuple(action for action in actions if not unwanted(action))

    return in_step(silent)


def setting(target: object, name: str, value: object) -> Mutant:
    """A mutant with another constant or function."""
    return lambda patch: patch.setattr(target, name, value)


# --- mutants that take more than a line ---------------------------------------------------------


def takes_exits_of_older_invocations(
    before: Process, fact: StepFact, now: Instant, fresh: int | None = None
) -> Stepped:
    if isinstance(fact, Exited):
        fact = replace(fact, invocation=before.invocation)
    return process.step(before, fact, now, fresh)


def always_numbers_the_same(
    before: Process, fact: StepFact, now: Instant, fresh: int | None = None
) -> Stepped:
    return process.step(before, fact, now, 1)


def starts_at_once_from_backoff(
    before: Process, fact: StepFact, now: Instant, fresh: int | None = None
) -> Stepped:
    if isinstance(fact, StartRequested) and before.state is ProcessState.BACKOFF:
        return process.step(replace(before, deadline=now.mono), DeadlinePassed(), now, fresh)
    return process.step(before, fact, now, fresh)


def tells_a_spawn_again(
    before: Process, fact: StepFact, now: Instant, fresh: int | None = None
) -> Stepped:
    if isinstance(fact, Spawned) and fact.pid == before.pid:
        return before, (Log(Level.INFO, "spawned again"),)
    return process.step(before, fact, now, fresh)


def forgives(before: Process, fact: StepFact, now: Instant, fresh: int | None = None) -> Stepped:
    if isinstance(fact, Exited):
        before = replace(before, failing=None)
    return process.step(before, fact, now, fresh)


def loses_a_child_that_comes_too_late(
    before: Process, fact: StepFact, now: Instant, fresh: int | None = None
) -> Stepped:
    if isinstance(fact, Spawned) and before.state is ProcessState.STOPPING:
        fact = SpawnFailed(fact.name, fact.invocation, "not wanted any more")
    return process.step(before, fact, now, fresh)


def ignores_residue(patch: pytest.MonkeyPatch) -> None:
    end_strays = process._end_strays

    def and_forget(turn: process._Turn) -> None:
        end_strays(turn)
        turn.change(residue=None)

    patch.setattr(process, "_end_strays", and_forget)


def forgets_the_reap(patch: pytest.MonkeyPatch) -> None:
    record_exit = process._record_exit

    def keep_the_pid(turn: process._Turn, *args: object, **options: object) -> None:
        pid = turn.process.pid
        record_exit(turn, *args, **options)  # type: ignore[arg-type]
        turn.change(pid=pid)

    patch.setattr(process, "_record_exit", keep_the_pid)


def stops_all_levels_at_once(patch: pytest.MonkeyPatch) -> None:
    levels = Manager._levels
    patch.setattr(Manager, "_levels", lambda self: [tuple(sum(levels(self), ()))])


def never_finishes(patch: pytest.MonkeyPatch) -> None:
    handle = Manager.handle
    patch.setattr(
        Manager,
        "handle",
        lambda self, fact, now: [
            action for action in handle(self, fact, now) if not isinstance(action, Finish)
        ],
    )


def no_sigkill_to_come(after: Process) -> Process:
    stopping = after.state is ProcessState.STOPPING and after.pid
    return replace(after, deadline=None) if stopping else after


def no_retry_to_come(after: Process) -> Process:
    waiting = after.state is ProcessState.BACKOFF
    return replace(after, deadline=None) if waiting else after


MUTANTS: dict[str, Mutant] = {
    "never_two_children": in_step(takes_exits_of_older_invocations),
    "no_spawn_beside_strays": ignores_residue,
    "invocations_are_fresh": in_step(always_numbers_the_same),
    "signals_name_what_lives": forgets_the_reap,
    "strays_are_ended_once": setting(process, "STRAYS_GRACE_MIN", 0.0),
    "running_only_after_startsecs": setting(
        process, "_up_at", lambda each: each.spawned.mono + each.config.startsecs / 2
    ),
    "ready_is_said": setting(process, "_was_up", lambda turn: True),
    "who_fails_is_ended": setting(process, "_ask_to_end", lambda turn, number: None),
    "failing_is_not_expected": in_step(forgives),
    "long_enough_is_running": setting(process, "_was_up", lambda turn: False),
    "retries_are_bounded": setting(
        process, "decide", lambda config, end, now: Restart(now + 1, "never gives up")
    ),
    "retries_wait": in_step(starts_at_once_from_backoff),
    "events_tell_the_changes": without(
        lambda action: isinstance(action, Publish) and isinstance(action.event, ProcessBackoff)
    ),
    "events_name_the_dead": setting(process, "_dead_pid", lambda each: 1),
    "what_was_said_before_changes_nothing": in_step(tells_a_spawn_again),
    "a_child_is_of_its_state": forgets_the_reap,
    "no_stop_without_an_end": after_step(no_sigkill_to_come),
    "no_wait_without_an_end": after_step(no_retry_to_come),
    "deadlines_are_never_stale": setting(Manager, "_in_force", lambda self, *entry: True),
    "kills_are_spaced": setting(process, "KILL_INTERVAL_MIN", 0.0),
    "nothing_starts_during_a_shutdown": setting(process, "_shutdown_began", lambda turn, _by: None),
    "levels_stop_in_order": stops_all_levels_at_once,
    "the_end_is_the_end": setting(manager, "_is_down", lambda each: True),
    "reports_are_spaced": setting(manager, "REPORT_INTERVAL", 0.1),
    "history_is_bounded_and_in_order": setting(
        manager, "remembered", lambda history, latest: (*history, latest)
    ),
    "history_tells_the_ends": setting(process, "_note_decision", lambda turn, decision: None),
    "who_asked_is_remembered": setting(process, "_note_stop", lambda turn, by: None),
    "configurations_are_in_force": setting(Manager, "_configure", lambda *_: None),
    "a_change_disturbs_nothing": setting(
        process, "_reconfigured", lambda turn, config: turn.change(config=config, backoff=0)
    ),
    "startsecs_are_those_in_force": setting(
        process, "_due_by_now", lambda before, _: before.deadline
    ),
    "what_is_wanted_is_reached": setting(
        process, "decide", lambda config, end, now: Rest("never restarts")
    ),
    "every_spawn_is_reaped": in_step(loses_a_child_that_comes_too_late),
    "no_stray_is_left": without(lambda action: isinstance(action, EndStrays)),
    "a_shutdown_ends": never_finishes,
    "everything_comes_to_rest": setting(manager, "_is_down", lambda each: False),
}


def test_every_invariant_has_a_mutant() -> None:
    assert set(MUTANTS) == {*AFTER_EACH_FACT, *AT_REST, "everything_comes_to_rest"}


@pytest.mark.parametrize("invariant", MUTANTS)
def test_a_broken_core_is_caught(invariant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[invariant](monkeypatch)
    assert any(is_caught(invariant, seed) for seed in SEEDS)


def is_caught(invariant: str, seed: int) -> bool:
    """Whether a run breaks this invariant, looking at no other."""
    after_each_fact = {key: each for key, each in AFTER_EACH_FACT.items() if key == invariant}
    at_rest = {key: each for key, each in AT_REST.items() if key == invariant}
    try:
        Simulation(seed, after_each_fact, at_rest).run()
    except BrokenInvariantError as error:
        return error.invariant == invariant
    except (AssertionError, KeyError):
        return False  # so broken that the core, or the world, noticed by itself
    return False
