"""What is shown of processes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sdsuper.core.notice import Told
from sdsuper.core.process import ExitRecord, Process
from sdsuper.core.states import ManagerState, ProcessState
from sdsuper.daemon.usage import Usage
from sdsuper.server.page.view import (
    BY_URGENCY,
    OPEN_ROWS_MAX,
    TONES,
    Filter,
    Overview,
    Section,
    count,
    duration,
    last_end,
    narrowed,
    row_of,
    sections,
    size,
)
from sdsuper.values import ExitStatus, Instant, Namespec
from tests.unit.server.calls import program

NOON = Instant(1000.0, 1_700_000_000.0)


def process(name: str = "web", group: str = "", **values: Any) -> Process:
    return Process(name=Namespec(group or name, name), config=program(name, group), **values)


def ended(status: ExitStatus, *, expected: bool = False, invocation: int = 1) -> ExitRecord:
    return ExitRecord(7, status, NOON, expected, invocation)


def test_every_state_has_its_look_and_its_place() -> None:
    assert set(TONES) == set(BY_URGENCY) == set(ProcessState)


def test_a_process_that_runs() -> None:
    running = process(
        state=ProcessState.RUNNING, pid=7, started=NOON, restarts=2, told=Told(status="12 jobs")
    )
    row = row_of(running, Usage(memory=5 * 1024 * 1024, cpu=12.34))
    assert (row.spec, row.tone, row.since, row.pid) == ("web", "ok", 1000.0, 7)
    assert (row.restarts, row.cpu, row.memory, row.note) == (2, "12.3 %", "5.0 MiB", "12 jobs")
    assert row_of(running, Usage(0, None)).cpu == ""
    assert row_of(running, None).memory == ""


def test_a_process_that_never_ran() -> None:
    row = row_of(process(group="g"), None)
    assert (row.spec, row.tone, row.since, row.note, row.end) == ("g:web", "off", None, "", "")


def test_what_a_dead_child_said_is_not_shown_as_of_now() -> None:
    assert row_of(process(told=Told(status="12 jobs")), None).note == ""


@pytest.mark.parametrize(("expected", "tone"), [(True, "off"), (False, "warn")])
def test_an_exit_is_trouble_where_it_was_not_expected(expected: bool, tone: str) -> None:
    record = ended(ExitStatus(0), expected=expected)
    assert row_of(process(state=ProcessState.EXITED, last_exit=record), None).tone == tone


def test_a_start_that_waits_says_for_what() -> None:
    held = process(state=ProcessState.STARTING, residue=1)
    assert row_of(held, None).note == "waits for the end of what it left behind"


def test_why_nothing_is_known_is_shown() -> None:
    unknown = process(state=ProcessState.UNKNOWN, pid=7, trouble="not permitted")
    assert row_of(unknown, None).note == "not permitted"


REASON = "exit status 3, not expected (autorestart=unexpected)"
EXIT_3 = ended(ExitStatus(3))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, ""),
        ({"last_exit": EXIT_3, "reason": REASON, "state": ProcessState.RUNNING}, REASON),
        # Stopped by request after all: the reason is of an earlier end.
        ({"last_exit": ended(ExitStatus(None, 15)), "reason": REASON}, "terminated by SIGTERM"),
        (
            {
                "last_exit": EXIT_3,
                "reason": "Exited too quickly; 4 attempts failed",
                "state": ProcessState.FATAL,
                "invocation": 1,
            },
            "exit status 3: Exited too quickly; 4 attempts failed",
        ),
        # The latest attempt never had a child: the exit is of another.
        (
            {
                "last_exit": EXIT_3,
                "reason": "can't find command; 1 attempt failed",
                "state": ProcessState.FATAL,
                "invocation": 2,
            },
            "can't find command; 1 attempt failed",
        ),
        ({"spawnerr": "no room", "state": ProcessState.BACKOFF}, "no room"),
        ({"spawnerr": "no room"}, ""),
    ],
)
def test_the_last_end(values: dict[str, Any], told: str) -> None:
    shown = last_end(process(**values))
    assert shown == told or (told and shown.endswith(f": {told}"))


def _row(spec: str, state: ProcessState = ProcessState.RUNNING) -> Any:
    group, _, name = spec.rpartition(":")
    return row_of(process(name, group, state=state), None)


def test_groups_and_programs_that_are_their_own_group() -> None:
    rows = [_row("z"), _row("g:b"), _row("g:a"), _row("a"), _row("one:other")]
    found = [(section.key, [row.spec for row in section.rows]) for section in sections(rows)]
    assert found == [("", ["a", "z"]), ("g", ["g:a", "g:b"]), ("one", ["one:other"])]
    assert [section.key for section in sections([_row("g:a"), _row("g:g")])] == ["g"]
    assert sections([]) == ()


def test_what_is_urgent_is_counted_first() -> None:
    rows = [_row("a"), _row("b", ProcessState.FATAL), _row("c")]
    assert count(rows) == ((ProcessState.FATAL, 1), (ProcessState.RUNNING, 2))


def test_a_filter() -> None:
    whole = sections([_row("Web"), _row("g:web2", ProcessState.FATAL), _row("g:db")])
    named = narrowed(whole, Filter("WEB"))
    assert [row.spec for section in named for row in section.rows] == ["Web", "g:web2"]
    assert [section.key for section in narrowed(whole, Filter("", "fatal"))] == ["g"]
    assert narrowed(whole, Filter("nothing")) == ()
    assert narrowed(whole, Filter()) == whole


def _overview(rows: list[Any], wanted: Filter = Filter()) -> Overview:  # noqa: B008 - frozen
    shown = narrowed(sections(rows), wanted)
    return Overview(
        "supervisor", "host", "1", ManagerState.RUNNING, 0.0, shown, count(rows), "", "t", wanted
    )


def test_many_programs_are_folded_where_all_is_well() -> None:
    few = [_row(f"g:{number}") for number in range(OPEN_ROWS_MAX)]
    assert [_overview(few).is_open(each) for each in _overview(few).shown] == [True]
    many = [*few, _row("bad:x", ProcessState.FATAL)]
    page = _overview(many)
    assert {each.key: page.is_open(each) for each in page.shown} == {"g": False, "bad": True}
    filtered = _overview(many, Filter("g:1"))
    assert all(filtered.is_open(each) for each in filtered.shown)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (3600, "1h 00m"),
        (86400 * 3 + 7200, "3d 2h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (15 * 1024, "15 KiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_sizes(amount: int, text: str) -> None:
    assert size(amount) == text


def test_a_row_is_a_value_that_tells_changes() -> None:
    before = process(state=ProcessState.RUNNING, pid=7, started=NOON)
    # What is not shown makes no other row.
    assert row_of(before, None) == row_of(replace(before, deadline=5.0), None)
    assert Section("", (row_of(before, None),)).is_quiet
