"""Every fact in every state, as a table: the state afterwards, and what is to be done.

The table is `process_table.txt`, written by `SDSUPER_REWRITE=1 pytest tests/unit/core` and reviewed
as a diff. `.` is nothing at all; `=` is the same state. Publishing and logging are left out:
what is published follows from the change of state, and that it does is asserted for every cell.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sdsuper.core.actions import EndStrays, Log, Publish, Reconfigure, SendSignal, Spawn
from sdsuper.core.facts import (
    Cleared,
    DeadlinePassed,
    Exited,
    Notified,
    Reconfigured,
    ShutdownBegan,
    ShutdownReached,
    SignalFailed,
    SignalRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StepFact,
    StopRequested,
)
from sdsuper.core.notice import Notice, Told
from sdsuper.core.process import ExitRecord, Process, step
from sdsuper.core.states import ProcessState, Wanted
from sdsuper.values import ExitStatus
from tests.unit.core.builders import at, namespec, process_config
from tests.unit.core.test_transcripts import edges

A = namespec("a")
BORN, NOW = at(10.0), at(10.5)
NEW = Process(name=A, config=process_config("a", startsecs=1, startretries=3))
TRIED = replace(NEW, wanted=Wanted.UP, invocation=1, started=BORN)
ENDED = ExitRecord(100, ExitStatus(1), BORN, expected=False)
UP = replace(TRIED, spawned=BORN, pid=100)
TALKER = process_config("a", startretries=3, notify=True, watchdog=5)
SPEAKS = replace(UP, config=TALKER, watchdog=5.0, deadline=NOW.mono)
DOWN = replace(TRIED, spawned=BORN, last_exit=ENDED)
STATE = ProcessState

PROCESSES = {
    "STOPPED": NEW,
    "STOPPED, strays": replace(DOWN, state=STATE.STOPPED, residue=1, deadline=NOW.mono),
    "STARTING, spawning": replace(TRIED, state=STATE.STARTING),
    "STARTING, held": replace(TRIED, state=STATE.STARTING, residue=1, deadline=NOW.mono),
    "STARTING, up": replace(UP, state=STATE.STARTING, deadline=NOW.mono),
    "STARTING, speaks": replace(SPEAKS, state=STATE.STARTING),
    "STARTING, failing": replace(SPEAKS, state=STATE.STARTING, failing="late"),
    "RUNNING": replace(UP, state=STATE.RUNNING),
    "RUNNING, speaks": replace(SPEAKS, state=STATE.RUNNING),
    "RUNNING, failing": replace(SPEAKS, state=STATE.RUNNING, failing="mute"),
    "RUNNING, ending": replace(SPEAKS, state=STATE.RUNNING, told=Told(stopping=True)),
    "BACKOFF": replace(DOWN, state=STATE.BACKOFF, backoff=1, deadline=NOW.mono),
    "BACKOFF, strays": replace(DOWN, state=STATE.BACKOFF, residue=1, deadline=NOW.mono),
    "STOPPING, spawning": replace(TRIED, state=STATE.STOPPING, wanted=Wanted.DOWN),
    "STOPPING, held": replace(TRIED, state=STATE.STOPPING, residue=1, deadline=NOW.mono),
    "STOPPING, up": replace(UP, state=STATE.STOPPING, stop_sent=BORN, deadline=NOW.mono),
    "STOPPING, strays": replace(DOWN, state=STATE.STOPPING, residue=1, deadline=NOW.mono),
    "EXITED": replace(DOWN, state=STATE.EXITED),
    "EXITED, strays": replace(DOWN, state=STATE.EXITED, residue=1, deadline=NOW.mono),
    "FATAL": replace(DOWN, state=STATE.FATAL),
    "FATAL, strays": replace(DOWN, state=STATE.FATAL, residue=1, deadline=NOW.mono),
    "UNKNOWN": replace(UP, state=STATE.UNKNOWN, trouble="EPERM"),
    "UNKNOWN, waited for": replace(UP, state=STATE.UNKNOWN, deadline=NOW.mono),
}
FACTS: dict[str, StepFact] = {
    "start": StartRequested(A),
    "stop": StopRequested(A),
    "signal": SignalRequested(A, 1),
    "spawned": Spawned(A, 1, 100),
    "spawn failed": SpawnFailed(A, 1, "no"),
    "exited": Exited(A, 1, ExitStatus(1)),
    "cleared": Cleared(A, 1),
    "signal failed": SignalFailed(A, 1, "EPERM"),
    "says READY": Notified(A, 1, Notice(ready=True)),
    "says STOPPING": Notified(A, 1, Notice(stopping=True)),
    "pings": Notified(A, 1, Notice(ping=True)),
    "says trigger": Notified(A, 1, Notice(trigger=True)),
    "asks for time": Notified(A, 1, Notice(extend=60.0)),
    "deadline": DeadlinePassed(),
    "reconfigured": Reconfigured(A, process_config("a", startsecs=0, start_timeout=1)),
    "shutdown began": ShutdownBegan(A),
    "shutdown reached": ShutdownReached(A),
}

TABLE = Path(__file__).with_name("process_table.txt")


def table() -> str:
    lines = []
    for label, fact in FACTS.items():
        cells = {state: cell(process, fact) for state, process in PROCESSES.items()}
        lines += [f"{label}:", *(f"  {state:19} | {cell}" for state, cell in cells.items()), ""]
    return "\n".join(lines)


def cell(process: Process, fact: StepFact) -> str:
    after, actions = step(process, fact, NOW, fresh=2)
    if after is process and not actions:
        return "."
    words = ["=" if after.state is process.state else after.state.name]
    for action in actions:
        match action:
            case Spawn():
                words.append("spawn")
            case SendSignal(signal=signal, purpose=purpose):
                words.append(f"{purpose.value}({signal})")
            case EndStrays():
                words.append("end-strays")
            case Reconfigure():
                words.append("reconfigure")
            case _:
                assert isinstance(action, Publish | Log)
    return " ".join(words)


def test_what_follows_from_each_fact_in_each_state() -> None:
    if os.environ.get("SDSUPER_REWRITE") == "1":
        TABLE.write_text(table())
    assert table() == TABLE.read_text()


def test_the_processes_of_the_table_are_what_they_are_called() -> None:
    assert {process.state for process in PROCESSES.values()} == set(ProcessState)
    for label, process in PROCESSES.items():
        assert label.partition(",")[0] == process.state.name
        assert process.spawning is label.endswith("spawning")
        assert process.held is label.endswith("held")


def stale(invocation: int) -> list[StepFact]:
    return [
        Spawned(A, invocation, 99),
        SpawnFailed(A, invocation, "no"),
        Exited(A, invocation, ExitStatus(0)),
        Cleared(A, invocation),
        SignalFailed(A, invocation, "no"),
        Notified(A, invocation, Notice(ready=True, stopping=True, trigger=True, status="no")),
    ]


@pytest.mark.parametrize("label", PROCESSES)
@pytest.mark.parametrize("fact", stale(0) + stale(7), ids=str)
def test_a_fact_of_another_invocation_is_ignored(label: str, fact: StepFact) -> None:
    assert step(PROCESSES[label], fact, NOW) == (PROCESSES[label], ())


@pytest.mark.parametrize("label", PROCESSES)
def test_a_deadline_that_has_not_come_is_ignored(label: str) -> None:
    process = PROCESSES[label]
    early = at(NOW.mono - 0.001)
    assert step(process, DeadlinePassed(), early) == (process, ())


@pytest.mark.parametrize("label", PROCESSES)
@pytest.mark.parametrize("fact", FACTS)
def test_events_are_the_chain_of_states(label: str, fact: str) -> None:
    before = PROCESSES[label]
    after, actions = step(before, FACTS[fact], NOW)
    state = before.state
    for action in actions:
        for left, entered in edges(action.event) if isinstance(action, Publish) else ():
            assert left is state
            state = entered
    assert after.state is state
