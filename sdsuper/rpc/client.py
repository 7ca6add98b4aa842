"""The client's end of the connection: XML-RPC calls and log streams over HTTP/1.1.

Written on the interpreter's socket primitive: `http.client`, with the `email` package behind it,
and `socket`, with its enums, would take longer to import than a whole `status` takes to run.
"""

from __future__ import annotations

import _socket

from sdsuper.rpc import codec

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from sdsuper.rpc.codec import Value

CONNECT_TIMEOUT = 30.0
"""Seconds until a peer that does not answer counts as unreachable. A reply may take for ever."""

RETRY_SECONDS = 5.0
"""How long a log that was cut off is asked for again: systemd restarts a daemon that crashed."""

_RETRY_PAUSE = 0.1

HEADERS_BYTES_MAX = 64 * 1024
LINE_BYTES_MAX = 4096
CHUNK_BYTES_MAX = 64 * 1024
DEFAULT_HTTP_PORT = 80


_POSITION = "sdsuper-position"


class ProtocolError(Exception):
    """The peer answered, but not with a reply to the call.

    Attributes:
        status: The HTTP status, 0 where there was none.
        reason: The words behind it.
        is_replaced: Whether the server is being replaced: what the call began goes on.
    """

    def __init__(self, where: str, status: int, reason: str, *, is_replaced: bool = False) -> None:
        super().__init__(where, status, reason)
        self.where = where
        self.status = status
        self.reason = reason
        self.is_replaced = is_replaced

    def __str__(self) -> str:
        return f"<ProtocolError for {self.where}: {self.status} {self.reason}>"


class Address:
    """Where a server listens, as its URL says.

    Attributes:
        path: Of the unix socket, None for TCP.
        host: For TCP, without brackets.
        port: For TCP.

    Raises:
        ValueError: The URL is neither `unix://path` nor `http://host[:port]`.
    """

    def __init__(self, url: str) -> None:
        self.path: str | None = None
        self.host, self.port = "localhost", 0
        scheme, _, rest = url.partition("://")
        if scheme == "unix" and rest:
            self.path = rest
        elif scheme == "http" and rest:
            self.host, self.port = _host_and_port(rest.partition("/")[0], url)
        else:
            raise ValueError(f"Unknown protocol for serverurl {url}")

    @property
    def shown(self) -> str:
        """The host as error texts name it; Supervisor's behaviour for unix sockets."""
        return "127.0.0.1" if self.path is not None else self.host

    def connect(self) -> _socket.socket:
        """Return a connected socket without a time-out.

        Raises:
            OSError: There is nobody.
        """
        if self.path is not None:
            return _connected(_socket.AF_UNIX, self.path)
        error: OSError | None = None
        kind = _socket.SOCK_STREAM
        for family, _, _, _, address in _socket.getaddrinfo(self.host, self.port, 0, kind):
            try:
                return _connected(family, address)
            except OSError as failed:
                error = error or failed
        raise error or OSError(f"no address for {self.host}")


def _host_and_port(netloc: str, url: str) -> tuple[str, int]:
    host, colon, port = netloc.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = netloc, str(DEFAULT_HTTP_PORT)
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"no host and port in serverurl {url}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _connected(family: int, address: object) -> _socket.socket:
    sock = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_TIMEOUT)
        sock.connect(address)  # type: ignore[arg-type]  # what getaddrinfo gave
        sock.settimeout(None)
        if family != _socket.AF_UNIX:
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


class _Reply:
    """One reply as it arrives.

    Attributes:
        status: The HTTP status.
        reason: The words behind it.
        headers: By lower-cased name.
        trailers: What came behind the last chunk, the same.
    """

    def __init__(self, sock: _socket.socket, where: str) -> None:
        self._sock = sock
        self._where = where
        self._buffer = b""
        self.trailers: dict[str, str] = {}
        status = 100
        while 100 <= status < 200:
            status = self._read_head()
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length", "")
        self._left = int(length) if length.isascii() and length.isdigit() else None
        self._ended = False
        self.keeps_alive = (
            self._version >= "HTTP/1.1"
            and self.headers.get("connection", "").lower() != "close"
            and (self._chunked or self._left is not None)
        )

    def read_all(self) -> bytes:
        """Return the rest of the body."""
        parts = []
        while data := self.read():
            parts.append(data)
        return b"".join(parts)

    def read(self) -> bytes:
        """Return the next piece of the body, waiting for it; empty at its end.

        Raises:
            ProtocolError: The connection ended before the body.
        """
        if self._ended:
            return b""
        if self._chunked:
            return self._read_chunked()
        if self._left is None:
            data = self._take(CHUNK_BYTES_MAX, at_end=b"")
            self._ended = not data
            return data
        if self._left == 0:
            return b""
        data = self._take(self._left)
        self._left -= len(data)
        return data

    @property
    def has_buffered(self) -> bool:
        """Whether bytes were received that `read` has not returned."""
        return bool(self._buffer)

    def _read_chunked(self) -> bytes:
        if not self._left:
            size = self._line().partition(b";")[0].strip()
            if not size or size.strip(b"0123456789abcdefABCDEF"):
                raise self._error(f"bad chunk size {size[:20]!r}")
            self._left = int(size, 16)
            if self._left == 0:
                while line := self._line():
                    name, _, value = line.decode("latin-1").partition(":")
                    self.trailers[name.strip().lower()] = value.strip()
                self._ended = True
                return b""
        data = self._take(min(self._left, CHUNK_BYTES_MAX))
        self._left -= len(data)
        if self._left == 0 and self._line():
            raise self._error("a chunk longer than it said")
        return data

    def _read_head(self) -> int:
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > HEADERS_BYTES_MAX:
                raise self._error("headers too long")
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        self._version, _, status = first.partition(" ")
        number, _, self.reason = status.partition(" ")
        if not self._version.startswith("HTTP/") or not number.isdigit():
            raise self._error("not HTTP")
        self.status = int(number)
        fields = (line.partition(":") for line in rest)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        return self.status

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise self._error("a chunk header too long")
            self._receive()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _take(self, most: int, at_end: bytes | None = None) -> bytes:
        if not self._buffer:
            self._buffer = self._sock.recv(CHUNK_BYTES_MAX)
            if not self._buffer:
                if at_end is None:
                    raise self._error("the reply is cut")
                return at_end
        data, self._buffer = self._buffer[:most], self._buffer[most:]
        return data

    def _receive(self) -> None:
        data = self._sock.recv(CHUNK_BYTES_MAX)
        if not data:
            raise self._error("the server closed the connection")
        self._buffer += data

    def _error(self, reason: str) -> ProtocolError:
        return ProtocolError(self._where, 0, reason)


class Stream:
    """A log that is being followed, over the end of the server if another takes its place.

    A server that can be gone on with (ours, where a log is a file) says where in the file its
    stream begins, and where it goes on where it ends for a reason that is none of the log's:
    another takes its place, the log was rotated. Where it says nothing the end is the end. Where
    it was cut off it is asked for what comes behind the bytes that we have, for RETRY_SECONDS.

    Args:
        client: Makes connections.
        path: Of the log.

    Attributes:
        ended: Whether nothing more will come.

    Raises:
        ProtocolError: The server answered with an HTTP error.
        OSError: The server cannot be reached.
        ValueError: The URL is none of ours.
    """

    def __init__(self, client: Client, path: str) -> None:
        self._client = client
        self._path = path
        self.ended = False
        self._connect(path)

    def _connect(self, path: str) -> None:
        self._sock, self._reply = self._client.open_stream(path)
        # Of the file, then where in it the bytes begin that come next.
        self._file, _, offset = self._reply.headers.get(_POSITION, "").rpartition("-")
        self._offset = int(offset) if offset.isascii() and offset.isdigit() else 0

    def fileno(self) -> int:
        """Return the socket's number, to wait on; look at `pending` first."""
        return self._sock.fileno()

    @property
    def pending(self) -> bool:
        """Whether bytes have been received already that `read` would return or begin with."""
        return self._reply.has_buffered

    def read(self) -> bytes:
        """Return the next bytes, waiting for them; empty where it `ended`, or just goes on."""
        cut = False
        try:
            data = self._reply.read()
        except (ProtocolError, ConnectionError):
            data, cut = b"", True  # it never ends by itself: the daemon went away
        if data:
            self._offset += len(data)
            return data
        after = self._reply.trailers.get(_POSITION, "")
        if cut and self._file:
            after = f"{self._file}-{self._offset}"
        self._sock.close()
        self.ended = not after or not self._resume(after)
        return b""

    def _resume(self, after: str) -> bool:
        """Go on behind a position; return whether there is somebody to go on with."""
        import time

        query = "&" if "?" in self._path else "?"
        until = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                self._connect(f"{self._path}{query}after={after}")
            except (ProtocolError, OSError) as error:
                if isinstance(error, ProtocolError) and error.status not in {0, 503}:
                    return False
                if self._client.is_gone or time.monotonic() > until:
                    self._client.is_gone = True  # no other stream need try for as long
                    return False
                time.sleep(_RETRY_PAUSE)
            else:
                self._client.is_gone = False
                return True

    def close(self) -> None:
        """End it."""
        self._sock.close()


class Client:
    """Calls one server, over one connection that is made when it is needed.

    Args:
        url: `unix://path` or `http://host[:port]`; looked at when the first call is made.
        username: Sent together with the password, where both are given.
        password: The same.

    Attributes:
        server: What the server called itself when it answered last, empty for nothing.
        is_gone: Whether the server went away while a stream was read, and did not come back.
    """

    def __init__(self, url: str, username: str | None = None, password: str | None = None) -> None:
        self.url = url
        self._authorization = ""
        if username is not None and password is not None:
            import binascii

            pair = f"{username}:{password}".encode("utf-8", "surrogateescape")
            token = binascii.b2a_base64(pair, newline=False).decode()
            self._authorization = f"Authorization: Basic {token}\r\n"
        self._sock: _socket.socket | None = None
        self.server = ""
        self.is_gone = False

    def call(self, method: str, *params: object) -> Value:
        """Call a method and return its value.

        Raises:
            Fault: The method refused.
            ProtocolError: The server answered with an HTTP error, or not at all.
            MalformedXml: The reply cannot be read.
            OSError: The server cannot be reached.
            ValueError: The URL is none of ours.
        """
        address = Address(self.url)
        where = f"{address.shown}/RPC2"
        body = codec.dumps_call(method, params)
        head = self._head("POST", "/RPC2", address)
        head += f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        sock = self._connection(address)
        try:
            sock.sendall(head.encode("latin-1", "replace") + body)
            reply = _Reply(sock, where)
            data = reply.read_all()
        except BaseException:
            self.close()
            raise
        if reply.status != 200:
            self.close()
            raise _refused(where, reply)
        if not reply.keeps_alive:
            self.close()
        self.server = reply.headers.get("server", "")
        return codec.loads_response(data)

    def stream(self, path: str) -> Stream:
        """Follow a log: `/logtail/NAME/CHANNEL` or `/mainlogtail`, percent-encoded.

        Raises:
            ProtocolError: The server answered with an HTTP error.
            OSError: The server cannot be reached.
            ValueError: The URL is none of ours.
        """
        return Stream(self, path)

    def open_stream(self, path: str) -> tuple[_socket.socket, _Reply]:
        """Ask for a log; return the connection and the reply, of which the headers are read.

        Raises what `stream` does.
        """
        address = Address(self.url)
        where = f"{address.shown}{path}"
        sock = address.connect()
        try:
            # Connection: TE is hop by hop (RFC 9110, 10.1.4).
            head = self._head("GET", path, address) + "TE: trailers\r\nConnection: TE\r\n\r\n"
            sock.sendall(head.encode("latin-1", "replace"))
            reply = _Reply(sock, where)
            if reply.status != 200:
                raise _refused(where, reply)
        except BaseException:
            sock.close()
            raise
        return sock, reply

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _connection(self, address: Address) -> _socket.socket:
        # A connection that the server closed meanwhile is seen before it is used: a call that was
        # sent already must never be sent again, it might act twice.
        if self._sock is not None and _is_stale(self._sock):
            self.close()
        if self._sock is None:
            self._sock = address.connect()
        return self._sock

    def _head(self, verb: str, path: str, address: Address) -> str:
        host = "localhost" if address.path is not None else address.host
        host = f"[{host}]" if ":" in host else host
        return (
            f"{verb} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sdsuperctl\r\n"
            f"Accept-Encoding: identity\r\n{self._authorization}"
        )


def _refused(where: str, reply: _Reply) -> ProtocolError:
    replaced = reply.status == 503 and "retry-after" in reply.headers
    return ProtocolError(where, reply.status, reply.reason, is_replaced=replaced)


def _is_stale(sock: _socket.socket) -> bool:
    try:
        sock.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True  # the end, or bytes that nobody asked for
