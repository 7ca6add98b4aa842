"""lines.py: what a stream means does not depend on how it was cut."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.logs.lines import (
    CAPTURE_BEGIN,
    CAPTURE_END,
    AnsiStripper,
    CaptureBuffer,
    CaptureSplitter,
    LineSplitter,
    Part,
)

SNIPPETS = (
    CAPTURE_BEGIN,
    CAPTURE_END,
    CAPTURE_BEGIN[:7],
    CAPTURE_END[:15],
    b"<",
    b"!--",
    b"\x1b",
    b"[",
    b"\x1b[",
    b"\x1b[31m",
    b"m",
    b"\n",
    b"abc",
    "é".encode(),
    b"\xff",
)
STREAMS = st.lists(st.sampled_from(SNIPPETS), max_size=12).map(b"".join)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    stream = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    return stream, [stream[a:b] for a, b in pairwise(edges)]


def stripped(chunks: Iterable[bytes]) -> bytes:
    stripper = AnsiStripper()
    return b"".join([*map(stripper.feed, chunks), stripper.flush()])


def split(chunks: Iterable[bytes]) -> list[tuple[Part, bytes]]:
    splitter = CaptureSplitter()
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)] + splitter.flush()
    return joined(pieces)


def joined(pieces: Iterable[tuple[Part, bytes]]) -> list[tuple[Part, bytes]]:
    result: list[tuple[Part, bytes]] = []
    for part, data in pieces:
        if result and result[-1][0] is part and part is not Part.END:
            result[-1] = (part, result[-1][1] + data)
        else:
            result.append((part, data))
    return result


def lines(chunks: Iterable[bytes], longest: int) -> list[bytes]:
    splitter = LineSplitter(longest)
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.flush()


@given(cut_streams())
def test_stripping_does_not_depend_on_the_chunks(cut: tuple[bytes, list[bytes]]) -> None:
    stream, chunks = cut
    assert stripped(chunks) == stripped([stream])


@given(cut_streams())
def test_capture_does_not_depend_on_the_chunks(cut: tuple[bytes, list[bytes]]) -> None:
    stream, chunks = cut
    assert split(chunks) == split([stream])


@given(cut_streams(), st.integers(1, 9))
def test_lines_do_not_depend_on_the_chunks(cut: tuple[bytes, list[bytes]], longest: int) -> None:
    stream, chunks = cut
    assert lines(chunks, longest) == lines([stream], longest)


@given(STREAMS, st.integers(1, 9))
def test_no_line_is_too_long_and_none_loses_a_byte(stream: bytes, longest: int) -> None:
    found = lines([stream], longest)
    assert all(len(line) <= longest for line in found)
    assert b"".join(found) == stream.replace(b"\n", b"")


@given(STREAMS)
def test_capture_loses_nothing_but_tokens(stream: bytes) -> None:
    rebuilt = b""
    capturing = False
    for part, data in split([stream]):
        if (part is not Part.LOGGED) is not capturing:
            rebuilt += CAPTURE_BEGIN
            capturing = True
        rebuilt += data
        if part is Part.END:
            rebuilt += CAPTURE_END
            capturing = False
    # A begin token with nothing behind it leaves no trace.
    assert stream in (rebuilt, rebuilt + CAPTURE_BEGIN)


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"\x1b[31mred\x1b[0m plain", b"red plain"),
        (b"\x1b[1;2Hx\x1b[2Jy\x1b[Kz", b"xyz"),
        (b"no [ sequence \x1b here", b"no [ sequence \x1b here"),
        (
            b"\x1b[1G to the first letter of the list h, then on",
            b"e first letter of the list h, then on",
        ),
        (b"kept\x1b", b"kept\x1b"),
        (b"dropped \x1b[3", b"dropped "),
        (b"\x1b\x1b[0m", b"\x1b"),
        (b"\x1b\x1b[0m[0m", b"\x1b[0m"),
    ],
)
def test_ansi_sequences(stream: bytes, text: bytes) -> None:
    assert stripped([stream]) == text


def test_a_sequence_goes_on_in_the_next_chunk() -> None:
    assert stripped([b"a\x1b", b"[", b"3", b"1", b"mb"]) == b"ab"


@pytest.mark.parametrize(
    ("stream", "pieces"),
    [
        (b"short", [(Part.LOGGED, b"short")]),
        (b"a<!--XSUPERVISOR:", [(Part.LOGGED, b"a<!--XSUPERVISOR:")]),
        (
            b"a" + CAPTURE_BEGIN + b"b" + CAPTURE_END + b"c",
            [(Part.LOGGED, b"a"), (Part.CAPTURED, b"b"), (Part.END, b""), (Part.LOGGED, b"c")],
        ),
        (CAPTURE_BEGIN + CAPTURE_END, [(Part.END, b"")]),
        (
            CAPTURE_BEGIN + b"1" + CAPTURE_END + CAPTURE_BEGIN + b"2" + CAPTURE_END,
            [(Part.CAPTURED, b"1"), (Part.END, b""), (Part.CAPTURED, b"2"), (Part.END, b"")],
        ),
        (
            CAPTURE_BEGIN + CAPTURE_BEGIN + CAPTURE_END,
            [(Part.CAPTURED, CAPTURE_BEGIN), (Part.END, b"")],
        ),
        (CAPTURE_END, [(Part.LOGGED, CAPTURE_END)]),
        (CAPTURE_BEGIN + b"no end", [(Part.CAPTURED, b"no end")]),
    ],
)
def test_capture_tokens(stream: bytes, pieces: list[tuple[Part, bytes]]) -> None:
    assert split([stream]) == pieces
    assert split(bytes([byte]) for byte in stream) == pieces


def test_only_what_may_begin_a_token_is_held_back() -> None:
    splitter = CaptureSplitter()
    assert splitter.feed(b"ok\n") == [(Part.LOGGED, b"ok\n")]
    assert splitter.feed(b"a < b") == [(Part.LOGGED, b"a < b")]
    assert splitter.feed(b"x<!-") == [(Part.LOGGED, b"x")]
    assert splitter.feed(b"- <") == [(Part.LOGGED, b"<!-- ")]
    assert splitter.flush() == [(Part.LOGGED, b"<")]
    assert splitter.flush() == []


@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(1, 30))
def test_a_capture_buffer_keeps_the_last_bytes(chunks: list[bytes], maxbytes: int) -> None:
    buffer = CaptureBuffer(maxbytes)
    for chunk in chunks:
        buffer.add(chunk)
    assert buffer.take() == b"".join(chunks)[-maxbytes:]
    assert buffer.take() == b""
