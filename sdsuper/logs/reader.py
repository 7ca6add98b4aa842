"""One pipe of one invocation: from the child's output to its channel.

What is read goes out at once and unchanged: a chunk is a record, not a line, so a prompt without
a newline is in the log while it waits for its answer. Without capture, ANSI stripping or a listener
for output, a chunk is not even copied: it is read into one buffer that all readers share (the loop
has one thread) and written from there.

Where a stage is open (`stage`), chunks go through that, and nothing is lost or doubled when the
daemon is killed.

Bounds: one call of `read_ready` reads at most 1 MiB, so that a flood does not starve the loop;
`drain` reads what the pipe held when it was called, and so it ends even while somebody writes on.

A child that writes line after line wakes its reader for each. A lone line goes out at once; when
reads follow each other closely and are small, `pause` asks the loop to leave the pipe alone for a
moment, and a pipe that is found full is made larger: both together save most of the CPU time.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import sys
import termios
import time
from collections.abc import Callable

from sdsuper.logs.channel import Channel
from sdsuper.logs.held import HeldReader
from sdsuper.logs.lines import AnsiStripper, CaptureBuffer, CaptureSplitter, Part
from sdsuper.logs.stage import STAGE, STAGE_BYTES, Stage

READ_BYTES = STAGE_BYTES
ROUNDS_MAX = 4

_FULL_BYTES = 48 * 1024  # lines fill a pipe of 64 KiB, the default, not to the last byte
_LARGE_PIPE_BYTES = 1024 * 1024  # what everybody may ask for (pipe(7), pipe-max-size)
_SMALL_BYTES = 32 * 1024
_CLOSE_S = 0.001
_PAUSE_S = 0.001  # epoll counts in milliseconds
_STALLED_PAUSE_S = 0.01
_STALLED_PAUSE_MAX_S = 0.25
_STALLED_SHARE = 16  # a pipe that was left alone for so long is asked again after this part of it

_EOF = 0
_NOTHING = -1  # there is nothing to read at the moment
# Not a bytearray: of that all pages are in memory from the start, of this what was ever read into.
_BUFFER = mmap.mmap(-1, READ_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
_BUFFERS = (_BUFFER,)
_VIEW = memoryview(_BUFFER)


_UNUSED = CaptureBuffer(0)
"""Of all readers that capture nothing."""


class Reader:
    """Reads one pipe and feeds a channel.

    Args:
        fd: The read end; it is made non-blocking and belongs to the reader from now on.
        channel: Where the output goes; it is open.
        on_log: Gets each chunk as logged, captured text included (as Supervisor does).
        on_capture: Gets the captured text at each end token; only with `capture_maxbytes`.
        on_raw: Gets what was read, as it was read, before it is logged.
        key: Says which pipe it is, to a successor.
        on_held: Called when what it or its channel holds is to be put on record again.
        stage: Where chunks are on their way.

    Attributes:
        fd: The descriptor.
        pause: Seconds to leave the pipe alone after the last `read_ready`; 0.0: watch it on.
    """

    __slots__ = (
        "_captured",
        "_channel",
        "_enlarged",
        "_held",
        "_is_pipe",
        "_keeps",
        "_key",
        "_last",
        "_last_read",
        "_on_capture",
        "_on_held",
        "_on_log",
        "_on_raw",
        "_plain",
        "_splitter",
        "_stage",
        "_staged",
        "_stalled_since",
        "_stripper",
        "fd",
        "pause",
    )

    def __init__(
        self,
        fd: int,
        channel: Channel,
        *,
        on_log: Callable[[bytes], None] | None = None,
        on_capture: Callable[[bytes], None] | None = None,
        on_raw: Callable[[bytes], None] | None = None,
        key: int = 0,
        on_held: Callable[[], None] | None = None,
        stage: Stage = STAGE,
    ) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.pause = 0.0
        self._last_read = 0.0
        self._stalled_since: float | None = None
        self._enlarged = False
        self._channel = channel
        self._on_log = on_log
        self._on_capture = on_capture
        self._on_raw = on_raw
        captures = on_capture is not None and channel.config.capture_maxbytes > 0
        self._splitter = CaptureSplitter() if captures else None
        self._captured = CaptureBuffer(channel.config.capture_maxbytes) if captures else _UNUSED
        self._stripper = AnsiStripper() if channel.strip_ansi else None
        self._last = Part.LOGGED
        hooks = on_log or on_raw
        self._plain = not captures and self._stripper is None and hooks is None
        self._key = key
        self._stage = stage
        self._staged = False
        self._is_pipe = True
        self._on_held = on_held
        self._held = channel.holding  # bytes, after the latest chunk
        # Whether a chunk may leave something behind that the files do not show.
        self._keeps = not self._plain or channel.keeps

    def read_ready(self) -> bool:
        """Read and log what is there, up to a bound. Returns False at the end of the stream."""
        if self._channel.stalled and not self._channel.catch_up():
            self._wait()
            return True  # unread, the child's own pipe slows it down
        self._stalled_since = None
        taken = 0
        for _ in range(ROUNDS_MAX):
            count = self._read()
            taken += max(count, 0)
            if count < READ_BYTES or self._channel.stalled:
                break
        self._pace(taken)
        return count != _EOF

    def _wait(self) -> None:
        now = time.monotonic()
        if self._stalled_since is None:
            self._stalled_since = now
        share = (now - self._stalled_since) / _STALLED_SHARE
        self.pause = min(max(_STALLED_PAUSE_S, share), _STALLED_PAUSE_MAX_S)

    def _pace(self, taken: int) -> None:
        now = time.monotonic()
        many_small = taken < _SMALL_BYTES and now - self._last_read < _CLOSE_S
        self.pause = _PAUSE_S if many_small else 0.0
        self._last_read = now + self.pause
        if taken >= _FULL_BYTES and not (self._enlarged or self._channel.stalled):
            self._enlarged = True
            with contextlib.suppress(OSError):  # beyond the user's limit, or no pipe
                fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, _LARGE_PIPE_BYTES)

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

    def _read_directly(self) -> int:
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

    def _read(self) -> int:
        stage = self._stage
        if not (stage.ready and self._is_pipe):
            return self._read_directly()
        try:
            count = stage.take(self.fd, self._key)
        except BlockingIOError:
            return _NOTHING
        except OSError:
            self._is_pipe = False
            return self._read_directly()
        if not count:
            return _EOF
        try:
            if self._plain:
                self._channel.write_staged(stage.view[:count])
            else:
                self._staged = True
                self._take(bytes(stage.view[:count]))
            if self._keeps:
                self._settle()
        finally:
            self._staged = False
            stage.commit()
        return count

    def _settle(self) -> None:
        self._staged = False
        self._tell_held()
        self._stage.settle()

    def _tell_held(self) -> None:
        held = self.holding + self._channel.holding
        if (held or self._held) and self._on_held is not None:
            self._on_held()
        self._held = held

    def replay(self) -> None:
        """Feed the chunk again that an earlier daemon was killed with; it is this pipe's."""
        stage = self._stage
        pending = stage.begin_replay()
        self._staged = True
        try:
            if pending.end:
                self._end()
            elif self._plain:
                self._channel.write_staged(pending.data)
            else:
                self._take(pending.data)
            self._settle()
        finally:
            self._staged = False
            stage.end_replay()
            stage.commit()

    @property
    def holding(self) -> int:
        """Bytes it holds, more than 0 where what comes depends on what came."""
        held = 0
        if self._splitter is not None and self._splitter.holds:
            held += 1 + self._captured.size
        if self._stripper is not None and self._stripper.holds:
            held += 1
        return held

    def held(self) -> HeldReader:
        """Return what it holds."""
        inside, escape = (False, b"") if self._stripper is None else self._stripper.held
        capturing, token = (False, b"") if self._splitter is None else self._splitter.held
        return HeldReader(
            self._key, inside, escape, capturing, token, self._captured.held, self._last
        )

    def restore(self, held: HeldReader) -> None:
        """Go on from what the reader of an earlier daemon held."""
        if self._stripper is not None:
            self._stripper.held = held.inside, held.escape
        if self._splitter is not None:
            self._splitter.held = held.capturing, held.token
            self._captured.add(held.captured)
        self._last = held.last
        self._held += self.holding

    def _take(self, data: bytes) -> None:
        if self._on_raw is not None:
            self._on_raw(data)
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
        elif self._staged:
            self._channel.write_staged(data)
        else:
            self._channel.write(data)
        if self._on_log is not None:
            self._on_log(data)

    def close(self) -> None:
        """Log what was held back, and close the pipe. Captured text without an end is dropped."""
        stage = self._stage
        if self._keeps and stage.ready and (self.holding or self._channel.holding):
            self._staged = True
            stage.begin_end(self._key)
            try:
                self._end()
                self._settle()
            finally:
                self._staged = False
                stage.commit()
        else:
            self._end()
        os.close(self.fd)

    def _end(self) -> None:
        if self._splitter is not None:
            self._take_pieces(self._splitter.flush())
            self._captured.take()
        self._end_part()
        self._channel.flush()
