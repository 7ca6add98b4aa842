"""The listening sockets of the HTTP servers: opened before the loop, checked while it runs.

A unix socket gets its name only when it is complete: it is bound to `FILE.PID`, gets its mode and
owner, listens, and is then linked to FILE. A client never meets one that refuses it, and of two
daemons that start at once just one gets the name, because a link never replaces anything.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
import sys
from collections.abc import Iterable, Sequence

from sdsuper.config.model import Note, RpcInterfaceConfig, ServerConfig
from sdsuper.config.servers import is_main
from sdsuper.daemon.setup import ALREADY_RUNNING
from sdsuper.daemon.socketfile import file_identity, remove
from sdsuper.errors import UsageError
from sdsuper.server.kept import (
    CONTROL_SOCKET,
    KeptSockets,
    Report,
    server_address,
)
from sdsuper.systemd.notify import Notifier
from sdsuper.values import Level

BACKLOG = 1024
"""Connections that may wait to be accepted (Supervisor's number)."""

CONTROL_GROUP = "sdsuper"
"""Who may use it beside root."""

PROBE_SECONDS = 5.0
"""How long an old socket may take to refuse or accept before it counts as in use."""

NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV})
"""What link() says on a file system that has none."""


class Listener:
    """A socket that listens for one server section.

    Attributes:
        config: The section.
        socket: Non-blocking and close-on-exec.
        identity: Device and inode of a unix socket's file as we made it, None for inet.
        kept: Whether it goes on to listen when we close it; its file stays then.
    """

    def __init__(self, config: ServerConfig, sock: socket.socket, kept: KeptSockets) -> None:
        self.config = config
        self.socket = sock
        self.identity = None if config.file is None else file_identity(config.file)
        self._keeper = kept
        self.kept = False

    @property
    def url(self) -> str:
        """How a client writes this server: `unix://PATH` or `http://HOST:PORT`."""
        return server_address(self.config)

    def is_missing(self) -> bool:
        """Whether the file of a unix socket is gone (a cleaner of temporary files took it)."""
        return self.config.file is not None and not os.path.lexists(self.config.file)

    def reopened(self) -> Listener:
        """Return a new socket for the same section; this one is to be closed without unlinking.

        Raises:
            OSError, UsageError: It cannot be made.
        """
        fresh = Listener(self.config, _open(self.config), self._keeper)
        fresh.kept = self._keeper.keep(self.config, fresh.socket)
        return fresh

    def close(self) -> None:
        """Close the socket and remove its file, if that is still the one we made."""
        self.socket.close()
        path = self.config.file
        if self.kept or path is None:
            return
        remove(path, self.identity)


def open_listeners(
    servers: Sequence[ServerConfig], kept: KeptSockets | None = None
) -> list[Listener]:
    """Open all servers, or none.

    Args:
        servers: What is configured.
        kept: Sockets that listen already, and where those go that shall outlive us.

    Raises:
        UsageError: One of them cannot be opened; the text is Supervisor's.
    """
    kept = kept or KeptSockets((), None, Notifier({}))
    with contextlib.ExitStack() as opened:
        listeners: list[Listener] = []
        for config in servers:
            listener = _open_listener(config, kept)
            opened.callback(listener.close)
            listeners.append(listener)
        opened.pop_all()
    return listeners


def server_url(servers: Sequence[ServerConfig]) -> str | None:
    """Return what children get as SUPERVISOR_SERVER_URL: the first unix server, else inet."""
    by_preference = sorted(servers, key=lambda config: config.family != "unix")
    return server_address(by_preference[0]) if by_preference else None


def control_server(directory: str | None, servers: Sequence[ServerConfig]) -> ServerConfig | None:
    """Return the server that is there beside what is configured, None where none is to be.

    Under systemd a daemon can always be reached below its runtime directory, for `ExecReload=`:
    by root and the group CONTROL_GROUP, or by the user whose daemon it is.

    Args:
        directory: The runtime directory, None where systemd made none.
        servers: What is configured; one of them may be at the same place.
    """
    if directory is None:
        return None
    path = os.path.join(directory, CONTROL_SOCKET)
    there = os.path.realpath(path)
    if any(each.file is not None and os.path.realpath(each.file) == there for each in servers):
        return None
    group = _control_group() if os.geteuid() == 0 else None
    return ServerConfig(
        section="unix_http_server",
        family="unix",
        file=path,
        chmod=0o600 if group is None else 0o660,
        chown=None if group is None else (0, group),
    )


def open_control(control: ServerConfig, kept: KeptSockets, report: Report) -> list[Listener]:
    """Open the server of `control_server`; nobody has asked for it, so a failure only warns.

    Raises:
        UsageError: Another daemon listens there.
    """
    try:
        return open_listeners([control], kept)
    except UsageError as error:
        if str(error) == ALREADY_RUNNING:
            raise
        report(Level.WARN, f"no control socket {control.file}: {error}")
        return []


def _control_group() -> int | None:
    try:
        return grp.getgrnam(CONTROL_GROUP).gr_gid
    except KeyError:
        return None


def _open_listener(config: ServerConfig, kept: KeptSockets) -> Listener:
    try:
        found = kept.take(config)
        if found is None:
            listener = Listener(config, _open(config), kept)
            listener.kept = kept.keep(config, listener.socket)
            return listener
        listener = Listener(config, found.socket, kept)
        listener.kept = found.lasts
        if found.is_ours and config.file is not None:
            os.chmod(config.file, config.chmod)
            _change_owner(config.file, config)
        return listener
    except OSError as error:
        raise UsageError(_open_error(error)) from error


def _open_error(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return ALREADY_RUNNING
    # The socket module checks the length of a path by itself and gives no number.
    number = errno.ENAMETOOLONG if error.errno is None else error.errno
    name = errno.errorcode.get(number)
    reported = str(number) if name is None else f"errno.{name} ({number})"
    return f"Cannot open an HTTP server: socket.error reported {reported}"


def _open(config: ServerConfig) -> socket.socket:
    if config.file is not None:
        return _open_unix(config, config.file)
    return _open_inet(config.host or "", config.port or 0)


def _open_inet(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `[::]:9001` beside `*:9001` must work, so v6 leaves v4 alone.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _bind_inet(sock, host, port)
        _listen(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_inet(sock: socket.socket, host: str, port: int) -> None:
    try:
        sock.bind((host, port))
    except UnicodeError as error:  # a name that is none, such as a..b
        raise OSError(socket.EAI_NONAME, "not a host name") from error


def _open_unix(config: ServerConfig, path: str) -> socket.socket:
    _remove_stale(path)
    temporary = f"{path}.{os.getpid()}"
    if os.path.lexists(temporary) and stat.S_ISSOCK(os.lstat(temporary).st_mode):
        os.unlink(temporary)  # of a dead process that had our pid
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind_with_mode(sock, temporary, config.chmod)
        try:
            _change_owner(temporary, config)
            _listen(sock)
            _give_name(temporary, path)
        finally:
            if os.path.lexists(temporary):
                os.unlink(temporary)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.listen(BACKLOG)


def _bind_with_mode(sock: socket.socket, path: str, mode: int) -> None:
    # The umask makes the mode true from the first moment; chmod adds the bits it cannot.
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    os.chmod(path, mode)


def _change_owner(path: str, config: ServerConfig) -> None:
    if config.chown is None:
        return
    try:
        os.chown(path, *config.chown)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EINVAL}:
            raise
        raise UsageError(
            f"Not permitted to chown {config.file} to uid/gid {config.chown!r}; adjust "
            f'"sockchown" value in config file or on command line to values that the '
            f"current user ({_login()}) can successfully chown"
        ) from error


def _login() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _give_name(temporary: str, path: str) -> None:
    """Let `path` name what `temporary` names, without ever replacing anything."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError as error:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from error
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        os.rename(temporary, path)


def _remove_stale(path: str) -> None:
    """Make way where nobody listens any more.

    The old name is moved aside before it is removed: when two daemons come at once, the one
    that moved the other's fresh socket finds it alive and moves it back.

    Raises:
        OSError: EADDRINUSE when somebody listens, ENOTSOCK when it is no socket at all.
    """
    if not os.path.lexists(path):
        return
    if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        # A mistyped file= must not cost the operator a file.
        raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
    if _answers(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    aside = f"{path}.{os.getpid()}.old"
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    if _answers(aside):
        os.rename(aside, path)
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    os.unlink(aside)
    sys.stderr.write(f"Unlinking stale socket {path}\n")


def _answers(path: str) -> bool:
    """Whether a process listens there. Only a refusal says no: a full backlog is alive."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError as error:
            return error.errno != errno.ELOOP
        return True


def startup_notes(
    servers: Iterable[ServerConfig], interfaces: Sequence[RpcInterfaceConfig]
) -> list[Note]:
    """Return what the daemon's log says when the servers are opened (Supervisor's lines)."""
    notes: list[Note] = []
    for server in servers:
        notes += [
            Note(Level.INFO, f"RPC interface {interface.name!r} initialized")
            for interface in interfaces
            if is_main(interface)
        ]
        if not server.username:
            message = f"Server {server.section!r} running without any HTTP authentication checking"
            notes.append(Note(Level.CRITICAL, message))
    return notes
