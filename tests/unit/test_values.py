from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper import values
from sdsuper.values import Level

PARSE_FORMAT: dict[
    str, tuple[Callable[[str], Any], Callable[[Any], str], st.SearchStrategy[Any]]
] = {
    "integer": (values.parse_integer, values.format_integer, st.integers()),
    "seconds": (values.parse_seconds, values.format_seconds, st.integers()),
    "timespan": (values.parse_timespan, values.format_timespan, st.integers(0, 3 * 10**9)),
    "bytes": (values.parse_bytes, values.format_bytes, st.integers(0, 2**50)),
    "octal": (values.parse_octal, values.format_octal, st.integers(-0o777, 0o7777)),
    "boolean": (values.parse_boolean, values.format_boolean, st.booleans()),
    "level": (values.parse_level, values.format_level, st.sampled_from(Level)),
    "signal": (
        values.parse_signal,
        values.format_signal,
        st.sampled_from([0, *map(int, signal.valid_signals())]),
    ),
    "exit codes": (
        values.parse_exit_codes,
        values.format_exit_codes,
        st.lists(st.integers(0, 255)).map(tuple),
    ),
}


@pytest.mark.parametrize("name", PARSE_FORMAT)
def test_what_is_written_reads_back(name: str) -> None:
    parse, write, strategy = PARSE_FORMAT[name]

    @given(strategy)
    def check(value: Any) -> None:
        assert parse(write(value)) == value

    check()


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.parse_integer, " +1_000 ", 1000),
        (values.parse_timespan, "30", 30),
        (values.parse_timespan, " 30 s ", 30),
        (values.parse_timespan, "1h30min", 5400),
        (values.parse_timespan, "1D 2M 3sec", 86400 + 123),
        (values.parse_timespan, "0", 0),
        (values.parse_bytes, "1024", 1024),
        (values.parse_bytes, "1KB", 1024),
        (values.parse_bytes, "1 kb", 1024),
        (values.parse_bytes, "50mB", 50 * 1024**2),
        (values.parse_bytes, "2GB", 2 * 1024**3),
        (values.parse_octal, "22", 0o22),
        (values.parse_octal, "022", 0o22),
        (values.parse_octal, "0o22", 0o22),
        (values.parse_boolean, "YES", True),
        (values.parse_boolean, "on", True),
        (values.parse_boolean, "0", False),
        (values.parse_boolean, "Off", False),
        (values.parse_level, "WARN", Level.WARN),
        (values.parse_level, "blather", Level.BLATHER),
        (values.parse_signal, "term", signal.SIGTERM),
        (values.parse_signal, "SIGHUP", signal.SIGHUP),
        (values.parse_signal, " 9 ", 9),
        (values.parse_signal, "0", 0),
        (values.parse_signal, "RTMIN+2", int(signal.SIGRTMIN) + 2),
        (values.parse_signal, "sigrtmax-1", int(signal.SIGRTMAX) - 1),
        (values.parse_exit_codes, "", ()),
        (values.parse_exit_codes, "0, 2", (0, 2)),
    ],
)
def test_reads(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (values.parse_integer, "1.5", "invalid literal for int() with base 10: '1.5'"),
        (values.parse_timespan, "", "not a valid span of time: ''"),
        (values.parse_timespan, "s", "not a valid span of time: 's'"),
        (values.parse_timespan, "1 2", "not a valid span of time: '1 2'"),
        (values.parse_timespan, "-1s", "not a valid span of time: '-1s'"),
        (values.parse_timespan, "1.5s", "not a valid span of time: '1.5s'"),
        (values.parse_timespan, "5 weeks", "not a valid span of time: '5 weeks'"),
        (values.parse_timespan, "1s?", "not a valid span of time: '1s?'"),
        (values.parse_timespan, "9" * 18, f"span of time is too long: '{'9' * 18}'"),
        (values.parse_seconds, "soon", "invalid literal for int() with base 10: 'soon'"),
        (values.parse_bytes, "1K", "invalid literal for int() with base 10: '1k'"),
        (values.parse_bytes, "xMB", "invalid literal for int() with base 10: 'x'"),
        (values.parse_octal, "9", "9 can not be converted to an octal type"),
        (values.parse_octal, "", " can not be converted to an octal type"),
        (values.parse_boolean, "", "not a valid boolean value: ''"),
        (values.parse_boolean, "yep", "not a valid boolean value: 'yep'"),
        (values.parse_level, "warning", "bad logging level name 'warning'"),
        (values.parse_signal, "FOO", "value 'FOO' is not a valid signal name"),
        (values.parse_signal, "", "value '' is not a valid signal name"),
        (values.parse_signal, "RTMIN+99", "value 'RTMIN+99' is not a valid signal name"),
        (values.parse_signal, "TERM+1", "value 'TERM+1' is not a valid signal name"),
        (values.parse_signal, "65", "value '65' is not a valid signal number"),
        (values.parse_signal, "-1", "value '-1' is not a valid signal number"),
        (values.parse_exit_codes, "256", "not a valid list of exit codes: '256'"),
        (values.parse_exit_codes, "0,,1", "not a valid list of exit codes: '0,,1'"),
        (values.parse_exit_codes, "a", "not a valid list of exit codes: 'a'"),
    ],
)
def test_refuses(parse: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is what counts
        parse(text)
    assert str(caught.value) == message
