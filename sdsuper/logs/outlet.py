"""Open whatever a log file name may name, so that writing to it can never block.

Besides regular files people name `/dev/stdout`, `/proc/1/fd/1`, terminals and FIFOs. Each is
opened as a description of its own with O_NONBLOCK where the kernel allows that. Where it does not
(a socket, or a pipe that another user made), the daemon's own descriptor is duplicated; its flags
are shared with others and left alone, so writing asks first whether there is room.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import stat
from collections.abc import Callable

from sdsuper.dataclass import dataclass
from sdsuper.logs.trouble import Data

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_DESCRIPTOR = re.compile(r"/dev/(?:stdin|stdout|stderr|fd/(\d+))|/proc/(\w+)/fd/(\d+)")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_LINKS_MAX = 8
_PIPE_PAGE = 4096  # what a pipe that polls writable takes without blocking


@dataclass(frozen=True, slots=True)
class Outlet:
    """An open descriptor that takes bytes.

    Attributes:
        fd: The descriptor.
        send: Writes some of the bytes to the descriptor, returns how many. Raises BlockingIOError
            where there is no room now, OSError otherwise. It never blocks, but for a regular file
            on a slow disk.
        regular: It is a regular file under its own name: may be rotated and truncated.
        size: Bytes it held when it was opened.
        mode: Its permission bits.
        identity: Its device and inode.
    """

    fd: int
    send: Callable[[int, Data], int]
    regular: bool
    size: int
    mode: int
    identity: tuple[int, int]

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)

    def is_at(self, path: str) -> bool:
        """Tell whether `path` still names this file, which outside rotation may have moved."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.fd))
        except OSError:
            return False


def open_outlet(path: str, *, mode: int = 0o666, follow: bool = True) -> Outlet:
    """Open `path` for appending; a file that is missing is created.

    Args:
        path: A file, FIFO or device, or a name of one of our own descriptors.
        mode: Permission bits of a new file; the umask is applied.
        follow: Whether the last part of the path may be a symbolic link.

    Raises:
        OSError: It cannot be opened for writing.
    """
    own = own_descriptor(path)
    if own is not None:
        return _open_own(path, own)
    fd = _open_path(path, _APPEND | (0 if follow else os.O_NOFOLLOW), mode)
    info = os.fstat(fd)
    regular = stat.S_ISREG(info.st_mode) and not names_descriptor(path)
    return _outlet(fd, info, os.write, regular=regular)


def names_descriptor(path: str) -> bool:
    """Tell whether `path` names a descriptor of some process, directly or through links."""
    return _descriptor(path) is not None


def own_descriptor(path: str) -> int | None:
    """Return the number of our own descriptor that `path` names, else None."""
    found = _descriptor(path)
    if found is None:
        return None
    if found[0] in _STANDARD:
        return _STANDARD[found[0]]
    if found[1] is not None:
        return int(found[1])
    return int(found[3]) if found[2] in ("self", str(os.getpid())) else None


def _descriptor(path: str) -> re.Match[str] | None:
    # Resolved link by link: realpath would go on through the descriptor to what it is open on.
    for _ in range(_LINKS_MAX):
        found = _DESCRIPTOR.fullmatch(path)
        if found is not None:
            return found
        try:
            path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        except OSError:
            return None
    return None


def _open_path(path: str, flags: int, mode: int) -> int:
    try:
        fd = os.open(path, flags, mode)
    except OSError as error:
        # ENXIO: a FIFO that nobody reads. Holding both ends, readers may come and go.
        if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
            raise
        return os.open(path, flags & ~os.O_WRONLY | os.O_RDWR, mode)
    if stat.S_ISFIFO(os.fstat(fd).st_mode) and not names_descriptor(path):
        return _both_ends(path, fd, flags)
    return fd


def _both_ends(path: str, fd: int, flags: int) -> int:
    try:
        both = os.open(path, flags & ~os.O_WRONLY | os.O_RDWR)
    except OSError:
        return fd  # not readable for us: it fails with EPIPE while nobody reads
    os.close(fd)
    return both


def _open_own(path: str, own: int) -> Outlet:
    info = os.fstat(own)
    if stat.S_ISREG(info.st_mode):
        # A duplicate shares the file's position with all else that is printed there.
        fd = _duplicate(own)
        return _outlet(fd, info, os.write, regular=False)
    if stat.S_ISSOCK(info.st_mode):
        fd = _duplicate(own)
        return _outlet(fd, info, _send_socket, regular=False)
    try:
        fd = os.open(path, _APPEND & ~os.O_CREAT)
    except OSError:
        fd = _duplicate(own)
        return _outlet(fd, info, _send_shared, regular=False)
    return _outlet(fd, info, os.write, regular=False)


def _duplicate(fd: int) -> int:
    return os.dup(fd)  # close-on-exec, as every descriptor Python makes


def _outlet(
    fd: int, info: os.stat_result, send: Callable[[int, Data], int], *, regular: bool
) -> Outlet:
    mode = stat.S_IMODE(info.st_mode)
    return Outlet(fd, send, regular, info.st_size, mode, (info.st_dev, info.st_ino))


def _send_socket(fd: int, data: Data) -> int:
    sock = socket.socket(fileno=fd)
    try:
        return sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    finally:
        sock.detach()


def _send_shared(fd: int, data: Data) -> int:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return os.write(fd, memoryview(data)[:_PIPE_PAGE])
