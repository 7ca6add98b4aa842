"""Descriptors kept in the kernel: in the receive queue of a pair of sockets that we hold both of.

What is sent with SCM_RIGHTS and never received stays open, whatever becomes of its sender, as long
as somebody holds the pair. So whoever keeps those two descriptors (systemd, in its store; a
successor, over execve(2)) keeps all that is in the box, however many there are.

A message is some names and as many descriptors. Nothing can be taken out of the middle: what is
dropped stays in the box until the rest is packed into a new one. A reader only peeks
(SO_PEEK_OFF, unix(7)): if it dies over its work, the next one finds all that it found.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import Iterable, Mapping, Sequence

from sdsuper.errors import HandoverError

MESSAGE_FDS_MAX = 253
"""Source: SCM_MAX_FD of the kernel."""

GARBAGE_MAX = 400
"""Descriptors that may lie in the box without need, beside as many as are needed."""

_SO_PEEK_OFF = 42  # asm-generic/socket.h
_SO_SNDBUFFORCE = 32  # the same
_SEND_BUFFER = 4 * 1024 * 1024
_MESSAGE_BYTES_MAX = 128 * 1024
_FD_BYTES = array.array("i").itemsize


class BoxFullError(Exception):
    """No more goes in: the rest has to be packed into a new box."""


class Box:
    """A box that we put descriptors into.

    The descriptors stay the caller's: while one is in the box, its number must not be closed before
    it is dropped.

    Args:
        generation: The number of the box among those of one daemon and its successors.

    Attributes:
        ends: The pair, close-on-exec; what is sent to the first lies in the second.
        live: What is needed: name -> descriptor.
        dead: How many lie in it without need.
        generation: The same.
    """

    def __init__(self, generation: int = 1) -> None:
        self.generation = generation
        self.live: dict[str, int] = {}
        self.dead = 0
        self.ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in self.ends:
            end.setblocking(False)
        with contextlib.suppress(OSError):  # for root alone; others pack a new box a little sooner
            self.ends[0].setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)

    @property
    def is_mostly_garbage(self) -> bool:
        """Whether it is worth while to pack a new one."""
        return self.dead > len(self.live) + GARBAGE_MAX

    def put(self, fds: Mapping[str, int]) -> None:
        """Put descriptors in; one of the same name as another takes its place.

        Raises:
            BoxFullError: Not all of them went in; those that did are in `live`.
        """
        for names in _messages(list(fds)):
            text = b"\0".join(name.encode("utf-8", "surrogateescape") for name in names)
            try:
                rights = array.array("i", [fds[name] for name in names])
                self.ends[0].sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            except OSError as error:  # EAGAIN: the buffer; ETOOMANYREFS: the user's limit
                raise BoxFullError(str(error)) from None
            self.dead += sum(name in self.live for name in names)
            self.live.update((name, fds[name]) for name in names)

    def drop(self, name: str) -> None:
        """Need a descriptor no more."""
        if self.live.pop(name, None) is not None:
            self.dead += 1

    def packed(self) -> Box:
        """Return a new box of the next generation that holds what is needed, and nothing else.

        Raises:
            BoxFullError: Not even into an empty one does all of it go.
            OSError: There is no descriptor for it.
        """
        fresh = Box(self.generation + 1)
        try:
            fresh.put(self.live)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def close(self) -> None:
        """Close the pair; others may still hold it."""
        for end in self.ends:
            end.close()


def read(ends: Sequence[int]) -> dict[str, int]:
    """Look into a box of another daemon; it stays as it is.

    Args:
        ends: The pair, in any order; they stay the caller's.

    Returns:
        What is in it: name -> a descriptor of our own, close-on-exec.

    Raises:
        HandoverError: That is no box, or its descriptors are too many for our limit.
    """
    if len(ends) != 2:
        raise HandoverError(f"a box has two ends, not {len(ends)}")
    found: dict[str, int] = {}
    try:
        for fd in ends:
            with _end(fd) as end:
                _peek(end, found)
    except BaseException:
        _close_all(found.values())
        raise
    return found


def _end(fd: int) -> socket.socket:
    own = os.dup(fd)
    try:
        end = socket.socket(fileno=own)
    except OSError as error:
        os.close(own)
        raise HandoverError(f"the end of a box is no socket: {error}") from None
    if end.family != socket.AF_UNIX or end.type != socket.SOCK_SEQPACKET:
        end.close()
        raise HandoverError("the end of a box is another kind of socket")
    return end


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def _peek(end: socket.socket, found: dict[str, int]) -> None:
    """Add what lies in one end; what was put in later counts."""
    at = 0
    while count := _peek_one(end, at, found):
        at += count


def _peek_one(end: socket.socket, at: int, into: dict[str, int]) -> int:
    """Look at the message at some offset; return its length, 0 where there is none."""
    end.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, at)
    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
    space = socket.CMSG_SPACE(MESSAGE_FDS_MAX * _FD_BYTES)
    try:
        text, ancillary, _, _ = end.recvmsg(_MESSAGE_BYTES_MAX * 2, space, flags)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise HandoverError(f"the box cannot be read: {error}") from None
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _FD_BYTES])
    names = [each.decode("utf-8", "surrogateescape") for each in text.split(b"\0")] if text else []
    if len(names) != len(fds):
        for fd in fds:
            os.close(fd)
        raise HandoverError(
            f"the box holds more descriptors than may be open: {len(fds)} of {len(names)} came out"
        )
    for name, fd in zip(names, fds, strict=True):
        before = into.get(name)
        if before is not None:
            os.close(before)
        into[name] = fd
    return len(text)


def _messages(names: Sequence[str]) -> list[list[str]]:
    """Return the names in the portions that go into one message each."""
    messages: list[list[str]] = []
    length = 0
    for name in names:
        if not messages or len(messages[-1]) == MESSAGE_FDS_MAX or length > _MESSAGE_BYTES_MAX:
            messages.append([])
            length = 0
        messages[-1].append(name)
        length += len(name) * 4 + 1
    return messages
