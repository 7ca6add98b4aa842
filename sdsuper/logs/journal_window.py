"""Offsets and lengths in a journal, which has neither: pure, over entries that somebody finds.

The text of a channel is what a log file would hold. A file knows how long it is; of a journal
that takes reading all of it. So a place is numbered when somebody first asks:

- Where less than FIRST_LOOK_BYTES are there, the numbers are those of a file: 0 is the beginning.
- Else the numbers begin at FAR, which stands for "far from the beginning".

From then on numbers only grow, each by as much as was written, since the entry with the last known
number (the mark) is where the next count begins. Below FAR, where the numbers begin there, an
offset counts from the oldest entry that is left.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from sdsuper.logs.readback import READ_MAX_BYTES, Answer, Mark, Query
from sdsuper.logs.tail import FOLLOW_FIRST_BYTES, read_window, tail_window

FIRST_LOOK_BYTES = 256 * 1024
"""So much is counted to its beginning: some 20 ms."""

FAR = 2**30
FAR_MAX = FAR + 2**29
"""The highest number that is taken over from before a restart of the daemon."""

NUMBER_MAX = 2**31 - 1
"""What XML-RPC's int can hold; behind it numbers begin at FAR again."""

FOLLOW_PART_BYTES = 64 * 1024


class Source(Protocol):
    """The entries of one channel since it was cleared, as text.

    Attributes:
        origin: Cursor of the clearing, "" for none.
    """

    origin: str

    def oldest(self) -> Iterator[bytes]:
        """Yield from the oldest on."""

    def newest(self) -> Iterator[bytes]:
        """Yield from the newest back."""

    def after(self, cursor: str) -> Iterator[bytes]:
        """Yield what is newer than an entry, which may be gone."""

    def before(self, cursor: str) -> Iterator[bytes]:
        """Yield an entry, and what is older."""

    def more(self) -> Iterator[bytes]:
        """Yield what came since the last one that was yielded."""

    def cursor(self) -> str:
        """Return the name of the entry that was yielded last."""


class _End:
    """The last bytes of what an iterator that goes back yields.

    Attributes:
        data: The last `count` bytes, or all there are.
        total: Bytes that were looked at.
        complete: Whether that was all.
        cursor: Of the newest entry, "" where there is none.
    """

    def __init__(self, source: Source, entries: Iterator[bytes], count: int) -> None:
        found: list[bytes] = []
        self.total = 0
        self.complete = False
        self.cursor = ""
        for text in entries if count > 0 else ():
            self.cursor = self.cursor or source.cursor()
            found.append(text)
            self.total += len(text)
            if self.total >= count:
                break
        else:
            self.complete = count > 0
        found.reverse()
        self.data = _last(b"".join(found), count)


def _last(data: bytes, count: int) -> bytes:
    return data[max(len(data) - count, 0) :]


def _known(source: Source, query: Query) -> Mark | None:
    """Return the mark of a query, None where what it counts was cleared meanwhile."""
    mark = query.mark
    return mark if mark is not None and mark.origin == source.origin else None


def read(source: Source, query: Query) -> Answer:
    """Return what the read functions of the RPC show: the arithmetic is that of files.

    Raises:
        WindowError: Offset and length make no sense together.
    """
    offset, length = query.offset, query.length
    read_window(0, offset, length)
    if offset < 0:
        return Answer(_End(source, source.newest(), min(-offset, READ_MAX_BYTES)).data)
    end = offset + min(length or READ_MAX_BYTES, READ_MAX_BYTES)
    mark = _known(source, query)
    if mark is None and offset >= FAR:
        return Answer(b"")  # a number from before: nothing tells what it meant
    if mark is None:
        return _take(source, source.oldest(), 0, offset, end, numbered=True)
    if offset == 0 or offset < FAR <= mark.number:
        return _take(source, source.oldest(), 0, offset, end, numbered=False)
    if offset >= mark.number:
        return _take(source, source.after(mark.cursor), mark.number, offset, end, numbered=True)
    position, entries = _go_back(source, mark, offset)
    beyond = max(position - offset, 0)  # the journal has dropped so much
    return _take(source, entries, position, offset + beyond, end + beyond, numbered=False)


def _take(
    source: Source, entries: Iterator[bytes], position: int, start: int, end: int, *, numbered: bool
) -> Answer:
    """Return the text from number `start` to `end` of entries that begin at `position`."""
    taken: list[bytes] = []
    cursor = ""
    for text in entries:
        if numbered:
            cursor = source.cursor()
        taken.append(text[max(start - position, 0) : max(end - position, 0)])
        position += len(text)
        if position >= end:
            break
    marked = cursor and position <= NUMBER_MAX
    return Answer(b"".join(taken), mark=Mark(cursor, position, source.origin) if marked else None)


def _go_back(source: Source, mark: Mark, offset: int) -> tuple[int, Iterator[bytes]]:
    """Return the entries from the one that holds a number on, and the number it begins at."""
    position, first, cursor = mark.number, b"", mark.cursor
    for text in source.before(mark.cursor):
        first, cursor = text, source.cursor()
        position -= len(text)
        if position <= offset:
            break
    if not first:
        return position, source.after(mark.cursor)
    return position, itertools.chain((first,), source.after(cursor))


def tail(source: Source, query: Query) -> Answer:
    """Return what the tail functions of the RPC show: the arithmetic is that of files."""
    offset = query.offset
    length = min(max(query.length, 0), READ_MAX_BYTES)
    mark = _known(source, query)
    counted = None if mark is None else _count(source, mark, length)
    if counted is None:
        counted = _look_first(source, offset, length, mark)
    data, mark = counted
    number = mark.number
    window, overflow = tail_window(number, offset, length)
    return Answer(_last(data, window.length), number, overflow, mark if mark.cursor else None)


def _look_first(
    source: Source, offset: int, length: int, passed: Mark | None
) -> tuple[bytes, Mark]:
    """Number the end anew; return the last bytes and the mark.

    Where a mark was `passed` by so much that it was not counted, the numbers go on from there.
    """
    end = _End(source, source.newest(), max(length + 1, FIRST_LOOK_BYTES))
    if passed is not None:
        number = max(passed.number + READ_MAX_BYTES, FAR) + end.total
    elif end.complete:
        number = end.total
    else:
        # Who asks from further on, with a number of a former daemon, gets one that is greater.
        number = (offset if FAR <= offset <= FAR_MAX else FAR) + end.total
    if number > NUMBER_MAX:
        number = FAR + end.total
    return _last(end.data, length), Mark(end.cursor, number, source.origin)


def _count(source: Source, mark: Mark, length: int) -> tuple[bytes, Mark] | None:
    """Count what came behind a mark; return the last bytes and the new mark.

    Returns None where it was too much to count.
    """
    latest: deque[bytes] = deque()
    kept = fresh = 0
    cursor = mark.cursor
    for text in source.after(mark.cursor):
        cursor = source.cursor()
        latest.append(text)
        fresh += len(text)
        kept += len(text)
        while latest and kept - len(latest[0]) >= length:
            kept -= len(latest.popleft())
        if fresh > READ_MAX_BYTES or mark.number + fresh > NUMBER_MAX:
            return None
    data = b"".join(latest)
    if len(data) < length:
        data = _End(source, source.before(mark.cursor), length - len(data)).data + data
    return _last(data, length), Mark(cursor, mark.number + fresh, source.origin)


def follow(source: Source) -> Iterator[bytes]:
    """Yield the last bytes of the text, then what comes.

    An empty part means that there is no more for now: wait before asking for the next one.
    """
    end = _End(source, source.newest(), FOLLOW_FIRST_BYTES)
    yield end.data
    entries = source.after(end.cursor) if end.cursor else source.oldest()
    while True:
        part = bytearray()
        for text in entries:
            part += text
            if len(part) >= FOLLOW_PART_BYTES:
                yield bytes(part)
                part.clear()
        if part:
            yield bytes(part)
        yield b""
        entries = source.more()
