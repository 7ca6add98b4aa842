"""The files of unix sockets: made with their mode, and removed by nobody but who made them."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Self

Identity = tuple[int, int]
"""Device and inode."""


def file_identity(path: str) -> Identity | None:
    """Return what names a file for good, links not followed; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def bind(sock: socket.socket, path: str, mode: int) -> Identity | None:
    """Give a socket its name, and tell which file that is; nobody can connect before it listens.

    The mode comes with the file: whoever may write to the directory may have put a link in its
    place before it could be changed.

    Raises:
        OSError: It cannot be bound there.
    """
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    return file_identity(path)


def remove(path: str, identity: Identity | None) -> None:
    """Remove a file, if that is still the same. Never raises."""
    if identity is not None and file_identity(path) == identity:
        with contextlib.suppress(OSError):  # the directory is not ours to change any more
            os.unlink(path)


class OwnedSocket:
    """An open socket of ours; a unix socket has a file, which goes with it.

    Attributes:
        path: The path of its file, "" without one.
        file: Which file that is, None without one.
    """

    _socket: socket.socket
    path: str
    file: Identity | None

    @classmethod
    def of(cls, fd: int, path: str, file: Identity | None) -> Self:
        """Return what an earlier daemon has opened."""
        made = cls.__new__(cls)
        made._socket = socket.socket(fileno=fd)  # noqa: SLF001  our own
        made.path = path
        made.file = file
        return made

    def fileno(self) -> int:
        """Return its descriptor, which is close-on-exec."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it and remove its file, if that is still its. Never raises."""
        self._socket.close()
        remove(self.path, self.file)
