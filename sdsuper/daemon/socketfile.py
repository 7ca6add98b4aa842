"""The files of unix sockets: made with their mode, and removed by nobody but who made them."""

from __future__ import annotations

import contextlib
import os
import socket

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
