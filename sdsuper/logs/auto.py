"""Logs with generated names (`AUTO`): made, and cleaned up when their owner is gone.

A daemon that ends leaves them behind for its users to read; the next start cleans up. Whether
another daemon is still writing there is told by a lock: a daemon holds a shared `flock` on each
such log (`files`), and the kernel takes it back however the owner ends. It needs no file of its
own, and is right across PID namespaces, where a process id in a note would lie.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable, Collection, Iterable

from sdsuper.values import Level

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789_"
_RANDOM_CHARS = 8
_TRIES = 100


def create_auto_log(process: str, channel: str, identifier: str, childlogdir: str) -> str:
    """Create the log of a channel, mode 0600, and return its path.

    Its name is `PROCESS-CHANNEL---IDENTIFIER-XXXXXXXX.log`, as Supervisor makes it.

    Args:
        process: The process's name.
        channel: "stdout" or "stderr".
        identifier: The daemon's `identifier`.
        childlogdir: The folder.

    Raises:
        OSError: It cannot be created.
    """
    for _ in range(_TRIES):
        name = f"{process}-{channel}---{identifier}-{_random_chars()}.log"
        path = os.path.join(childlogdir, name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        os.close(fd)
        return os.path.abspath(path)
    raise FileExistsError(errno.EEXIST, "no free name for a log", childlogdir)


def _random_chars() -> str:
    # Not `secrets` or `tempfile`: they cost 15 ms of imports.
    number = int.from_bytes(os.urandom(_RANDOM_CHARS), "big")
    base = len(_ALPHABET)
    return "".join(_ALPHABET[number // base**place % base] for place in range(_RANDOM_CHARS))


def clean_auto_logs(
    childlogdir: str,
    identifier: str,
    *,
    report: Callable[[Level, str], None],
    keep: Collection[str] = (),
) -> None:
    """Delete generated logs and their backups whose owner is gone. Never raises.

    Args:
        childlogdir: The folder.
        identifier: Only logs of daemons with this `identifier`.
        report: Takes warnings for the daemon's own log.
        keep: Paths to leave alone, with their backups.
    """
    try:
        names = os.listdir(childlogdir)
    except OSError:
        report(Level.WARN, "Could not clear childlog dir")
        return
    kept = {os.path.abspath(path) for path in keep}
    for log, files in _by_log(names, identifier).items():
        paths = [os.path.join(childlogdir, name) for name in files]
        if os.path.abspath(os.path.join(childlogdir, log)) in kept or any(map(_is_held, paths)):
            continue
        _delete(paths, report)


def _by_log(names: Iterable[str], identifier: str) -> dict[str, list[str]]:
    """Group the names of logs and backups by the log they belong to."""
    pattern = re.compile(
        rf"(.+?---{re.escape(identifier)}-[a-z0-9_]{{{_RANDOM_CHARS}}}\.log)(?:\.\d{{1,4}})?"
    )
    logs: dict[str, list[str]] = {}
    for name in names:
        found = pattern.fullmatch(name)
        if found is not None:
            logs.setdefault(found[1], []).append(name)
    return logs


def _is_held(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return True  # another user's
    except OSError:
        return False  # a link, or gone
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _delete(paths: Iterable[str], report: Callable[[Level, str], None]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError:
            report(Level.WARN, f"Failed to clean up {path!r}")
