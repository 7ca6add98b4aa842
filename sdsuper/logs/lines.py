"""Bytes in, records out: lines, capture tokens, ANSI sequences. Pure.

Each class is fed chunks as they are read and gives the same result however the stream was cut.
What may yet turn out to be the start of something is held back, never more than that; `flush` gives
it out when the stream ends.
"""

from __future__ import annotations

import enum
import re

CAPTURE_BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
CAPTURE_END = b"<!--XSUPERVISOR:END-->"

_SEQUENCE_BEGIN = b"\x1b["
_SEQUENCE_END = re.compile(rb"[HfABCDRsuJKhlpm]")


class LineSplitter:
    """Cuts a stream into lines.

    Args:
        longest: Bytes after which a line is cut, as if it ended there.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._partial = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now, without their newline."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        result = [piece for line in lines for piece in self._cut(line)]
        if len(self._partial) > self._longest:
            *full, self._partial = self._cut(self._partial)
            result += full
        return result

    def _cut(self, line: bytes) -> list[bytes]:
        if len(line) <= self._longest:
            return [line]
        return [line[at : at + self._longest] for at in range(0, len(line), self._longest)]

    def flush(self) -> list[bytes]:
        """Return the last line if the stream ended within it."""
        partial, self._partial = self._partial, b""
        return [partial] if partial else []

    @property
    def held(self) -> bytes:
        """A line that is not complete; what is set goes before what comes."""
        return self._partial

    @held.setter
    def held(self, partial: bytes) -> None:
        self._partial = partial


class AnsiStripper:
    """Removes `ESC [` up to and including the first of `H f A B C D R s u J K h l p m`.

    Source: Supervisor's `strip_ansi`, which forgets where it was between two reads.
    """

    def __init__(self) -> None:
        self._inside = False
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return the data without sequences; a last ESC is held back."""
        data = self._held + data
        self._held = b""
        kept: list[bytes] = []
        position = 0
        while True:
            if self._inside:
                end = _SEQUENCE_END.search(data, position)
                if end is None:
                    return b"".join(kept)
                self._inside = False
                position = end.end()
            begin = data.find(_SEQUENCE_BEGIN, position)
            if begin < 0:
                break
            kept.append(data[position:begin])
            self._inside = True
            position = begin + len(_SEQUENCE_BEGIN)
        self._held = data[-1:] if data[position:].endswith(b"\x1b") else b""
        kept.append(data[position : len(data) - len(self._held)])
        return b"".join(kept)

    def flush(self) -> bytes:
        """Return a held ESC and start anew; an unfinished sequence is dropped."""
        held, self._held, self._inside = self._held, b"", False
        return held

    @property
    def holds(self) -> bool:
        """Whether what comes depends on what came."""
        return self._inside or bool(self._held)

    @property
    def held(self) -> tuple[bool, bytes]:
        """Whether it is within a sequence, and what is held back."""
        return self._inside, self._held

    @held.setter
    def held(self, held: tuple[bool, bytes]) -> None:
        self._inside, self._held = held


class Part(enum.Enum):
    """What a piece of a stream with capture tokens is."""

    LOGGED = enum.auto()
    CAPTURED = enum.auto()
    END = enum.auto()  # the end token: the message is complete


class CaptureSplitter:
    """Tells text between capture tokens from the rest; the tokens themselves are removed.

    Tokens do not nest: a begin token within captured text is text.
    """

    def __init__(self) -> None:
        self._capturing = False
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[Part, bytes]]:
        """Return the pieces in order; a tail that may begin a token is held back."""
        data = self._held + data
        pieces: list[tuple[Part, bytes]] = []
        position = 0
        while (found := data.find(self._token, position)) >= 0:
            self._add(pieces, data[position:found])
            position = found + len(self._token)
            if self._capturing:
                pieces.append((Part.END, b""))
            self._capturing = not self._capturing
        rest = data[position:]
        held = _prefix_at_end(rest, self._token)
        self._held = rest[len(rest) - held :]
        self._add(pieces, rest[: len(rest) - held])
        return pieces

    @property
    def _token(self) -> bytes:
        return CAPTURE_END if self._capturing else CAPTURE_BEGIN

    def _add(self, pieces: list[tuple[Part, bytes]], data: bytes) -> None:
        if data:
            pieces.append((Part.CAPTURED if self._capturing else Part.LOGGED, data))

    def flush(self) -> list[tuple[Part, bytes]]:
        """Return what is held back, and start anew."""
        pieces: list[tuple[Part, bytes]] = []
        self._add(pieces, self._held)
        self._held, self._capturing = b"", False
        return pieces

    @property
    def holds(self) -> bool:
        """Whether what comes depends on what came."""
        return self._capturing or bool(self._held)

    @property
    def held(self) -> tuple[bool, bytes]:
        """Whether it is within captured text, and what is held back."""
        return self._capturing, self._held

    @held.setter
    def held(self, held: tuple[bool, bytes]) -> None:
        self._capturing, self._held = held


def _prefix_at_end(data: bytes, token: bytes) -> int:
    """Return the length of the longest proper prefix of the token that the data ends with."""
    if token[:1] not in data[-len(token) + 1 :]:
        return 0
    lengths = range(min(len(token) - 1, len(data)), 0, -1)
    return next((length for length in lengths if data.endswith(token[:length])), 0)


class CaptureBuffer:
    """The last `maxbytes` bytes of what was captured."""

    __slots__ = ("_data", "_maxbytes")

    def __init__(self, maxbytes: int) -> None:
        self._maxbytes = maxbytes
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Append; what is too old is forgotten."""
        self._data += data
        del self._data[: -self._maxbytes]

    def take(self) -> bytes:
        """Return what is there and begin the next message."""
        data = bytes(self._data)
        self._data.clear()
        return data

    @property
    def held(self) -> bytes:
        """What is there of a message that has not ended."""
        return bytes(self._data)

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return len(self._data)
