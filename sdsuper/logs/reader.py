"""One pipe of one invocation: from the child's output to its channel.

What is read goes out at once and unchanged: a chunk is a record, not a line, so a prompt without
a newline is in the log while it waits for its answer. Without capture, ANSI stripping or a listener
for output, a chunk is not even copied: it is read into one buffer that all readers share (the loop
has one thread) and written from there.

Bounds: one call of `read_ready` reads at most one buffer, so that a flood does not starve the loop;
`drain` reads what the pipe held when it was called, and so it ends even while somebody writes on.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios
from collections.abc import Callable

from sdsuper.logs.channel import Channel
from sdsuper.logs.lines import AnsiStripper, CaptureBuffer, CaptureSplitter, Part

READ_BYTES = 256 * 1024

_EOF = 0
_NOTHING = -1  # there is nothing to read at the moment
_BUFFER = bytearray(READ_BYTES)
_BUFFERS = (_BUFFER,)
_VIEW = memoryview(_BUFFER)


class Reader:
    """Reads one pipe and feeds a channel.

    Args:
        fd: The read end; it is made non-blocking and belongs to the reader from now on.
        channel: Where the output goes; it is open.
        on_log: Gets each chunk as logged, captured text included (as Supervisor does).
        on_capture: Gets the captured text at each end token; only with `capture_maxbytes`.
    """

    def __init__(
        self,
        fd: int,
        channel: Channel,
        *,
        on_log: Callable[[bytes], None] | None = None,
        on_capture: Callable[[bytes], None] | None = None,
    ) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._channel = channel
        self._on_log = on_log
        self._on_capture = on_capture
        captures = on_capture is not None and channel.config.capture_maxbytes > 0
        self._splitter = CaptureSplitter() if captures else None
        self._captured = CaptureBuffer(channel.config.capture_maxbytes)
        self._stripper = AnsiStripper() if channel.strip_ansi else None
        self._last = Part.LOGGED
        self._plain = not captures and self._stripper is None and on_log is None

    @property
    def stalled(self) -> bool:
        """Whether the channel cannot take more at the moment: better ask again a little later."""
        return self._channel.stalled

    def read_ready(self) -> bool:
        """Read and log one chunk. Returns False at the end of the stream."""
        if self._channel.stalled and not self._channel.catch_up():
            return True  # unread, the child's own pipe slows it down
        return self._read() != _EOF

    def drain(self) -> bool:
        """Read and log what the pipe holds now. Returns False at the end of the stream."""
        left = self._held_by_pipe()
        while left >= 0:
            count = self._read()
            if count <= 0:
                return count == _NOTHING
            left -= count
        return True

    def _held_by_pipe(self) -> int:
        held = fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4))
        return int.from_bytes(held, sys.byteorder)

    def _read(self) -> int:
        try:
            count = os.readv(self.fd, _BUFFERS)
        except BlockingIOError:
            return _NOTHING
        except OSError:  # a terminal whose other side is gone says EIO
            return _EOF
        if count and self._plain:
            self._channel.write(_VIEW[:count])
        elif count:
            self._take(bytes(_VIEW[:count]))
        return count

    def _take(self, data: bytes) -> None:
        if self._splitter is None:
            self._log(Part.LOGGED, self._strip(data))
        else:
            self._take_pieces(self._splitter.feed(data))

    def _take_pieces(self, pieces: list[tuple[Part, bytes]]) -> None:
        for part, data in pieces:
            if part is Part.END:
                self._end_part()
                assert self._on_capture is not None
                self._on_capture(self._captured.take())
            else:
                if part is not self._last:
                    self._end_part()
                self._last = part
                self._log(part, self._strip(data))

    def _strip(self, data: bytes) -> bytes:
        return data if self._stripper is None else self._stripper.feed(data)

    def _end_part(self) -> None:
        # A sequence that a token interrupts ends there, and does not go on behind it.
        if self._stripper is not None:
            self._log(self._last, self._stripper.flush())

    def _log(self, part: Part, data: bytes) -> None:
        if not data:
            return
        if part is Part.CAPTURED:
            self._captured.add(data)
        else:
            self._channel.write(data)
        if self._on_log is not None:
            self._on_log(data)

    def close(self) -> None:
        """Log what was held back, and close the pipe. Captured text without an end is dropped."""
        if self._splitter is not None:
            self._take_pieces(self._splitter.flush())
        self._end_part()
        self._channel.flush()
        os.close(self.fd)
