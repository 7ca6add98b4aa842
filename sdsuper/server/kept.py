"""Listening sockets that outlive a daemon: clients that come meanwhile wait in their backlog.

There are two kinds. A socket unit of systemd passes sockets that are its own: we serve them, and
leave their files, modes and owners alone. Sockets that we opened ourselves go into systemd's store
of descriptors, which passes them to the next daemon when the service is restarted, and forgets
them when it is stopped. Only sockets without a file are stored, and the control socket in the
runtime directory: systemd removes that when the service is stopped, so that no file stays.

A stored socket carries in its name which server it is of; that of a unix socket names its file by
device and inode, so that one whose file was removed or replaced is known for what it is. In this
process the sockets stay open too, for the next daemon of a restart without a new process.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sdsuper.config.model import ServerConfig
from sdsuper.daemon.socketfile import file_identity
from sdsuper.systemd import fdstore
from sdsuper.systemd.notify import Notifier
from sdsuper.systemd.sockets import Passed
from sdsuper.values import Level

CONTROL_SOCKET = "sdsuper.sock"
"""The name of the control socket in the runtime directory."""

_STORED = "http-"
_TEMPORARY = re.compile(r"\.\d+\Z")  # a socket of ours was bound to FILE.PID

Report = Callable[[Level, str], None]


def server_address(config: ServerConfig) -> str:
    """Return how a client writes a server: `unix://PATH` or `http://HOST:PORT`."""
    if config.file is not None:
        return f"unix://{config.file}"
    host = config.host or "localhost"
    return f"http://[{host}]:{config.port}" if ":" in host else f"http://{host}:{config.port}"


def stored_name(config: ServerConfig) -> str | None:
    """Return the name under which the socket of a server is stored; None: it cannot be."""
    if config.file is None:
        host = (config.host or "").replace(":", "_")
        return f"{_STORED}inet-{host}-{config.port}" if host.isascii() else None
    return _name_of_file(config.file)


def _name_of_file(path: str) -> str | None:
    identity = file_identity(path)
    return None if identity is None else "{}unix-{:x}-{:x}".format(_STORED, *identity)


class Kept(NamedTuple):
    """A socket that listens already.

    Attributes:
        name: Under which it was stored, or which its socket unit gives it.
        is_ours: Whether we opened it, not a socket unit.
        address: Of the server it is handed on for by the daemon whose successor we are, None for
            what systemd passed.
        lasts: Whether it goes on to listen when the daemon has ended.
    """

    socket: socket.socket
    name: str
    is_ours: bool
    address: str | None = None
    lasts: bool = True


class KeptSockets:
    """All such sockets of this process.

    Args:
        passed: What systemd passed to us; they are ours from here on, whatever they are.
        directory: The runtime directory, None: nothing is stored.
        notifier: The way to systemd's store.

    Attributes:
        directory: The same.
    """

    def __init__(self, passed: Iterable[Passed], directory: str | None, notifier: Notifier) -> None:
        self.directory = directory
        self._notifier = notifier
        self._kept: list[Kept] = []
        self._foreign: list[Passed] = []
        for each in passed:
            with contextlib.suppress(OSError):
                os.set_inheritable(each.fd, False)
            found = _listening_socket(each.fd)
            if found is None:
                self._foreign.append(each)
            else:
                self._kept.append(Kept(found, each.name, each.name.startswith(_STORED)))

    def hand_on(self, address: str, fd: int, *, lasts: bool) -> None:
        """Take over a socket of the daemon whose successor we are.

        Args:
            address: Of its server, as `server_address` writes it.
            fd: The socket, which is ours from here on.
            lasts: Whether it goes on to listen when the daemon has ended.
        """
        found = _listening_socket(fd)
        if found is None:
            os.close(fd)
            return
        name = _stored_name_of(found) if lasts else None
        self._kept.append(Kept(found, name or "", is_ours=True, address=address, lasts=lasts))

    def drop_others(self, servers: Sequence[ServerConfig], report: Report) -> None:
        """Close what is of none of these servers: before any is opened, since it may be in the way.

        Args:
            servers: What is configured.
            report: Gets a warning for each descriptor that systemd passed in vain.
        """
        for fd, name in self._foreign:
            report(Level.WARN, f"closing descriptor {fd} ({name}), passed by systemd: {_NO_SOCKET}")
            with contextlib.suppress(OSError):
                os.close(fd)
        self._foreign.clear()
        wanted = [each for config in servers if (each := self._find(config)) is not None]
        for each in self._kept:
            if each not in wanted:
                self._drop(each, report)
        self._kept = wanted

    def take(self, config: ServerConfig) -> Kept | None:
        """Return another descriptor of the socket that listens for a server, None if none does."""
        found = self._find(config)
        if found is None:
            return None
        if found.lasts:
            found = found._replace(socket=found.socket.dup())
        else:
            self._kept.remove(found)
        found.socket.setblocking(False)
        return found

    def keep(self, config: ServerConfig, sock: socket.socket) -> bool:
        """Let a socket of ours outlive us, where that is possible; return whether it does.

        An older one of the same server is forgotten.
        """
        name = stored_name(config)
        if name is None or not self._may_outlive_us(config):
            return False
        if not self._notifier.send_descriptor(fdstore.store(name), sock.fileno()):
            return False
        for each in [each for each in self._kept if self._is_older(each, config)]:
            self._forget(each)
            self._kept.remove(each)
        self._kept.append(Kept(sock.dup(), name, is_ours=True))
        return True

    def close(self) -> None:
        """Let go of the sockets in this process; systemd's store keeps its own."""
        for each in self._kept:
            each.socket.close()
        self._kept.clear()

    def _find(self, config: ServerConfig) -> Kept | None:
        """Return the socket of a server, ours of two: its file is known to be it."""
        found = [each for each in self._kept if _serves(each, config)]
        return max(found, key=lambda each: each.is_ours, default=None)

    def _may_outlive_us(self, config: ServerConfig) -> bool:
        if self.directory is None:
            return False
        if config.file is None:
            return True
        control = os.path.join(self.directory, CONTROL_SOCKET)
        return os.path.realpath(config.file) == os.path.realpath(control)

    @staticmethod
    def _is_older(kept: Kept, config: ServerConfig) -> bool:
        return kept.is_ours and config.file is not None and _path(kept) == config.file

    def _drop(self, kept: Kept, report: Report) -> None:
        if not kept.is_ours:
            report(
                Level.WARN,
                f"closing the socket {_shown(kept.socket)} ({kept.name}), passed by systemd: no "
                "server is configured there, or its file is gone",
            )
            kept.socket.close()
            return
        path = _path(kept)
        if path is not None and _name_of_file(path) == kept.name:
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._forget(kept)

    def _forget(self, kept: Kept) -> None:
        self._notifier.send(fdstore.remove(kept.name))
        # Until systemd has read that, the socket is open: but its address is free at once.
        with contextlib.suppress(OSError):
            kept.socket.shutdown(socket.SHUT_RDWR)
        kept.socket.close()


_NO_SOCKET = "it is no listening stream socket"


def _listening_socket(fd: int) -> socket.socket | None:
    """Return the socket behind a descriptor that takes streams, None where it is anything else."""
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return None
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    families = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
    if (
        sock.family in families
        and sock.type == socket.SOCK_STREAM
        and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        return sock
    sock.detach()
    return None


def _serves(kept: Kept, config: ServerConfig) -> bool:
    if kept.address is not None:
        is_there = config.file is None or os.path.lexists(config.file)
        return kept.address == server_address(config) and is_there
    if kept.is_ours:
        return kept.name == stored_name(config)
    address = kept.socket.getsockname()
    if config.file is not None:
        is_there = address == config.file and os.path.lexists(config.file)
        return kept.socket.family == socket.AF_UNIX and is_there
    if kept.socket.family == socket.AF_UNIX or address[1] != config.port:
        return False
    return address[0] in _addresses(config.host or "", kept.socket.family)


def _addresses(host: str, family: int) -> set[str]:
    """Return the addresses that a configured host stands for; "" is every interface."""
    if not host:
        # A socket unit that says no more than a port listens on :: for both families.
        return {"0.0.0.0", "::"}
    try:
        return {str(item[4][0]) for item in socket.getaddrinfo(host, None, family)}
    except (OSError, UnicodeError):
        return set()


def _path(kept: Kept) -> str | None:
    """Return the path that a stored unix socket was given, None for inet."""
    if kept.socket.family != socket.AF_UNIX:
        return None
    return _TEMPORARY.sub("", kept.socket.getsockname())


def _stored_name_of(sock: socket.socket) -> str | None:
    """Return the name under which a socket of ours is stored."""
    if sock.family == socket.AF_UNIX:
        return _name_of_file(_TEMPORARY.sub("", sock.getsockname()))
    host, port = sock.getsockname()[:2]
    return f"{_STORED}inet-{host.replace(':', '_')}-{port}"


def _shown(sock: socket.socket) -> str:
    address = sock.getsockname()
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"
