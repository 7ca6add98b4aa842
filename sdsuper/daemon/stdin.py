"""What clients send to a child's stdin, queued while its pipe is full."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from sdsuper import eventloop

QUEUE_BYTES = 1024 * 1024
"""The most that waits for a child that does not read; a client that sends more is refused."""

_EMPTY = bytearray()
"""What waits for most; never written to."""


class StdinWriter:
    """Our end of a child's stdin.

    Args:
        fd: The pipe, None where the child has another stdin.
        number: The invocation's number.
        waiting: What waits already: an earlier daemon was given it.

    Attributes:
        number: The invocation's number.
        on_change: Called with the writer when what waits has changed, or the pipe is about to be
            closed.
    """

    __slots__ = ("_fd", "_open", "_queue", "number", "on_change")

    def __init__(self, fd: int | None, number: int, waiting: bytes = b"") -> None:
        self.number = number
        self.on_change: Callable[[StdinWriter], None] | None = None
        self._fd = -1 if fd is None else fd
        self._queue = bytearray(waiting) if waiting else _EMPTY
        self._open = fd is not None
        if self._open and self._queue:
            eventloop.get_running_loop().add_writer(self._fd, self._flush_later)

    @property
    def fd(self) -> int | None:
        """The pipe, None where there is none or it was closed."""
        return self._fd if self._open else None

    @property
    def waiting(self) -> bytes:
        """What waits for the child to read."""
        return bytes(self._queue)

    def write(self, data: bytes, *, limit: int | None = QUEUE_BYTES) -> None:
        """Write at once what the pipe takes, and queue the rest.

        Args:
            data: What the child is to read.
            limit: The most bytes that may wait, these included; None for no limit.

        Raises:
            BrokenPipeError: The child closed its stdin.
            BufferError: More than `limit` would wait; nothing was queued.
        """
        if not self._open:
            raise BrokenPipeError
        if limit is not None and len(self._queue) + len(data) > limit:
            raise BufferError(f"more than {limit} bytes wait for the process to read them")
        if not self._queue:
            self._queue = bytearray(data)
            self._flush()
            if not self._open:
                raise BrokenPipeError
            if self._queue:
                eventloop.get_running_loop().add_writer(self._fd, self._flush_later)
        else:
            self._queue += data
        if self._queue:
            self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self)

    def close(self) -> None:
        """Close the pipe; what still waits is dropped."""
        if self._open:
            self._open = False
            self._queue = _EMPTY
            self._changed()
            eventloop.get_running_loop().remove_writer(self._fd)
            os.close(self._fd)

    def _flush_later(self) -> None:
        self._flush()
        self._changed()

    def _flush(self) -> None:
        try:
            with contextlib.suppress(BlockingIOError):
                del self._queue[: os.write(self._fd, self._queue)]
        except OSError:
            self.close()
            return
        if not self._queue:
            eventloop.get_running_loop().remove_writer(self._fd)
