"""The same requests to Supervisor and to us: calls, streams of logs, and who may make them."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.integration.harness import Daemon, UnixConnection

PROGRAMS = """\
[program:say]
command=sh -c 'echo out; echo err >&2; exec cat'
startsecs=0
[program:quiet]
command=cat
startsecs=0
stdout_logfile=NONE
[program:never]
command=cat
autostart=false
stdout_logfile=%(here)s/never
[group:g]
programs=never
"""
CALL = b"<methodCall><methodName>supervisor.getAPIVersion</methodName></methodCall>"
USER, PASSWORD = "user", "pass word:"


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


LOGIN = basic(f"{USER}:{PASSWORD}")


class Ask(NamedTuple):
    """One request."""

    method: str
    path: str
    body: bytes | None = None
    login: str | None = LOGIN

    def __str__(self) -> str:
        return " ".join(str(each) for each in self if each not in (None, LOGIN))


class Answer(NamedTuple):
    """What matters of a response; of a stream its first bytes."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


HEADERS = {"content-type", "content-length", "transfer-encoding", "www-authenticate"}
STREAMED = 4  # bytes of a stream that are looked at

METHODS = ("GET", "HEAD", "PUT", "OPTIONS")
TAILS = (
    "/logtail/",
    "/logtail/nope",
    "/logtail/say/stdout",
    "/logtail/say/stderr",
    "/logtail/say/nope",
    "/logtail/say/stdout/x",
    "/logtail/say:say",
    "/logtail/say:say/stderr",
    "/logtail/say%3Asay",
    "/logtail/g:never",
    "/logtail/g:*",
    "/logtail/g",
    "/logtail/quiet",
    "/logtailx/say",
)
ASKS = (
    *(
        Ask(method, path)
        for method in METHODS
        for path in ("/RPC2", "/ok.html", "/logtail/say", "/mainlogtail", "/nope")
    ),
    *(Ask("POST", path, CALL) for path in ("/RPC2", "/RPC2/", "/RPC2x", "/RPC2?x=1")),
    *(Ask("POST", path, CALL) for path in ("/rpc2", "/x/RPC2", "/nope", "/logtail/say")),
    *(Ask("POST", "/RPC2", body) for body in (b"garbage", b"<methodCall></methodCall>")),
    *(Ask("GET", path) for path in TAILS),
    *(Ask("GET", path) for path in ("/ok.html?x=1", "/ok.html/", "/ok.htm", "*")),
    *(Ask("GET", path) for path in ("/mainlogtail/x", "/mainlogtailx")),
    *(
        Ask("GET", path, login=login)
        for path in ("/ok.html", "/nope", "/logtail/say")
        for login in (None, "", "Basic", "Bearer x", basic("user:no"), basic(":"))
    ),
    Ask("POST", "/RPC2", CALL, login=None),
    Ask("GET", "/ok.html", login="Basic !!!"),
    Ask("GET", "/ok.html", login=basic("user")),
    Ask("GET", "http://localhost/ok.html"),
)
DIFFERENCES = {
    "GET /ok.html Basic !!!": (500, 400),
    f"GET /ok.html {basic('user')}": (500, 401),
    "GET http://localhost/ok.html": (404, 200),  # as HTTP/1.1 asks of servers
}
"""By the request: their status, and ours."""


def ask(daemon: Daemon, request: Ask) -> Answer:
    connection = UnixConnection(daemon.socket)
    headers = {"Content-Type": "text/xml"}
    if request.login is not None:
        headers["Authorization"] = request.login
    with contextlib.closing(connection):
        connection.request(request.method, request.path, request.body, headers)
        response = connection.getresponse()
        found = {key.lower(): value for key, value in response.getheaders()}
        stream = "transfer-encoding" in found
        body = response.read(STREAMED) if stream else response.read()
        kept = {key: value for key, value in found.items() if key in HEADERS}
        if request.path.startswith("/mainlogtail") and stream:
            body = b""  # everybody's own
        return Answer(response.status, response.reason, kept, body)


def wait_for_output(daemon: Daemon) -> None:
    daemon.wait(lambda: daemon.rpc.supervisor.readProcessStderrLog("say", 0, 0) == "err\n")


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Daemon, Daemon]]:
    """Supervisor and us, with a log of which each line is there."""
    with ExitStack() as stack:
        daemons = []
        for peer in ("supervisor", "sdsuper"):
            daemon = stack.enter_context(Daemon(PROGRAMS, peer=peer, credentials=(USER, PASSWORD)))
            for name in ("say", "quiet"):
                daemon.wait_state(name, "RUNNING")
            wait_for_output(daemon)
            daemons.append(daemon)
        yield daemons[0], daemons[1]


@pytest.mark.parametrize("request_", ASKS, ids=map(str, ASKS))
def test_the_answer_is_the_same(both: tuple[Daemon, Daemon], request_: Ask) -> None:
    theirs, ours = (ask(daemon, request_) for daemon in both)
    if str(request_) in DIFFERENCES:
        assert (theirs.status, ours.status) == DIFFERENCES[str(request_)]
    else:
        assert ours == theirs


def test_every_difference_is_of_a_request_that_is_made() -> None:
    assert set(DIFFERENCES) <= {str(each) for each in ASKS}
