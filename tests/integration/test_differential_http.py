"""The paths of the HTTP servers, and the actions of the page, beside Supervisor's own.

Each request is made of both in turn, and what comes back is compared; where we mean to differ both
sides are written down here, and in docs/differences.md.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from tests.integration.harness import PEERS, Daemon, free_port, wait_until

PROGRAMS = """
[inet_http_server:page]
port=127.0.0.1:{port}
get_actions=true

[program:cat]
command=/bin/cat
startsecs=0
stdout_logfile=%(here)s/cat.out
stderr_logfile=NONE

[program:none]
command=/no/such/program
autostart=false

[program:plain]
command=/etc/passwd
autostart=false

[program:quick]
command=/bin/false
autostart=false
startretries=0

[program:silent]
command=/bin/cat
autostart=false
startsecs=0
stdout_logfile=NONE

[program:x]
command=/bin/cat
autostart=false
startsecs=0

[program:y]
command=/bin/cat
autostart=false
startsecs=0

[group:g]
programs=x,y
"""

CTIME = re.compile(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}")
PRE = re.compile(r"<pre[^>]*>(.*?)</pre>", re.DOTALL)


class Peer(NamedTuple):
    """A daemon under test, and the port that acts on links."""

    daemon: Daemon
    port: int

    def ask(self, method: str, target: str, body: str | None = None) -> tuple[int, str, str]:
        """Return status, address of a redirect, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, target, body)
            reply = connection.getresponse()
            endless = target.startswith("/mainlogtail") and reply.status == 200
            text = "" if endless else reply.read().decode(errors="replace")
            reply.close()
            return reply.status, reply.getheader("Location") or "", text


@pytest.fixture(scope="module")
def peers() -> Iterator[dict[str, Peer]]:
    with contextlib.ExitStack() as stack:
        started = {}
        for name in PEERS:
            port = free_port()
            daemon = stack.enter_context(Daemon(PROGRAMS.format(port=port), peer=name))
            daemon.wait_state("cat", "RUNNING")
            daemon.rpc.supervisor.sendProcessStdin("cat", "hello <there>\n")
            log = daemon.dir / "cat.out"
            wait_until(log.read_bytes, what="cat has answered")
            started[name] = Peer(daemon, port)
        yield started


PATHS: dict[tuple[str, str], tuple[int, int] | int] = {
    ("GET", "/"): 200,
    ("GET", "/index.html"): 200,
    ("GET", "//index.html"): 200,
    ("GET", "/%69ndex.html"): 200,
    ("GET", "/?message=hello"): 200,
    ("POST", "/"): 200,
    ("POST", "/index.html"): 200,
    ("GET", "/index.html/"): 404,
    ("GET", "/tail.html"): 200,
    ("POST", "/tail.html"): 200,
    ("HEAD", "/tail.html"): 200,
    ("GET", "/tail.html?processname=cat"): 200,
    ("GET", "/tail.html?processname=nope"): 200,
    ("GET", "/ok.html"): 200,
    ("POST", "/ok.html"): 200,
    ("HEAD", "/ok.html"): 404,
    ("GET", "/nope.html"): 404,
    ("HEAD", "/nope.html"): 404,
    ("POST", "/nope.html"): 400,
    ("PUT", "/"): 400,
    ("DELETE", "/index.html"): 400,
    ("OPTIONS", "/tail.html"): 400,
    ("GET", "/stylesheets/supervisor.css"): 200,
    ("HEAD", "/stylesheets/supervisor.css"): 200,
    ("POST", "/stylesheets/supervisor.css"): 400,
    ("GET", "/stylesheets/nope.css"): 404,
    ("GET", "/../../../../etc/passwd"): 404,
    ("GET", "/%2e%2e/%2e%2e/etc/passwd"): 404,
    ("GET", "/RPC2"): 400,
    ("PUT", "/RPC2"): 400,
    ("GET", "/mainlogtail"): 200,
    ("POST", "/mainlogtail"): 400,
    ("GET", "/logtail/nope"): 404,
    ("GET", "/logtail/g:*"): 404,
    ("GET", "/logtail/cat/stdin"): 404,
    ("GET", "/logtail/silent"): 404,
    ("POST", "/logtail/cat"): 400,
    ("PUT", "/logtail/cat"): 400,
    # Where we mean to differ: Supervisor's status, ours.
    ("HEAD", "/"): (404, 200),
    ("HEAD", "/index.html"): (404, 200),
    ("GET", "/logtail"): (500, 404),
    ("GET", "/images/icon.png"): (200, 404),
    ("GET", "/stylesheets"): (301, 404),
    ("GET", "/?action=explode"): (500, 400),
    ("GET", "/?action=start"): (500, 400),
    ("GET", "/?action=explode&processname=cat"): (500, 400),
    ("HEAD", "/events"): (404, 200),
}


@pytest.mark.parametrize(("method", "target"), PATHS)
def test_a_path_has_the_same_status(peers: dict[str, Peer], method: str, target: str) -> None:
    expected = PATHS[method, target]
    both = expected if isinstance(expected, tuple) else (expected, expected)
    # Supervisor waits for ever where the body is empty.
    body = "a=b" if method in {"POST", "PUT"} else None
    found = tuple(peers[name].ask(method, target, body)[0] for name in ("supervisor", "sdsuper"))
    assert found == both


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?processname=cat",
        "?processname=cat&limit=1",
        "?processname=cat&limit=x",
        "?processname=cat&processname=nope",
        "?processname=silent",
        "?processname=nope",
        "?processname=g:*",
        "?processname=g%3Anope",
    ],
)
def test_the_page_of_a_log_shows_the_same(peers: dict[str, Peer], query: str) -> None:
    shown = []
    for name in ("supervisor", "sdsuper"):
        status, _, body = peers[name].ask("GET", f"/tail.html{query}")
        found = PRE.search(body)
        assert (status, found is not None) == (200, True)
        assert found is not None
        shown.append(found[1].strip().replace("&gt;", ">"))
    assert shown[0] == shown[1]


class Step(NamedTuple):
    """One action, by a link or by a form; `ours` is what we say where we mean to differ."""

    action: str
    name: str = ""
    ours: str | None = None


STEPS = [
    Step("refresh"),
    Step("start", "cat"),
    Step("stop", "cat"),
    Step("stop", "cat"),
    Step("restart", "cat"),
    Step("restart", "cat"),
    Step("clearlog", "cat"),
    Step("clearlog", "silent"),
    Step("start", "none"),
    Step("start", "plain"),
    Step("start", "quick"),
    Step("restart", "quick", ours="ERROR: Process quick: spawn error"),
    Step("restart", "none", ours="ERROR: Process none: no such file"),
    Step("start", "nope"),
    Step("stop", "g:nope"),
    Step("restart", "nope:nope"),
    Step("start", "caf\u00e9 & <b>"),
    Step("start", "g:x"),
    Step("stop", "g:x"),
    Step("stop", "g:*", ours="Group g stopped"),
    Step("stopall"),
    Step("start", "cat"),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_actions_come_to_the_same(peers: dict[str, Peer], method: str) -> None:
    for step in STEPS:
        told = {name: _message(peers[name], method, step) for name in peers}
        differs = step.ours is not None
        assert told["sdsuper"] == (step.ours if differs else told["supervisor"]), step
        assert (told["sdsuper"] != told["supervisor"]) is differs, step
        # Supervisor's restart does not always wait for its end.
        wait_until(
            lambda: _states(peers["sdsuper"]) == _states(peers["supervisor"]), what=str(step)
        )


def _states(peer: Peer) -> dict[str, str]:
    infos = peer.daemon.rpc.supervisor.getAllProcessInfo()
    return {info["name"]: info["statename"] for info in infos}


def _message(peer: Peer, method: str, step: Step) -> str:
    """Do it, and return what became of it, without the time of day."""
    fields = {"action": step.action, **({"processname": step.name} if step.name else {})}
    if method == "GET":
        status, location, _ = peer.ask("GET", "/index.html?" + urlencode(fields, quote_via=quote))
    else:
        status, location, _ = peer.ask("POST", "/index.html", urlencode(fields))
    assert status == (303 if peer.daemon.peer == "sdsuper" else 301)
    message = parse_qs(urlsplit(location).query)["message"][0]
    return CTIME.sub("TIME", message)


def test_restart_of_all(peers: dict[str, Peer]) -> None:
    # It starts what cannot be started, too: Supervisor does not say so.
    told = {name: _message(peers[name], "GET", Step("restartall")) for name in peers}
    assert told["supervisor"] == "All restarted at TIME"
    assert told["sdsuper"].startswith("ERROR: 3 of 7 failed: ")
    assert "none: no such file" in told["sdsuper"]


SLOW_TO_END = """
[program:deaf]
command=sh -c "trap '' TERM; echo ready; while :; do sleep 0.1; done"
startsecs=0
stdout_logfile=%(here)s/deaf.log
stopwaitsecs=3
stopasgroup=true
killasgroup=true
"""


def test_while_the_daemon_stops() -> None:
    found = {}
    for name in PEERS:
        with Daemon(SLOW_TO_END, peer=name, inet=True) as daemon:
            log = daemon.dir / "deaf.log"
            wait_until(lambda log=log: log.exists() and log.read_text(), what="it is deaf")  # type: ignore[misc]
            daemon.signal(signal.SIGTERM)
            daemon.wait_log("waiting for deaf to die")
            assert daemon.port is not None
            peer = Peer(daemon, daemon.port)
            found[name] = [
                peer.ask("GET", "/")[0],
                peer.ask("GET", "/tail.html?processname=deaf")[0],
                "SHUTDOWN_STATE" in peer.ask("GET", "/tail.html?processname=deaf")[2],
            ]
    assert found == {"supervisor": [500, 200, True], "sdsuper": [200, 200, True]}
