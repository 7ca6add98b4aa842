"""Offsets and lengths over entries: a list of texts that plays the journal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.logs.journal_window import FAR, FIRST_LOOK_BYTES, follow, read, tail
from sdsuper.logs.readback import READ_MAX_BYTES, Answer, Mark, Query
from sdsuper.logs.tail import WindowError, read_window, tail_window


class Entries:
    """A source whose cursors are numbers; old entries may go (`vacuum`), new ones come."""

    def __init__(self, *texts: bytes) -> None:
        self.origin = ""
        self.texts = list(texts)
        self.gone = 0
        self._at = 0
        self.looked_at = 0

    @property
    def data(self) -> bytes:
        return b"".join(self.texts[self.gone :])

    def _yield(self, index: int) -> bytes:
        self._at = index
        self.looked_at += 1
        return self.texts[index]

    def _from(self, index: int) -> Iterator[bytes]:
        while index < len(self.texts):
            yield self._yield(index)
            index += 1

    def oldest(self) -> Iterator[bytes]:
        self._at = self.gone - 1
        yield from self._from(self.gone)

    def newest(self) -> Iterator[bytes]:
        for index in reversed(range(self.gone, len(self.texts))):
            yield self._yield(index)

    def after(self, cursor: str) -> Iterator[bytes]:
        self._at = int(cursor)
        yield from self._from(max(int(cursor) + 1, self.gone))

    def before(self, cursor: str) -> Iterator[bytes]:
        for index in reversed(range(self.gone, int(cursor) + 1)):
            yield self._yield(index)

    def more(self) -> Iterator[bytes]:
        yield from self._from(self._at + 1)

    def cursor(self) -> str:
        return str(self._at)


def query(offset: int = 0, length: int = 0, mark: Mark | None = None) -> Query:
    return Query("read", "p", "g", "stdout", offset, length, mark)


class Client:
    """Asks again and again; the marks are kept for it, as the daemon does."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self.mark: Mark | None = None

    def _kept(self, answer: Answer) -> Answer:
        self.mark = answer.mark or self.mark
        return answer

    def read(self, offset: int, length: int) -> bytes:
        return self._kept(read(self._entries, query(offset, length, self.mark))).data

    def tail(self, offset: int, length: int) -> tuple[bytes, int, bool]:
        answer = self._kept(tail(self._entries, query(offset, length, self.mark)))
        return answer.data, answer.number, answer.overflow


TEXTS = st.lists(st.binary(min_size=1, max_size=5), max_size=8)
NUMBERS = st.integers(-3, 50)


def file_read(data: bytes, offset: int, length: int) -> bytes:
    start, size = read_window(len(data), offset, length)
    return data[start : start + size]


def file_tail(data: bytes, offset: int, length: int) -> tuple[bytes, int, bool]:
    window, overflow = tail_window(len(data), offset, length)
    return data[window.start : window.start + window.length], len(data), overflow


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), TEXTS),
        st.tuples(st.sampled_from(["read", "tail"]), st.tuples(NUMBERS, st.integers(0, 50))),
    ),
    max_size=12,
)


@given(TEXTS, STEPS)
def test_near_the_beginning_all_is_as_in_a_file(
    texts: list[bytes], steps: list[tuple[str, tuple[int, int]]]
) -> None:
    entries = Entries(*texts)
    client = Client(entries)
    for what, arguments in steps:
        if what == "write":
            entries.texts += arguments  # type: ignore[arg-type]
        elif what == "tail":
            offset, length = max(arguments[0], 0), arguments[1]
            assert client.tail(offset, length) == file_tail(entries.data, offset, length)
        else:
            offset, length = arguments
            length = 0 if offset < 0 else length
            assert client.read(offset, length) == file_read(entries.data, offset, length)


def test_offset_and_length_that_make_no_sense() -> None:
    for offset, length in ((0, -1), (-1, 1)):
        with pytest.raises(WindowError):
            read(Entries(b"a"), query(offset, length))


LINE = b"0123456789abcdef" * 64
MANY = FIRST_LOOK_BYTES // len(LINE) * 4


def test_the_end_is_found_without_a_look_at_the_rest() -> None:
    entries = Entries(*[LINE] * MANY)
    client = Client(entries)
    assert client.read(-100, 0) == LINE[-100:]
    assert entries.looked_at == 1
    data, number, overflow = client.tail(0, 100)
    assert (data, overflow) == (LINE[-100:], True)
    assert number > FAR
    assert entries.looked_at <= 2 + FIRST_LOOK_BYTES // len(LINE)
    entries.looked_at = 0
    entries.texts.append(b"new\n")
    assert client.tail(number, 100) == ((LINE + b"new\n")[-100:], number + 4, False)
    assert entries.looked_at <= 2


@given(st.lists(TEXTS, max_size=6), st.booleans(), st.integers(1, 60))
def test_numbers_grow_by_what_was_written(
    batches: list[list[bytes]], far: bool, length: int
) -> None:
    entries = Entries(*([LINE] * MANY if far else []))
    client = Client(entries)
    _, number, _ = client.tail(0, length)
    for batch in batches:
        entries.texts += batch
        written = b"".join(batch)
        data, following, overflow = client.tail(number, length)
        assert following == number + len(written)
        assert overflow is (len(written) > length)
        if written and not overflow:
            assert data.endswith(written)
            assert client.read(number, 0) == written
        number = following


def test_far_away_small_offsets_count_from_the_oldest() -> None:
    lines = [b"%06d\n" % number for number in range(FIRST_LOOK_BYTES // 7 * 2)]
    entries = Entries(*lines)
    client = Client(entries)
    _, number, _ = client.tail(0, 7)
    assert client.read(0, 7) == lines[0]
    assert client.read(70, 7) == lines[10]
    assert client.read(number - 7, 0) == lines[-1]
    assert client.read(number - 10, 5) == b"".join(lines)[-10:-5]
    assert client.tail(number, 7) == (b"", number, False)


def test_what_is_gone_is_left_out() -> None:
    entries = Entries(b"one\n", b"two\n", b"three\n")
    client = Client(entries)
    assert client.tail(0, 100) == (b"one\ntwo\nthree\n", 14, False)
    entries.gone = 2
    assert client.read(0, 0) == b"three\n"
    assert client.read(4, 3) == b"thr"  # the first that is left
    assert client.read(10, 0) == b"ree\n"
    entries.texts.append(b"four\n")
    entries.gone = 4
    entries.texts.append(b"five\n")
    assert client.tail(14, 100) == (b"five\n", 19, False)


def test_a_clearing_is_a_new_beginning() -> None:
    entries = Entries(b"one\n", b"two\n")
    client = Client(entries)
    assert client.tail(0, 100)[1] == 8
    entries.gone, entries.origin = 2, "cleared"
    assert client.tail(8, 100) == (b"", 0, False)
    entries.texts.append(b"new\n")
    assert client.read(0, 0) == b"new\n"
    assert client.tail(0, 100) == (b"new\n", 4, False)


def test_more_than_is_worth_counting_is_jumped_over() -> None:
    entries = Entries(b"one\n")
    client = Client(entries)
    assert client.tail(0, 10) == (b"one\n", 4, False)
    block = b"x" * (1024 * 1024 - 1) + b"\n"
    entries.texts += [block] * (READ_MAX_BYTES // len(block) + 10)
    data, number, overflow = client.tail(4, 10)
    assert (data, overflow) == (block[-10:], True)
    assert number > FAR
    entries.texts.append(b"new\n")
    assert client.tail(number, 10)[1:] == (number + 4, False)
    assert client.read(number, 0) == b"new\n"


def test_a_number_of_a_former_daemon_is_gone_on_from() -> None:
    entries = Entries(*[LINE] * MANY)
    _, number, _ = Client(entries).tail(0, 10)
    data, later, overflow = Client(entries).tail(number, 10)
    assert (data, overflow) == (LINE[-10:], True)
    assert later > number
    assert Client(entries).read(number, 0) == b""


def test_one_call_reads_so_much_and_no_more() -> None:
    block = b"x" * (1024 * 1024)
    entries = Entries(*[block] * 40)
    client = Client(entries)
    assert len(client.read(0, 0)) == READ_MAX_BYTES
    assert len(client.read(READ_MAX_BYTES, 2 * READ_MAX_BYTES)) == READ_MAX_BYTES
    assert len(client.read(-2 * READ_MAX_BYTES, 0)) == READ_MAX_BYTES


def test_following_gives_the_end_and_what_comes() -> None:
    entries = Entries(*[b"%07d\n" % number for number in range(200)])
    parts = follow(entries)
    assert next(parts) == entries.data[-1024:]
    assert next(parts) == b""
    entries.texts += [b"a\n", b"b\n"]
    assert list(itertools.islice(parts, 2)) == [b"a\nb\n", b""]
    entries.gone = len(entries.texts)
    assert next(parts) == b""
    entries.texts.append(b"c\n")
    assert next(parts) == b"c\n"


def test_following_from_nothing() -> None:
    entries = Entries()
    parts = follow(entries)
    assert list(itertools.islice(parts, 2)) == [b"", b""]
    entries.texts.append(b"first\n")
    assert next(parts) == b"first\n"
