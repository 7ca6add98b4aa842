"""Logs as they grow: /logtail/NAME[/CHANNEL] and /mainlogtail, chunked HTTP without an end.

Files have no readiness to wait for, so a log is looked at ten times a second, but only while
somebody watches it and takes what we write.
"""

from __future__ import annotations

import asyncio
import os

from sdsuper.daemon.loop import Daemon
from sdsuper.rpc.faults import Fault
from sdsuper.server.http import Connection, Stream, http_date
from sdsuper.server.lookup import find_process

BACKLOG_BYTES = 1024
"""What a watcher gets of the past (Supervisor's amount)."""

LOOK_SECONDS = 0.1
"""Supervisor's interval; below what an eye takes for a delay."""

PART_BYTES_MAX = 256 * 1024
"""Read at a time, so that a flood in one log does not hold up the loop."""

TRUNCATED = b"==> File truncated <==\n"

CHANNELS = frozenset({"stdout", "stderr"})


class Follower:
    """The bytes of a growing file, over rotation and truncation.

    Args:
        path: The file.
        backlog: Bytes before the end to begin with.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: str, backlog: int) -> None:
        self._path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._offset = max(0, os.fstat(self._file.fileno()).st_size - backlog)

    @property
    def modified(self) -> float:
        """When the file was last written, Unix seconds."""
        return os.fstat(self._file.fileno()).st_mtime

    def read(self) -> bytes:
        """Return what came since the last call, PART_BYTES_MAX at most."""
        found = os.fstat(self._file.fileno())
        if found.st_size < self._offset:
            self._offset = 0
            return TRUNCATED
        data = os.pread(self._file.fileno(), PART_BYTES_MAX, self._offset)
        self._offset += len(data)
        if not data and self._switch(found):
            return self.read()
        return data

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _switch(self, old: os.stat_result) -> bool:
        """Go on with the file that has the name now, when the old one is read to its end."""
        try:
            fresh = open(self._path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError:
            return False  # between two steps of a rotation, or gone: look again
        found = os.fstat(fresh.fileno())
        if (found.st_dev, found.st_ino) == (old.st_dev, old.st_ino):
            fresh.close()
            return False
        self._file.close()
        self._file, self._offset = fresh, 0
        return True


class LogStream(Stream):
    """One watcher of one log."""

    def __init__(self, follower: Follower, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.headers = ((b"Last-Modified", http_date(follower.modified).encode()), *headers)
        self._follower = follower
        self._timer: asyncio.TimerHandle | None = None

    def start(self, connection: Connection) -> None:
        """Send the past, then whatever comes."""
        self._look(connection)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._follower.close()

    def _look(self, connection: Connection) -> None:
        delay = LOOK_SECONDS
        if connection.can_write:
            try:
                data = self._follower.read()
            except OSError:
                connection.end_stream()
                return
            if data:
                connection.send_part(data)
            if len(data) == PART_BYTES_MAX:
                delay = 0.0
        self._timer = asyncio.get_running_loop().call_later(delay, self._look, connection)


def find_log(daemon: Daemon, path: str) -> LogStream | None:
    """Return the stream of `/logtail/NAME[/CHANNEL]`, None where there is no such log."""
    _, slash, rest = path.strip("/").partition("/")
    name, _, channel = rest.partition("/")
    channel = channel or "stdout"
    if not slash or channel not in CHANNELS:
        return None
    try:
        logfile = daemon.log_path(find_process(daemon, name), channel)
    except Fault:
        return None
    return _follow(logfile, ((b"X-Accel-Buffering", b"no"),))


def find_main_log(daemon: Daemon) -> LogStream | None:
    """Return the stream of the daemon's own log, None where it has no file."""
    return _follow(daemon.log.path)


def _follow(path: str | None, headers: tuple[tuple[bytes, bytes], ...] = ()) -> LogStream | None:
    if path is None:
        return None
    try:
        return LogStream(Follower(path, BACKLOG_BYTES), headers)
    except OSError:
        return None
