"""Listening sockets that the daemon keeps open for its programs: `sockets=`.

They belong to a program of a group, and are shared by its processes. They are opened when the
first of these is spawned, and stay open, whatever becomes of the processes, until all of them are
forgotten: connections wait in the backlog meanwhile.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterable

from sdsuper.config.model import ProcessConfig, SocketConfig
from sdsuper.daemon import socketfile
from sdsuper.daemon.spawn import SpawnError
from sdsuper.dataclass import dataclass
from sdsuper.values import Namespec

_UNIX_MODE = 0o700
"""What an fcgi socket has where nothing is said: its owner may connect."""

Key = tuple[str, str]
"""The names of a group and of a program in it."""


def listen_variables(sockets: Iterable[SocketConfig]) -> dict[str, str]:
    """Return what sd_listen_fds(3) looks at, but for LISTEN_PID; nothing without sockets."""
    names = [each.name for each in sockets]
    return {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)} if names else {}


@dataclass(frozen=True, slots=True)
class HeldSocket:
    """One open socket of a program, as it is handed on.

    Attributes:
        index: Its place among those of the program.
        path: Of its file, "" without one.
        file: Device and inode of that.
    """

    group: str
    program: str
    index: int
    path: str = ""
    file: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The name of its descriptor."""
        return f"{SOCKET}{self.group}:{self.program}:{self.index}"


SOCKET = "socket/"


class ProgramSockets:
    """The sockets of all programs.

    Attributes:
        on_change: Called when other sockets are open than before.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._claims: dict[Key, dict[Namespec, ProcessConfig]] = {}
        self._open: dict[Key, list[_Socket]] = {}

    def held(self) -> dict[HeldSocket, int]:
        """Return what is open, and the descriptors."""
        return {
            HeldSocket(*key, index, each.path, each.file): each.fileno()
            for key, sockets in self._open.items()
            for index, each in enumerate(sockets)
        }

    def adopt(self, held: HeldSocket, fd: int) -> None:
        """Go on with a socket of an earlier daemon; those of a program come in order."""
        opened = self._open.setdefault((held.group, held.program), [])
        opened.append(_Socket.of(fd, held.path, held.file))

    def claim(self, name: Namespec, config: ProcessConfig) -> None:
        """Take a process in that becomes active."""
        if config.sockets:
            self._claims.setdefault(_key(config), {})[name] = config

    def release(self, name: Namespec) -> None:
        """Let go of a process; with the last of its program the sockets are closed."""
        for key, claims in list(self._claims.items()):
            if claims.pop(name, None) is not None and not claims:
                del self._claims[key]
                closed = self._open.pop(key, [])
                self.on_change()
                _close_all(closed)

    def open(self, name: Namespec) -> list[int]:
        """Return the descriptors of a process in configured order; open what is not open yet.

        Raises:
            SpawnError: One of the sockets cannot be opened; what was opened for this is closed.
        """
        config = next((found[name] for found in self._claims.values() if name in found), None)
        if config is None:
            return []
        before = self._open.get(_key(config), [])
        after: list[_Socket] = []
        try:
            for index, wanted in enumerate(config.sockets):
                old = before[index] if index < len(before) else None
                after.append(old if old is not None and old.is_there() else _Socket(wanted, config))
        except OSError as error:
            _close_all(each for each in after if each not in before)
            reason = errno.errorcode.get(error.errno or 0, str(error))
            raise SpawnError(
                f"cannot listen on {wanted.address} for '{config.name}': {reason}"
            ) from None
        self._open[_key(config)] = after
        if after != before:
            self.on_change()
        _close_all(each for each in before if each not in after)
        return [each.fileno() for each in after]

    def close(self) -> None:
        """Close all sockets."""
        for sockets in self._open.values():
            _close_all(sockets)
        self._open.clear()


class _Socket(socketfile.OwnedSocket):
    """One open socket; a unix socket has a file.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, wanted: SocketConfig, config: ProcessConfig) -> None:
        self.path = wanted.path
        self.file = None
        kind = socket.SOCK_DGRAM if wanted.scheme == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(_family(wanted), kind)
        try:
            if wanted.scheme == "unix":
                self._bind_unix(config)
            else:
                self._bind_inet(wanted)
            if kind == socket.SOCK_STREAM:
                self._socket.listen(socket.SOMAXCONN)
        except BaseException:
            self.close()
            raise

    def is_there(self) -> bool:
        """Whether clients can reach it: the file of a unix socket may have been removed."""
        return not self.path or socketfile.file_identity(self.path) == self.file

    def _bind_inet(self, wanted: SocketConfig) -> None:
        if wanted.scheme == "tcp":  # for datagrams it would let two programs share a port
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._socket.family == socket.AF_INET6:
            # As for the daemon's own servers: `[::]` and `*` can stand beside each other.
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self._socket.bind((wanted.host, wanted.port))

    def _bind_unix(self, config: ProcessConfig) -> None:
        # Bound where it stays: programs compare the address they got with the one they expect.
        _remove_stale(self.path)
        self.file = socketfile.bind(self._socket, self.path, _UNIX_MODE)
        if config.user is not None and config.user.uid != os.geteuid():
            # Whoever may write to the directory may have put a link there by now.
            os.chown(self.path, config.user.uid, config.user.gid, follow_symlinks=False)


def _key(config: ProcessConfig) -> Key:
    return config.group, config.program


def _family(wanted: SocketConfig) -> socket.AddressFamily:
    if wanted.scheme == "unix":
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in wanted.host else socket.AF_INET


def _close_all(sockets: Iterable[_Socket]) -> None:
    for each in sockets:
        each.close()


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on; the loop does not wait for who might.

    Raises:
        OSError: EADDRINUSE when somebody listens, or when it is no socket.
    """
    if not os.path.lexists(path):
        return
    in_use = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise in_use
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:  # a full backlog, for example: it is alive
            raise in_use from None
        else:
            raise in_use
