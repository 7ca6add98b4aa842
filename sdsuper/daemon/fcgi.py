"""The sockets of [fcgi-program:x]: one for all processes of a program, as their descriptor 0.

As in Supervisor a socket is open as long as some process of the program lives, and is tried once
when its group becomes active. It is opened again for the next process after that, so that
changes on disk (an owner, a directory) take effect with a restart of the program.

Other than there, an address that is taken is the trouble of this program alone, only a socket is
ever removed to make room for one, and its file goes when it is closed. A host that is given by its
name is looked up when the group becomes active, and never while programs run.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Callable

from sdsuper.config.model import FcgiSocketConfig, GroupConfig
from sdsuper.daemon import socketfile
from sdsuper.daemon.listen import HeldSocket
from sdsuper.daemon.spawn import SpawnError
from sdsuper.values import Level, Namespec

_DEFAULT_MODE = 0o700
_TCP = re.compile(r"tcp://([^\s:]+):(\d+)")
_UNIX = "unix://"

FCGI = -1
"""The place of such a socket among those of its program."""

Key = tuple[str, str]
"""The names of a group and of a program in it."""


class FcgiSockets:
    """The sockets of all fcgi-programs.

    Args:
        report: Writes to the daemon's log.

    Attributes:
        on_change: Called when other sockets are open than before.
    """

    def __init__(self, report: Callable[[Level, str], None]) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._report = report
        self._configs: dict[Key, FcgiSocketConfig] = {}
        self._addresses: dict[Key, tuple[str, int]] = {}
        self._programs: dict[Namespec, Key] = {}
        self._open: dict[Key, _Socket] = {}
        self._users: dict[Key, set[Namespec]] = {}

    def held(self) -> dict[HeldSocket, int]:
        """Return what is open, and the descriptors."""
        return {
            HeldSocket(*key, FCGI, each.path, each.file): each.fileno()
            for key, each in self._open.items()
        }

    def adopt(self, held: HeldSocket, fd: int) -> None:
        """Go on with a socket of an earlier daemon."""
        self._open[held.group, held.program] = _Socket.of(fd, held.path, held.file)

    def adopt_user(self, name: Namespec) -> None:
        """Count in a process that an earlier daemon has started."""
        key = self._programs.get(name)
        if key is not None:
            self._users.setdefault(key, set()).add(name)

    def add(self, group: GroupConfig, *, adopted: bool = False) -> None:
        """Take in a group that becomes active, and try the sockets of its programs.

        Args:
            group: The group.
            adopted: Its processes may be using the sockets that would be tried.
        """
        for program, config in group.sockets.items():
            key = group.name, program
            self._configs[key] = config
            self._addresses.pop(key, None)
            if adopted:
                continue
            try:
                self._close(key, self._create(key))
            except OSError as error:
                self._report(Level.CRITICAL, _cannot(config, error))
        for process in group.processes:
            if process.program in group.sockets:
                name = Namespec(group.name, process.name)
                self._programs[name] = group.name, process.program

    def open(self, name: Namespec) -> int | None:
        """Return the descriptor for a process that is about to start, None where it has none.

        Raises:
            SpawnError: The socket cannot be opened.
        """
        key = self._programs.get(name)
        if key is None:
            return None
        if key not in self._open:
            try:
                self._open[key] = self._create(key)
                self.on_change()
            except OSError as error:
                raise SpawnError(_cannot(self._configs[key], error)) from None
        self._users.setdefault(key, set()).add(name)
        return self._open[key].fileno()

    def release(self, name: Namespec) -> None:
        """A process is gone: with the last of its program the socket is closed."""
        key = self._programs.get(name)
        if key is None:
            return
        users = self._users.get(key, set())
        users.discard(name)
        if not users and key in self._open:
            closed = self._open.pop(key)
            self.on_change()
            self._close(key, closed)

    def forget(self, name: Namespec) -> None:
        """A process is no longer part of the configuration in force."""
        self.release(name)
        self._programs.pop(name, None)

    def close(self) -> None:
        """Close all sockets."""
        for key in list(self._open):
            self._close(key, self._open.pop(key))

    def _create(self, key: Key) -> _Socket:
        config = self._configs[key]
        self._report(Level.INFO, f"Creating socket {config.url}")
        tcp = _TCP.fullmatch(config.url)
        if tcp is None:
            return _Socket(config, None)
        if key not in self._addresses:
            self._addresses[key] = _look_up(tcp[1], int(tcp[2]))
        return _Socket(config, self._addresses[key])

    def _close(self, key: Key, opened: _Socket) -> None:
        self._report(Level.INFO, f"Closing socket {self._configs[key].url}")
        opened.close()


def _cannot(config: FcgiSocketConfig, error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"Could not create FastCGI socket {config.url}: {reason}"


class _Socket(socketfile.OwnedSocket):
    """One listening socket.

    Args:
        config: What is wanted.
        address: Where to listen, None for a unix socket.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, config: FcgiSocketConfig, address: tuple[str, int] | None) -> None:
        self.path = ""
        self.file = None
        family = socket.AF_UNIX if address is None else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            if address is not None:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._socket.bind(address)
            else:
                self.path = config.url.removeprefix(_UNIX)
                self._bind_unix(config)
            self._socket.listen(config.backlog or socket.SOMAXCONN)
        except BaseException:
            self.close()
            raise

    def _bind_unix(self, config: FcgiSocketConfig) -> None:
        _make_room(self.path)
        mode = _DEFAULT_MODE if config.mode is None else config.mode
        self.file = socketfile.bind(self._socket, self.path, mode)
        if config.owner is not None:
            uid, gid = config.owner
            os.chown(self.path, uid, gid, follow_symlinks=False)


def _look_up(host: str, port: int) -> tuple[str, int]:
    found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
    address = found[0][4]
    return str(address[0]), int(address[1])


def _make_room(path: str) -> None:
    """Remove an old socket, be it of processes that have outlived their daemon.

    Raises:
        OSError: Something else is in the way.
    """
    try:
        found = os.lstat(path)
    except OSError:
        return  # binding will tell what is wrong
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "something that is no socket is in the way")
    os.unlink(path)
