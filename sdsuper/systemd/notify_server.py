"""The receiving end of NOTIFY_SOCKET, for programs that speak sd_notify(3).

`parse_notice` is pure. `NotifySocket` is one socket in the file system, made for one invocation of
one program: it says with each message who sent it, as the kernel knows it, and takes whatever
descriptors come along, so that they can be closed when the message has been acted upon (which
is what BARRIER=1 waits for).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable

from sdsuper.core.notice import Notice
from sdsuper.dataclass import dataclass

MESSAGE_MAX_BYTES = 4096
"""Longer messages are ignored, as systemd does (NOTIFY_BUFFER_MAX)."""

STATUS_MAX_CHARS = 200
"""What is longer is cut: it is one column of `status`."""

_MICROSECONDS = 1_000_000
_EXTEND_MAX_S = 365 * 86400.0  # beyond any sense, and within what a timer can hold
_DESCRIPTORS_MAX = 253  # SCM_MAX_FD of the kernel
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7)
_INT = struct.calcsize("i")
_NO_LINGER = struct.pack("ii", 0, 0)  # struct linger of socket(7)
_ANCILLARY_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_DESCRIPTORS_MAX * _INT)


def parse_notice(message: bytes) -> Notice:
    """Read one message: assignments, one per line.

    Whatever is not known, or has a value that makes no sense, is left out, so that new programs get
    on with old daemons. A trailing NUL is allowed, as systemd does: some programs send the
    whole of a C string. Source: sd_notify(3).
    """
    values: dict[str, str] = {}
    for line in message.removesuffix(b"\0").decode(errors="replace").split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            values[name] = value
    extend = _seconds(values.get("EXTEND_TIMEOUT_USEC"))
    return Notice(
        ready=values.get("READY") == "1",
        reloading=values.get("RELOADING") == "1",
        stopping=values.get("STOPPING") == "1",
        ping=values.get("WATCHDOG") == "1",
        trigger=values.get("WATCHDOG") == "trigger",
        status=_one_line(values["STATUS"]) if "STATUS" in values else None,
        errno=_number(values.get("ERRNO")),
        extend=None if extend is None else min(extend, _EXTEND_MAX_S),
        watchdog=_seconds(values.get("WATCHDOG_USEC")),
        main_pid=_number(values.get("MAINPID")) or None,
    )


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > 18:
        return None
    return int(text)


def _seconds(text: str | None) -> float | None:
    number = _number(text)
    return None if number is None else number / _MICROSECONDS


def _one_line(text: str) -> str:
    plain = "".join(each if each.isprintable() else " " for each in text).strip()
    return plain if len(plain) <= STATUS_MAX_CHARS else f"{plain[: STATUS_MAX_CHARS - 3]}..."


@dataclass(frozen=True, slots=True)
class Message:
    """One datagram.

    Attributes:
        data: What it says.
        pid: Who sent it; the kernel vouches for it. 0 where it is out of our sight.
        fds: Descriptors that came along; they are the receiver's to close.
    """

    data: bytes
    pid: int
    fds: tuple[int, ...]

    def close(self) -> None:
        """Close what came along: a sender that waits (BARRIER=1) goes on."""
        for fd in self.fds:
            _disarm(fd)
            with contextlib.suppress(OSError):
                os.close(fd)


def _disarm(fd: int) -> None:
    """See to it that a descriptor of somebody else's is closed at once.

    The last close of a socket with SO_LINGER waits until its peer has taken all data, for as long
    as the sender liked, in whoever closes it (socket(7)).
    """
    with contextlib.suppress(OSError):  # mostly: it is no socket
        ours = socket.socket(fileno=fd)
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        finally:
            ours.detach()


class NotifySocket:
    """A socket that programs of one account can send to.

    Where that is root all accounts can: the program may drop its privileges before it is ready.

    Args:
        path: Where to make it; its directory exists.
        uid: The account.
        fd: The socket itself, where it was made before.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: str, uid: int, fd: int | None = None) -> None:
        self.path = path
        self._bound = fd is not None
        if fd is not None:
            self._socket = socket.socket(fileno=fd)
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.bind(path)
            self._bound = True
            os.chmod(path, 0o600 if uid else 0o666)
            os.chown(path, uid, -1)
        except BaseException:
            self.close()
            raise

    @property
    def fd(self) -> int:
        """The descriptor, readable when a message is there."""
        return self._socket.fileno()

    def receive(self) -> Message | None:
        """Return the next message, None when none waits. One that is too long comes empty."""
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                MESSAGE_MAX_BYTES, _ANCILLARY_BYTES, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except OSError:  # nothing there; any other error is of no use either
            return None
        truncated = flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        return Message(b"" if truncated else data, _sender(ancillary), _descriptors(ancillary))

    def close(self) -> None:
        """Close it and remove its name."""
        if self._bound:
            self._drain()
        self._socket.close()
        if self._bound:
            self._bound = False
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def _drain(self) -> None:
        """Take what nobody will read: the kernel would close its descriptors as they are."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)  # or a flood would never end
        while (message := self.receive()) is not None:
            message.close()


def _sender(ancillary: Iterable[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid: int = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
            return pid
    return 0


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[int, ...]:
    return tuple(
        fd
        for level, kind, data in ancillary
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        for (fd,) in struct.iter_unpack("i", data[: len(data) - len(data) % _INT])
    )
