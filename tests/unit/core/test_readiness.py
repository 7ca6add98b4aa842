"""What `ready=running` waits for, and what fails a start."""

from __future__ import annotations

from typing import Any

import pytest

from sdsuper.core.events import Event, ProcessExited, ProcessRunning
from sdsuper.core.process import Process
from sdsuper.core.readiness import Failure, Readiness, failure, required
from sdsuper.core.states import ProcessState
from sdsuper.values import Namespec
from tests.unit.core.builders import namespec, process_config

S = ProcessState


def process(
    name: str, state: ProcessState = S.STOPPED, reason: str | None = None, **options: Any
) -> Process:
    return Process(
        name=namespec(name), config=process_config(name, **options), state=state, reason=reason
    )


def running(name: str) -> Event:
    return ProcessRunning(namespec(name), S.STARTING, 7)


def exited(name: str, *, expected: bool) -> Event:
    return ProcessExited(namespec(name), S.RUNNING, expected, 7)


@pytest.mark.parametrize(
    ("processes", "names"),
    [
        ([], ""),
        ([process("a"), process("b")], "a b"),
        ([process("a"), process("b", required=True)], "b"),
        ([process("a", autostart=False), process("b")], "b"),
        # Nobody starts it, so nobody can wait for it.
        ([process("a", autostart=False, required=True), process("b", required=True)], "b"),
        ([process("a", autostart=False, required=True), process("b")], "b"),
        ([process("a", autostart=False)], ""),
    ],
)
def test_who_is_required(processes: list[Process], names: str) -> None:
    assert required(processes) == {namespec(name) for name in names.split()}


@pytest.mark.parametrize(
    ("state", "has_run", "fails"),
    [(state, has_run, state is S.FATAL) for state in S for has_run in (False, True)
     if state is not S.EXITED]
    + [(S.EXITED, False, True), (S.EXITED, True, False)],
)  # fmt: skip
def test_what_fails_a_start(state: ProcessState, has_run: bool, fails: bool) -> None:
    found = failure(process("web", state, "why"), has_run=has_run)
    assert found == (Failure(namespec("web"), state, "why") if fails else None)


def test_a_failure_is_told_in_one_line() -> None:
    told = str(Failure(Namespec("g", "p"), S.FATAL, "two\nlines"))
    assert told == "g:p is FATAL: two lines"


class Start:
    """A start with its processes."""

    def __init__(self, *processes: Process) -> None:
        self.processes = {process.name: process for process in processes}
        self.readiness = Readiness()
        assert self.choose() == []

    def choose(self) -> list[Failure]:
        return self.readiness.choose(self.processes)

    def comes_to(
        self, name: str, state: ProcessState, *events: Event, reason: str | None = None
    ) -> Failure | None:
        """Let one fact, with all its events, bring a process into a state."""
        for event in events:
            self.readiness.saw(event)
        self.processes[namespec(name)] = process(name, state, reason)
        return self.readiness.look(self.processes[namespec(name)])

    @property
    def waiting(self) -> set[str]:
        return {str(name) for name in self.readiness.waiting}


def test_it_waits_until_all_have_been_running() -> None:
    start = Start(process("a"), process("b"), process("c", autostart=False))
    assert start.waiting == {"a", "b"}
    assert start.comes_to("a", S.STARTING) is None
    assert start.waiting == {"a", "b"}
    assert start.comes_to("a", S.RUNNING, running("a")) is None
    assert start.waiting == {"b"}
    assert start.comes_to("b", S.RUNNING, running("b")) is None
    assert start.waiting == set()


def test_one_that_did_its_work_counts() -> None:
    start = Start(process("a"), process("b"))
    assert start.comes_to("a", S.EXITED, running("a"), exited("a", expected=True)) is None
    assert start.waiting == {"b"}


def test_one_that_did_its_work_and_is_started_again_counts() -> None:
    start = Start(process("a"), process("b"))
    assert start.comes_to("a", S.STARTING, running("a"), exited("a", expected=True)) is None
    assert start.waiting == {"b"}


def test_one_that_crashed_has_to_come_up_anew() -> None:
    start = Start(process("a"), process("b"))
    start.comes_to("a", S.RUNNING, running("a"))
    assert start.waiting == {"b"}
    assert start.comes_to("a", S.STARTING, exited("a", expected=False)) is None
    assert start.waiting == {"a", "b"}
    start.comes_to("a", S.RUNNING, running("a"))
    assert start.waiting == {"b"}


def test_one_that_crashed_for_good_fails_the_start() -> None:
    start = Start(process("a"), process("b"))
    failed = start.comes_to(
        "a", S.EXITED, running("a"), exited("a", expected=False), reason="exit status 1"
    )
    assert failed == Failure(namespec("a"), S.EXITED, "exit status 1")
    assert start.waiting == {"b"}


def test_a_failure_is_news_once_until_it_is_undone() -> None:
    start = Start(process("a"))
    assert start.comes_to("a", S.FATAL) is not None
    assert start.comes_to("a", S.FATAL) is None
    assert start.waiting == set()
    assert start.comes_to("a", S.STARTING) is None
    assert start.waiting == {"a"}
    assert start.comes_to("a", S.FATAL) is not None


def test_one_that_is_not_required_may_fail() -> None:
    start = Start(process("a", required=True), process("b"))
    assert start.comes_to("b", S.FATAL) is None
    assert start.waiting == {"a"}


def test_one_that_an_operator_stopped_is_waited_for() -> None:
    start = Start(process("a"))
    assert start.comes_to("a", S.STOPPED) is None
    assert start.waiting == {"a"}


def test_a_group_that_goes_is_not_waited_for() -> None:
    start = Start(process("a"), process("b"))
    del start.processes[namespec("b")]
    assert start.choose() == []
    assert start.waiting == {"a"}


def test_nobody_takes_the_place_of_a_marked_one_that_goes() -> None:
    start = Start(process("a", required=True), process("b", S.FATAL), process("c"))
    assert start.waiting == {"a"}
    a = start.processes.pop(namespec("a"))
    assert start.choose() == []
    assert start.waiting == set()
    start.processes[namespec("a")] = a
    assert start.choose() == []
    assert start.waiting == {"a"}


def test_a_group_that_comes_is_waited_for() -> None:
    start = Start(process("a"))
    start.processes[namespec("b")] = process("b", S.STARTING)
    assert start.choose() == []
    assert start.waiting == {"a", "b"}


def test_what_a_new_group_did_at_once_counts() -> None:
    start = Start(process("a"))
    start.readiness.saw(running("b"))
    start.processes[namespec("b")] = process("b", S.RUNNING)
    start.processes[namespec("c")] = process("c", S.FATAL, "why")
    assert start.choose() == [Failure(namespec("c"), S.FATAL, "why")]
    assert start.waiting == {"a"}


def test_a_group_that_goes_and_comes_again_starts_anew() -> None:
    start = Start(process("a"), process("b"))
    start.comes_to("a", S.RUNNING, running("a"))
    del start.processes[namespec("a")]
    start.choose()
    start.processes[namespec("a")] = process("a")
    start.choose()
    assert start.waiting == {"a", "b"}
