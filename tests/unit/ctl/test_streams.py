"""Several logs at once: whole lines, each behind its name."""

from __future__ import annotations

import io
import os
from typing import Any

from sdsuper.ctl.control import Output
from sdsuper.ctl.streams import LINE_BYTES_MAX, Labelled, show_labelled, wait_readable


class Pipe:
    """A log whose bytes are there already."""

    def __init__(self, data: bytes, *, pending: bool = False) -> None:
        self._read, self.write = os.pipe()
        os.write(self.write, data)
        self.pending = pending
        self.ended = False

    def fileno(self) -> int:
        return self._read

    def read(self) -> bytes:
        data = os.read(self._read, 4)
        self.ended = not data
        return data

    def end(self) -> Pipe:
        os.close(self.write)
        return self


def test_lines_are_shown_when_they_are_whole() -> None:
    label = Labelled("a | ")
    assert label.feed(b"one\ntw") == b"a | one\n"
    assert label.feed(b"o\n\n\r3") == b"a | two\na | \n"
    assert label.feed(b"") == b"a | \r3\n"
    assert label.feed(b"") == b""


def test_a_line_without_end_is_shown_in_pieces() -> None:
    label = Labelled("")
    assert label.feed(b"x" * LINE_BYTES_MAX) == b""
    assert label.feed(b"y") == b"x" * LINE_BYTES_MAX + b"y\n"


def test_logs_are_shown_until_every_one_has_ended() -> None:
    shown = io.BytesIO()
    streams: Any = {"a": Pipe(b"1\nlast").end(), "long": Pipe(b"2\n").end(), "ü": Pipe(b"").end()}
    show_labelled(Output(shown), streams)
    assert sorted(shown.getvalue().splitlines()) == [b"a    | 1", b"a    | last", b"long | 2"]


def test_what_was_received_already_is_not_waited_for() -> None:
    silent, full, kept = Pipe(b""), Pipe(b"x"), Pipe(b"", pending=True)
    assert wait_readable([silent, full]) == [full]
    assert wait_readable([silent, full], kept) == [kept]
