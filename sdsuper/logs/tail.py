"""Read logs back: by offset and length, the last bytes of a log, and as it grows.

Offsets and lengths are bytes. Source: Supervisor's readLog and tail calls and its log streams.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import NamedTuple

READ_MAX_BYTES = 64 * 1024 * 1024
"""The most that one call reads into memory; more is had by asking again from where it ended."""

FOLLOW_FIRST_BYTES = 1024
TRUNCATED = b"==> File truncated <==\n"

_POSITION = re.compile(r"[0-9]{1,20}-[0-9]{1,20}-[0-9]{1,18}")
_FORBIDDEN_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class WindowError(ValueError):
    """Offset and length make no sense together."""


class Window(NamedTuple):
    """A part of a file: where it starts and how long it is, in bytes."""

    start: int
    length: int


class Tail(NamedTuple):
    """The end of a log.

    Attributes:
        data: The bytes.
        size: Size of the file: the offset to ask from next.
        overflow: Whether there was more than was asked for.
    """

    data: bytes
    size: int
    overflow: bool


def read_window(size: int, offset: int, length: int) -> Window:
    """Return what readLog(offset, length) shows of a file of `size` bytes.

    With a length of 0 it is all from the offset on; a negative offset counts from the end.

    Raises:
        WindowError: A negative length, or a length together with a negative offset.
    """
    if length < 0 or (offset < 0 and length):
        raise WindowError(f"offset {offset} with length {length}")
    start = max(size + offset, 0) if offset < 0 else min(offset, size)
    rest = size - start
    return Window(start, min(length, rest) if length else rest)


def tail_window(size: int, offset: int, length: int) -> tuple[Window, bool]:
    """Return what tail(offset, length) shows of a file of `size` bytes, and whether it overflows.

    The arithmetic is Supervisor's, whose clients pass the size they got last as the next offset.
    """
    overflow = size > offset + length
    if overflow:
        offset = size - 1
    if offset + length > size:
        if offset > size - 1:
            length = 0
        offset = size - length
    return Window(max(offset, 0), max(length, 0)), overflow


def read_log(path: str, offset: int, length: int) -> bytes:
    """Return the part of the log at `path` that readLog(offset, length) shows.

    Raises:
        WindowError: Offset and length make no sense together.
        OSError: It cannot be read, or is no regular file.
    """
    fd = open_log(path)
    try:
        window = read_window(os.fstat(fd).st_size, offset, length)
        return _read(fd, _last_bytes(window) if offset < 0 else window)
    finally:
        os.close(fd)


def tail_log(path: str, offset: int, length: int) -> Tail:
    """Return the end of the log at `path` that tail(offset, length) shows.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    fd = open_log(path)
    try:
        size = os.fstat(fd).st_size
        window, overflow = tail_window(size, offset, length)
        length = max(min(window.length, size - window.start), 0)
        return Tail(_read(fd, _last_bytes(Window(window.start, length))), size, overflow)
    finally:
        os.close(fd)


def open_log(path: str) -> int:
    """Return a descriptor that reads the regular file at `path`.

    Raises:
        OSError: It cannot be opened; ESPIPE where it is a pipe or a terminal.
    """
    _check_regular(path, os.stat(path))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _check_regular(path, os.fstat(fd))
    except OSError:
        os.close(fd)
        raise
    return fd


def _check_regular(path: str, info: os.stat_result) -> None:
    # What is read from a pipe is lost to its real reader.
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE), path)


def _last_bytes(window: Window) -> Window:
    beyond = max(window.length - READ_MAX_BYTES, 0)
    return Window(window.start + beyond, window.length - beyond)


def _read(fd: int, window: Window) -> bytes:
    left = min(window.length, READ_MAX_BYTES)
    position = window.start
    chunks: list[bytes] = []
    while left > 0 and (chunk := os.pread(fd, left, position)):
        chunks.append(chunk)
        position += len(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def to_text(data: bytes) -> str:
    """Decode a piece of a log for a reply in XML.

    What is not UTF-8 (a character cut by the window included) and what XML 1.0 forbids, such as
    the ESC of colours, becomes U+FFFD.
    """
    return _FORBIDDEN_IN_XML.sub("\ufffd", data.decode("utf-8", "replace"))


class Position(NamedTuple):
    """A place in a file, whatever the file is called by then.

    Attributes:
        device: Of the file.
        inode: The same.
        offset: Bytes from its start.
    """

    device: int
    inode: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return what a text says, None where that is no position."""
        if not _POSITION.fullmatch(text):
            return None
        device, inode, offset = map(int, text.split("-"))
        return cls(device, inode, offset)

    def __str__(self) -> str:
        """What `parse` reads."""
        return "-".join(map(str, self))


class Follower:
    """Gives what a log gains, at first its last 1024 bytes; asked from time to time.

    After a rotation it gives the rest of the old file, then the new one from its start. After a
    truncation in place it gives a line that says so, then the file from its start.

    Args:
        path: The log.
        first: How much of the past it gives, bytes.
        after: Where somebody has ended who goes on now: then what comes after that. Where the file
            was rotated since, the rest of the old one if it is the latest backup.

    Raises:
        OSError: It cannot be opened, or is no regular file.

    Attributes:
        mtime: When the file was last written, when it was opened: Unix time, seconds.
        jumps: How often it has gone on elsewhere than behind what it gave last.
    """

    def __init__(
        self, path: str, first: int = FOLLOW_FIRST_BYTES, after: Position | None = None
    ) -> None:
        self._path = path
        self._fd = open_log(path)
        self.jumps = 0
        info = os.fstat(self._fd)
        self.mtime = info.st_mtime
        self._position = max(info.st_size - first, 0)
        if after is not None:
            self._go_on(info, after)

    def _go_on(self, info: os.stat_result, after: Position) -> None:
        if (info.st_dev, info.st_ino) == after[:2]:
            self._position = after.offset
            return
        self._position = 0
        try:
            backup = open_log(f"{self._path}.1")
        except OSError:
            return
        info = os.fstat(backup)
        if (info.st_dev, info.st_ino) == after[:2] and after.offset <= info.st_size:
            os.close(self._fd)
            self._fd, self._position = backup, after.offset
        else:
            os.close(backup)

    @property
    def position(self) -> Position:
        """Behind what it gave last."""
        info = os.fstat(self._fd)
        return Position(info.st_dev, info.st_ino, self._position)

    def read(self, limit: int = 64 * 1024) -> bytes:
        """Return the next bytes, b"" where there are none yet.

        Args:
            limit: The most bytes to return (but for the line about truncation).

        Raises:
            OSError: It cannot be read.
        """
        if os.fstat(self._fd).st_size < self._position:
            self._position = 0
            self.jumps += 1
            return TRUNCATED
        return self._next(limit) or (self._next(limit) if self._switch() else b"")

    def _next(self, limit: int) -> bytes:
        data = os.pread(self._fd, limit, self._position)
        self._position += len(data)
        return data

    def _switch(self) -> bool:
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(self._fd)):
                return False
            fd = open_log(self._path)
        except OSError:
            return False  # between two files; or gone, and it may come back
        # The old file may have grown until its name was given to the new one.
        rest = os.fstat(self._fd).st_size > self._position
        if rest:
            os.close(fd)
            return True
        os.close(self._fd)
        self._fd, self._position = fd, 0
        self.jumps += 1
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
