"""Priorities, patterns and rates, as they are written."""

from __future__ import annotations

import pytest

from sdsuper.config.journaling import (
    LEVELS,
    JournalFull,
    Rate,
    format_level_pattern,
    format_priority,
    parse_level_pattern,
    parse_priority,
    parse_rate,
)
from sdsuper.config.model import ProcessConfig
from tests.unit.config.conftest import Load, Refuse


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("emerg", 0),
        ("0", 0),
        ("Alert", 1),
        ("crit", 2),
        ("error", 3),
        ("err", 3),
        (" warning ", 4),
        ("notice", 5),
        ("info", 6),
        ("DEBUG", 7),
        ("7", 7),
    ],
)
def test_a_priority(text: str, number: int) -> None:
    assert parse_priority(text) == number
    assert parse_priority(format_priority(number)) == number


@pytest.mark.parametrize("text", ["", "8", "-1", "urgent", "07"])
def test_no_priority(text: str) -> None:
    with pytest.raises(ValueError, match="not a priority"):
        parse_priority(text)


def test_what_programs_call_their_levels() -> None:
    words = "P PANIC EMERG, A ALERT, F FATAL C CRIT CRITICAL, E ERR ERROR, W WARN WARNING, N NOTICE"
    words += ", I INFO, D DEBUG"
    for number, names in enumerate(words.split(", ")):
        for name in (*names.split(), str(number)):
            assert LEVELS[name.lower().encode()] == number


@pytest.mark.parametrize(
    ("text", "rate", "written"),
    [
        ("1000/s", Rate(1000, 1), "1000/1s"),
        ("600/min", Rate(600, 60), "600/1min"),
        ("1000/30s", Rate(1000, 30), "1000/30s"),
        ("1000 / 30", Rate(1000, 30), "1000/30s"),
        ("5/1h 30min", Rate(5, 5400), "5/90min"),
        ("1/d", Rate(1, 86400), "1/1d"),
    ],
)
def test_a_rate(text: str, rate: Rate, written: str) -> None:
    assert parse_rate(text) == rate
    assert str(rate) == written
    assert parse_rate(written) == rate


@pytest.mark.parametrize(
    "text", ["", "1000", "1000/", "/s", "0/s", "-1/s", "5/0s", "5/fortnight", "x/s", "1/2/s"]
)
def test_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        parse_rate(text)


GOOD_PATTERNS = [
    r"^(?P<level>[IWEF])\d{4} ",
    r"level=(?P<level>\w+)",
    r'"level":\s*"(?P<level>\w+)"',
    r"^\S+ \S+ \[(?P<level>[a-z]+)\] ",
    r'^\{"(?:ts|time)":\d+,"l":"(?P<level>\w+)"',
    r"^(?:\d{4}-)+(?P<level>.)",
    r"(?:a{2}){3}(?P<level>.)(?:-\w+)?",
    r"(?i:level)[]=:(*|]+(?P<level>\w+)",
    r"^.*level.*(?P<level>\d)\.*x\.+",
    r"(?P<q>['\"])?(?P<level>\w+)(?P=q)",
]


@pytest.mark.parametrize("text", GOOD_PATTERNS)
def test_a_pattern(text: str) -> None:
    assert format_level_pattern(parse_level_pattern(text)) == text
    assert parse_level_pattern(text) == parse_level_pattern(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the group"),
        (r"level=(\w+)", r"the group \(\?P<level>...\) is missing"),
        (r"(?P<Level>\w+)", "the group"),
        (r"(?P<level>\w+", "not a regular expression: missing \\)"),
        (r"*(?P<level>\w+)", "not a regular expression: nothing to repeat"),
        (r"(?u)(?P<level>\w+)", "not a regular expression: bad inline flags"),
        (r"(?:\w+ )*level=(?P<level>\w+)", "a repeated group must not contain"),
        (r"(\w*)+(?P<level>x)", "a repeated group must not contain"),
        (r"(?:a|a)*(?P<level>x)", "a repeated group must not contain"),
        (r"(?:a?){30}(?P<level>x)", "a repeated group must not contain"),
        (r"(?:(?:a{1,2}))+(?P<level>x)", "a repeated group must not contain"),
        (r"(?P<level>(a|b)c)*", "a repeated group must not contain"),
        (r"^.*a.+b.*(?P<level>x)", "more than 2 of"),
        (r"(?:(?:ab)?)*(?P<level>x)", "a repeated group must not contain"),
    ],
)
def test_no_pattern(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_level_pattern(text)


def process(read: Load, lines: str) -> ProcessConfig:
    return read(f"[program:x]\ncommand=x\n{lines}\n").groups[0].processes[0]


def test_by_default_all_is_as_systemd_does_it(read: Load) -> None:
    found = process(read, "")
    assert (found.stdout.priority, found.stderr.priority) == (6, 6)
    assert found.stdout.journal_full is JournalFull.DROP
    assert (found.priority_pattern, found.log_rate) == (None, None)


def test_a_file_says_it(read: Load) -> None:
    found = process(
        read,
        "stderr_priority=err\nstdout_journal_full=wait\nlog_rate=10/s\n"
        'priority_pattern="level":"(?P<level>\\w+)" 100%% ; a comment',
    )
    assert (found.stdout.priority, found.stderr.priority) == (6, 3)
    assert found.stdout.journal_full is JournalFull.WAIT
    assert found.stderr.journal_full is JournalFull.DROP
    assert found.log_rate == Rate(10, 1)
    assert found.priority_pattern is not None
    assert found.priority_pattern.pattern == rb'"level":"(?P<level>\w+)" 100%'


def test_a_bad_pattern_is_told_with_its_place(refuse: Refuse) -> None:
    error = refuse("[program:x]\ncommand=x\n\npriority_pattern=(?P<level>\n")
    [problem] = error.problems
    assert (problem.line, problem.section, problem.option) == (4, "program:x", "priority_pattern")
    assert "not a regular expression" in str(problem)
