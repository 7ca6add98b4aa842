"""All groups at once, on a daemon that is a fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sdsuper import eventloop
from sdsuper.core.facts import ShutdownRequested, StartRequested
from sdsuper.core.states import ProcessState
from tests.unit.server.calls import Caller, outcome, settle, solo

UPDATE = "sdsuper.updateGroups"


def changed_to(caller: Caller, *groups: Any) -> None:
    caller.fake.config.groups = groups


async def begun(*up: str) -> tuple[Caller, eventloop.Task[Any]]:
    """Return two groups, both changed, and the call that replaces them; some were up before."""
    caller = Caller(solo("a", startsecs=0), solo("b", priority=1, startsecs=0))
    for name in up:
        caller.fake.submit(StartRequested(caller.fake.process(name).name))
    changed_to(caller, solo("b", priority=1, startsecs=5), solo("a", startsecs=5))
    return caller, await caller.begin(UPDATE, [])


def told(**changes: str) -> list[dict[str, str]]:
    return [{"name": name, "change": change} for name, change in changes.items()]


def test_all_stop_together_high_priorities_first() -> None:
    async def test() -> None:
        caller, task = await begun("a", "b")
        assert caller.fake.signals == [("a", 15), ("b", 15)]
        caller.fake.exit("b")
        await settle()
        assert not task.done()
        caller.fake.exit("a")
        await settle()
        assert outcome(task) == told(b="changed", a="changed")
        for name in ("a", "b"):
            assert caller.fake.process(name).state is ProcessState.STARTING
            assert caller.fake.process(name).config.startsecs == 5

    eventloop.run(test())


@pytest.mark.parametrize("ends", [False, True])
def test_a_second_update_waits_for_the_first(ends: bool) -> None:
    """It must not take for stopped what the first one is about to start again."""

    async def test() -> None:
        caller, first = await begun("a", "b")
        second = await caller.begin(UPDATE, [])
        if ends:
            caller.fake.submit(ShutdownRequested())
        caller.fake.exit("b")
        caller.fake.exit("a")
        await settle()
        assert outcome(first) == ("SHUTDOWN_STATE" if ends else told(b="changed", a="changed"))
        assert outcome(second) == ("SHUTDOWN_STATE" if ends else [])
        for name in ("a", "b"):
            expected = ProcessState.STOPPED if ends else ProcessState.STARTING
            assert caller.fake.process(name).state is expected

    eventloop.run(test())


def test_what_cannot_be_stopped_is_kept() -> None:
    async def test() -> None:
        caller = Caller(solo("a", startsecs=0), solo("b", startsecs=0))
        for name in ("a", "b"):
            caller.fake.submit(StartRequested(caller.fake.process(name).name))
        caller.fake.unstoppable.add("a")
        changed_to(caller)
        task = await caller.begin(UPDATE, [])
        caller.fake.exit("b")
        await settle()
        assert outcome(task) == told(a="kept", b="removed")
        assert list(caller.fake.manager.groups) == ["a"]

    eventloop.run(test())


def shut_down(caller: Caller) -> None:
    caller.fake.submit(ShutdownRequested())
    caller.fake.exit("a")


def start_again(caller: Caller) -> None:
    caller.fake.exit("a")
    caller.fake.submit(StartRequested(caller.fake.process("a").name))


def take_away(caller: Caller) -> None:
    caller.fake.exit("a")
    caller.fake.remove_group("a")


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (shut_down, "SHUTDOWN_STATE"),
        (start_again, told(b="changed", a="kept")),
        (take_away, told(b="changed", a="kept")),
    ],
)
def test_what_may_happen_meanwhile(happens: Callable[[Caller], None], expected: object) -> None:
    async def test() -> None:
        caller, task = await begun("a")
        happens(caller)
        await settle()
        assert outcome(task) == expected

    eventloop.run(test())


def test_one_that_was_stopping_already_is_waited_for() -> None:
    async def test() -> None:
        caller = Caller(solo("a", startsecs=0))
        caller.fake.submit(StartRequested(caller.fake.process("a").name))
        await caller("stopProcess", "a", False)
        changed_to(caller, solo("a", startsecs=5))
        task = await caller.begin(UPDATE, ["a"])
        assert not task.done()
        caller.fake.exit("a")
        await settle()
        assert outcome(task) == told(a="changed")
        assert caller.fake.process("a").state is ProcessState.STOPPED  # somebody wanted it down

    eventloop.run(test())
