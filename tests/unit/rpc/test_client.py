"""The client's HTTP against servers that answer as the bytes here say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sdsuper.rpc import codec
from sdsuper.rpc.client import HEADERS_BYTES_MAX, Address, Client, ProtocolError, Stream
from sdsuper.rpc.faults import Fault

BODY = codec.dumps_response("pong é")


def reply(body: bytes = BODY, head: str = "HTTP/1.1 200 OK", *fields: str) -> bytes:
    lines = [head, *fields, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Server:
    """Answers each connection with the next script: one entry a request, None to close.

    Attributes:
        requests: What arrived, by connection.
        url: Where it listens.
    """

    def __init__(
        self, listener: socket.socket, url: str, scripts: list[list[bytes | None]]
    ) -> None:
        self.requests: list[list[bytes]] = []
        self.url = url
        self._listener = listener
        self._scripts = scripts
        self.closed = threading.Event()

    def run(self) -> None:
        for script in self._scripts:
            connection, _ = self._listener.accept()
            self.requests.append([])
            with connection:
                for answer in script:
                    if answer is None:
                        break
                    self.requests[-1].append(self._request(connection))
                    with suppress(ConnectionError):  # it may have read enough
                        for byte in range(0, len(answer), 7):  # in pieces, as networks do
                            connection.sendall(answer[byte : byte + 7])
            self.closed.set()

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body


@contextmanager
def serving(*scripts: list[bytes | None], family: int = socket.AF_INET) -> Iterator[Server]:
    """Run a server in a thread."""
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        listener.listen()
        listener.settimeout(20)
        host = "127.0.0.1" if family == socket.AF_INET else "[::1]"
        server = Server(listener, f"http://{host}:{listener.getsockname()[1]}", list(scripts))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            thread.join(20)


def test_calls_share_a_connection() -> None:
    with serving([reply(), reply(codec.dumps_response([1, True]))]) as server:
        client = Client(server.url)
        assert client.call("a.b", 1, "x") == "pong é"
        assert client.call("a.c") == [1, True]
        client.close()
    ((first, second),) = server.requests
    head, _, body = first.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert b"\r\nContent-Type: text/xml\r\n" in head
    assert b"uthorization" not in head
    assert codec.loads_call(body) == ("a.b", [1, "x"])
    assert codec.loads_call(second.partition(b"\r\n\r\n")[2]) == ("a.c", [])


def test_credentials_go_with_each_request() -> None:
    with serving([reply()]) as server:
        client = Client(server.url, "üser", "pass:word")
        client.call("a.b")
        client.close()
    assert b"\r\nAuthorization: Basic w7xzZXI6cGFzczp3b3Jk\r\n" in server.requests[0][0]


@pytest.mark.parametrize(("username", "password"), [("u", None), (None, "p"), (None, None)])
def test_half_a_login_is_none(username: str | None, password: str | None) -> None:
    with serving([reply()]) as server:
        client = Client(server.url, username, password)
        client.call("a.b")
        client.close()
    assert b"uthorization" not in server.requests[0][0]


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    parts = [b"%x;note=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return head + b"".join(parts) + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        reply(),
        chunked(BODY[:10], BODY[10:11], BODY[11:]),
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\n" + reply(),
        reply(BODY, "HTTP/1.1 200", "X-A:b", "connection:  Close"),
    ],
)
def test_ways_to_send_a_body(answer: bytes) -> None:
    with serving([answer]) as server:
        client = Client(server.url)
        assert client.call("a.b") == "pong é"
        client.close()


def test_a_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    with serving([reply(), None], [reply()]) as server:
        client = Client(server.url)
        client.call("a.b")
        assert server.closed.wait(20)
        assert client.call("a.c") == "pong é"
        client.close()
    assert [len(requests) for requests in server.requests] == [1, 1]


def test_a_call_that_was_sent_is_not_sent_again() -> None:
    with serving([b""]) as server:
        client = Client(server.url)
        with pytest.raises(ProtocolError, match="closed the connection"):
            client.call("a.b")
    assert len(server.requests) == 1


def test_faults_and_http_errors() -> None:
    unauthorized = reply(b"no", "HTTP/1.1 401 Unauthorized")
    with serving([reply(codec.dumps_fault(Fault(10, "x")))], [unauthorized]) as server:
        client = Client(server.url)
        with pytest.raises(Fault, match="BAD_NAME: x"):
            client.call("a.b")
        client.close()
        with pytest.raises(ProtocolError) as error:
            client.call("a.b")
    assert (error.value.status, error.value.reason) == (401, "Unauthorized")
    assert str(error.value) == "<ProtocolError for 127.0.0.1/RPC2: 401 Unauthorized>"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply()[:-3], "cut"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 hello\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * (HEADERS_BYTES_MAX + 70000), "headers too long"),
        (chunked(BODY)[:-9], "closed the connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "longer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 5000, "too long"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "bad chunk size"),
    ],
)
def test_replies_that_are_none(answer: bytes, said: str) -> None:
    with serving([answer]) as server:
        client = Client(server.url)
        with pytest.raises(ProtocolError, match=said):
            client.call("a.b")


def test_a_stream_gives_pieces_as_they_come_until_its_end() -> None:
    with serving([chunked(b"one\n", b"t\xffo")]) as server:
        stream = Client(server.url, "u", "p").stream("/logtail/a/stdout")
        pieces = list(iter(stream.read, b""))
        assert stream.ended
        stream.close()
    assert b"".join(pieces) == b"one\nt\xffo"
    assert server.requests[0][0].startswith(b"GET /logtail/a/stdout HTTP/1.1\r\n")
    assert b"Authorization: Basic" in server.requests[0][0]


def test_a_stream_that_is_cut_ends() -> None:
    with serving([chunked(b"one\n")[:-16]]) as server:
        stream = Client(server.url).stream("/mainlogtail")
        assert b"".join(iter(stream.read, b"")) == b"one\n"
        stream.close()


def positioned(data: bytes, at: str, after: str = "") -> bytes:
    """A stream that tells where it begins, and where it goes on if it does."""
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSdsuper-Position: {at}\r\n\r\n"
    trailer = f"sdsuper-position: {after}\r\n" if after else ""
    return b"%b%x\r\n%b\r\n0\r\n%b\r\n" % (head.encode(), len(data), data, trailer.encode())


def read_to_the_end(stream: Stream) -> list[bytes]:
    found = []
    while not stream.ended:
        found.append(stream.read())
    stream.close()
    return found


def test_a_stream_goes_on_where_it_is_told_to() -> None:
    scripts = [
        [positioned(b"one", "7-8-100", "7-9-0")],
        [reply(b"", "HTTP/1.1 503 Service Unavailable")],
        [positioned(b"two", "7-9-0")],
    ]
    with serving(*scripts) as server:
        stream = Client(server.url).stream("/logtail/a?tail=3")
        assert b"".join(read_to_the_end(stream)) == b"onetwo"
    heads = [requests[0].split(b" ")[1] for requests in server.requests]
    assert heads == [b"/logtail/a?tail=3", *[b"/logtail/a?tail=3&after=7-9-0"] * 2]
    assert b"\r\nTE: trailers\r\nConnection: TE\r\n" in server.requests[0][0]


def test_a_stream_that_is_cut_goes_on_behind_what_has_come() -> None:
    cut = positioned(b"one", "7-8-100")[:-5]
    with serving([cut], [None], [positioned(b"two", "7-8-103")]) as server:
        stream = Client(server.url).stream("/mainlogtail")
        assert b"".join(read_to_the_end(stream)) == b"onetwo"
    assert b"/mainlogtail?after=7-8-103 " in server.requests[-1][0]


def test_a_log_that_is_gone_is_not_gone_on_with() -> None:
    first = positioned(b"one", "7-8-100", "7-8-103")
    with serving([first], [reply(b"", "HTTP/1.1 404 Not Found")]) as server:
        assert b"".join(read_to_the_end(Client(server.url).stream("/logtail/a"))) == b"one"
    assert len(server.requests) == 2


def test_a_server_that_is_gone_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsuper.rpc.client.RETRY_SECONDS", 0.3)
    cut = positioned(b"one", "7-8-100")[:-5]
    with serving([cut], [cut]) as server:
        client = Client(server.url)
        streams = [client.stream("/logtail/a"), client.stream("/logtail/b")]
    assert not client.is_gone
    tried: list[str] = []
    open_stream = client.open_stream

    def counted(path: str) -> object:
        tried.append(path)
        return open_stream(path)

    monkeypatch.setattr(client, "open_stream", counted)
    for stream in streams:
        assert b"".join(read_to_the_end(stream)) == b"one"
    assert client.is_gone
    assert tried.count("/logtail/a?after=7-8-103") > 1
    assert tried.count("/logtail/b?after=7-8-103") == 1


def test_a_server_that_is_being_replaced_is_told_from_one_that_is_busy() -> None:
    busy = "HTTP/1.1 503 Service Unavailable"
    with serving([reply(b"", busy, "Retry-After: 1")], [reply(b"", busy)]) as server:
        client = Client(server.url)
        for replaced in (True, False):
            with pytest.raises(ProtocolError) as error:
                client.call("a.b")
            assert error.value.is_replaced is replaced


def test_a_stream_that_is_refused() -> None:
    refusal = reply(b"", "HTTP/1.1 404 Not Found")
    with serving([refusal]) as server, pytest.raises(ProtocolError) as error:
        Client(server.url).stream("/logtail/x")
    assert error.value.status == 404


def test_ipv6() -> None:
    with serving([reply()], family=socket.AF_INET6) as server:
        client = Client(server.url)
        assert client.call("a.b") == "pong é"
        client.close()
    assert b"\r\nHost: [::1]\r\n" in server.requests[0][0]


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Client(f"unix://{tmp_path}/none").call("a.b")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            Client(f"http://127.0.0.1:{bound.getsockname()[1]}").call("a.b")


@pytest.mark.parametrize(
    ("url", "path", "host", "port"),
    [
        ("unix:///run/d.sock", "/run/d.sock", "localhost", 0),
        ("unix://d.sock", "d.sock", "localhost", 0),
        ("http://h", None, "h", 80),
        ("http://h:9001", None, "h", 9001),
        ("http://h:9001/RPC2", None, "h", 9001),
        ("http://[::1]:9001", None, "::1", 9001),
        ("http://[::1]", None, "::1", 80),
    ],
)
def test_urls(url: str, path: str | None, host: str, port: int) -> None:
    address = Address(url)
    assert (address.path, address.host, address.port) == (path, host, port)


@pytest.mark.parametrize("url", ["https://h", "foo:bar", "unix:/x", "", "http:h", "ftp://h"])
def test_urls_of_other_kinds(url: str) -> None:
    with pytest.raises(ValueError, match="Unknown protocol for serverurl"):
        Client(url).call("a.b")


@pytest.mark.parametrize("url", ["http://:1", "http://h:x", "http://h:99999", "http://h:"])
def test_urls_without_host_and_port(url: str) -> None:
    with pytest.raises(ValueError, match="no host and port"):
        Client(url).call("a.b")
