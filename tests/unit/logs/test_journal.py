"""The journal sink, before a socket that plays journald."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.journaling import parse_level_pattern
from sdsuper.config.model import ChannelConfig, JournalFull
from sdsuper.logs import journal as journal_module
from sdsuper.logs.journal import FIELD_MAX_BYTES, Journal, field, fields
from sdsuper.logs.origin import Origin
from sdsuper.logs.sinks import NOTHING_SHARED, SINKS
from sdsuper.logs.sinks import journal as sink_module
from sdsuper.logs.sinks.journal import JournalSink
from tests.journald import Journald, parse


@pytest.fixture
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder:
        yield f"{folder}/journal"


@pytest.fixture
def journald(address: str) -> Iterator[Journald]:
    made = Journald(address).bind()
    yield made
    made.close()


@pytest.fixture
def journal(address: str) -> Iterator[Journal]:
    made = Journal(address)
    yield made
    made.close()


@pytest.fixture
def origin() -> Origin:
    return Origin("web_0", "stderr", "all", "web", 77, "ab-1")


@pytest.fixture
def sink(journal: Journal, origin: Origin) -> JournalSink:
    made = JournalSink(origin, ChannelConfig(), journal=journal)
    made.open()
    return made


def lines(journald: Journald) -> list[bytes]:
    journald.take()
    return journald.messages()


# --- the protocol -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"", b"A=\n"),
        (b"x=y", b"A=x=y\n"),
        ("é".encode(), b"A=\xc3\xa9\n"),
        (b"a\nb", b"A\n\x03\0\0\0\0\0\0\0a\nb\n"),
        (b"\n", b"A\n\x01\0\0\0\0\0\0\0\n\n"),
        (b"\xff", b"A\n\x01\0\0\0\0\0\0\0\xff\n"),
    ],
)
def test_a_field(value: bytes, sent: bytes) -> None:
    assert field(b"A", value) == sent
    assert parse(sent) == [("A", value)]


names = st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True)


@given(st.lists(st.tuples(names, st.binary() | st.text().map(str.encode))))
def test_any_entry_comes_back(entry: list[tuple[str, bytes]]) -> None:
    assert parse(b"".join(field(name.encode(), value) for name, value in entry)) == entry


@given(st.lists(st.tuples(names, st.text(st.characters(exclude_categories=())))))
def test_any_text_can_be_sent(pairs: list[tuple[str, str]]) -> None:
    assert [name for name, _ in parse(fields(pairs))] == [name for name, _ in pairs]


# --- lines --------------------------------------------------------------------------------------


def test_a_line_is_an_entry(journald: Journald, sink: JournalSink) -> None:
    assert sink.write(b"hello\nwor") is None
    assert sink.write(memoryview(b"ld\n")) is None
    first, second = journald.taken()
    assert first == [
        ("SYSLOG_IDENTIFIER", b"web_0"),
        ("SYSLOG_PID", b"77"),
        ("SDSUPER_PROGRAM", b"web"),
        ("SDSUPER_GROUP", b"all"),
        ("SDSUPER_PROCESS", b"web_0"),
        ("SDSUPER_STREAM", b"stderr"),
        ("SDSUPER_INVOCATION", b"ab-1"),
        ("PRIORITY", b"6"),
        ("MESSAGE", b"hello"),
    ]
    assert dict(second)["MESSAGE"] == b"world"


@pytest.mark.parametrize(
    ("line", "priority", "message"),
    [
        (b"plain", b"6", b"plain"),
        (b"<3>bad", b"3", b"bad"),
        (b"<0>", None, None),
        (b"<07> x", b"7", b" x"),
        (b"<004>x", b"4", b"x"),
        (b"<8>x", b"6", b"<8>x"),
        (b"<13>x", b"6", b"<13>x"),
        (b"<0004>x", b"6", b"<0004>x"),
        (b"<>x", b"6", b"<>x"),
        (b" <3>x", b"6", b" <3>x"),
        (b"<3", b"6", b"<3"),
        (b"", None, None),
        (b" ", b"6", b" "),
        (b"raw \xff\x00 bytes\r", b"6", b"raw \xff\x00 bytes\r"),
        (b"A=B", b"6", b"A=B"),
    ],
)
def test_what_a_line_becomes(
    line: bytes,
    priority: bytes | None,
    message: bytes | None,
    journald: Journald,
    sink: JournalSink,
) -> None:
    sink.write(line + b"\n")
    entries = [dict(entry) for entry in journald.taken()]
    expected = [] if message is None else [(priority, message)]
    assert [(entry["PRIORITY"], entry["MESSAGE"]) for entry in entries] == expected


PATTERNS = {
    "klog": r"^(?P<level>[IWEF])\d{4} ",
    "logfmt": r"level=(?P<level>\w+)",
    "json": r'"level":"(?P<level>\w+)"',
    "any": r"(?P<level>x)?",
}


@pytest.mark.parametrize(
    ("pattern", "line", "priority", "message"),
    [
        ("klog", b"I1124 21:00:00.000001       1 server.go:5] up", b"6", None),
        ("klog", b"W1124 21:00:00.000001       1 server.go:5] hm", b"4", None),
        ("klog", b"E1124 21:00:00.000001       1 server.go:5] no", b"3", None),
        ("klog", b"F1124 21:00:00.000001       1 server.go:5] end", b"2", None),
        ("klog", b"Even this has no level", b"5", None),
        ("klog", b"<7>E1124 a prefix wins", b"7", b"E1124 a prefix wins"),
        ("logfmt", b"time=1 level=warn msg=x", b"4", None),
        ("logfmt", b"time=1 level=4 msg=x", b"4", None),
        ("logfmt", b"time=1 level=odd msg=x", b"5", None),
        ("logfmt", b"x" * 500 + b"level=err", b"3", None),
        ("logfmt", b"x" * 512 + b"level=err", b"5", None),
        ("json", b'{"level":"error","ts":"2026"}', b"3", None),
        ("json", b'{"level":"FATAL","msg":"\xff"}', b"2", None),
        ("any", b"the group takes no part", b"5", None),
    ],
)
def test_a_pattern_finds_the_level(
    pattern: str,
    line: bytes,
    priority: bytes,
    message: bytes | None,
    journald: Journald,
    journal: Journal,
    origin: Origin,
) -> None:
    found = parse_level_pattern(PATTERNS[pattern])
    sink = JournalSink(origin, ChannelConfig(priority=5), pattern=found, journal=journal)
    sink.write(line + b"\n")
    [entry] = map(dict, journald.taken())
    assert (entry["PRIORITY"], entry["MESSAGE"]) == (priority, message or line)


def test_a_slow_pattern_is_used_no_more(
    journald: Journald, journal: Journal, origin: Origin
) -> None:
    told: list[str] = []
    journal.on_trouble = told.append
    slow = parse_level_pattern(r"[ab]*a[ab]*b[ab]*(?P<level>[cd])")
    sink = JournalSink(origin, ChannelConfig(), pattern=slow, journal=journal)
    sink.write(b"aabd\naaabw\n")
    assert told == []
    sink.write(b"ab" * 80 + b"\naabd\n")
    assert len(told) == 1
    assert "priority_pattern" in told[0]
    assert [entry["PRIORITY"] for entry in map(dict, journald.taken())] == [b"7", b"6", b"6", b"6"]


def test_other_settings_are_for_the_lines_to_come(
    journald: Journald, journal: Journal, origin: Origin
) -> None:
    sink = JournalSink(origin, ChannelConfig(priority=5), journal=journal)
    pattern = parse_level_pattern(r"\[(?P<level>\w+)\]")
    sink.write(b"[err] one\n[err] tw")
    sink.reconfigure(ChannelConfig(priority=4), pattern, None)
    sink.write(b"o\nthree\n")
    sink.reconfigure(ChannelConfig(), None, None)
    sink.write(b"[err] four\n")
    found = [(entry["MESSAGE"], entry["PRIORITY"]) for entry in map(dict, journald.taken())]
    assert found == [
        (b"[err] one", b"5"),
        (b"[err] two", b"3"),
        (b"three", b"4"),
        (b"[err] four", b"6"),
    ]


def test_a_pattern_that_was_too_slow_stays_out_of_use(
    journald: Journald, journal: Journal, origin: Origin
) -> None:
    slow = parse_level_pattern(r"[ab]*a[ab]*b[ab]*(?P<level>[cd])")
    sink = JournalSink(origin, ChannelConfig(), pattern=slow, journal=journal)
    sink.write(b"ab" * 80 + b"\n")
    sink.reconfigure(ChannelConfig(priority=4), slow, None)
    sink.write(b"aabd\n")
    assert [entry["PRIORITY"] for entry in map(dict, journald.taken())] == [b"6", b"4"]


def test_a_child_waits_for_the_journal_from_now_on(journal: Journal, sink: JournalSink) -> None:
    sink.write(numbers(20_000))
    assert not sink.stalled
    sink.reconfigure(ChannelConfig(journal_full=JournalFull.WAIT), None, None)
    assert sink.stalled


def pieces(journald: Journald) -> list[tuple[int, bytes, bytes | None]]:
    return [
        (len(entry["MESSAGE"]), entry["PRIORITY"], entry.get("SDSUPER_LINE_BREAK"))
        for entry in map(dict, journald.taken())
    ]


def test_long_lines_are_split_and_keep_their_priority(
    journald: Journald, sink: JournalSink
) -> None:
    sink.write(b"<4>" + b"x" * (2 * FIELD_MAX_BYTES) + b"\nnext\n")
    assert pieces(journald) == [
        (FIELD_MAX_BYTES - 3, b"4", b"line-max"),
        (FIELD_MAX_BYTES, b"4", b"line-max"),
        (3, b"4", None),
        (4, b"6", None),
    ]


def test_a_line_of_just_the_limit_is_whole(journald: Journald, sink: JournalSink) -> None:
    sink.write(b"x" * FIELD_MAX_BYTES)
    assert journald.taken() == []
    sink.write(b"\n")
    assert pieces(journald) == [(FIELD_MAX_BYTES, b"6", None)]


def test_an_unfinished_line_goes_out_at_the_end(journald: Journald, sink: JournalSink) -> None:
    sink.write(b"one")
    assert journald.taken() == []
    assert sink.flush()
    sink.write(b"two")
    sink.close()
    assert pieces(journald) == [(3, b"6", b"eof"), (3, b"6", b"eof")]
    sink.close()
    assert len(journald.taken()) == 2


def test_each_line_has_the_child_that_wrote_it(
    journald: Journald, sink: JournalSink, origin: Origin
) -> None:
    sink.write(b"old\npart")
    origin.pid, origin.invocation = 78, "ab-2"
    sink.write(b"new\n")
    found = [
        (entry["MESSAGE"], entry["SYSLOG_PID"], entry.get("SDSUPER_LINE_BREAK"))
        for entry in map(dict, journald.taken())
    ]
    assert found == [
        (b"old", b"77", None),
        (b"part", b"77", b"pid-change"),
        (b"new", b"78", None),
    ]


@given(
    st.lists(
        st.sampled_from([b"a", b"<3>", b"\n", b"\n", b"xyz" * 9, b"\xff", b"x" * 30_000]),
        max_size=30,
    ),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_it_does_not_matter_how_a_stream_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    whole, cut = Taken(), Taken()
    whole.feed([stream])
    edges = sorted({min(edge, len(stream)) for edge in cuts} | {0, len(stream)})
    cut.feed([stream[a:b] for a, b in itertools.pairwise(edges)])
    assert cut.entries == whole.entries
    text = b"".join(dict(parse(entry))["MESSAGE"] for entry in whole.entries)
    assert len(text) <= len(stream.replace(b"\n", b""))


class Taken(Journal):
    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.entries: list[bytes] = []

    def send(self, entry: bytes) -> bool:
        self.entries.append(entry)
        return True

    def feed(self, chunks: list[bytes]) -> None:
        sink = JournalSink(Origin("p", invocation="1"), ChannelConfig(), journal=self)
        for chunk in chunks:
            sink.write(chunk)
        sink.flush()
        while not self.flush():
            pass
        assert self.waiting == 0


# --- a journal that is slow, stuck, or away -----------------------------------------------------


def numbers(count: int, first: int = 0) -> bytes:
    return b"".join(b"%d\n" % number for number in range(first, first + count))


def read_all(journald: Journald, journal: Journal) -> list[bytes]:
    for _ in range(100_000):
        journald.take()
        if journal.flush():
            break
    assert journal.idle
    return lines(journald)


def test_what_a_full_queue_does_not_take_waits(
    journald: Journald, journal: Journal, sink: JournalSink
) -> None:
    asked: list[int] = []
    journal.on_waiting = lambda: asked.append(1)
    sink.write(numbers(2000))
    sink.write(numbers(2000, 2000))
    assert asked == [1]
    assert journal.fd is not None
    assert journal.responsive
    assert not journal.flush()
    assert read_all(journald, journal) == numbers(4000).split()
    sink.close()
    assert journal.waiting == 0


def test_children_are_slowed_down_by_a_slow_journal_only(
    journald: Journald,
    journal: Journal,
    sink: JournalSink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not sink.stalled
    now = 100.0
    monkeypatch.setattr("sdsuper.logs.journal.time.monotonic", lambda: now)
    sink.write(numbers(10_000))
    assert not sink.stalled
    sink.write(numbers(50_000))
    assert sink.stalled
    now += journal_module.PATIENCE_S
    assert not sink.stalled
    journald.take()
    journal.flush()
    assert sink.stalled
    read_all(journald, journal)
    assert not sink.stalled


def test_children_are_slowed_down_by_a_journal_that_a_successor_has_not_tried(
    address: str, journald: Journald, journal: Journal, sink: JournalSink, origin: Origin
) -> None:
    sink.write(numbers(20_000))
    assert sink.stalled
    successors = Journal(address)
    asked: list[int | None] = []
    successors.on_waiting = lambda: asked.append(successors.fd)
    successor = JournalSink(origin, ChannelConfig(), journal=successors)
    successor.restore(sink.held())
    assert successor.stalled
    assert asked == [successors.fd]
    assert successors.fd is not None
    assert read_all(journald, successors) == numbers(20_000).split()
    assert not successor.stalled
    successors.close()


def test_who_asked_to_wait_is_slowed_down_by_a_journal_that_is_away(
    address: str, journal: Journal, origin: Origin
) -> None:
    config = ChannelConfig(journal_full=JournalFull.WAIT)
    sink = JournalSink(origin, config, journal=journal)
    sink.write(b"x" * (sink_module.STALLED_BYTES - 1000))
    assert not sink.stalled
    sink.write(b"x" * 1000 + b"\n")
    assert not journal.responsive
    assert sink.stalled
    other = JournalSink(origin, ChannelConfig(), journal=journal)
    assert not other.stalled
    journald = Journald(address).bind()
    assert journal.flush()
    assert not sink.stalled
    assert sum(map(len, lines(journald))) == sink_module.STALLED_BYTES
    journald.close()


def test_without_a_journal_lines_wait_for_one(
    address: str, journal: Journal, sink: JournalSink
) -> None:
    asked: list[int] = []
    journal.on_waiting = lambda: asked.append(1)
    sink.write(b"one\ntwo")
    sink.flush()
    assert asked == [1]
    assert journal.fd is None
    assert not sink.stalled
    assert not journal.flush()
    journald = Journald(address).bind()
    assert journal.flush()
    assert lines(journald) == [b"one", b"two"]
    journald.close()


def test_a_restarted_journal_is_found_again(
    address: str, journal: Journal, sink: JournalSink
) -> None:
    first = Journald(address).bind()
    sink.write(b"one\n")
    watched = journal.fd
    assert lines(first) == [b"one"]
    first.close()
    sink.write(b"two\n")
    assert journal.fd is None
    second = Journald(address).bind()
    sink.write(b"three\n")
    assert journal.flush()
    assert journal.fd == watched
    assert lines(second) == [b"two", b"three"]
    second.close()


def test_beyond_the_bound_it_drops_counts_and_goes_on(
    address: str, journal: Journal, sink: JournalSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "WAITING_MAX_BYTES", 4000)
    assert sink.write(b"kept\nto") is None
    trouble = sink.write(b"rn" * 2000 + b"\n")
    assert trouble is not None
    assert trouble.lost == 4001
    assert "No such file" in str(trouble.error)
    journald = Journald(address).bind()
    assert journal.flush()
    assert sink.write(b"again\n") is None
    assert lines(journald) == [b"kept", b"to", b"again"]
    journald.close()


def test_all_together_have_a_bound_too(
    journal: Journal, sink: JournalSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "TOTAL_MAX_BYTES", 2000)
    other = JournalSink(Origin("other", invocation="1"), ChannelConfig(), journal=journal)
    assert other.write(b"x" * 1000) is None
    trouble = sink.write(b"y" * 1500)
    assert trouble is not None
    assert trouble.lost == 1500


def test_queues_take_turns(journald: Journald, journal: Journal, sink: JournalSink) -> None:
    sink.write(numbers(100_000))
    quiet = JournalSink(Origin("quiet", invocation="1"), ChannelConfig(), journal=journal)
    quiet.write(b"hello\n")
    for _ in range(1000):
        journald.take()
        if journald.messages(SYSLOG_IDENTIFIER="quiet"):
            break
        journal.flush()
    assert len(journald.datagrams) < 10_000
    assert journal.waiting > 0


def test_what_is_too_large_for_a_datagram_goes_as_a_file(
    journald: Journald, journal: Journal
) -> None:
    entry = field(b"MESSAGE", b"x" * 20_000_000)
    assert journal.send(field(b"MESSAGE", b"first"))
    assert journal.send(entry)
    journal.close()
    assert journal.send(entry)
    journald.take()
    assert journald.datagrams[1:] == [entry, entry]


def test_finish_waits_for_a_slow_journal(address: str, journal: Journal, sink: JournalSink) -> None:
    assert journal.finish(0) == 0
    with Journald(address) as journald:
        sink.write(numbers(20_000))
        sink.close()
        assert journal.finish(60) == 0
    assert journald.messages() == numbers(20_000).split()


def test_finish_gives_up(journal: Journal, sink: JournalSink, journald: Journald) -> None:
    sink.write(numbers(20_000))
    assert journal.finish(0.01) > 0
    assert journal.waiting > 0


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "path", "targets"),
    [
        (ChannelConfig(journal=True), "/x", ["/x", "the journal"]),
        (ChannelConfig(journal=True), None, ["the journal"]),
        (ChannelConfig(), None, []),
    ],
)
def test_the_settings_choose_it(
    config: ChannelConfig, path: str | None, targets: list[str], origin: Origin
) -> None:
    made = [make(origin, config, path, NOTHING_SHARED) for make in SINKS.values()]
    assert [sink.target for sink in made if sink is not None] == targets
