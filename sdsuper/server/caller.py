"""Who calls a method or presses a button: known where a fact says who asked for it.

The caller is a context variable: it follows the call through everything that works on it, plugins
and calls of several methods included, without being handed from one to the next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

from sdsuper.core.history import DAEMON, Requester, Via

_UNSET_UID = 0xFFFFFFFF
"""What the kernel says of a process that nobody logged in for (audit(8))."""


class Peer(NamedTuple):
    """The other end of a connection.

    Attributes:
        address: `HOST:PORT` on an inet socket, "" on a unix socket.
        pid: Of the process that connected through a unix socket, 0 where it cannot be told (it may
            be in another pid namespace).
        uid: As whom that ran when it connected, None on an inet socket.
    """

    address: str = ""
    pid: int = 0
    uid: int | None = None


NOBODY = Peer()


class Caller:
    """Somebody who asks for something.

    Args:
        via: Through what.
        what: The method or action.
        peer: Who.
        user: The name that went with the password, "" where none was asked for.
    """

    def __init__(self, via: Via, what: str, peer: Peer, user: str) -> None:
        self._via = via
        self._what = what
        self._peer = peer
        self._user = user
        self._requester: Requester | None = None

    def calling(self, method: str) -> Caller:
        """Return the same one where a call asks for another method."""
        return Caller(self._via, method, self._peer, self._user)

    def requester(self) -> Requester:
        """Return who it is. What /proc tells is read when first asked: the client waits for us."""
        if self._requester is None:
            peer = self._peer
            self._requester = Requester(
                via=self._via,
                what=self._what,
                pid=peer.pid,
                uid=peer.uid,
                login_uid=_login_uid(peer.pid),
                command=_command(peer.pid),
                address=peer.address,
                user=self._user,
            )
        return self._requester


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


@contextlib.contextmanager
def calling(caller: Caller | None) -> Iterator[None]:
    """Let everything inside be asked for by a caller."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def present_caller() -> Caller | None:
    """Return who calls, None where the daemon acts by itself."""
    return _caller.get()


def requester(otherwise: Requester = DAEMON) -> Requester:
    """Return who asks for what is being done, or `otherwise` where no client does."""
    caller = _caller.get()
    return otherwise if caller is None else caller.requester()


def _command(pid: int) -> str:
    return _read(pid, "comm").decode(errors="replace").rstrip("\n")


def _login_uid(pid: int) -> int | None:
    text = _read(pid, "loginuid")
    uid = int(text) if text.isdigit() else _UNSET_UID
    return None if uid == _UNSET_UID else uid


def _read(pid: int, name: str) -> bytes:
    if not pid:
        return b""
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            return file.read(64)
    except OSError:
        return b""
