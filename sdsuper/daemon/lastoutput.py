"""The last that a process wrote before its latest end, as its log files have it.

Nothing is kept while a process writes. Where its files end is noted when it is spawned, and their
ends are read when it has ended, so that nothing an earlier invocation wrote is taken for its own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

from sdsuper.values import Namespec

OUTPUT_BYTES = 2048
"""How much of each channel is kept."""


class _Place(NamedTuple):
    """The end of a file at one moment."""

    device: int
    inode: int
    size: int


class LastOutput:
    """The ends of the files of every process that has ended: OUTPUT_BYTES for each channel."""

    def __init__(self) -> None:
        self._begun: dict[Namespec, dict[str, _Place]] = {}
        self._kept: dict[Namespec, dict[str, bytes]] = {}

    def begin(self, name: Namespec, paths: Mapping[str, str]) -> None:
        """Note where the files end in which an invocation is about to write, by channel."""
        self._begun.pop(name, None)
        for channel, path in paths.items():
            place = _place(path)
            if place is not None:
                self._begun.setdefault(name, {})[channel] = place

    def end(self, name: Namespec, paths: Mapping[str, str]) -> None:
        """Keep the ends of the files of an invocation that is over."""
        begun = self._begun.pop(name, {})
        if paths:
            self._kept[name] = {
                channel: _last(path, begun.get(channel)) for channel, path in paths.items()
            }

    def of(self, name: Namespec) -> Mapping[str, bytes]:
        """Return what is kept of a process, by channel; channels without a file are not in it."""
        return self._kept.get(name, {})

    def forget(self, name: Namespec) -> None:
        """Let go of a process."""
        self._begun.pop(name, None)
        self._kept.pop(name, None)


def _place(path: str) -> _Place | None:
    """Return where a regular file ends, None for anything else: nothing else is read back."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    regular = stat.S_ISREG(status.st_mode)
    return _Place(status.st_dev, status.st_ino, status.st_size) if regular else None


def _last(path: str, begun: _Place | None) -> bytes:
    """Return the end of a file, b"" where nothing was written to it or it cannot be read."""
    now = _place(path)
    if now is None or now == begun:
        return b""
    same = begun is not None and begun[:2] == now[:2] and begun.size <= now.size
    first = begun.size if same and begun is not None else 0  # else rotated or truncated
    start = max(first, now.size - OUTPUT_BYTES)
    try:
        # It may be another one by now: O_NONBLOCK, so that a FIFO does not make us wait.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        return os.pread(fd, now.size - start, start)
    except OSError:
        return b""
    finally:
        os.close(fd)
