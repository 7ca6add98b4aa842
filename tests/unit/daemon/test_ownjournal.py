"""The daemon's own entries in the journal: its log, and the states of processes."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdsuper.core.events import (
    ProcessBackoff,
    ProcessExited,
    ProcessFatal,
    ProcessRunning,
    ProcessStarting,
    ProcessStateChange,
    ProcessStopped,
    ProcessStopping,
    ProcessUnknown,
    event_types,
)
from sdsuper.core.history import Attempt, Requester, Via
from sdsuper.core.process import ExitRecord, Process
from sdsuper.core.states import ProcessState
from sdsuper.daemon import ownjournal
from sdsuper.daemon.ownjournal import OwnJournal, is_on_stderr
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.daemon.statelog import MESSAGES, StateChange
from sdsuper.logs.journal import Journal
from sdsuper.values import ExitStatus, Instant, Level, Namespec
from tests.journald import Journald
from tests.unit.core.builders import process_config

NAME = Namespec("all", "web")
THEN = Instant(1.0, 1.0)
FAILED = ExitRecord(7, ExitStatus(3), THEN, expected=False, invocation=4)
KILLED = ExitRecord(7, ExitStatus(None, 9), THEN, expected=False, invocation=4)
OPERATOR = Requester(Via.RPC, "supervisor.stopProcess", pid=9, uid=1000, command="sdsuperctl")
STARTING, RUNNING = ProcessState.STARTING, ProcessState.RUNNING
BACKOFF, STOPPING = ProcessState.BACKOFF, ProcessState.STOPPING


@pytest.fixture
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder:
        yield f"{folder}/journal"


@pytest.fixture
def journal(address: str) -> Iterator[Journal]:
    made = Journal(address)
    yield made
    made.close()


# --- states -------------------------------------------------------------------------------------


def test_every_state_has_an_id_of_its_own() -> None:
    assert set(MESSAGES) == set(ProcessState)
    ids = [message.id for message in MESSAGES.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    events = {name.removeprefix("PROCESS_STATE_") for name in event_types() if "STATE_" in name}
    assert {state.name for state in ProcessState} <= events


CASES = {
    "starting": (
        ProcessStarting(NAME, ProcessState.STOPPED, 0),
        {"state": STARTING, "invocation": 5},
        5,
        {
            "MESSAGE": "all:web: STOPPED -> STARTING",
            "PRIORITY": 6,
            "SDSUPER_REQUESTED_BY": "the daemon itself",
        },
    ),
    "running": (
        ProcessRunning(NAME, STARTING, 8),
        {"state": RUNNING, "pid": 8, "invocation": 5, "last_exit": FAILED},
        5,
        {"MESSAGE": "all:web: STARTING -> RUNNING", "PRIORITY": 6, "OBJECT_PID": 8},
    ),
    "up, and down again in one step": (
        ProcessRunning(NAME, STARTING, 7),
        {"state": STARTING, "invocation": 5, "last_exit": FAILED},
        4,
        {"MESSAGE": "all:web: STARTING -> RUNNING", "PRIORITY": 6, "OBJECT_PID": 7},
    ),
    "exited, and restarted at once": (
        ProcessExited(NAME, RUNNING, expected=False, pid=7),
        {"state": STARTING, "invocation": 5, "last_exit": FAILED, "reason": "because"},
        4,
        {
            "MESSAGE": "all:web: RUNNING -> EXITED: because",
            "PRIORITY": 4,
            "OBJECT_PID": 7,
            "SDSUPER_REASON": "because",
            "SDSUPER_EXPECTED": 0,
            "SDSUPER_EXIT_CODE": 3,
        },
    ),
    "asked to stop": (
        ProcessStopping(NAME, RUNNING, 7),
        {"state": STOPPING, "pid": 7, "invocation": 4, "attempt": Attempt(stopped_by=OPERATOR)},
        4,
        {
            "MESSAGE": "all:web: RUNNING -> STOPPING",
            "PRIORITY": 6,
            "OBJECT_PID": 7,
            "SDSUPER_REQUESTED_BY": "sdsuperctl (pid 9, uid 1000), supervisor.stopProcess",
            "SDSUPER_REQUESTED_BY_UID": 1000,
        },
    ),
    "out of memory": (
        ProcessStopped(NAME, STOPPING, 7),
        {"state": ProcessState.STOPPED, "invocation": 4, "last_exit": replace(KILLED, oom=True)},
        4,
        {
            "MESSAGE": "all:web: STOPPING -> STOPPED: terminated by SIGKILL, out of memory",
            "PRIORITY": 6,
            "OBJECT_PID": 7,
            "SDSUPER_REASON": "terminated by SIGKILL, out of memory",
            "SDSUPER_EXIT_SIGNAL": "SIGKILL",
            "SDSUPER_OOM": 1,
        },
    ),
    "stopped": (
        ProcessStopped(NAME, STOPPING, 7),
        {"state": ProcessState.STOPPED, "invocation": 4, "last_exit": KILLED, "reason": "old"},
        4,
        {
            "MESSAGE": "all:web: STOPPING -> STOPPED: terminated by SIGKILL",
            "PRIORITY": 6,
            "OBJECT_PID": 7,
            "SDSUPER_REASON": "terminated by SIGKILL",
            "SDSUPER_EXIT_SIGNAL": "SIGKILL",
        },
    ),
    "stopped without a child": (
        ProcessStopped(NAME, BACKOFF, 0),
        {"state": ProcessState.STOPPED, "invocation": 4, "last_exit": KILLED},
        4,
        {"MESSAGE": "all:web: BACKOFF -> STOPPED", "PRIORITY": 6},
    ),
    "exited too quickly": (
        ProcessBackoff(NAME, STARTING, 1),
        {"state": BACKOFF, "invocation": 4, "last_exit": FAILED, "reason": "retry"},
        4,
        {
            "MESSAGE": "all:web: STARTING -> BACKOFF: retry",
            "PRIORITY": 4,
            "OBJECT_PID": 7,
            "SDSUPER_REASON": "retry",
            "SDSUPER_EXIT_CODE": 3,
        },
    ),
    "not spawned": (
        ProcessBackoff(NAME, STARTING, 2),
        {"state": BACKOFF, "invocation": 5, "last_exit": FAILED, "reason": "retry"},
        5,
        {
            "MESSAGE": "all:web: STARTING -> BACKOFF: retry",
            "PRIORITY": 4,
            "SDSUPER_REASON": "retry",
        },
    ),
    "given up": (
        ProcessFatal(NAME, BACKOFF),
        {"state": ProcessState.FATAL, "invocation": 5, "reason": "enough"},
        5,
        {
            "MESSAGE": "all:web: BACKOFF -> FATAL: enough",
            "PRIORITY": 3,
            "SDSUPER_REASON": "enough",
        },
    ),
    "unknown": (
        ProcessUnknown(NAME, STOPPING),
        {"state": ProcessState.UNKNOWN, "pid": 8, "invocation": 5, "trouble": "not permitted"},
        5,
        {
            "MESSAGE": "all:web: STOPPING -> UNKNOWN: not permitted",
            "PRIORITY": 3,
            "OBJECT_PID": 8,
            "SDSUPER_REASON": "not permitted",
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_change_tells(case: str) -> None:
    event, values, invocation, expected = CASES[case]
    assert isinstance(event, ProcessStateChange)
    config = process_config("web", "all")
    change = StateChange(event, Process(name=NAME, config=config, **values))
    fields = dict(change.fields())
    state = event.eventname.removeprefix("PROCESS_STATE_")
    assert change.invocation == invocation
    assert fields == {
        "MESSAGE_ID": MESSAGES[ProcessState[state]].id,
        "SDSUPER_PROGRAM": config.program,
        "SDSUPER_GROUP": "all",
        "SDSUPER_PROCESS": "web",
        "SDSUPER_STATE": state,
        "SDSUPER_FROM_STATE": event.from_state.name,
        **expected,
    }


# --- the log ------------------------------------------------------------------------------------


def test_a_message_has_its_priority(
    address: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/sdsuperd"])
    journald = Journald(address).bind()
    log = OwnLog(
        level=Level.BLATHER,
        path=None,
        maxbytes=0,
        backups=0,
        echo=False,
        syslog=False,
        journal=OwnJournal(journal),
    )
    for level in reversed(Level):
        log.log(level, f"{level.name}\nmore")
    log.level = Level.ERROR
    log.log(Level.WARN, "no")
    entries = [dict(entry) for entry in journald.taken()]
    assert [entry["PRIORITY"] for entry in entries] == [b"2", b"3", b"4", b"6", b"7", b"7", b"7"]
    assert entries[0] == {
        "SYSLOG_IDENTIFIER": b"sdsuperd",
        "SYSLOG_PID": str(os.getpid()).encode(),
        "MESSAGE": b"CRITICAL\nmore",
        "PRIORITY": b"2",
    }
    journald.close()


def test_what_is_not_taken_waits_and_drops_are_told(
    address: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownjournal, "WAITING_MAX_BYTES", 500)
    own = OwnJournal(journal)
    for number in range(100):
        own.log(Level.INFO, f"{number}")
    assert not journal.flush()
    journald = Journald(address).bind()
    assert journal.flush()
    assert journal.waiting == 0
    *kept, told = [dict(entry)["MESSAGE"] for entry in journald.taken()]
    assert kept == [b"%d" % number for number in range(len(kept))]
    assert own.dropped == 100 - len(kept)
    assert told == b"%d messages for the journal were dropped" % own.dropped
    journald.close()


def test_whether_systemd_started_us() -> None:
    found = os.fstat(2)
    assert is_on_stderr({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
    assert not is_on_stderr({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
    assert not is_on_stderr({"JOURNAL_STREAM": "nonsense"})
    assert not is_on_stderr({})


def test_the_page_has_every_id() -> None:
    page = (Path(__file__).parents[3] / "docs" / "journal.md").read_text(encoding="utf-8")
    for state, (message_id, priority) in MESSAGES.items():
        assert f"| {state.name} | `{message_id}` | {priority}" in page
