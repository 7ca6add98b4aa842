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
reads follow each other closely, `pause` asks the loop to leave the pipe alone for a moment, for as
long as the pipe has room for what comes meanwhile, and a pipe that is found full is made larger.
Of what has gathered, whole blocks are written as far as there are any: files whose blocks are
begun and ended by different writes cost the kernel a quarter more. Together that saves most of the
CPU time.
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
from typing import ClassVar

from sdsuper.logs.channel import Channel
from sdsuper.logs.held import HeldReader
from sdsuper.logs.lines import AnsiStripper, CaptureBuffer, CaptureSplitter, Part
from sdsuper.logs.stage import STAGE, STAGE_BYTES, Stage

READ_BYTES = STAGE_BYTES
ROUNDS_MAX = 4

_BLOCK_BYTES = 64 * 1024
_PIPE_BYTES = 64 * 1024  # the default
_FULL = 3 / 4  # lines fill a pipe not to the last byte
_LARGE_PIPE_BYTES = 1024 * 1024  # what everybody may ask for (pipe(7), pipe-max-size)
_LARGE_PIPES_MAX = 32
"""Of a user whose pipes have more than 64 MiB (pipe-user-pages-soft), new ones are tiny."""
_CLOSE_S = 0.001
_PAUSES_S = (0.002, 0.001)
_LATE_S = 0.0005  # how much longer a pause may take: epoll counts in milliseconds
_STALLED_PAUSE_S = 0.01
_STALLED_PAUSE_MAX_S = 0.25
_STALLED_SHARE = 16  # a pipe that was left alone for so long is asked again after this part of it

_EOF = 0
_NOTHING = -1  # there is nothing to read at the moment
# Not a bytearray: of that all pages are in memory from the start, of this what was ever read into.
_BUFFER = mmap.mmap(-1, READ_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
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
        pause: Seconds to leave the pipe alone after the last `read_ready`, before that is called
            again, whatever is there then; None: watch it.
    """

    _large_pipes: ClassVar[int] = 0

    __slots__ = (
        "_capacity",
        "_captured",
        "_channel",
        "_held",
        "_is_pipe",
        "_keeps",
        "_key",
        "_last",
        "_last_read",
        "_may_enlarge",
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
        self.pause: float | None = None
        self._last_read = 0.0
        self._stalled_since: float | None = None
        self._capacity = _PIPE_BYTES
        self._may_enlarge = True
        self._channel = channel
        self._on_raw = on_raw
        self._splitter: CaptureSplitter | None = None
        self._captured = _UNUSED
        self._stripper = AnsiStripper() if channel.strip_ansi else None
        self._last = Part.LOGGED
        self._use(on_log, on_capture)
        self._key = key
        self._stage = stage
        self._staged = False
        self._is_pipe = True
        self._on_held = on_held
        self._held = channel.holding  # bytes, after the latest chunk

    def _use(
        self, on_log: Callable[[bytes], None] | None, on_capture: Callable[[bytes], None] | None
    ) -> None:
        self._on_log = on_log
        self._on_capture = on_capture
        most = 0 if on_capture is None else max(0, self._channel.config.capture_maxbytes)
        if most and self._splitter is None:
            self._splitter = CaptureSplitter()
        elif not most:
            self._splitter = None
        begun = self._captured.held
        self._captured = CaptureBuffer(most) if most else _UNUSED
        if most:
            self._captured.add(begun)
        hooks = on_log or self._on_raw
        self._plain = self._splitter is None and self._stripper is None and hooks is None
        # Whether a chunk may leave something behind that the files do not show.
        self._keeps = not self._plain or self._channel.keeps

    def reconfigure(
        self, on_log: Callable[[bytes], None] | None, on_capture: Callable[[bytes], None] | None
    ) -> None:
        """Follow the configuration of the channel, which is another by now.

        Where nothing is captured any more, what was captured of a message is dropped, and what may
        have been the beginning of a token is logged.

        Args:
            on_log: As for the constructor.
            on_capture: As for the constructor.
        """
        if self._splitter is not None and on_capture is None:
            self._take_pieces(self._splitter.flush())
            if self._last is Part.CAPTURED:
                self._end_part()
                self._last = Part.LOGGED
            self._captured.take()
        self._use(on_log, on_capture)

    @property
    def raw(self) -> bool:
        """Whether somebody gets what was read as it was read."""
        return self._on_raw is not None

    def read_ready(self) -> bool:
        """Read and log what is there, up to a bound. Returns False at the end of the stream."""
        if self._channel.stalled and not self._channel.catch_up():
            self._wait()
            return True  # unread, the child's own pipe slows it down
        self._stalled_since = None
        taken = 0
        # A line in a pipe is whole: where others write to the same file, all of it is taken.
        by_blocks = self._plain and not self._channel.shared
        for _ in range(ROUNDS_MAX):
            wanted = READ_BYTES
            if by_blocks:
                wanted -= self._channel.position % _BLOCK_BYTES
                if taken and self._held_by_pipe() < _BLOCK_BYTES:
                    break
            count = self._read(wanted)
            taken += max(count, 0)
            if count < wanted or self._channel.stalled:
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
        since_read = now - self._last_read
        since_pause = since_read - (self.pause or 0.0)
        self._last_read = now
        if taken >= self._capacity * _FULL:
            self.pause = 0.0
            self._enlarge()
        elif taken == 0 or since_pause >= _CLOSE_S:
            self.pause = None
        else:
            self.pause = self._pause_for(taken, since_read)

    def _pause_for(self, taken: int, seconds: float) -> float:
        # A small pipe may be filled once: that is how it is found to be too small.
        for pause in _PAUSES_S:
            if taken * (pause + _LATE_S) < self._capacity * seconds:
                return pause
        return _PAUSES_S[-1] if self._may_enlarge else 0.0

    def _enlarge(self) -> None:
        if not self._may_enlarge or self._channel.stalled or self._channel.shared:
            return
        self._may_enlarge = False
        if Reader._large_pipes < _LARGE_PIPES_MAX:
            with contextlib.suppress(OSError):  # beyond the user's limit, or no pipe
                self._capacity = fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, _LARGE_PIPE_BYTES)
                Reader._large_pipes += 1

    def drain(self) -> bool:
        """Read and log what the pipe holds now. Returns False at the end of the stream."""
        left = self._held_by_pipe()
        while left >= 0:
            count = self._read(READ_BYTES)
            if count <= 0:
                return count == _NOTHING
            left -= count
        return True

    def _held_by_pipe(self) -> int:
        held = fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4))
        return int.from_bytes(held, sys.byteorder)

    def _read_directly(self, most: int) -> int:
        try:
            count = os.readv(self.fd, (_VIEW[:most],))
        except BlockingIOError:
            return _NOTHING
        except OSError:  # a terminal whose other side is gone says EIO
            return _EOF
        if count and self._plain:
            self._channel.write(_VIEW[:count])
        elif count:
            self._take(bytes(_VIEW[:count]))
        return count

    def _read(self, most: int) -> int:
        stage = self._stage
        if not (stage.ready and self._is_pipe):
            return self._read_directly(most)
        try:
            count = stage.take(self.fd, self._key, most)
        except BlockingIOError:
            return _NOTHING
        except OSError:
            self._is_pipe = False
            return self._read_directly(most)
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
        if self._capacity > _PIPE_BYTES:
            Reader._large_pipes -= 1

    def _end(self) -> None:
        if self._splitter is not None:
            self._take_pieces(self._splitter.flush())
            self._captured.take()
        self._end_part()
        self._channel.flush()
