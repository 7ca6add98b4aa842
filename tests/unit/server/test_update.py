"""All groups at once, on a daemon that is a fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sdsuper import eventloop
from sdsuper.config.model import Autorestart
from sdsuper.core.facts import ShutdownRequested, StartRequested
from sdsuper.core.states import ProcessState
from sdsuper.values import Level
from tests.unit.server import calls
from tests.unit.server.calls import Caller, group, program, settle, solo

UPDATE = "sdsuper.updateGroups"


def changed_to(caller: Caller, *groups: Any) -> None:
    caller.fake.config.groups = groups


async def begun(*up: str) -> tuple[Caller, eventloop.Task[Any]]:
    """Return two groups, both changed, and the call that replaces them; some were up before."""
    caller = Caller(solo("a", startsecs=0), solo("b", priority=1, startsecs=0))
    for name in up:
        caller.fake.submit(StartRequested(caller.fake.process(name).name))
    changed_to(
        caller,
        solo("b", priority=1, directory="/"),
        solo("a", directory="/"),
    )
    return caller, await caller.begin(UPDATE, [])


def told(**changes: str) -> dict[str, str]:
    return changes


def outcome(task: eventloop.Task[Any]) -> Any:
    """Return what became of each group, or the text of the fault."""
    answer = calls.outcome(task)
    if isinstance(answer, str):
        return answer
    return {each["name"]: each["change"] for each in answer}


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
            assert caller.fake.process(name).config.directory == "/"

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
        assert outcome(second) == ("SHUTDOWN_STATE" if ends else {})
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
        changed_to(caller, solo("a", directory="/"))
        task = await caller.begin(UPDATE, ["a"])
        assert not task.done()
        caller.fake.exit("a")
        await settle()
        assert outcome(task) == told(a="changed")
        assert caller.fake.process("a").state is ProcessState.STOPPED  # somebody wanted it down

    eventloop.run(test())


LIVE = ("live", {"stopwaitsecs": 3})
HARD = ("hard", {"directory": "/"})


def members(*processes: tuple[str, dict[str, Any]], priority: int = 999) -> Any:
    made = (program(name, "g", **{"startsecs": 0, **options}) for name, options in processes)
    return group("g", *made, priority=priority)


def as_they_were(caller: Caller) -> dict[str, tuple[int, ProcessState]]:
    processes = caller.fake.manager.processes
    return {name.process: (each.pid, each.state) for name, each in processes.items()}


PLAIN = [(name, {}) for name in ("live", "hard", "same")]


async def update(caller: Caller, to: Any, *, keep: bool = False) -> eventloop.Task[Any]:
    changed_to(caller, to)
    return await caller.begin(UPDATE, ["g"], keep)


@pytest.mark.parametrize("keep", [False, True])
def test_only_what_must_stops(keep: bool) -> None:
    async def test() -> None:
        caller = Caller(members(*PLAIN, ("gone", {})))
        before = as_they_were(caller)
        to = members(LIVE, HARD, ("same", {}), ("new", {}), ("down", {"autostart": False}))
        changed_to(caller, to)
        plan = caller.registry.call("sdsuper.planUpdate", [[]])
        assert as_they_were(caller) == before
        task = await update(caller, to, keep=keep)
        assert [name for name, _ in caller.fake.signals] == ["gone", "hard"]
        caller.fake.exit("g:gone")
        caller.fake.exit("g:hard")
        await settle()
        assert task.result() == plan
        assert plan == [
            {
                "name": "g",
                "change": "updated",
                "restarted": ["hard"],
                "removed": ["gone"],
                "added": ["new", "down"],
                "live": ["live"],
                "restart_options": ["directory"],
                "live_options": ["stopwaitsecs"],
            }
        ]
        after = as_they_were(caller)
        for name in ("live", "same"):
            assert after[name] == before[name]
        states = {name: state.name for name, (_, state) in after.items()}
        assert states == {
            "live": "RUNNING", "hard": "RUNNING", "same": "RUNNING", "new": "RUNNING",
            "down": "STOPPED",
        }  # fmt: skip
        assert caller.fake.process("g:live").config.stopwaitsecs == 3
        assert "g: changed in place (stopwaitsecs)" in caller.fake.log.at(Level.INFO)
        published = {each.eventname for each in caller.fake.events}
        assert "PROCESS_GROUP_REMOVED" not in published

    eventloop.run(test())


def test_what_changes_in_place_does_so_at_once() -> None:
    async def test() -> None:
        caller = Caller(members(*PLAIN))
        before, events = as_they_were(caller), len(caller.fake.events)
        task = await update(caller, members(LIVE, ("hard", {}), ("same", {}), priority=5))
        assert outcome(task) == told(g="live")
        assert as_they_were(caller) == before
        assert caller.fake.events[events:] == []
        assert caller.fake.manager.groups["g"].config.priority == 5
        assert outcome(await update(caller, caller.fake.config.groups[0])) == {}

    eventloop.run(test())


def test_a_group_of_which_all_must_stop_is_made_anew() -> None:
    async def test() -> None:
        caller = Caller(members(HARD))
        task = await update(caller, members(("hard", {}), ("new", {})))
        caller.fake.exit("g:hard")
        await settle()
        assert outcome(task) == told(g="changed")
        names = [each.eventname for each in caller.fake.events]
        assert names.count("PROCESS_GROUP_REMOVED") == 1
        assert names.count("PROCESS_GROUP_ADDED") == 2

    eventloop.run(test())


OFF: dict[str, Any] = {"autostart": False}


@pytest.mark.parametrize(
    ("before", "after", "state", "keep", "starts"),
    [
        (OFF, {"autostart": True}, ProcessState.STOPPED, False, True),
        (OFF, {"autostart": True}, ProcessState.STOPPED, True, False),
        (OFF, {**OFF, "priority": 2}, ProcessState.STOPPED, False, False),
        ({}, {"priority": 2}, ProcessState.EXITED, False, False),
        ({}, {"startretries": 1}, ProcessState.FATAL, False, True),
        ({}, {"startretries": 1}, ProcessState.FATAL, True, False),
        ({}, {"directory": "/"}, ProcessState.EXITED, False, True),
        ({}, {"directory": "/"}, ProcessState.STOPPED, True, False),
        ({}, {"directory": "/"}, ProcessState.RUNNING, True, True),
        (OFF, {**OFF, "directory": "/"}, ProcessState.RUNNING, True, True),
        (OFF, {**OFF, "directory": "/"}, ProcessState.RUNNING, False, False),
    ],
)
def test_what_is_started(
    before: dict[str, Any], after: dict[str, Any], state: ProcessState, keep: bool, starts: bool
) -> None:
    async def test() -> None:
        old = {"autorestart": Autorestart.NEVER, **before}
        caller = Caller(members(("other", {})))
        if state is ProcessState.FATAL:
            caller.fake.unspawnable.add("p")
            old["startretries"] = 0
        await update(caller, members(("p", old), ("other", {})))
        process = caller.fake.process("g:p")
        if state is ProcessState.RUNNING and not process.pid:
            caller.fake.submit(StartRequested(process.name))
        if state is ProcessState.EXITED:
            caller.fake.exit("g:p")
        if state is ProcessState.STOPPED and process.pid:
            await caller("stopProcess", "g:p", False)
            caller.fake.exit("g:p")
        assert caller.fake.process("g:p").state is state
        caller.fake.spawned.clear()
        caller.fake.unspawnable.clear()
        new = {"autorestart": Autorestart.NEVER, **after}
        task = await update(caller, members(("p", new), ("other", {})), keep=keep)
        if caller.fake.process("g:p").state is ProcessState.STOPPING:
            caller.fake.exit("g:p")
            await settle()
        assert task.done()
        assert caller.fake.spawned == ["p"] * starts

    eventloop.run(test())
