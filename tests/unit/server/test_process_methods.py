"""start, stop, signal, stdin: order of checks, faults, waiting, results of many."""

from __future__ import annotations

import signal
from collections.abc import Coroutine
from typing import Any

import pytest

from sdsuper import eventloop
from sdsuper.config.model import Autorestart
from sdsuper.core.facts import StartRequested
from sdsuper.core.states import ProcessState
from sdsuper.daemon.command import CommandNotExecutableError, CommandNotFoundError
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.methods.process import signal_number
from sdsuper.values import Level
from tests.unit import waiting
from tests.unit.server.calls import Caller, group, outcome, program, result, settle, solo


def run(test: Coroutine[Any, Any, None]) -> None:
    eventloop.run(test)


async def running(caller: Caller, *names: str) -> None:
    for name in names:
        caller.fake.submit(StartRequested(caller.fake.process(name).name))
    caller.fake.advance(1.0)
    assert all(caller.fake.process(name).state is ProcessState.RUNNING for name in names)


# -- start -----------------------------------------------------------------------------------------


def test_start_returns_when_the_process_is_running() -> None:
    async def test() -> None:
        caller = Caller(solo("a", startsecs=5))
        task = await caller.begin("supervisor.startProcess", "a")
        caller.fake.advance(4.9)
        await settle()
        assert not task.done()
        caller.fake.advance(0.1)
        await settle()
        assert outcome(task) is True

    run(test())


def test_start_without_waiting_returns_at_once() -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        assert await caller("startProcess", "a", False) is True
        assert caller.fake.process("a").state is ProcessState.STARTING

    run(test())


@pytest.mark.parametrize("wait", [True, False])
def test_a_spawn_that_fails_at_once_is_told_either_way(wait: bool) -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        caller.fake.unspawnable.add("a")
        assert await caller("startProcess", "a", wait) == "SPAWN_ERROR: a"

    run(test())


def test_the_first_death_before_startsecs_is_a_spawn_error() -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        task = await caller.begin("supervisor.startProcess", "a")
        caller.fake.exit("a", 1)
        await settle()
        assert outcome(task) == "SPAWN_ERROR: a"
        assert caller.fake.process("a").state is ProcessState.BACKOFF

    run(test())


def test_a_start_that_somebody_stops_ends_abnormally() -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        task = await caller.begin("supervisor.startProcess", "a")
        assert await caller("stopProcess", "a", False) is True
        await settle()
        assert outcome(task) == "ABNORMAL_TERMINATION: a"

    run(test())


@pytest.mark.parametrize(
    "autorestart", [Autorestart.NEVER, Autorestart.ALWAYS, Autorestart.UNEXPECTED]
)
@pytest.mark.parametrize("code", [0, 1])
def test_a_program_that_was_up_for_an_instant_counts_as_started(
    autorestart: Autorestart, code: int
) -> None:
    async def test() -> None:
        caller = Caller(solo("a", startsecs=2, autorestart=autorestart))
        task = await caller.begin("supervisor.startProcess", "a")
        # Its exit is noticed before its deadline: up, down and perhaps up again, all in one.
        caller.fake.mono += 2.5
        caller.fake.exit("a", code)
        await settle()
        assert outcome(task) is True

    run(test())


def test_startsecs_zero_counts_at_once() -> None:
    async def test() -> None:
        caller = Caller(solo("a", startsecs=0))
        assert await caller("startProcess", "a") is True

    run(test())


def test_start_of_what_is_stopping() -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        await running(caller, "a")
        await caller("stopProcess", "a", False)
        assert await caller("startProcess", "a") == "ABNORMAL_TERMINATION: a"
        assert await caller("startProcess", "a", False) is True
        assert "process 'a' already running" in caller.fake.log.at(Level.WARN)

    run(test())


def test_start_checks_the_name_then_the_command_then_the_state() -> None:
    async def test() -> None:
        caller = Caller(solo("a"), solo("b"), solo("c"), group("g", program("x", "g")))
        await running(caller, "a", "b", "c")
        caller.fake.commands["b"] = CommandNotFoundError("can't find command '/bin/b'")
        caller.fake.commands["c"] = CommandNotExecutableError("command at '/bin/c' is a directory")
        assert await caller("startProcess", "nope") == "BAD_NAME: nope"
        assert await caller("startProcess", "a:b") == "BAD_NAME: a:b"
        assert await caller("startProcess", "g") == "BAD_NAME: g"
        assert await caller("startProcess", "nope:*") == "BAD_NAME: nope:*"
        assert await caller("startProcess", "a") == "ALREADY_STARTED: a"
        assert await caller("startProcess", "a:a") == "ALREADY_STARTED: a:a"
        assert await caller("startProcess", "b") == "NO_FILE: can't find command '/bin/b'"
        expected = "NOT_EXECUTABLE: command at '/bin/c' is a directory"
        assert await caller("startProcess", "c") == expected

    run(test())


def test_start_of_what_is_in_an_unknown_state() -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        await running(caller, "a")
        caller.fake.unstoppable.add("a")
        assert await caller("stopProcess", "a") == "FAILED: not permitted"
        expected = "FAILED: a is in an unknown process state"
        assert await caller("startProcess", "a") == expected
        assert await caller("stopProcess", "a") == "NOT_RUNNING: a"

    run(test())


def test_start_all_begins_with_everything_at_once_by_priority() -> None:
    async def test() -> None:
        caller = Caller(
            solo("late", priority=30, startsecs=3),
            solo("early", priority=1, startsecs=9),
            group("g", program("two", "g", priority=2, autostart=False, startsecs=6), priority=20),
        )
        task = await caller.begin("supervisor.startAllProcesses")
        assert caller.fake.spawned == ["early", "two", "late"]
        for _ in range(3):
            caller.fake.advance(3.0)
            await settle()
        assert outcome(task) == [result("late"), result("g:two"), result("early")]

    run(test())


def test_start_of_a_group_shows_what_failed_at_once_first() -> None:
    async def test() -> None:
        members = [
            program(name, "g", priority=number, autostart=False)
            for number, name in enumerate(("up", "fine", "missing", "broken", "dies"))
        ]
        caller = Caller(group("g", *members))
        await running(caller, "g:up")
        caller.fake.commands["missing"] = CommandNotFoundError("can't find it")
        caller.fake.unspawnable.add("broken")
        task = await caller.begin("supervisor.startProcess", "g:*")
        caller.fake.exit("g:dies", 1)
        caller.fake.advance(1.0)
        await settle()
        assert outcome(task) == [
            result("g:missing", FaultCode.NO_FILE, "NO_FILE: can't find it"),
            result("g:broken", FaultCode.SPAWN_ERROR, "SPAWN_ERROR: g:broken"),
            result("g:dies", FaultCode.SPAWN_ERROR, "SPAWN_ERROR: g:dies"),
            result("g:fine"),
        ]

    run(test())


@pytest.mark.parametrize("verb", ["startProcess", "stopProcess"])
@pytest.mark.parametrize("name", ["g:*", "g:"])
def test_a_group_in_which_nothing_is_to_do_gives_an_empty_list(verb: str, name: str) -> None:
    async def test() -> None:
        caller = Caller(group("g"))
        assert await caller(verb, name) == []
        assert await caller(f"{verb}Group", "g") == []
        assert await caller(f"{verb}Group", "nope") == "BAD_NAME: nope"

    run(test())


# -- stop ------------------------------------------------------------------------------------------


def test_stop_returns_when_the_process_is_down_and_the_log_says_who_is_awaited() -> None:
    async def test() -> None:
        caller = Caller(group("g", program("a", "g", autostart=False)))
        await running(caller, "g:a")
        task = await caller.begin("supervisor.stopProcess", "g:a")
        assert not task.done()
        assert caller.fake.signals == [("a", 15)]
        assert caller.fake.log.at(Level.INFO)[-1] == "waiting for a to stop"
        caller.fake.exit("g:a", 0)
        await settle()
        assert outcome(task) is True
        assert caller.fake.process("g:a").state is ProcessState.STOPPED

    run(test())


def test_the_log_repeats_who_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsuper.server.methods.process.STOP_REPORT_SECONDS", 0.001)

    async def test() -> None:
        caller = Caller(solo("a"))
        await running(caller, "a")
        repeated = waiting.Event()
        said: list[str] = []

        def log(_level: Level, message: str) -> None:
            said.append(message)
            if said.count("waiting for a to stop") == 3:
                repeated.set()

        monkeypatch.setattr(caller.fake.log, "log", log)
        task = await caller.begin("supervisor.stopProcess", "a")
        with eventloop.timeout(20):
            await repeated.wait()
        caller.fake.exit("a")
        assert await task is True

    run(test())


def test_stop_without_waiting_returns_after_the_signal() -> None:
    async def test() -> None:
        caller = Caller(solo("a", stopsignal=signal.SIGUSR1))
        await running(caller, "a")
        assert await caller("stopProcess", "a", False) is True
        assert caller.fake.signals == [("a", signal.SIGUSR1)]
        assert await caller("stopProcess", "a") == "NOT_RUNNING: a"
        assert await caller("stopProcess", "nope") == "BAD_NAME: nope"

    run(test())


def test_stop_from_backoff_is_done_at_once() -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        caller.fake.unspawnable.add("a")
        await caller("startProcess", "a")
        assert await caller("stopProcess", "a") is True
        assert caller.fake.signals == []

    run(test())


def test_stop_all_goes_down_in_descending_priority() -> None:
    async def test() -> None:
        caller = Caller(
            solo("late", priority=30),
            solo("early", priority=1),
            group(
                "g",
                program("x", "g", priority=5, autostart=False),
                program("y", "g", priority=4, autostart=False),
                priority=20,
            ),
        )
        await running(caller, "late", "early", "g:x", "g:y")
        task = await caller.begin("supervisor.stopAllProcesses")
        assert [name for name, _ in caller.fake.signals] == ["late", "x", "y", "early"]
        for name in ("g:x", "early", "late", "g:y"):
            caller.fake.exit(name)
            await settle()
        assert [(item["name"], item["status"]) for item in outcome(task)] == [
            ("x", 80),
            ("early", 80),
            ("late", 80),
            ("y", 80),
        ]

    run(test())


def test_stop_all_without_waiting_lists_in_ascending_priority() -> None:
    async def test() -> None:
        caller = Caller(solo("b", priority=2), solo("a", priority=1), solo("down"))
        await running(caller, "a", "b")
        assert await caller("stopAllProcesses", False) == [result("a"), result("b")]

    run(test())


def test_a_process_that_cannot_be_stopped_does_not_hold_up_the_others() -> None:
    async def test() -> None:
        caller = Caller(solo("a"), solo("b"))
        await running(caller, "a", "b")
        caller.fake.unstoppable.add("b")
        task = await caller.begin("supervisor.stopAllProcesses")
        caller.fake.exit("a")
        await settle()
        assert outcome(task) == [
            result("b", FaultCode.FAILED, "FAILED: not permitted"),
            result("a"),
        ]

    run(test())


# -- signal ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        ("HUP", 1),
        ("SIGHUP", 1),
        ("sighup", 1),
        ("usr1", 10),
        (1, 1),
        ("1", 1),
        ("0", 0),
        (0, 0),
        ("RTMIN", signal.SIGRTMIN),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX", signal.SIGRTMAX),
        (64, 64),
    ],
)
def test_signals_by_name_and_number(sent: object, number: int) -> None:
    assert signal_number(sent) == number


@pytest.mark.parametrize(
    "sent",
    ["XX", "", "SIG", "65", 65, -1, "-1", "HUP+1", "RTMIN+x", "RTMIN+99", "SIG_DFL", "1.5", "²"],
)
def test_no_signals(sent: object) -> None:
    with pytest.raises(Fault) as caught:
        signal_number(sent)
    assert caught.value.code == FaultCode.BAD_SIGNAL


def test_signal_checks_the_name_then_the_signal_then_the_state() -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        assert await caller("signalProcess", "nope", "XX") == "BAD_NAME: nope"
        assert await caller("signalProcess", "a", "XX") == "BAD_SIGNAL: XX"
        assert await caller("signalProcess", "a", "HUP") == "NOT_RUNNING: a"
        await running(caller, "a")
        assert await caller("signalProcess", "a", "HUP") is True
        assert caller.fake.signals == [("a", 1)]
        caller.fake.unstoppable.add("a")
        assert await caller("signalProcess", "a", "HUP") == "FAILED: not permitted"

    run(test())


def test_signals_to_many_go_to_those_that_have_a_process() -> None:
    async def test() -> None:
        caller = Caller(solo("a", priority=1), solo("b", priority=2), solo("down"))
        await running(caller, "a", "b")
        await caller("stopProcess", "b", False)
        assert await caller("signalAllProcesses", "CONT") == [result("a"), result("b")]
        assert await caller("signalProcess", "a:*", "CONT") == [result("a")]
        assert await caller("signalProcessGroup", "down", "CONT") == []
        assert await caller("signalProcessGroup", "nope", "CONT") == "BAD_NAME: nope"
        assert await caller("signalAllProcesses", "XX") == [
            result("a", FaultCode.BAD_SIGNAL, "BAD_SIGNAL: XX"),
            result("b", FaultCode.BAD_SIGNAL, "BAD_SIGNAL: XX"),
        ]

    run(test())


# -- stdin -----------------------------------------------------------------------------------------


def test_stdin_takes_text_as_utf8() -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        assert await caller("sendProcessStdin", "nope", 5) == "INCORRECT_PARAMETERS: 5"
        assert await caller("sendProcessStdin", "nope", "x") == "BAD_NAME: nope"
        assert await caller("sendProcessStdin", "a:*", "x") == "BAD_NAME: a:*"
        assert await caller("sendProcessStdin", "a", "x") == "NOT_RUNNING: a"
        await running(caller, "a")
        assert await caller("sendProcessStdin", "a", "héllo\n") is True
        assert caller.fake.stdin == [(("a", "a"), "héllo\n".encode())]

    run(test())


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (BrokenPipeError(), "NO_FILE: a"),
        (BufferError(), "FAILED: a does not read its stdin"),
    ],
)
def test_stdin_that_takes_nothing(error: Exception, fault: str) -> None:
    async def test() -> None:
        caller = Caller(solo("a"))
        await running(caller, "a")
        caller.fake.stdin_error = error
        assert await caller("sendProcessStdin", "a", "x") == fault
        await caller("stopProcess", "a", False)
        assert await caller("sendProcessStdin", "a", "x") == "NOT_RUNNING: a"

    run(test())
