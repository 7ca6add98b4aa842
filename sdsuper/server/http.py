"""One HTTP/1.1 connection: h11 for the protocol, a transport for the bytes, limits for everything.

A connection is in one phase at a time. It is FRESH before its first request, reads one (HEAD,
BODY), works on it (BUSY, or STREAM for a reply without an end), is IDLE between two, or is on its
way out (CLOSING; LINGERING where the client is still talking and would lose our last words to a
reset). Each phase has its deadline or none; what a client may make us hold in memory is bounded in
each of them.

While a request is worked on, nothing is read: a client that pipelines waits in its own buffer.
"""

from __future__ import annotations

import enum
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from sdsuper import eventloop
from sdsuper.dataclass import dataclass
from sdsuper.server.caller import NOBODY, Peer
from sdsuper.server.lean import h11

HEAD_BYTES_MAX = 64 * 1024
"""Request line and headers together; common servers allow 8 to 64 KiB."""

BODY_BYTES_MAX = 16 * 1024 * 1024
"""One call; the largest real ones are sendProcessStdin and multicall."""

HEAD_SECONDS = 60.0
"""From the connection, or the first byte of a further request, to the end of the headers."""

BODY_SECONDS = 120.0
"""For the whole body: 16 MiB at 1 Mbit/s."""

IDLE_SECONDS = 2.5 * 3600
"""Between two requests. Event listeners keep one connection and call at each TICK_3600, and the
clients they are written with do not connect again by themselves: one tick may even be missed."""

WRITE_SECONDS = 60.0
"""How long a client may read nothing while we have much for it."""

LINGER_SECONDS = 2.0
"""How long we listen to a client that we refused while it was still sending."""

SERVER = b"sdsuper"

POSITION = b"Sdsuper-Position"
"""Where in its file a log's stream begins, as a header; where it would go on, as a trailer."""

COME_AGAIN = (b"Retry-After", b"1")
"""Goes with 503 where the daemon is being replaced, seconds (RFC 9110, 10.2.3)."""


class Phase(enum.Enum):
    """What a connection is doing."""

    FRESH = "fresh"
    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    BUSY = "busy"
    STREAM = "stream"
    CLOSING = "closing"
    LINGERING = "lingering"


SECONDS = {
    Phase.FRESH: HEAD_SECONDS,
    Phase.IDLE: IDLE_SECONDS,
    Phase.HEAD: HEAD_SECONDS,
    Phase.BODY: BODY_SECONDS,
    Phase.CLOSING: WRITE_SECONDS,
    Phase.LINGERING: LINGER_SECONDS,
}
"""How long a phase may last; those that are not here may take any time."""

SILENT = frozenset({Phase.FRESH, Phase.IDLE})
"""Phases in which nobody owes anybody anything."""

UNADMITTED = frozenset({Phase.HEAD, Phase.LINGERING})
"""Phases of somebody who has not shown yet that we should listen, or was refused."""

TALKING = SILENT | {Phase.HEAD, Phase.BODY}
"""Phases in which what the client sends is read as requests."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as received.

    Attributes:
        path: Percent-decoded, without the query.
        query: As sent, after the `?`.
        headers: By lower-case name; the last of a name counts.
        peer: Who sent it.
        user: The name that went with the password, "" where none is asked for.
    """

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes
    version: str
    target: str
    peer: Peer = NOBODY
    user: str = ""

    @property
    def line(self) -> str:
        """The request line, for the access log."""
        return f"{self.method} {self.target} HTTP/{self.version}"


@dataclass(frozen=True, slots=True)
class Response:
    """A reply with a known end.

    Attributes:
        close: Whether the connection ends with it.
    """

    status: int
    content_type: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False


class Stream:
    """A reply without an end: it is started with the connection and writes to it."""

    content_type = b"text/plain;charset=utf-8"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    patience = WRITE_SECONDS
    """How long its client may read nothing, seconds."""

    @property
    def position(self) -> bytes:
        """Where a stream that is asked for next would go on; empty where that cannot be told."""
        return b""

    def start(self, connection: Connection) -> None:
        """Begin to call `connection.send_part`."""
        raise NotImplementedError

    def resume(self) -> None:
        """The client took what waited: go on."""
        raise NotImplementedError

    def stop(self) -> None:
        """The connection is gone, perhaps before the start: call it no more."""
        raise NotImplementedError


Reply = Response | Stream

Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Lets work go on by itself."""

_T = TypeVar("_T")


class Abandonable(Generic[_T]):
    """Work that is of use to one client alone: it is given up where the client is gone."""

    def __init__(self, work: Coroutine[Any, Any, _T]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, Any, _T]:
        """Do the work."""
        return self._work.__await__()


def error_response(
    status: int, headers: tuple[tuple[bytes, bytes], ...] = (), close: bool = False
) -> Response:
    """Return the page that goes with an error status."""
    reason = HTTPStatus(status).phrase
    lines = (
        "<head>",
        "<title>Error response</title>",
        "</head>",
        "<body>",
        "<h1>Error response</h1>",
        f"<p>Error code {status}.",
        f"<p>Message: {reason}.",
        "</body>",
        "",
    )
    return Response(status, b"text/html", "\r\n".join(lines).encode(), headers, close)


class Site:
    """What a connection asks of the server it belongs to."""

    @property
    def name(self) -> str:
        """What tells it from other servers."""
        raise NotImplementedError

    def admit(self, headers: dict[bytes, bytes]) -> Response | None:
        """Judge a request by its headers alone; return the refusal, None to go on."""
        raise NotImplementedError

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        """Answer a request. Never raises."""
        raise NotImplementedError

    def opened(self, connection: Connection) -> None:
        """A connection was made."""
        raise NotImplementedError

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        raise NotImplementedError

    def watch(self, deadline: float) -> None:
        """See to it that `Connection.expire` is called at a moment of the loop's clock."""
        raise NotImplementedError

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let work go on by itself; it outlives the connection that asked for it."""
        raise NotImplementedError

    def logs_access(self) -> bool:
        """Whether `log_access` does anything."""
        raise NotImplementedError

    def log_access(self, peer: str, line: str, status: int, size: int) -> None:
        """Take note of a request that was answered with `size` bytes."""
        raise NotImplementedError


class Connection:
    """One client.

    Attributes:
        since: When it entered its phase, seconds of the loop's clock.
        deadline: When `expire` is due, None for never.
        can_write: Whether the client takes what we write; a stream pauses while it does not.
    """

    def __init__(self, site: Site) -> None:
        self.phase = Phase.FRESH
        self.since = 0.0
        self.deadline: float | None = None
        self.can_write = True
        self._site = site
        self._loop = eventloop.get_running_loop()
        self._h11 = _new_h11()
        self._transport: eventloop.Transport
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._stream: Stream | None = None
        self._keep_open = True
        self._client: Peer | None = None
        self._abandonable: eventloop.Task[Any] | None = None

    @property
    def client(self) -> Peer:
        """Who is at the other end; the kernel has noted it when it connected."""
        if self._client is None:
            self._client = _unix_peer(self._transport.socket) or Peer(self.peer)
        return self._client

    @property
    def peer(self) -> str:
        """`ADDRESS:PORT` of the client; `localhost:0` on a unix socket, as Supervisor logs it."""
        address = self._transport.address
        return f"{address[0]}:{address[1]}" if address is not None else "localhost:0"

    # -- what the transport tells ------------------------------------------------------------------

    def connection_made(self, transport: eventloop.Transport) -> None:
        """Take the transport."""
        self._transport = transport
        self._enter(Phase.FRESH)
        self._site.opened(self)

    def connection_lost(self) -> None:
        """Forget the client; what it asked for goes on."""
        self.phase, self.deadline = Phase.CLOSING, None
        if self._stream is not None:
            self._stream.stop()
        if self._abandonable is not None:
            self._abandonable.cancel()
        self._site.closed(self)

    def data_received(self, data: bytes) -> None:
        """Read requests; what comes in any other phase has no meaning and is dropped."""
        if self.phase not in TALKING:
            return
        if self.phase in SILENT:
            data = data.lstrip(b"\r\n")  # blank lines before a request mean nothing
            if not data:
                return
            self._enter(Phase.HEAD)
        self._h11.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        """The client will send no more; it may still be reading."""
        if self.phase not in TALKING:
            self.close()  # a watcher that is gone looks like one that only stopped sending
            return False
        self._h11.receive_data(b"")
        self._advance()
        if self.phase is Phase.LINGERING:  # there is nothing to wait for
            self.close()
        return True

    def pause_writing(self) -> None:
        """The client is slow: it has WRITE_SECONDS to take what waits."""
        self.can_write = False
        self._set_deadline()

    def resume_writing(self) -> None:
        """The client took what waited."""
        self.can_write = True
        self._set_deadline()
        if self.phase is not Phase.BUSY:
            self._transport.resume_reading()
        if self._stream is not None and self.phase is Phase.STREAM:
            self._stream.resume()
        self._advance()

    # -- reading -----------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take up what has arrived, until something is worked on or more must come."""
        while self.phase in TALKING:
            if not self.can_write:
                self._transport.pause_reading()
                return
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error_response(error.error_status_hint, close=True))
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            self._take(event)

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._begin(event)
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.EndOfMessage):
            self._dispatch()
        else:  # ConnectionClosed
            self.close()

    def _begin(self, head: h11.Request) -> None:
        self._head = head
        self._body = bytearray()
        headers = dict(head.headers)
        refusal = self._site.admit(headers) or _judge_length(headers)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._enter(Phase.BODY)
        if self._h11.they_are_waiting_for_100_continue:
            self._write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])))

    def _dispatch(self) -> None:
        assert self._head is not None
        self._enter(Phase.BUSY)
        reply = self._site.answer(_request(self._head, bytes(self._body), self.client))
        self._body = bytearray()
        if isinstance(reply, Response | Stream):
            self._reply(reply)
        else:
            self._transport.pause_reading()
            self._site.spawn(self._answer_later(reply))

    async def _answer_later(self, pending: Awaitable[Reply]) -> None:
        if isinstance(pending, Abandonable):
            reply = await self._unless_gone(pending)
        else:
            reply = await pending
        if self.phase is not Phase.BUSY:
            if isinstance(reply, Stream):
                reply.stop()
            return
        try:
            self._reply(reply)
            self._transport.resume_reading()
            self._advance()
        except Exception:  # else it would stay as it is for ever
            self.abort()
            raise

    async def _unless_gone(self, pending: Awaitable[Reply]) -> Reply:
        """Do work that is given up where the client is gone, which reading would not tell now."""
        self._abandonable = eventloop.current_task()
        if self.phase is not Phase.BUSY:  # it has gone before the work could begin
            self._abandonable.cancel()
        self._transport.watch_hangup(self.abort)
        try:
            return await pending
        finally:
            self._abandonable = None
            self._transport.watch_hangup(None)

    # -- writing -----------------------------------------------------------------------------------

    def _reply(self, reply: Reply) -> None:
        if isinstance(reply, Stream):
            self._begin_stream(reply)
            return
        self._send_whole(reply)
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._next_cycle()
        else:
            self.close()

    def _send_whole(self, response: Response) -> None:
        headers = [
            *self._common_headers(response.content_type, response.headers),
            (b"Content-Length", b"%d" % len(response.body)),
        ]
        if response.close or not self._keep_open:
            headers.append((b"Connection", b"close"))
        head = self._send_head(response.status, headers)
        parts = [head]
        if response.body and not self._is_head():
            parts += self._h11.send_with_data_passthrough(h11.Data(data=response.body)) or ()
        parts.append(self._h11.send(h11.EndOfMessage()) or b"")
        data = b"".join(parts)
        self._write(data)
        self._log(response.status, len(data))

    def _refuse(self, response: Response) -> None:
        """Answer before the request is read to its end, or where it makes no sense."""
        if self._h11.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.close()
            return
        self._send_whole(response)
        self._enter(Phase.LINGERING)
        self._transport.write_eof()

    def _begin_stream(self, stream: Stream) -> None:
        self._enter(Phase.STREAM)
        headers = self._common_headers(stream.content_type, stream.headers)
        if self._version() == b"1.1":
            headers.append((b"Transfer-Encoding", b"chunked"))
        head = self._send_head(HTTPStatus.OK, headers)
        self._stream = stream
        self._write(head)
        self._log(HTTPStatus.OK, len(head))
        stream.start(self)
        if not self._keep_open:  # it took so long to begin that we are closing by now
            self.end_stream()

    def send_part(self, data: bytes) -> None:
        """Write a part of a stream at once. Ask `can_write` before making one."""
        if self.phase is Phase.STREAM:
            self._write(self._h11.send(h11.Data(data=data)))

    def end_stream(self, resume_at: bytes = b"") -> None:
        """End a stream in order.

        Args:
            resume_at: Where it goes on for a client that asks again, empty where it does not;
                told to those alone that can read it.
        """
        if self.phase is Phase.STREAM:
            trailers = []
            if resume_at and self._takes_trailers():
                trailers.append((POSITION, resume_at))
            self._write(self._h11.send(h11.EndOfMessage(headers=trailers)))
            self.close()

    def _takes_trailers(self) -> bool:
        assert self._head is not None
        return self._version() == b"1.1" and takes_trailers(dict(self._head.headers))

    def _next_cycle(self) -> None:
        self._h11.start_next_cycle()
        self._head = None
        waiting, ended = self._h11.trailing_data
        if waiting[:1] in {b"\r", b"\n"}:  # blank lines between two requests
            self._h11 = _new_h11()
            waiting = waiting.lstrip(b"\r\n")
            if waiting:
                self._h11.receive_data(waiting)
            if ended:
                self._h11.receive_data(b"")
        self._enter(Phase.HEAD if waiting else Phase.IDLE)

    def _send_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        reason = HTTPStatus(status).phrase.encode()
        head = self._h11.send(h11.Response(status_code=status, headers=headers, reason=reason))
        assert head is not None
        # Old clients expect their own version back; h11 always names its own.
        return b"HTTP/1.0" + head[8:] if self._version() == b"1.0" else head

    def _common_headers(
        self, content_type: bytes, headers: tuple[tuple[bytes, bytes], ...]
    ) -> list[tuple[bytes, bytes]]:
        return [
            (b"Server", SERVER),
            (b"Date", http_date(time.time()).encode()),
            (b"Content-Type", content_type),
            *headers,
        ]

    def _write(self, data: bytes | None) -> None:
        if data:
            self._transport.write(data)

    def _version(self) -> bytes:
        return self._head.http_version if self._head is not None else b"1.1"

    def _is_head(self) -> bool:
        return self._head is not None and self._head.method == b"HEAD"

    def _log(self, status: int, size: int) -> None:
        if self._site.logs_access():
            line = _request(self._head, b"").line if self._head is not None else "-"
            self._site.log_access(self.peer, line, status, size)

    # -- the end -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close as soon as everything is written."""
        if self.phase is not Phase.CLOSING:
            self._enter(Phase.CLOSING)
            self._transport.close()

    def close_when_done(self) -> None:
        """Answer what is under way, then close."""
        self._keep_open = False
        if self.phase is Phase.STREAM:
            self.end_stream()
        elif self.phase is not Phase.BUSY:
            self.close()

    # -- over to a successor -----------------------------------------------------------------------

    def settle(self) -> bool:
        """Read no more where nothing is under way; return whether that is so.

        What the client sends from then on waits in the kernel for whoever goes on with the socket.
        """
        if self.phase is Phase.STREAM and self._stream is not None:
            self.end_stream(self._stream.position)
        if self.phase not in SILENT or self._transport.is_closing or self._transport.waiting:
            return False
        self._transport.pause_reading()
        return True

    def unsettle(self) -> None:
        """Take back `settle`: there is no successor."""
        if self.phase in SILENT:
            self._transport.resume_reading()

    @property
    def server(self) -> str:
        """The name of the server that it came to."""
        return self._site.name

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._transport.socket.fileno()

    def come_again(self) -> None:
        """Say so to a client whose request cannot be answered in time: what it began goes on."""
        reply = error_response(HTTPStatus.SERVICE_UNAVAILABLE, (COME_AGAIN,), close=True)
        if self.phase is Phase.BUSY:
            self._send_whole(reply)
            self.close()
        elif self.phase in TALKING - SILENT:
            self._refuse(reply)

    def go_on(self, phase: Phase, since: float) -> None:
        """Be in the phase that an earlier daemon left the connection in.

        Args:
            phase: One of SILENT.
            since: When it was entered, seconds of the loop's clock.
        """
        if self.phase is Phase.FRESH:
            self._enter(phase)
            self.since = since

    def abort(self) -> None:
        """Close at once; what is not written is lost."""
        self._enter(Phase.CLOSING)
        self._transport.abort()

    def expire(self) -> None:
        """The deadline has passed."""
        if self.phase in SILENT and self.can_write:
            self.close()
        elif self.phase in TALKING and self.can_write:
            self._refuse(error_response(HTTPStatus.REQUEST_TIMEOUT, close=True))
        else:
            self.abort()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self._loop.time()
        self._set_deadline()

    def _set_deadline(self) -> None:
        seconds = SECONDS.get(self.phase)
        if not self.can_write:
            patience = WRITE_SECONDS if self._stream is None else self._stream.patience
            seconds = patience if seconds is None else min(seconds, patience)
        if seconds is None:
            self.deadline = None
            return
        self.deadline = self._loop.time() + seconds
        self._site.watch(self.deadline)


def takes_trailers(headers: dict[bytes, bytes]) -> bool:
    """Return whether a client reads what comes behind the last chunk (RFC 9110, 6.5.1)."""
    offered = headers.get(b"te", b"").lower().split(b",")
    return any(each.strip() == b"trailers" for each in offered)


def _new_h11() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)


def _judge_length(headers: dict[bytes, bytes]) -> Response | None:
    """Refuse a body whose length is not told beforehand, or that is too long."""
    length = headers.get(b"content-length")
    if b"transfer-encoding" in headers:
        return error_response(HTTPStatus.LENGTH_REQUIRED, close=True)
    # h11 has made sure that it is a number.
    if length is not None and int(length) > BODY_BYTES_MAX:
        return error_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, close=True)
    return None


_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def _unix_peer(connected: socket.socket) -> Peer | None:
    """Return who has connected through a unix socket, None where it is an inet one."""
    if connected.family != socket.AF_UNIX:
        return None
    try:
        told = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return NOBODY
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return Peer(pid=pid, uid=uid & 0xFFFFFFFF)


def _request(head: h11.Request, body: bytes, peer: Peer = NOBODY) -> Request:
    target = head.target.decode("latin-1")
    raw_path, _, query = target.partition("?")
    return Request(
        method=head.method.decode("latin-1"),
        path=_decode_path(raw_path),
        query=query,
        headers=dict(head.headers),
        body=body,
        version=head.http_version.decode("latin-1"),
        target=target,
        peer=peer,
    )


def _decode_path(path: str) -> str:
    if "://" in path:  # absolute form, as sent to proxies
        path = "/" + path.partition("://")[2].partition("/")[2]
    if "%" not in path:
        return path
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("utf-8", "replace")


DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(moment: float) -> str:
    """Return Unix time as HTTP writes it, in English whatever the locale."""
    at = time.gmtime(moment)
    return (
        f"{DAYS[at.tm_wday]}, {at.tm_mday:02} {MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )


def access_date(moment: float) -> str:
    """Return Unix time as access logs write it."""
    at = time.gmtime(moment)
    return (
        f"{at.tm_mday:02}/{MONTHS[at.tm_mon - 1]}/{at.tm_year}:"
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} +0000"
    )
