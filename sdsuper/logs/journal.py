"""The way into systemd's journal: its native protocol, over a datagram socket that never blocks.

Theory of operation
-------------------
An entry is one datagram of fields (systemd.io/JOURNAL_NATIVE_PROTOCOL). All senders of this process
share one socket (`Journal`), and each keeps what the journal does not take in a queue of its own
(`Queue`). While any queue holds something, `on_waiting` has been called, and somebody calls `flush`
when the socket may take more; flushing takes the queues in turn, so that a flood in one does
not hold up the others. When nothing waits, nobody does anything.

The socket is connected anew whenever it turns out that its other end is gone. It is never closed
for that: whoever watches its descriptor goes on watching the same one.

*Slow or gone.* journald needs about three times as long for an entry as we need to send it, so a
flood fills its queue although all is well: then the writers are slowed down (`responsive`), as they
are when systemd itself connects them to the journal. If nothing has been taken for `PATIENCE_S`,
or there is no journal, nobody is held up on its account any longer: queues grow to their bounds,
and then their owners drop, and count, what comes. Who goes on with what waited for an earlier
daemon connects at once, and so does not take a journal for gone that nobody has tried yet.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Protocol

ADDRESS = "/run/systemd/journal/socket"

TOTAL_MAX_BYTES = 32 * 1024 * 1024
"""With so much waiting in all queues together, further records are dropped."""

PATIENCE_S = 2.0
"""Seconds without an entry taken after which the journal counts as stuck, not as slow."""

FIELD_MAX_BYTES = 48 * 1024
"""The longest message in one entry; longer ones are split. Source: LineMax= of journald.conf(5)."""

_FLUSH_ENTRIES = 1000  # some 5 ms: the loop has more to do
_TURN_ENTRIES = 50
_SEND_BUFFER_BYTES = 8 * 1024 * 1024  # what sd-journal asks for
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def field(name: bytes, value: bytes) -> bytes:
    """Return one field as it is sent.

    Args:
        name: Upper-case letters, digits, underscores; the journal drops fields with other names.
        value: Anything. Text goes as it is; what is not UTF-8 or has line breaks has its length
            in front.
    """
    if b"\n" not in value and _is_text(value):
        return b"%b=%b\n" % (name, value)
    return b"%b\n%b%b\n" % (name, len(value).to_bytes(8, "little"), value)


def _is_text(value: bytes) -> bool:
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def fields(pairs: Iterable[tuple[str, str | int]]) -> bytes:
    """Return several fields; undecodable bytes that a text stands for are sent as they were."""
    return b"".join(field(name.encode(), encoded(str(value))) for name, value in pairs)


def encoded(text: str) -> bytes:
    """Return a text as bytes, whatever it holds."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


class Queue(Protocol):
    """What one sender could not send yet."""

    def send_waiting(self, limit: int) -> bool:
        """Send at most `limit` entries; return whether none waits any longer."""


class Journal:
    """The socket, and the queues of those who wait for it. Nothing here raises.

    Args:
        address: The socket of the journal.

    Attributes:
        address: The socket of the journal; a change takes effect with the next connection.
        on_waiting: Called when something begins to wait. See to it that `flush` is called:
            when `fd` is writable, or after a moment where it is None.
        on_reminder: Calls a function at a monotonic second.
        on_trouble: Takes a line for the daemon's log.
        waiting: Bytes in all queues; their owners count them.
        error: Why the latest entry was not taken.
    """

    def __init__(self, address: str = ADDRESS) -> None:
        self.address = address
        self.on_waiting: Callable[[], None] | None = None
        self.on_reminder: Callable[[float, Callable[[], None]], object] | None = None
        self.on_trouble: Callable[[str], None] | None = None
        self.waiting = 0
        self.error = OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        self._socket: socket.socket | None = None
        self._connected = False
        self._full_since: float | None = None
        self._queues: dict[Queue, None] = {}

    @property
    def fd(self) -> int | None:
        """The descriptor that becomes writable when the journal takes entries again.

        None while there is no connection, which can only be tried again from time to time.
        """
        return self._socket.fileno() if self._socket is not None and self._connected else None

    @property
    def responsive(self) -> bool:
        """Whether entries are being taken, be it slowly."""
        since = self._full_since
        return self._connected and (since is None or time.monotonic() - since < PATIENCE_S)

    @property
    def crowded(self) -> bool:
        """Whether half of what may wait in all queues does."""
        return self.waiting >= TOTAL_MAX_BYTES // 2

    def send(self, entry: bytes) -> bool:
        """Send one entry; return whether it was taken."""
        if self._connected and self._socket is not None:
            try:
                self._socket.send(entry)
            except OSError as error:
                return self._send_again(self._socket, entry, error)
            if self._full_since is not None:
                self._full_since = None
            return True
        return self._send_on_new_connection(entry)

    def _send_again(self, connected: socket.socket, entry: bytes, error: OSError) -> bool:
        if isinstance(error, BlockingIOError):
            self._is_full(error)
            return False
        if error.errno == errno.EMSGSIZE:
            return self._send_in_file(connected, entry)
        # The other end is gone: journald was stopped, and perhaps started again.
        self._connected = False
        return self._send_on_new_connection(entry)

    def _send_on_new_connection(self, entry: bytes) -> bool:
        try:
            connected = self._connect()
            connected.send(entry)
        except BlockingIOError as error:
            self._is_full(error)
            return False
        except OSError as error:
            self.error = error
            return error.errno == errno.EMSGSIZE and self._send_in_file(connected, entry)
        self._full_since = None
        return True

    def _connect(self) -> socket.socket:
        self._connected = False
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            _enlarge(self._socket)
        self._socket.connect(self.address)
        self._connected = True
        return self._socket

    def _is_full(self, error: OSError) -> None:
        self.error = error
        if self._full_since is None:
            self._full_since = time.monotonic()

    def _send_in_file(self, connected: socket.socket, entry: bytes) -> bool:
        """Send an entry that is too large for a datagram as a sealed file in memory."""
        try:
            fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            with open(fd, "wb", buffering=0) as file:
                file.write(entry)
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
                socket.send_fds(connected, [b""], [fd])
        except BlockingIOError as error:
            self._is_full(error)
            return False
        except OSError as error:
            self.error = error
            return False
        return True

    # --- queues -------------------------------------------------------------------------------

    def await_turn(self, queue: Queue) -> None:
        """Ask a queue to send what it holds as soon as that is possible."""
        if queue in self._queues:
            return
        self._queues[queue] = None
        if self._socket is None:  # what a successor goes on with has not been tried yet
            with contextlib.suppress(OSError):
                self._connect()
        if len(self._queues) == 1 and self.on_waiting is not None:
            self.on_waiting()

    def remind(self, when: float, callback: Callable[[], None]) -> None:
        """Call a function at a monotonic second, where somebody keeps a clock for us."""
        if self.on_reminder is not None:
            self.on_reminder(when, callback)

    def report(self, text: str) -> None:
        """Tell the daemon's log of something, where somebody keeps one."""
        if self.on_trouble is not None:
            self.on_trouble(text)

    def flush(self) -> bool:
        """Send what waits, up to a bound; return whether nothing waits any longer."""
        for _ in range(_FLUSH_ENTRIES // _TURN_ENTRIES):
            queue = next(iter(self._queues), None)
            if queue is None:
                return True
            del self._queues[queue]
            if not queue.send_waiting(_TURN_ENTRIES):
                self._queues[queue] = None  # at the end of the line
                if not self._connected or self._full_since is not None:
                    return False
        return not self._queues

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._queues

    def finish(self, seconds: float) -> int:
        """Send what waits before the daemon ends; return how many bytes still wait.

        Args:
            seconds: The longest time to spend; one that is stuck is not waited for so long.
        """
        deadline = time.monotonic() + seconds
        while not self.flush() and self.fd is not None and self.responsive:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            poll = select.poll()
            poll.register(self.fd, select.POLLOUT)
            poll.poll(int(left * 1000))
        return 0 if self.idle else self.waiting

    def close(self) -> None:
        """Close the socket; the next entry opens it anew."""
        self._connected = False
        self._full_since = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _enlarge(made: socket.socket) -> None:
    """Give a socket room for as many entries as the journal's own queue takes."""
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER_BYTES)
    except OSError:  # that takes CAP_NET_ADMIN; this goes as far as net.core.wmem_max
        with contextlib.suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


JOURNAL = Journal()
"""The journal as this process knows it: all who write to it share one socket."""
