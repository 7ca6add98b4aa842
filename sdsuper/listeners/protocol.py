"""What a listener says on its stdout, without any I/O: bytes in, happenings out.

    ACKNOWLEDGED --READY--> READY --an event was sent--> BUSY --RESULT--> ACKNOWLEDGED

Whatever does not fit leads to UNKNOWN, where all that comes is ignored: a listener that does
not keep to the protocol gets no more events until its process is started anew.
Source: Supervisor's event listener protocol.
"""

from __future__ import annotations

import enum

from sdsuper.dataclass import dataclass

READY_LINE = b"READY\n"
RESULT_WORD = b"RESULT "
RESULT_LINE_MAX_BYTES = 1024
"""A line that should say RESULT and has not ended by then is none."""

RESULT_MAX_BYTES = 1024 * 1024
"""The longest result that is taken."""


class ListenerState(enum.IntEnum):
    """The state of one listener process; the values are Supervisor's."""

    READY = 10
    BUSY = 20
    ACKNOWLEDGED = 30
    UNKNOWN = 40


@dataclass(frozen=True, slots=True)
class Moved:
    """The state changed."""

    left: ListenerState
    entered: ListenerState


@dataclass(frozen=True, slots=True)
class Result:
    """The listener answered the event that it was sent; the state is ACKNOWLEDGED by now."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BadResult:
    """The listener answered with something that is no result; the state becomes UNKNOWN."""

    line: bytes


Happening = Moved | Result | BadResult


@dataclass(frozen=True, slots=True)
class HeldProtocol:
    """How far one invocation of a listener has come.

    Attributes:
        buffer: What it said that makes no sense yet.
        result_length: Of the result that it has begun to give, None where it has not.
    """

    state: ListenerState = ListenerState.ACKNOWLEDGED
    buffer: bytes = b""
    result_length: int | None = None


class ListenerProtocol:
    """One invocation of a listener process.

    Args:
        held: How far it has come under an earlier daemon, None for a new one.

    Attributes:
        state: What it may be sent, or say, next.
    """

    def __init__(self, held: HeldProtocol | None = None) -> None:
        held = held or HeldProtocol()
        self.state = held.state
        self._buffer = held.buffer
        self._result_length = held.result_length

    def held(self) -> HeldProtocol:
        """Return what a successor goes on with."""
        return HeldProtocol(self.state, self._buffer, self._result_length)

    def event_sent(self) -> Moved:
        """An event was written to its stdin; it must be READY."""
        assert self.state is ListenerState.READY
        return self._move(ListenerState.BUSY)

    def fail(self) -> Moved:
        """The handler of its result failed: it is treated as if it had broken the protocol."""
        return self._move(ListenerState.UNKNOWN)

    def feed(self, data: bytes) -> list[Happening]:
        """Take what it wrote; return what that means, in order."""
        happened: list[Happening] = []
        self._buffer += data
        while self._buffer:
            # Each of these takes something from the buffer, or waits for more.
            match self.state:
                case ListenerState.ACKNOWLEDGED:
                    going_on = self._take_ready(happened)
                case ListenerState.BUSY:
                    going_on = self._take_result(happened)
                case ListenerState.READY:
                    going_on = self._break(happened)
                case ListenerState.UNKNOWN:
                    self._buffer = b""
                    going_on = False
            if not going_on:
                break
        return happened

    def _take_ready(self, happened: list[Happening]) -> bool:
        if READY_LINE.startswith(self._buffer) and self._buffer != READY_LINE:
            return False  # its beginning
        if not self._buffer.startswith(READY_LINE):
            return self._break(happened)
        self._buffer = self._buffer[len(READY_LINE) :]
        happened.append(self._move(ListenerState.READY))
        return True

    def _take_result(self, happened: list[Happening]) -> bool:
        if self._result_length is None:
            line, newline, rest = self._buffer.partition(b"\n")
            if not newline and len(line) <= RESULT_LINE_MAX_BYTES:
                return False
            length = _result_length(line) if newline else None
            if length is None:
                self._buffer = b""
                happened.append(BadResult(line[:RESULT_LINE_MAX_BYTES]))
                happened.append(self._move(ListenerState.UNKNOWN))
                return False
            self._result_length, self._buffer = length, rest
        length = self._result_length
        if len(self._buffer) < length:
            return False
        result, self._buffer = self._buffer[:length], self._buffer[length:]
        self._result_length = None
        happened.append(self._move(ListenerState.ACKNOWLEDGED))
        happened.append(Result(result))
        return True

    def _break(self, happened: list[Happening]) -> bool:
        self._buffer = b""
        happened.append(self._move(ListenerState.UNKNOWN))
        return False

    def _move(self, state: ListenerState) -> Moved:
        moved = Moved(self.state, state)
        self.state = state
        return moved


def _result_length(line: bytes) -> int | None:
    digits = line.removeprefix(RESULT_WORD)
    if digits == line or not digits.strip().isdigit() or len(digits) > len(str(RESULT_MAX_BYTES)):
        return None
    length = int(digits)
    return length if length <= RESULT_MAX_BYTES else None
