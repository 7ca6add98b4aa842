"""What happens once, before the loop: user, limits, lock, daemonizing, pid file.

The order matters: whatever can refuse the start comes before the first file is touched, so that
a second daemon started by accident leaves the running one's logs and sockets alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

from sdsuper.config.model import Account, DaemonConfig, ServerConfig
from sdsuper.daemon import limits, prctl, proctable
from sdsuper.daemon.identity import CANNOT_DROP, take_identity
from sdsuper.errors import UsageError
from sdsuper.values import Level

Report = Callable[[Level, str], None]

ALREADY_RUNNING = (
    "Another program is already listening on a port that one of our HTTP servers is configured "
    "to use.  Shut this program down first before starting supervisord."
)

_RUNS_AS_ROOT = (
    "Supervisor is running as root.  Privileges were not dropped because no user is specified in "
    "the config file.  If you intend to run as root, you can set user=root in the config file to "
    "avoid this message."
)

_STANDARD_FDS = 3
_INTERRUPTED = 130
_TRIED_FDS = 65536
"""Descriptors that are tried one by one where nothing tells which are open."""


def take_user(user: Account | None, report: Report) -> None:
    """Become the user that `[supervisord] user` names.

    Raises:
        UsageError: It cannot be done; the text is Supervisor's.
    """
    if user is None:
        if os.getuid() == 0:
            report(Level.CRITICAL, _RUNS_AS_ROOT)
        return
    if os.getuid() != user.uid:
        take_identity(user)
    report(Level.INFO, f"Set uid to user {user.uid} succeeded")


def refuse_other_user(user: Account | None) -> None:
    """Refuse what `take_user` could not do, before anything is stopped for it.

    Raises:
        UsageError: Who is no longer root can become nobody else.
    """
    if user is not None and os.getuid() != user.uid and os.geteuid() != 0:
        raise UsageError(CANNOT_DROP)


def demand_limits(settings: DaemonConfig, report: Report) -> None:
    """See to it that `minfds` and `minprocs` are available.

    Raises:
        UsageError: They are not.
    """
    for limit, wanted, name in (
        (resource.RLIMIT_NOFILE, settings.minfds, "RLIMIT_NOFILE"),
        (resource.RLIMIT_NPROC, settings.minprocs, "RLIMIT_NPROC"),
    ):
        if limits.demand(limit, wanted):
            report(Level.INFO, f"Increased {name} limit to {wanted}")


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent ends (prctl(2))."""
    prctl.prctl(prctl.SET_CHILD_SUBREAPER, 1)


def keep_descriptors_to_ourselves() -> None:
    """Mark every descriptor that we inherited close-on-exec, so that no child gets it."""
    try:
        open_now: Iterable[int] = map(int, os.listdir("/proc/self/fd"))
    except OSError:  # /proc is not mounted: try all there can be
        open_now = range(min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _TRIED_FDS))
    for fd in open_now:
        if fd >= _STANDARD_FDS:
            with contextlib.suppress(OSError):
                os.set_inheritable(fd, False)


def end_children() -> None:
    """Kill all children, and what becomes a child by that: nobody knows any more what they are.

    What does not end within some seconds lives on.
    """
    deadline = time.monotonic() + _CHILDREN_END_WITHIN
    while (left := proctable.children(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_CHILDREN_PAUSE)


_CHILDREN_END_WITHIN = 10.0
_CHILDREN_PAUSE = 0.01


class Locks:
    """Advisory locks beside the control sockets: one daemon for each socket path.

    A socket alone cannot tell a dead daemon from one that is just starting or is being stopped,
    and a pid file can name a pid that is another's by now; a lock ends with its holder.
    """

    def __init__(self) -> None:
        self._held: list[tuple[int, str]] = []

    def take(self, servers: Iterable[ServerConfig]) -> None:
        """Take the lock of every unix server.

        Raises:
            UsageError: Another daemon holds one.
        """
        for server in servers:
            if server.file is not None and f"{server.file}.lock" not in self.held:
                self._take(f"{server.file}.lock")

    def _take(self, path: str) -> None:
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError:
                return  # the socket itself cannot be made there either, which says it better
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                raise UsageError(ALREADY_RUNNING) from None
            if _is_at(fd, path):
                self._held.append((fd, path))
                return
            os.close(fd)  # its last holder removed it between our two calls

    def adopt(self, path: str, fd: int) -> None:
        """Go on holding a lock of the daemon whose successor we are."""
        self._held.append((fd, path))

    @property
    def held(self) -> dict[str, int]:
        """The locks: their paths and their descriptors."""
        return {path: fd for fd, path in self._held}

    def release(self) -> None:
        """Remove and release all locks."""
        while self._held:
            fd, path = self._held.pop()
            with contextlib.suppress(OSError):
                os.unlink(path)
            os.close(fd)


def _is_at(fd: int, path: str) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(os.fstat(fd), found)


def daemonize(settings: DaemonConfig, report: Report) -> Parent:
    """Go on in a child in a session of its own; the parent waits until the child is up.

    Returns:
        Whom the child must release when it is up, or failed. A child that ends before ends the
        parent with status 1.
    """
    report(Level.INFO, "daemonizing the supervisord process")
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        _follow(ready)
    os.close(ready)
    if settings.directory is not None:
        try:
            os.chdir(settings.directory)
        except OSError as error:
            report(Level.CRITICAL, f"can't chdir into {settings.directory!r}: {error}")
        else:
            report(Level.INFO, f"set current directory: {settings.directory!r}")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(_STANDARD_FDS):
        os.dup2(null, standard)
    if null >= _STANDARD_FDS:  # else it took a standard place itself
        os.close(null)
    os.setsid()
    os.umask(settings.umask)

    return Parent(tell)


class Parent:
    """Whoever started a daemon that went to the background, and waits until it is up.

    Args:
        tell: Where it is told; it ends when that is closed.
    """

    def __init__(self, tell: int) -> None:
        self._tell: int | None = tell

    @property
    def fd(self) -> int | None:
        """Where it is told, None where it was."""
        return self._tell

    def release(self, status: int) -> None:
        """Let it end with a status; a second call does nothing."""
        fd, self._tell = self._tell, None
        if fd is not None:
            with contextlib.suppress(OSError):  # it was interrupted, and is gone
                os.write(fd, bytes((status,)))
            os.close(fd)


def _follow(ready: int) -> NoReturn:
    """End as the child says; an interrupt must clean up nothing of what is the child's now."""
    try:
        told = os.read(ready, 1)
    except BaseException:  # noqa: BLE001
        os._exit(_INTERRUPTED)
    os._exit(told[0] if told else 1)


class PidFile:
    """The pid file; it is overwritten without a look, and removed only by its writer."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._written = False

    @property
    def is_ours(self) -> bool:
        """Whether it was written by us, or by whose successor we are."""
        return self._written

    def adopt(self) -> None:
        """Take the file for ours: we are the successor of who wrote it, with its pid."""
        self._written = True

    def write(self, report: Report) -> None:
        """Write our pid."""
        try:
            with open(self._path, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
        except OSError:
            report(Level.CRITICAL, f"could not write pidfile {self._path}")
            return
        self._written = True
        report(Level.INFO, f"supervisord started with pid {os.getpid()}")

    def remove(self) -> None:
        """Remove the file if it is ours."""
        if self._written:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._written = False
