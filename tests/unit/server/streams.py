"""A client's connection, read and written like a stream."""

from __future__ import annotations

import contextlib
import socket

from sdsuper import eventloop


class Stream:
    """One end of a connection, on the event loop.

    Attributes:
        transport: What carries it.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.transport: eventloop.Transport
        self._received = bytearray()
        self._at_end = False
        self._lost: eventloop.Future[None] = eventloop.Future()
        self._writable: eventloop.Future[None] | None = None
        self._news: eventloop.Future[None] | None = None
        eventloop.Transport(connected, self)

    # -- what the transport tells --

    def connection_made(self, transport: eventloop.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._tell()

    def eof_received(self) -> bool:
        self._at_end = True
        self._tell()
        return True

    def pause_writing(self) -> None:
        self._writable = eventloop.Future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def connection_lost(self) -> None:
        self._at_end = True
        self._tell()
        self.resume_writing()
        self._lost.set_result(None)

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set_result(None)
            self._news = None

    # -- what tests do --

    async def write(self, data: bytes) -> None:
        """Write, and wait until not much of it waits."""
        self.transport.write(data)
        if self._writable is not None:
            await self._writable

    async def _more(self) -> bool:
        """Wait for more; return whether it came, not the end."""
        if not self._at_end:
            self._news = eventloop.Future()
            await self._news
        return not self._at_end

    async def readline(self) -> bytes:
        """Read a line, or what there is at the end."""
        while (end := self._received.find(b"\n") + 1) == 0 and await self._more():
            pass
        return self._take(end or len(self._received))

    async def readexactly(self, size: int) -> bytes:
        while len(self._received) < size:
            if not await self._more() and len(self._received) < size:
                raise EOFError(bytes(self._received))
        return self._take(size)

    async def read(self) -> bytes:
        """Read until the end."""
        while await self._more():
            pass
        return self._take(len(self._received))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    async def close(self) -> None:
        self.transport.abort()
        await self._lost


async def connect(address: str | tuple[str, int]) -> Stream:
    """Connect to a unix socket, or to an inet one of this machine."""
    connected = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    connected.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        connected.connect(address)
    return Stream(connected)
