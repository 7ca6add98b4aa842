"""Logs as they grow: /logtail/NAME[/CHANNEL] and /mainlogtail, chunked HTTP without an end.

Files have no readiness to wait for, so a log is looked at ten times a second, but only while
somebody watches it and takes what we write. What the journal alone has comes from a helper.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from sdsuper import eventloop
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.readback import Channel, Following
from sdsuper.logs.tail import FOLLOW_FIRST_BYTES, Follower, Position
from sdsuper.rpc.faults import Fault
from sdsuper.server.http import (
    POSITION,
    Connection,
    Request,
    Stream,
    http_date,
    takes_trailers,
)
from sdsuper.server.lookup import find_process

LOOK_SECONDS = 0.1
"""Supervisor's interval; below what an eye takes for a delay."""

PART_BYTES_MAX = 256 * 1024
"""Read at a time, so that a flood in one log does not hold up the loop."""

PAST_BYTES_MAX = 1024 * 1024
"""The most that a watcher may ask for of the time before it came."""

CHANNELS = frozenset({"stdout", "stderr"})

_UNBUFFERED = ((b"X-Accel-Buffering", b"no"),)

_PLAIN = (b"X-Content-Type-Options", b"nosniff")
"""Whatever is in a log, no browser is to take it for a script or a page."""


class LogStream(Stream):
    """One watcher of one log.

    A watcher that can come again (`Wanted.resumes`) is told where its stream begins, so that it
    knows where it is if it is cut off; where the log goes on elsewhere, as after a rotation, the
    stream ends and tells where.
    """

    def __init__(
        self,
        follower: Follower,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        *,
        resumes: bool = False,
    ) -> None:
        self.headers = ((b"Last-Modified", http_date(follower.mtime).encode()), _PLAIN, *headers)
        self._follower = follower
        self._resumes = resumes
        if resumes:
            self.headers += ((POSITION, self.position),)
        self._connection: Connection
        self._timer: eventloop.TimerHandle | None = None

    @property
    def position(self) -> bytes:
        """Behind what was sent last."""
        return str(self._follower.position).encode()

    def start(self, connection: Connection) -> None:
        """Send the past, then whatever comes."""
        self._connection = connection
        self._look()

    def resume(self) -> None:
        """Look at once, and again from time to time."""
        if self._timer is None:
            self._look()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._follower.close()

    def _look(self) -> None:
        self._timer = None
        try:
            data = self._follower.read(PART_BYTES_MAX)
        except OSError:
            self._connection.end_stream()
            return
        if data:
            self._connection.send_part(data)
        if self._resumes and self._follower.jumps:
            self._connection.end_stream(self.position)
        elif self._connection.can_write:  # else it calls `resume`
            delay = 0.0 if len(data) == PART_BYTES_MAX else LOOK_SECONDS
            self._timer = eventloop.get_running_loop().call_later(delay, self._look)


class JournalStream(Stream):
    """One watcher of output that is in the journal alone."""

    headers = (_PLAIN, *_UNBUFFERED)

    def __init__(self, following: Following) -> None:
        self._following = following
        self._connection: Connection
        self._reading = False

    def start(self, connection: Connection) -> None:
        """Send the past, then whatever comes."""
        self._connection = connection
        if self._following.first:
            connection.send_part(self._following.first)
        if connection.can_write:  # else it calls `resume`
            self.resume()

    def resume(self) -> None:
        """Read on."""
        self._read_on(True)

    def stop(self) -> None:
        """Read no more."""
        self._read_on(False)
        self._following.close()

    def _read_on(self, wanted: bool) -> None:
        if wanted is self._reading:
            return
        self._reading = wanted
        loop = eventloop.get_running_loop()
        if wanted:
            loop.add_reader(self._following.fd, self._readable)
        else:
            loop.remove_reader(self._following.fd)

    def _readable(self) -> None:
        data = os.read(self._following.fd, PART_BYTES_MAX)
        if not data:
            self._read_on(False)
            self._connection.end_stream()
            return
        self._connection.send_part(data)
        if not self._connection.can_write:
            self._read_on(False)


class Wanted(NamedTuple):
    """What a watcher asks for; all of it is ours.

    Attributes:
        first: How much of the past (`tail=BYTES`), bytes.
        after: Where it ended before (`after=POSITION`), None where it is new.
        resumes: Whether it comes again by itself: it reads where from in a trailer.
    """

    first: int = FOLLOW_FIRST_BYTES
    after: Position | None = None
    resumes: bool = False

    @classmethod
    def of(cls, request: Request) -> Wanted:
        """Return what a request says; what makes no sense is as if it were not there."""
        from urllib.parse import parse_qsl

        fields = dict(parse_qsl(request.query))
        text = fields.get("tail", "")
        first = FOLLOW_FIRST_BYTES
        if text.isascii() and text.isdigit():
            first = min(int(text[:9]), PAST_BYTES_MAX)
        resumes = takes_trailers(request.headers) and request.version == "1.1"
        return cls(first, Position.parse(fields.get("after", "")), resumes)


def find_channel(daemon: Daemon, path: str) -> Channel | None:
    """Return what `/logtail/NAME[/CHANNEL]` means, None where there is no such process."""
    _, slash, rest = path.strip("/").partition("/")
    name, _, channel = rest.partition("/")
    channel = channel or "stdout"
    if not slash or channel not in CHANNELS:
        return None
    try:
        return Channel(find_process(daemon, name), channel)
    except Fault:
        return None


def follow_file(daemon: Daemon, channel: Channel, wanted: Wanted) -> LogStream | None:
    """Return the stream of a process's log file, None where there is none."""
    return _follow(daemon.log_path(*channel), wanted, _UNBUFFERED)


def find_main_log(daemon: Daemon, wanted: Wanted) -> LogStream | None:
    """Return the stream of the daemon's own log, None where it has no file."""
    return _follow(daemon.log.path, wanted)


def _follow(
    path: str | None, wanted: Wanted, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> LogStream | None:
    if path is None:
        return None
    try:
        follower = Follower(path, wanted.first, wanted.after)
        return LogStream(follower, headers, resumes=wanted.resumes)
    except OSError:
        return None
