"""How many lines the journal gets, and what it is told of the others."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.model import ChannelConfig, Rate
from sdsuper.logs.journal import Journal
from sdsuper.logs.origin import Origin
from sdsuper.logs.rate import SUPPRESSED_ID, LineFilter, LogRate, Window
from sdsuper.logs.sinks.journal import JournalSink
from tests.journald import parse


def test_a_window_begins_with_a_line_and_admits_so_many() -> None:
    window = Window(Rate(2, 10))
    assert [window.admit(at) for at in (5.0, 14.0, 14.9)] == [True, True, False]
    assert window.ends == 15.0
    assert [window.admit(at) for at in (15.0, 16.0, 24.9, 30.0)] == [True, True, False, True]
    assert window.suppressed == 2


@given(
    st.lists(st.floats(0, 3), max_size=60),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_no_window_admits_more_and_every_line_is_counted(
    pauses: list[float], lines: int, seconds: int
) -> None:
    window = Window(Rate(lines, seconds))
    admitted: dict[float, int] = {}
    refused = 0
    for now in itertools.accumulate(pauses):
        if window.admit(now):
            admitted[window.ends] = admitted.get(window.ends, 0) + 1
        else:
            refused += 1
            assert admitted[window.ends] == lines
    assert all(count <= lines for count in admitted.values())
    assert window.suppressed == refused
    assert sum(admitted.values()) + refused == len(pauses)


def first(count: int) -> Callable[[], bool]:
    asked = itertools.count()
    return lambda: next(asked) < count


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\n", b"long"]), max_size=30),
    st.lists(st.integers(0, 60), max_size=8),
    st.integers(0, 6),
)
def test_whole_lines_pass_however_they_are_cut(
    parts: list[bytes], cuts: list[int], count: int
) -> None:
    stream = b"".join(parts)
    edges = sorted({min(edge, len(stream)) for edge in cuts} | {0, len(stream)})
    made = LineFilter(first(count))
    passed = b"".join(made.feed(stream[a:b]) for a, b in itertools.pairwise(edges))
    lines = [line for line in stream.split(b"\n") if line]
    assert [line for line in passed.split(b"\n") if line] == lines[:count]


def test_a_stream_that_ends_within_a_refused_line_refuses_no_more() -> None:
    made = LineFilter(first(1))
    assert made.feed(b"one\ntw") == b"one\n"
    made.flush()
    assert made.feed(b"\n") == b"\n"


class Recorder(Journal):
    """Takes entries while `takes`, and keeps what it was to be reminded of."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.takes = True
        self.entries: list[dict[str, bytes]] = []
        self.reminders: list[tuple[float, Callable[[], None]]] = []
        self.on_reminder = lambda when, callback: self.reminders.append((when, callback))

    def _connect(self) -> socket.socket:
        raise ConnectionRefusedError

    def send(self, entry: bytes) -> bool:
        if self.takes:
            self.entries.append(dict(parse(entry)))
        return self.takes

    def told(self) -> list[bytes]:
        return [entry["MESSAGE"] for entry in self.entries]


class Bench:
    """Both channels of one process, whose rate is 2 lines in 10 seconds, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.journal = Recorder()
        shared = Origin("web_0", group="all", program="web")
        self.rate = LogRate(Rate(2, 10), shared, self.journal, lambda: self.now)
        self.out, self.err = (
            JournalSink(
                Origin("web_0", channel, "all", "web", 77, "ab-1"),
                ChannelConfig(),
                rate=self.rate,
                journal=self.journal,
            )
            for channel in ("stdout", "stderr")
        )


def test_both_channels_share_a_rate() -> None:
    bench = Bench()
    bench.out.write(b"1\n")
    bench.err.write(b"2\n3\n")
    bench.out.write(b"4\n")
    assert bench.journal.told() == [b"1", b"2"]


def test_what_was_suppressed_is_told_with_the_next_line() -> None:
    bench = Bench()
    bench.out.write(b"1\n2\n3\n4\n5\n")
    bench.now += 10
    bench.out.write(b"6\n")
    told = b"Suppressed 3 messages of web_0 (log_rate=2/10s)"
    assert bench.journal.told() == [b"1", b"2", told, b"6"]
    assert bench.journal.entries[2] == {
        "MESSAGE": told,
        "MESSAGE_ID": SUPPRESSED_ID.encode(),
        "PRIORITY": b"4",
        "N_DROPPED": b"3",
        "SYSLOG_IDENTIFIER": b"web_0",
        "SYSLOG_PID": b"77",
        "SDSUPER_PROGRAM": b"web",
        "SDSUPER_GROUP": b"all",
        "SDSUPER_PROCESS": b"web_0",
        "SDSUPER_INVOCATION": b"ab-1",
    }


def test_it_is_told_when_the_interval_is_over_though_no_line_follows() -> None:
    bench = Bench()
    bench.out.write(b"1\n2\n3\n4\n")
    [(when, tell)] = bench.journal.reminders
    assert when == 110.0
    bench.now = when
    tell()
    assert bench.journal.told()[2:] == [b"Suppressed 2 messages of web_0 (log_rate=2/10s)"]
    bench.out.write(b"5\n")
    assert bench.journal.told()[3:] == [b"5"]


def test_it_is_told_when_the_output_ends() -> None:
    bench = Bench()
    bench.out.write(b"1\n2\n3")
    bench.out.flush()
    assert bench.journal.told()[2:] == [b"Suppressed 1 messages of web_0 (log_rate=2/10s)"]
    [(_, tell)] = bench.journal.reminders
    tell()
    assert len(bench.journal.entries) == 3


def test_nobody_is_woken_up_where_nothing_is_suppressed() -> None:
    bench = Bench()
    for _ in range(5):
        bench.out.write(b"1\n\n\n2\n")
        bench.now += 10
    bench.out.flush()
    assert bench.journal.reminders == []
    assert bench.journal.told() == [b"1", b"2"] * 5


def test_a_journal_that_is_stuck_is_told_later_and_once() -> None:
    bench = Bench()
    bench.out.write(b"1\n2\n3\n")
    bench.journal.takes = False
    bench.out.flush()
    bench.out.write(b"4\n")
    bench.out.flush()
    bench.journal.takes = True
    assert bench.journal.flush()
    assert bench.journal.told()[2:] == [b"Suppressed 2 messages of web_0 (log_rate=2/10s)"]
    assert bench.journal.idle


def test_another_rate_cuts_no_line() -> None:
    bench = Bench()
    fresh = LogRate(Rate(1, 10), Origin("web_0"), bench.journal, lambda: bench.now)
    bench.out.write(b"1\n2\n3, refu")
    bench.out.reconfigure(ChannelConfig(), None, None)  # all may pass from the next line on
    bench.out.write(b"sed\n4\n5, beg")
    bench.out.reconfigure(ChannelConfig(), None, fresh)
    bench.out.write(b"un\n6\n7\n")
    bench.out.reconfigure(ChannelConfig(), None, None)
    bench.out.write(b"8\n")
    assert bench.journal.told() == [b"1", b"2", b"4", b"5, begun", b"6", b"8"]
