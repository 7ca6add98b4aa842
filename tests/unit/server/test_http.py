"""HTTP as clients speak it, well and badly: each test on a connection of its own."""

from __future__ import annotations

import gc
import os
import re
import socket
from base64 import b64encode
from pathlib import Path
from typing import Any, cast

import pytest

from sdsuper import eventloop
from sdsuper.daemon.readback import Channel, Following
from sdsuper.logs.readback import FAILED, ReadbackError
from sdsuper.rpc.codec import dumps_call, loads_response
from sdsuper.rpc.faults import Fault
from sdsuper.server import http, web
from sdsuper.server.registry import Registry, method
from sdsuper.values import Level
from tests.unit.server.calls import settle, solo
from tests.unit.server.site import Client, Site, call, get, post, run
from tests.unit.server.streams import Stream

OK = get("/ok.html")
PID = call("supervisor.getPID")


# -- replies ---------------------------------------------------------------------------------------


def test_a_health_check_and_what_every_reply_carries() -> None:
    async def test() -> None:
        async with Site() as site:
            answer = await site.ask(OK)
            assert (answer.version, answer.status, answer.body) == ("HTTP/1.1", 200, b"OK")
            assert answer.headers["content-type"] == "text/plain"
            assert answer.headers["server"] == "sdsuper"
            assert re.fullmatch(
                r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"]
            )
            assert "connection" not in answer.headers

    run(test())


def test_an_error_page() -> None:
    async def test() -> None:
        async with Site() as site:
            answer = await site.ask(get("/nope"))
            assert answer.status == 404
            assert answer.headers["content-type"] == "text/html"
            assert answer.body.decode().split("\r\n") == [
                "<head>",
                "<title>Error response</title>",
                "</head>",
                "<body>",
                "<h1>Error response</h1>",
                "<p>Error code 404.",
                "<p>Message: Not Found.",
                "</body>",
                "",
            ]

    run(test())


@pytest.mark.parametrize(
    ("method_name", "target", "status"),
    [
        ("GET", "/ok.html", 200),
        ("POST", "/ok.html", 200),
        ("GET", "/ok.html?x=1", 200),
        ("GET", "/%6fk.html", 200),
        ("GET", "http://somewhere:9001/ok.html", 200),
        ("HEAD", "/ok.html", 404),
        ("PUT", "/ok.html", 400),
        ("GET", "/", 200),
        ("GET", "//index.html", 200),
        ("GET", "/index.html/", 404),
        ("GET", "/tail.html", 200),
        ("HEAD", "/", 200),
        ("HEAD", "/tail.html", 200),
        ("HEAD", "/events", 200),
        ("PUT", "/", 400),
        ("POST", "/events", 400),
        ("GET", "/stylesheets/supervisor.css", 200),
        ("HEAD", "/assets/page.js", 200),
        ("POST", "/assets/page.js", 400),
        ("GET", "/assets/", 404),
        ("GET", "/assets/../pages.py", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("DELETE", "/nope", 400),
        ("GET", "/RPC2", 400),
        ("PUT", "/RPC2", 400),
        ("POST", "/RPC2", 411),
        ("POST", "/RPC2xyz", 411),
        ("POST", "/%52PC2/", 411),
        ("POST", "/logtail/a", 400),
        ("POST", "/mainlogtail", 400),
        ("GET", "/mainlogtail", 404),
        ("GET", "/logtail", 404),
        ("GET", "/logtail/", 404),
        ("GET", "/logtailx", 404),
        ("GET", "/logtail/nope", 404),
        ("GET", "/logtail/a", 404),
        ("GET", "/logtail/a:*", 404),
        ("GET", "/logtail/a/stdin", 404),
        ("GET", "/logtail/a/stdout/x", 404),
        ("GET", "/%ff%fe", 404),
    ],
)
def test_paths_and_methods(method_name: str, target: str, status: int) -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            client = await site.client()
            await client.say(get(target, method=method_name))
            answer = await client.answer(bodiless=method_name == "HEAD")
            assert answer.status == status
            assert (await client.ask(OK)).status == 200  # the connection goes on

    run(test())


# -- XML-RPC ---------------------------------------------------------------------------------------


def test_a_call_and_its_reply() -> None:
    async def test() -> None:
        async with Site() as site:
            answer = await site.ask(PID)
            assert answer.status == 200
            assert answer.headers["content-type"] == "text/xml"
            assert answer.body.startswith(b"<?xml version='1.0'?>")
            assert answer.value == os.getpid()

    run(test())


def test_a_call_without_params() -> None:
    async def test() -> None:
        async with Site() as site:
            body = b"<methodCall><methodName>supervisor.getAPIVersion</methodName></methodCall>"
            assert (await site.ask(post(body))).value == "3.0"
            assert (await site.ask(post(body, target="/RPC2/x"))).value == "3.0"

    run(test())


def test_a_fault_is_a_reply_too() -> None:
    async def test() -> None:
        async with Site() as site:
            answer = await site.ask(call("supervisor.startProcess", "nope"))
            assert answer.status == 200
            with pytest.raises(Fault, match="BAD_NAME: nope"):
                loads_response(answer.body)

    run(test())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"\x00\xff\xfe",
        b"<methodCall>",
        b"<methodResponse/>",
        b"<methodCall></methodCall>",
        b"<methodCall><methodName></methodName></methodCall>",
        b"<methodCall><methodName>a</methodName><params><value/></params></methodCall>",
        b"<!DOCTYPE m><methodCall><methodName>supervisor.getPID</methodName></methodCall>",
        (
            b'<!DOCTYPE m [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
            b"<methodCall><methodName>&b;</methodName></methodCall>"
        ),
        (
            b'<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
            b"<methodCall><methodName>&a;</methodName></methodCall>"
        ),
        b"<methodCall><methodName>a</methodName><params>" + b"<param><value><array><data>" * 1000,
    ],
)
def test_what_is_no_call_is_a_bad_request_and_the_connection_goes_on(body: bytes) -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            assert (await client.ask(post(body))).status == 400
            assert (await client.ask(PID)).status == 200
            (message,) = site.fake.log.at(Level.ERROR)
            assert message.startswith("XML-RPC request data b")
            assert len(message) < 2500

    run(test())


def test_an_unexpected_error_is_told_in_the_log_and_nowhere_else() -> None:
    @method("test.broken")
    def broken(_registry: Registry) -> int:
        """Fail."""
        raise RuntimeError("secret")

    @method("test.later")
    async def later(_registry: Registry) -> int:
        """Fail later."""
        await eventloop.sleep(0)
        raise RuntimeError("secret")

    @method("test.none")
    def nothing(_registry: Registry) -> bool:
        """Return what cannot be sent."""
        return None  # type: ignore[return-value]

    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            for item in (broken, later, nothing):
                site.registry.methods[item.names[0]] = item
                answer = await client.ask(call(item.names[0]))
                assert answer.status == 500
                assert b"secret" not in answer.body
            assert (await client.ask(PID)).status == 200
            said = site.fake.log.at(Level.CRITICAL)
            assert len(said) == 3
            assert "RuntimeError: secret" in said[0]
            assert said[0].startswith("Handling XML-RPC request with data b")

    run(test())


def test_names_beyond_ascii_come_through_a_reply_that_waits() -> None:
    async def test() -> None:
        async with Site(solo("été"), solo("日本")) as site:
            client = await site.client()
            await client.say(call("supervisor.startAllProcesses"))
            await _until(lambda: len(site.fake.spawned) == 2)
            site.fake.advance(1.0)
            answer = await client.answer()
            assert {item["name"] for item in answer.value} == {"été", "日本"}
            assert (await client.ask(PID)).status == 200

    run(test())


async def _until(true: object) -> None:
    assert callable(true)
    while not true():
        await eventloop.sleep(0.001)


# -- connections -----------------------------------------------------------------------------------


def test_a_connection_is_kept() -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            for _ in range(3):
                assert (await client.ask(PID)).value == os.getpid()

    run(test())


def test_a_connection_is_closed_when_asked() -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            answer = await client.ask(get("/ok.html", "Connection: close"))
            assert answer.headers["connection"] == "close"
            assert await client.ended() == b""

    run(test())


def test_http_1_0_is_answered_in_kind_and_closed() -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            answer = await client.ask(get("/ok.html", version="1.0"))
            assert (answer.version, answer.body) == ("HTTP/1.0", b"OK")
            assert await client.ended() == b""
            bare = await site.client()
            await bare.say(b"GET /ok.html HTTP/1.0\r\n\r\n")
            assert (await bare.ended()).endswith(b"\r\n\r\nOK")

    run(test())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            client = await site.client()
            start = call("supervisor.startProcess", "a")
            await client.say(PID + start + PID + OK + get("/nope") + PID)
            assert (await client.answer()).value == os.getpid()
            await _until(lambda: site.fake.spawned == ["a"])
            site.fake.advance(1.0)
            assert (await client.answer()).value is True
            assert (await client.answer()).value == os.getpid()
            assert (await client.answer()).body == b"OK"
            assert (await client.answer()).status == 404
            assert (await client.answer()).value == os.getpid()

    run(test())


def test_a_flood_of_pipelined_requests_waits_for_a_client_that_does_not_read() -> None:
    async def test() -> None:
        async with Site(*[solo(f"p{number}") for number in range(100)]) as site:
            client = await site.client()
            one = call("supervisor.getAllProcessInfo")
            flood = eventloop.Task(client.say(one * 60))
            (connection,) = await _connections(site, 1)
            await _until(lambda: not connection.can_write)
            await settle()
            waiting = connection._transport.waiting
            assert waiting < 1_000_000
            for _ in range(60):
                assert (await client.answer()).body.count(b"<struct>") == 100
            await flood

    run(test())


async def _connections(site: Site, number: int) -> list[http.Connection]:
    await _until(lambda: len(site.web._connections) == number)
    return list(site.web._connections)


def test_blank_lines_before_and_between_requests() -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            await client.say(b"\r\n\r\n\n")
            await client.say(PID + b"\r\n" + PID + b"\r\n\r\n" + PID)
            for _ in range(3):
                assert (await client.answer()).value == os.getpid()
            await client.say(b"\r")
            await client.say(b"\n" + PID)
            assert (await client.answer()).value == os.getpid()

    run(test())


def test_a_request_byte_by_byte() -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            for index in range(len(PID)):
                await client.say(PID[index : index + 1])
                await eventloop.sleep(0)
            assert (await client.answer()).value == os.getpid()

    run(test())


def test_a_client_that_only_stops_sending_still_gets_its_answers() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            client = await site.client()
            await client.say(PID + call("supervisor.startProcess", "a") + PID)
            client.stream.transport.write_eof()
            assert (await client.answer()).value == os.getpid()
            await _until(lambda: site.fake.spawned == ["a"])
            site.fake.advance(1.0)
            assert (await client.answer()).value is True
            assert (await client.answer()).value == os.getpid()
            assert await client.ended() == b""

    run(test())


def test_a_client_that_goes_away_cancels_nothing() -> None:
    async def test() -> None:
        async with Site(solo("a"), solo("b")) as site:
            client = await site.client()
            calls = [
                {"methodName": "supervisor.startProcess", "params": ["a"]},
                {"methodName": "supervisor.startProcess", "params": ["b"]},
            ]
            await client.say(call("system.multicall", calls))
            await _until(lambda: site.fake.spawned == ["a"])
            client.stream.transport.abort()
            site.fake.advance(1.0)
            await _until(lambda: site.fake.spawned == ["a", "b"])
            site.fake.advance(1.0)
            assert (await site.ask(PID)).status == 200

    run(test())


@pytest.mark.parametrize("sent", [b"", b"GET", OK[:-2], PID[:-5], PID[:-5] + b"\x00"])
def test_a_client_that_goes_away_in_the_middle_disturbs_nobody(sent: bytes) -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            await client.say(sent)
            await _connections(site, 1)
            client.stream.transport.abort()
            await _connections(site, 0)
            assert (await site.ask(PID)).status == 200
            assert site.fake.log.at(Level.CRITICAL) == []

    run(test())


def test_a_reset_disturbs_nobody() -> None:
    async def test() -> None:
        async with Site() as site:
            raw = socket.socket(socket.AF_UNIX)
            raw.connect(site.path)
            raw.sendall(call("supervisor.getAllProcessInfo") * 50)
            raw.close()
            assert (await site.ask(PID)).status == 200
            await _connections(site, 1)

    run(test())


def test_a_client_that_waits_for_a_100() -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            body = dumps_call("supervisor.getPID", ())
            request = post(body, "Expect: 100-continue")
            await client.say(request[: -len(body)])
            assert (await client.head()).status == 100
            assert (await client.ask(body)).value == os.getpid()

    run(test())


# -- bad requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /ok.html\r\n\r\n", 400),
        (b"GET /ok.html HTTP/9\r\n\r\n", 400),
        (b"GET /ok.html HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /ok.html HTTP/1.1\r\nHost: x\r\n folded\r\nX: y\r\n\r\n", 200),
        (b"GET /ok.html HTTP/1.1\r\nHost: x\r\nA\x00B: y\r\n\r\n", 400),
        (b"GET /ok\x01.html HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + b"\r\n\r\n", 400),
        (b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\n", 400),
        (
            b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            400,
        ),
        (b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", 411),
        (b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000, 431),
        (b"x" * 300_000, 431),
        (b"\x00" * 10, 400),
    ],
)
def test_bad_requests_cost_their_own_connection_only(sent: bytes, status: int) -> None:
    async def test() -> None:
        async with Site() as site:
            other = await site.client()
            assert (await other.ask(PID)).status == 200
            client = await site.client()
            answer = await client.ask(sent)
            assert answer.status == status
            if status != 200:
                assert answer.headers["connection"] == "close"
                assert await client.ended() == b""
            assert (await other.ask(PID)).status == 200

    run(test())


def test_a_refusal_is_read_by_a_client_that_is_still_sending() -> None:
    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            await client.say(get("/RPC2", f"Content-Length: {10**9}", method="POST"))
            sending = eventloop.Task(client.say(b"x" * 3_000_000))
            assert (await client.answer()).status == 413
            await client.close()
            await sending

    run(test())


def test_a_late_reply_that_fails_is_told_at_once_and_ends_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("in a late reply")

    async def test() -> None:
        troubles: list[str] = []
        eventloop.get_running_loop().on_error = lambda _, error: troubles.append(str(error))
        async with Site(solo("a")) as site:
            client = await site.client()
            await client.say(call("supervisor.startProcess", "a"))
            await _until(lambda: site.fake.spawned == ["a"])
            monkeypatch.setattr(http.Connection, "_send_whole", fail)
            site.fake.advance(1.0)
            assert await client.ended() == b""
            await _connections(site, 0)
            assert troubles == ["in a late reply"]

    gc.disable()
    try:
        run(test())
    finally:
        gc.enable()


def test_nobody_waits_for_a_client_that_is_refused_and_sends_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(http.SECONDS, http.Phase.LINGERING, 3600.0)

    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            await client.say(PID[:-5])
            client.stream.transport.write_eof()
            assert (await client.answer()).status == 400
            await _connections(site, 0)

    run(test())


def test_a_large_body_within_the_limit() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            text = "é" * 2_000_000
            client = await site.client()
            request = call("supervisor.sendRemoteCommEvent", "t", text)
            sending = eventloop.Task(client.say(request))
            assert (await client.answer()).value is True
            await sending
            assert site.fake.events[-1].payload() == f"t:{text}".replace("t:", "type:t\n", 1)

    run(test())


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"", None), (b"GET /ok.html HT", 408), (PID[:-5], 408), (PID, 200)],
)
def test_a_client_that_takes_too_long_is_let_go(
    sent: bytes, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for phase in (http.Phase.FRESH, http.Phase.IDLE, http.Phase.HEAD, http.Phase.BODY):
        monkeypatch.setitem(http.SECONDS, phase, 0.05)

    async def test() -> None:
        async with Site() as site:
            client = await site.client()
            await client.say(sent)
            if status is not None:
                assert (await client.answer()).status == status
            assert await client.ended() == b""
            await client.close()
            await _connections(site, 0)

    run(test())


def test_a_client_that_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "WRITE_SECONDS", 0.05)

    async def test() -> None:
        async with Site(*[solo(f"p{number}") for number in range(100)]) as site:
            raw = socket.socket(socket.AF_UNIX)
            raw.connect(site.path)
            raw.sendall(call("supervisor.getAllProcessInfo") * 20)
            await _connections(site, 1)
            await _connections(site, 0)
            raw.close()

    run(test())


def test_one_timer_serves_all_connections() -> None:
    async def test() -> None:
        async with Site() as site:
            for _ in range(5):
                assert (await (await site.client()).ask(PID)).status == 200
            connections = await _connections(site, 5)
            assert site.web._expiry is not None
            deadlines = [connection.deadline for connection in connections]
            assert all(deadline is not None for deadline in deadlines)
            assert site.web._expiry.when <= min(deadlines)  # type: ignore[type-var]

    run(test())


# -- many ------------------------------------------------------------------------------------------


def test_above_the_limit_the_one_idle_longest_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CONNECTIONS_MAX", 3)

    async def test() -> None:
        async with Site(solo("a")) as site:
            waiting = await site.client()
            await waiting.say(call("supervisor.startProcess", "a"))
            await _until(lambda: site.fake.spawned == ["a"])
            older, newer = await site.client(), await site.client()
            assert (await older.ask(PID)).status == 200
            assert (await newer.ask(PID)).status == 200
            assert (await site.ask(PID)).status == 200
            assert await older.ended() == b""
            assert (await newer.ask(PID)).status == 200
            site.fake.advance(1.0)
            assert (await waiting.answer()).value is True

    run(test())


def test_where_nobody_is_idle_the_new_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CONNECTIONS_MAX", 1)

    async def test() -> None:
        async with Site(solo("a")) as site:
            waiting = await site.client()
            await waiting.say(call("supervisor.startProcess", "a"))
            await _until(lambda: site.fake.spawned == ["a"])
            refused = await site.client()
            assert await refused.ended() == b""
            site.fake.advance(1.0)
            assert (await waiting.answer()).value is True
            assert (await waiting.ask(PID)).status == 200

    run(test())


def test_who_never_says_what_it_wants_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CONNECTIONS_MAX", 2)

    async def test() -> None:
        async with Site(solo("a"), credentials=("u", "p")) as site:
            hogs = [await site.client() for _ in range(2)]
            for hog in hogs:
                await hog.say(b"POST /RPC2 HTTP/1.1\r\n")
            await _until(
                lambda: {each.phase for each in site.web._connections} == {http.Phase.HEAD}
            )
            client = await site.client()
            assert (await client.ask(get("/ok.html", _basic("u:p")))).status == 200
            assert await hogs[0].ended() == b""

    run(test())


# -- who may ---------------------------------------------------------------------------------------


def _basic(text: str) -> str:
    return "Authorization: Basic " + b64encode(text.encode()).decode()


@pytest.mark.parametrize("target", ["/ok.html", "/nope", "/", "/logtail/a", "/mainlogtail"])
def test_without_credentials_every_path_is_401(target: str) -> None:
    async def test() -> None:
        async with Site(credentials=("u", "p")) as site:
            client = await site.client()
            answer = await client.ask(get(target))
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == 'Basic realm="default"'
            assert answer.headers["connection"] == "close"
            assert await client.ended() == b""

    run(test())


def test_with_credentials() -> None:
    async def test() -> None:
        async with Site(credentials=("u", "p")) as site:
            client = await site.client()
            assert (await client.ask(get("/ok.html", _basic("u:p")))).status == 200
            assert (await client.ask(get("/nope", _basic("u:p")))).status == 404
            assert (await client.ask(get("/ok.html", _basic("u:q")))).status == 401
            assert (await site.ask(get("/ok.html", "Authorization: Basic !"))).status == 400
            assert (await site.ask(PID)).status == 401

    run(test())


def test_an_intruder_is_refused_before_the_body() -> None:
    async def test() -> None:
        async with Site(credentials=("u", "p")) as site:
            head = get("/RPC2", "Content-Length: 1000000", "Expect: 100-continue", method="POST")
            assert (await site.ask(head)).status == 401

    run(test())


# -- log streams -----------------------------------------------------------------------------------


def _with_log(site: Site, text: bytes = b"") -> Path:
    path = Path(site.directory, "a.log")
    path.write_bytes(text)
    site.fake.logfiles["a", "stdout"] = site.fake.logfiles["a", "stderr"] = str(path)
    site.fake.log.path = str(path)
    return path


async def _gather(client: Client, wanted: bytes) -> None:
    """Read chunks until they are what is wanted."""
    data = b""
    while len(data) < len(wanted):
        data += await client.chunk()
    assert data == wanted


@pytest.mark.parametrize(
    "target", ["/logtail/a", "/logtail/a/stdout", "/logtail/a:a/stderr", "/mainlogtail"]
)
def test_a_log_is_followed(target: str) -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            path = _with_log(site, b"x" * 2000 + b"end\n")
            client = await site.client()
            await client.say(get(target))
            answer = await client.head()
            assert answer.status == 200
            assert answer.headers["content-type"] == "text/plain;charset=utf-8"
            assert answer.headers["transfer-encoding"] == "chunked"
            assert answer.headers["last-modified"] == http.http_date(path.stat().st_mtime)
            buffering = None if target == "/mainlogtail" else "no"
            assert answer.headers.get("x-accel-buffering") == buffering
            await _gather(client, b"x" * 1020 + b"end\n")
            with path.open("ab") as log:
                log.write(b"\x1b[1mmore\xff\n")
            await _gather(client, b"\x1b[1mmore\xff\n")

    run(test())


def test_a_log_is_followed_over_rotation_and_truncation() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            path = _with_log(site, b"one\n")
            client = await site.client()
            await client.say(get("/logtail/a"))
            await client.head()
            await _gather(client, b"one\n")
            with path.open("ab") as log:
                log.write(b"two\n")
                path.rename(f"{path}.1")
                path.write_bytes(b"three\n")
            await _gather(client, b"two\nthree\n")
            path.write_bytes(b"4\n")
            await _gather(client, b"==> File truncated <==\n4\n")

    run(test())


def test_a_watcher_that_can_come_again_is_told_where_from() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            path = _with_log(site, b"one\n")
            file = f"{path.stat().st_dev}-{path.stat().st_ino}"
            client = await site.client()
            await client.say(get("/logtail/a", "TE: deflate, Trailers"))
            assert (await client.head()).headers["sdsuper-position"] == f"{file}-0"
            await _gather(client, b"one\n")
            path.rename(f"{path}.1")
            path.write_bytes(b"two\n")
            file = f"{path.stat().st_dev}-{path.stat().st_ino}"
            await _gather(client, b"two\n")
            ending = b"0\r\nSdsuper-Position: %b-4\r\n\r\n" % file.encode()
            assert await client.ended() == ending
            with path.open("ab") as log:
                log.write(b"three\n")
            client = await site.client()
            await client.say(get(f"/logtail/a?after={file}-4"))
            assert "sdsuper-position" not in (await client.head()).headers
            await _gather(client, b"three\n")

    run(test())


# -- over to a successor ---------------------------------------------------------------------------


def test_clients_wait_while_the_server_is_suspended_and_go_on_after_that() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            path = _with_log(site, b"one\n")
            fresh, idle, watcher = [await site.client() for _ in range(3)]
            assert (await idle.ask(OK)).body == b"OK"
            await watcher.say(get("/logtail/a", "TE: trailers"))
            await watcher.head()
            await _gather(watcher, b"one\n")
            await _connections(site, 3)
            await site.web.suspend()
            file = f"{path.stat().st_dev}-{path.stat().st_ino}"
            assert await watcher.ended() == b"0\r\nSdsuper-Position: %b-4\r\n\r\n" % file.encode()
            phases = sorted(client.phase.value for client, _ in site.web.clients())
            assert phases == ["fresh", "idle"]
            late = await site.client()
            for client in (fresh, idle, late):
                await client.say(OK)
            await eventloop.sleep(0.1)
            assert len(site.web.clients()) == 2
            site.web.resume()
            for client in (fresh, idle, late):
                assert (await client.answer()).body == b"OK"

    run(test())


def test_what_takes_too_long_is_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PAUSE_SECONDS", 0.2)

    async def test() -> None:
        async with Site(solo("a", startsecs=1, autostart=False)) as site:
            waiting, half = await site.client(), await site.client()
            await waiting.say(call("supervisor.startProcess", "a"))
            await half.say(OK[:-2])
            await _connections(site, 2)
            await _until(lambda: site.fake.spawned == ["a"])
            await site.web.suspend()
            for client in (waiting, half):
                answer = await client.answer()
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                assert await client.ended() == b""
            assert site.web.clients() == []
            site.web.resume()
            site.fake.advance(2)

    run(test())


def test_clients_of_an_earlier_daemon_are_gone_on_with() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            ours, theirs = socket.socketpair()
            lost, stranger = socket.socketpair()
            known = site.web.listeners[0].config.file
            since = eventloop.get_running_loop().time() - 1000
            site.web.welcome(
                [
                    (web.Client(f"unix://{known}", http.Phase.IDLE, since), theirs.detach()),
                    (web.Client("unix:///other", http.Phase.IDLE, since), stranger.detach()),
                ]
            )
            (connection,) = await _connections(site, 1)
            assert (connection.phase, connection.since) == (http.Phase.IDLE, since)
            assert lost.recv(1) == b""
            lost.close()
            client = Client(Stream(ours))
            assert (await client.ask(OK)).body == b"OK"
            assert connection.phase is http.Phase.IDLE
            await client.close()

    run(test())


def test_an_http_1_0_watcher_gets_lines_as_they_come() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            path = _with_log(site, b"one\n")
            client = await site.client()
            await client.say(get("/logtail/a", version="1.0"))
            answer = await client.head()
            assert (answer.version, answer.status) == ("HTTP/1.0", 200)
            assert "transfer-encoding" not in answer.headers
            assert await client.stream.readexactly(4) == b"one\n"
            with path.open("ab") as log:
                log.write(b"two\n")
            assert await client.stream.readexactly(4) == b"two\n"

    run(test())


@pytest.mark.parametrize("how", ["close", "abort", "write_eof"])
def test_a_watcher_that_leaves_is_looked_for_no_more(how: str) -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            _with_log(site, b"one\n")
            client = await site.client()
            await client.say(get("/logtail/a"))
            await client.head()
            await _gather(client, b"one\n")
            getattr(client.stream.transport, how)()
            await _connections(site, 0)

    run(test())


def test_a_watcher_that_does_not_read_costs_a_bounded_amount() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            path = _with_log(site)
            client = await site.client()
            await client.say(get("/logtail/a"))
            await client.head()
            client.stream.transport.pause_reading()
            path.write_bytes(b"x" * 8_000_000)
            (connection,) = await _connections(site, 1)
            await _until(lambda: not connection.can_write)
            assert connection._transport.waiting < 1_000_000
            client.stream.transport.resume_reading()
            await _gather(client, b"x" * 8_000_000)

    run(test())


# -- the journal -----------------------------------------------------------------------------------


class SlowReadback:
    """Finds nothing before it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.given_up = 0
        self.found: eventloop.Future[bytes] = eventloop.Future()

    async def read(self, channel: Channel, offset: int, length: int) -> bytes:
        return await self._wait()

    async def follow(self, channel: Channel) -> Following:
        await self._wait()
        raise ReadbackError(FAILED, "too many")

    async def _wait(self) -> bytes:
        self.asked += 1
        try:
            return await self.found
        except eventloop.CancelledError:
            self.given_up += 1
            raise


def _in_journal(site: Site) -> SlowReadback:
    site.fake.in_journal.add(("a", "stdout"))
    site.fake.readback = SlowReadback()
    return cast("SlowReadback", site.fake.readback)


READ = call("supervisor.readProcessLog", "a", -10, 0)


@pytest.mark.parametrize("request_", [READ, get("/logtail/a")])
@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_search_is_given_up_when_its_client_is_gone(how: str, request_: bytes) -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            readback = _in_journal(site)
            client = await site.client()
            await client.say(request_)
            await _until(lambda: readback.asked == 1)
            getattr(client.stream.transport, how)()
            await _until(lambda: readback.given_up == 1)
            await _connections(site, 0)

    run(test())


def test_a_search_for_a_client_that_is_gone_already_is_given_up() -> None:
    async def test() -> None:
        troubles: list[dict[str, Any]] = []
        eventloop.get_running_loop().on_error = lambda *told: troubles.append(told)
        async with Site(solo("a")) as site:
            readback = _in_journal(site)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(site.path)
                client.sendall(get("/ok.html") + READ)  # the first answer finds nobody there
            await _until(lambda: readback.given_up == 1)
            await _connections(site, 0)
        gc.collect()
        assert not troubles

    run(test())


def test_who_only_stopped_sending_gets_what_is_found() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            readback = _in_journal(site)
            client = await site.client()
            await client.say(READ)
            await _until(lambda: readback.asked == 1)
            client.stream.transport.write_eof()
            readback.found.set_result(b"found \x1b\n")
            assert (await client.answer()).value == "found \ufffd\n"
            assert readback.given_up == 0

    run(test())


def test_a_stream_that_cannot_begin_is_refused() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            readback = _in_journal(site)
            client = await site.client()
            readback.found.set_result(b"")
            await client.say(get("/logtail/a"))
            assert (await client.answer()).status == 503
            await client.say(get("/logtail/a/stderr"))
            assert (await client.answer()).status == 404

    run(test())


# -- the end ---------------------------------------------------------------------------------------


def test_closing_ends_idle_clients_and_watchers_and_finishes_replies() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            _with_log(site, b"one\n")
            idle, watcher, waiting = [await site.client() for _ in range(3)]
            assert (await idle.ask(PID)).status == 200
            await watcher.say(get("/logtail/a"))
            await watcher.head()
            await waiting.say(call("supervisor.startProcess", "a"))
            await _until(lambda: site.fake.spawned == ["a"])
            closing = eventloop.Task(site.web.close())
            assert await idle.ended() == b""
            assert await watcher.ended() == b"4\r\none\n\r\n0\r\n\r\n"
            assert not Path(site.path).exists()  # noqa: ASYNC240
            site.fake.advance(1.0)
            answer = await waiting.answer()
            assert (answer.value, answer.headers["connection"]) == (True, "close")
            assert await waiting.ended() == b""
            await closing

    run(test())


class SlowStart(SlowReadback):
    """Has something to follow, but not before it is told to."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.first, self.fd = b"past\n", fd
        self.closed = False

    async def follow(self, channel: Channel) -> Following:
        await self._wait()
        return cast("Following", self)

    def close(self) -> None:
        self.closed = True


def test_closing_ends_a_stream_that_begins_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CLOSE_SECONDS", 1000)

    async def test() -> None:
        ours, theirs = os.pipe()
        async with Site(solo("a")) as site:
            site.fake.in_journal.add(("a", "stdout"))
            readback = SlowStart(ours)
            site.fake.readback = readback
            client = await site.client()
            await client.say(get("/logtail/a"))
            await _until(lambda: readback.asked == 1)
            closing = eventloop.Task(site.web.close())
            await eventloop.sleep(0)
            readback.found.set_result(b"")
            await client.head()
            assert await client.ended() == b"5\r\npast\n\r\n0\r\n\r\n"
            await closing
            assert readback.closed
        os.close(ours)
        os.close(theirs)

    run(test())


def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CLOSE_SECONDS", 0.05)

    async def test() -> None:
        async with Site(solo("a")) as site:
            waiting = await site.client()
            await waiting.say(call("supervisor.startProcess", "a"))
            await _until(lambda: site.fake.spawned == ["a"])
            await site.web.close()
            assert await waiting.ended() == b""

    run(test())


# -- sockets ---------------------------------------------------------------------------------------


def test_a_removed_socket_is_made_anew_and_old_clients_stay() -> None:
    async def test() -> None:
        async with Site() as site:
            old = await site.client()
            assert (await old.ask(PID)).status == 200
            site.web.check_sockets()
            await settle()
            assert site.fake.log.at(Level.WARN) == []
            os.unlink(site.path)
            site.web.check_sockets()
            await settle()
            assert site.fake.log.at(Level.WARN) == [
                f"socket {site.path} had been removed, made it anew"
            ]
            assert (await old.ask(PID)).status == 200
            assert (await site.ask(PID)).status == 200

    run(test())


def test_a_removed_socket_is_noticed_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CHECK_SECONDS", 0.01)

    async def test() -> None:
        async with Site() as site:
            os.unlink(site.path)
            await _until(lambda: os.path.exists(site.path))
            assert (await site.ask(PID)).status == 200

    run(test())


def test_a_socket_that_cannot_be_made_anew_is_told() -> None:
    async def test() -> None:
        async with Site() as site:
            os.rename(site.directory, f"{site.directory}x")
            site.web.check_sockets()
            await settle()
            (said,) = site.fake.log.at(Level.WARN)
            assert said.startswith(f"cannot make socket {site.path} anew: ")
            os.rename(f"{site.directory}x", site.directory)
            assert (await site.ask(PID)).status == 200

    run(test())


# -- the access log --------------------------------------------------------------------------------


def test_access_lines_are_written_at_the_trace_level_only() -> None:
    async def test() -> None:
        async with Site() as site:
            site.fake.log.level = Level.DEBUG
            await site.ask(OK)
            assert not any("GET" in line for line in site.fake.log.at(Level.TRACE))
            site.fake.log.level = Level.TRACE
            await site.ask(get("/ok.html?a=1"))
            await site.ask(b"nonsense\r\n\r\n")
            first, second = (line for line in site.fake.log.at(Level.TRACE) if " - - [" in line)
            assert re.fullmatch(
                r"localhost:0 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
                r'"GET /ok\.html\?a=1 HTTP/1\.1" 200 \d+',
                first,
            )
            assert re.search(r'"-" 400 \d+$', second)

    run(test())


def test_calls_are_told_at_the_trace_level() -> None:
    async def test() -> None:
        async with Site() as site:
            await site.ask(PID)
            await site.ask(call("supervisor.startProcess", "nope"))
            said = [line for line in site.fake.log.at(Level.TRACE) if line.startswith("XML")]
            assert said == [
                "XML-RPC method called: supervisor.getPID()",
                "XML-RPC method supervisor.getPID() returned successfully",
                "XML-RPC method called: supervisor.startProcess()",
                "XML-RPC method supervisor.startProcess() returned fault: [10] BAD_NAME: nope",
            ]

    run(test())


def test_a_method_name_cannot_write_log_lines_of_its_own() -> None:
    async def test() -> None:
        async with Site() as site:
            await site.ask(call("a\n2026-11-23 CRIT b"))
            assert all("\n" not in line for line in site.fake.log.at(Level.TRACE))

    run(test())
