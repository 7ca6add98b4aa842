"""Stream connections on the event loop: bytes in, bytes out, and the end."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Protocol

from sdsuper.eventloop.loop import TimerHandle, get_running_loop

READ_BYTES = 64 * 1024
"""Read at a time."""

WAITING_HIGH_BYTES, WAITING_LOW_BYTES = 64 * 1024, 16 * 1024
"""With more than the first waiting a protocol is to pause; with the second it may go on."""

ACCEPT_AGAIN_SECONDS = 1.0
"""How long nobody is accepted where the system has no descriptor or memory for another one."""


class StreamProtocol(Protocol):
    """What a connection is told. What raises ends the connection."""

    def connection_made(self, transport: Transport) -> None:
        """This is it; it may be closed at once."""

    def data_received(self, data: bytes) -> None:
        """The other end has sent something."""

    def eof_received(self) -> bool:
        """The other end will send no more; return whether to stay open for what we have to say."""

    def pause_writing(self) -> None:
        """More than WAITING_HIGH_BYTES wait for the other end."""

    def resume_writing(self) -> None:
        """It has taken most of them."""

    def connection_lost(self) -> None:
        """It is over, whoever ended it; said once, as the last."""


class Transport:
    """A connected stream socket, which is the transport's from here on.

    Args:
        sock: The socket.
        protocol: Told of all that comes.

    Attributes:
        socket: The socket.
        address: That of the other end, as the socket's family has it; None on a unix socket.
        is_closing: Whether nothing more is read, or taken to be written.
    """

    def __init__(self, sock: socket.socket, protocol: StreamProtocol) -> None:
        self.socket = sock
        self.address: Any = None
        self.is_closing = False
        self._protocol = protocol
        self._loop = get_running_loop()
        self._fd = sock.fileno()
        self._waiting = bytearray()
        self._reading = False
        self._at_end = False  # of what the other end sends
        self._ending = False  # `_end` is due
        self._ends_writing = False
        self._is_paused = False
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):  # it has gone meanwhile
                self.address = sock.getpeername()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol.connection_made(self)
        self.resume_reading()

    # --- reading ------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Leave what comes where it is."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Take what comes again."""
        if not (self._reading or self.is_closing or self._at_end):
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        try:
            if data:
                self._protocol.data_received(data)
            else:
                self._at_end = True
                self.pause_reading()
                if not self._protocol.eof_received():
                    self.close()
        except BaseException:
            self.abort()
            raise

    def watch_hangup(self, callback: Callable[[], object] | None) -> None:
        """Call something if the other end is gone, though nothing is read; None for nothing.

        One that only stopped sending, or a TCP peer before we write to it, looks the same as one
        that waits.
        """
        if self._ending:
            return
        if callback is None:
            self._loop.remove_hangup(self._fd)
        else:
            self._loop.add_hangup(self._fd, callback)

    # --- writing ------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many bytes wait for the other end."""
        return len(self._waiting)

    def write(self, data: bytes) -> None:
        """Send bytes, as soon as the other end takes them; dropped where it is closing."""
        if self.is_closing or self._ends_writing:
            return
        if not self._waiting:
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.abort()
                return
            if sent == len(data):
                return
            self._loop.add_writer(self._fd, self._writable)
            self._waiting += memoryview(data)[sent:]
        else:
            self._waiting += data
        if len(self._waiting) > WAITING_HIGH_BYTES and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """Send no more after what waits."""
        if self.is_closing or self._ends_writing:
            return
        self._ends_writing = True
        if not self._waiting:
            self._shut()

    def _shut(self) -> None:
        with contextlib.suppress(OSError):  # it has gone meanwhile
            self.socket.shutdown(socket.SHUT_WR)

    def _writable(self) -> None:
        try:
            del self._waiting[: self.socket.send(self._waiting)]
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if self._is_paused and len(self._waiting) <= WAITING_LOW_BYTES:
            self._is_paused = False
            try:
                self._protocol.resume_writing()  # it may write more
            except BaseException:
                self.abort()
                raise
        if self._waiting or self._ending:
            return
        if self.is_closing:
            self._end_soon()
            return
        self._loop.remove_writer(self._fd)
        if self._ends_writing:
            self._shut()

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Read no more, and close as soon as everything is written."""
        if not self.is_closing:
            self.is_closing = True
            self.pause_reading()
            if not self._waiting:
                self._end_soon()

    def abort(self) -> None:
        """Close at once; what is not written is lost."""
        self.is_closing = True
        self.pause_reading()
        if not self._ending:
            self._waiting.clear()
            self._end_soon()

    def _end_soon(self) -> None:
        """Say so in the loop: whoever closes it goes on undisturbed."""
        self._loop.remove_writer(self._fd)
        self._loop.remove_hangup(self._fd)
        self._ending = True
        self._loop.call_soon(self._end)

    def _end(self) -> None:
        try:
            self._protocol.connection_lost()
        finally:
            self.socket.close()


class Acceptor:
    """Accepts who connects to a listening socket, which stays the caller's.

    Args:
        sock: The socket.
        accepted: Given each connected socket.
        per_turn: How many are accepted before others have their turn.
    """

    def __init__(
        self, sock: socket.socket, accepted: Callable[[socket.socket], object], per_turn: int
    ) -> None:
        self._socket = sock
        self._accepted = accepted
        self._per_turn = per_turn
        self._loop = get_running_loop()
        self._later: TimerHandle | None = None
        self._fd = sock.fileno()
        sock.setblocking(False)
        self._resume()

    def _resume(self) -> None:
        self._later = None
        self._loop.add_reader(self._fd, self._accept)

    def close(self) -> None:
        """Accept nobody any more."""
        self._loop.remove_reader(self._fd)
        if self._later is not None:
            self._later.cancel()

    def _accept(self) -> None:
        for _ in range(self._per_turn):
            try:
                connected, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):  # nobody, or gone again
                return
            except OSError as error:
                self._loop.remove_reader(self._fd)
                self._later = self._loop.call_later(ACCEPT_AGAIN_SECONDS, self._resume)
                self._loop.tell(f"cannot accept a client: {error.strerror}", None)
                return
            self._accepted(connected)
