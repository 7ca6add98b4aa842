"""The web page of a real daemon: actions, tokens, live events, logs, credentials, the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, UnixConnection, wait_until

PROGRAMS = """
[program:cat]
command=cat
startsecs=0
stdout_logfile=%(here)s/cat.out
stderr_logfile=NONE

[program:later]
command=sleep 1000
startsecs=0
autostart=false

[program:crowd]
command=sleep 1000
startsecs=0
numprocs=2
process_name=%(program_name)s_%(process_num)d
"""


class Answer(NamedTuple):
    """A reply, read to its end."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def token(self) -> str:
        """What forms of the page must carry."""
        found = re.search(r'name="token" value="(\w+)"', self.body)
        assert found is not None
        return found[1]

    @property
    def message(self) -> str:
        """What became of an action, as the redirect tells."""
        assert self.status == 303
        return parse_qs(urlsplit(self.headers["location"]).query)["message"][0]


def connections(daemon: Daemon) -> list[http.client.HTTPConnection]:
    """Return a connection to each server of a daemon."""
    assert daemon.port is not None
    return [
        UnixConnection(daemon.socket),
        http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60),
    ]


def ask(
    connection: http.client.HTTPConnection,
    target: str = "/",
    method: str = "GET",
    fields: dict[str, str] | None = None,
    **headers: str,
) -> Answer:
    """Ask, and close the connection."""
    body = None if fields is None else urlencode(fields)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, target, body, named)
        reply = connection.getresponse()
        text = reply.read().decode()
        found = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, found, text)
    finally:
        connection.close()


def act(daemon: Daemon, **fields: str) -> Answer:
    """Send a form with the token of a fresh page."""
    token = ask(UnixConnection(daemon.socket)).token
    return ask(UnixConnection(daemon.socket), "/", "POST", {"token": token, **fields})


def rows(answer: Answer) -> dict[str, str]:
    """Return the states of the processes that a page shows."""
    return dict(re.findall(r'data-name="([^"]+)" data-state="(\w+)"', answer.body))


def test_a_page_on_every_server(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    everything = {"cat": "running", "later": "stopped"}
    everything |= {f"crowd:crowd_{number}": "running" for number in range(2)}
    for connection in connections(daemon):
        page = ask(connection)
        assert (page.status, rows(page)) == (200, everything)
        assert f"pid {daemon.pid_of('cat')}" in page.body
    for connection in connections(daemon):
        head = ask(connection, "/index.html", "HEAD")
        assert (head.status, head.body) == (200, "")
    for connection in connections(daemon):
        assert ask(connection, "/nope.html").status == 404


def test_actions_on_one_on_a_group_and_on_all(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS)

    def states() -> set[str]:
        return {info["statename"] for info in daemon.rpc.supervisor.getAllProcessInfo()}

    assert act(daemon, processname="cat", action="stop").message == "Process cat stopped"
    assert daemon.state("cat") == "STOPPED"
    assert act(daemon, processname="cat", action="start").message == "Process cat started"
    before = daemon.pid_of("cat")
    assert act(daemon, processname="cat", action="restart").message == "Process cat restarted"
    assert daemon.pid_of("cat") not in {0, before}
    assert act(daemon, processname="crowd:*", action="stop").message == "Group crowd stopped"
    assert daemon.state("crowd:crowd_1") == "STOPPED"
    assert act(daemon, do="restart crowd:*").message == "Group crowd restarted"
    assert daemon.state("crowd:crowd_1") == "RUNNING"
    assert act(daemon, action="stopall").message.startswith("All stopped at ")
    assert states() == {"STOPPED"}
    assert act(daemon, action="startall").message.startswith("All started at ")
    assert states() == {"RUNNING"}
    assert act(daemon, action="restartall").message.startswith("All restarted at ")
    assert states() == {"RUNNING"}
    daemon.rpc.supervisor.sendProcessStdin("cat", "one\n")
    log = daemon.dir / "cat.out"
    daemon.wait(lambda: log.read_text() == "one\n")
    assert act(daemon, processname="cat", action="clearlog").message == "Log for cat cleared"
    assert log.read_text() == ""


def test_what_is_not_meant_is_not_done(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    pid = daemon.pid_of("cat")
    fields = {"processname": "cat", "action": "stop"}
    target = "/index.html?" + urlencode(fields)
    for connection in connections(daemon):
        asked = ask(connection, target)
        assert asked.status == 200
        assert "Stop cat?" in asked.body
    for connection in connections(daemon):
        assert ask(connection, "/", "POST", fields).status == 403
    for connection in connections(daemon):
        token = ask(UnixConnection(daemon.socket)).token
        stolen = {**fields, "token": token}
        assert ask(connection, "/", "POST", stolen, Origin="http://evil.example").status == 403
    assert daemon.pid_of("cat") == pid
    # The same on our own behalf, as a browser sends it.
    host = f"127.0.0.1:{daemon.port}"
    own = ask(connections(daemon)[1], "/", "POST", {**fields, "token": asked.token},
              Origin=f"http://{host}", Sec_Fetch_Site="same-origin")  # fmt: skip
    assert own.message == "Process cat stopped"


def test_no_page_of_another_site_calls_the_rpc(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    call = "<methodCall><methodName>supervisor.stopAllProcesses</methodName></methodCall>"

    def send(**headers: str) -> int:
        connection = connections(daemon)[1]
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", "/RPC2", call, {"Content-Type": "text/plain", **named})
            return connection.getresponse().status

    assert send(Origin="http://evil.example") == 403
    assert send(Origin="null") == 403
    assert send(Sec_Fetch_Site="cross-site") == 403
    assert daemon.state("cat") == "RUNNING"
    assert send(Origin=f"http://127.0.0.1:{daemon.port}") == 200
    assert daemon.state("cat") == "STOPPED"


def test_links_act_where_the_section_says_so(start_daemon: StartDaemon) -> None:
    extra = "[unix_http_server:links]\nfile=%(here)s/links.sock\nget_actions=true\n"
    daemon = start_daemon(PROGRAMS + extra)
    links = daemon.dir / "links.sock"
    target = "/index.html?processname=cat&action=stop"
    asked = ask(UnixConnection(daemon.socket), target)
    assert asked.status == 200
    assert daemon.state("cat") == "RUNNING"
    assert ask(UnixConnection(links), target, Sec_Fetch_Site="cross-site").status == 200
    assert daemon.state("cat") == "RUNNING"
    assert ask(UnixConnection(links), target).message == "Process cat stopped"
    started = ask(UnixConnection(links), "/", "POST", {"processname": "cat", "action": "start"})
    assert started.message == "Process cat started"


def test_credentials_are_asked_for(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True, credentials=("u", "pw"))
    for target in ("/", "/index.html?action=stopall", "/tail.html", "/events", "/assets/page.js"):
        for connection in connections(daemon):
            refused = ask(connection, target)
            assert (refused.status, "token" in refused.body) == (401, False)
    for connection in connections(daemon):
        assert ask(connection, Authorization="Basic dTpwdw==").status == 200


class Watcher:
    """Somebody who reads the events of a daemon."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        connection.request("GET", "/events")
        self._reply = connection.getresponse()
        assert self._reply.status == 200
        assert self._reply.getheader("content-type") == "text/event-stream"

    def events(self) -> Iterator[tuple[str, Any]]:
        """Yield events with their data until the daemon ends the stream."""
        lines: dict[str, str] = {}
        for line in iter(self._reply.readline, b""):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                lines[name] = value
            elif lines:
                yield lines["event"], json.loads(lines["data"])
                lines = {}

    def until(self, kind: str, fits: Callable[[Any], object]) -> Any:
        """Return the data of the first event of a kind that fits."""
        return next(data for event, data in self.events() if event == kind and fits(data))

    def close(self) -> None:
        """Go away."""
        self._reply.close()
        self._connection.close()


def _is(name: str, state: str) -> Callable[[Any], bool]:
    return lambda data: data["rows"].get(name, {}).get("state") == state


def test_watchers_are_told_what_changes(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    watchers = [Watcher(connection) for connection in connections(daemon)]
    for watcher in watchers:
        found = watcher.until("rows", lambda data: "cat" in data["rows"])
        assert set(found["rows"]) == {"cat", "later", "crowd:crowd_0", "crowd:crowd_1"}
    assert daemon.rpc.supervisor.startProcess("later")
    for watcher in watchers:
        found = watcher.until("rows", _is("later", "running"))["rows"]["later"]
        assert found["pid"] == daemon.pid_of("later")
        measured = watcher.until("rows", lambda data: data["rows"].get("later", {}).get("cpu"))
        assert re.fullmatch(r"[\d.]+ %", measured["rows"]["later"]["cpu"])
        assert re.fullmatch(r"[\d.]+ [KM]iB", measured["rows"]["later"]["memory"])
    os.kill(daemon.pid_of("cat"), signal.SIGKILL)
    found = watchers[0].until("rows", lambda data: data["rows"].get("cat", {}).get("restarts"))
    assert found["rows"]["cat"]["restarts"] == 1
    assert "terminated by SIGKILL, not expected" in found["rows"]["cat"]["end"]
    assert "1</td>" in ask(UnixConnection(daemon.socket), "/?q=cat").body
    daemon.rpc.supervisor.stopProcess("later")
    assert daemon.rpc.supervisor.removeProcessGroup("later")
    for watcher in watchers:
        watcher.until("gone", lambda _: True)
    daemon.signal(signal.SIGTERM)
    for watcher in watchers:
        assert watcher.until("daemon", lambda data: data == "SHUTDOWN")
        assert list(watcher.events())[-1:] != [("daemon", "RUNNING")]  # and the stream has ended
        watcher.close()
    assert daemon.wait_end() == 0


def test_a_restart_makes_old_pages_and_their_tokens_worthless(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS)
    old = ask(UnixConnection(daemon.socket))
    watcher = Watcher(UnixConnection(daemon.socket))
    before = next(watcher.events())
    daemon.rpc.supervisor.restart()
    watcher.until("daemon", lambda data: data == "RESTARTING")
    assert list(watcher.events()) is not None
    watcher.close()
    daemon.rpc("close")()
    daemon.wait(daemon.socket.exists)
    daemon.wait(daemon._answers)
    again = Watcher(UnixConnection(daemon.socket))
    kind, generation = next(again.events())
    again.close()
    assert (kind, generation) == ("hello", generation)
    assert generation != before[1]
    fields = {"processname": "cat", "action": "stop", "token": old.token}
    assert ask(UnixConnection(daemon.socket), "/", "POST", fields).status == 403
    assert daemon.state("cat") == "RUNNING"


CHATTY = """
[program:p]
command=sleep 1000
startsecs=0
autostart=false
stdout_logfile=NONE
redirect_stderr=true
numprocs=60
process_name=%(program_name)s_{}_%(process_num)03d
"""


def test_a_watcher_that_does_not_read_is_dropped(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CHATTY.format("x" * 190))
    fds = Path(f"/proc/{daemon.pid}/fd")
    daemon.rpc.supervisor.getPID()
    before = len(os.listdir(fds))
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(daemon.socket))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        daemon.wait(lambda: len(os.listdir(fds)) > before)

        def dropped() -> bool:
            # Much to tell, as long as it is connected.
            daemon.rpc.supervisor.startAllProcesses()
            daemon.rpc.supervisor.stopAllProcesses()
            return len(os.listdir(fds)) <= before

        daemon.wait(dropped, 180, "the watcher is dropped")
        received = 0
        with contextlib.suppress(ConnectionError):
            while data := slow.recv(1 << 20):
                received += len(data)
        assert 0 < received < 2 * 1024 * 1024
    watcher = Watcher(UnixConnection(daemon.socket))
    assert len(watcher.until("rows", lambda _: True)["rows"]) == 60
    watcher.close()


def test_nothing_wakes_a_daemon_that_nobody_watches(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS)
    watcher = Watcher(UnixConnection(daemon.socket))
    watcher.until("rows", lambda data: "cat" in data["rows"])
    watcher.close()
    ask(UnixConnection(daemon.socket))

    def switches() -> int:
        status = Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)[0])

    # As many looks in a row as last three seconds: a page that is watched has two or more turns.
    looks: list[int] = []

    def is_calm() -> bool:
        looks.append(switches())
        return len(looks) > 300 and len(set(looks[-300:])) == 1

    wait_until(is_calm, 60, "the daemon rests")


def test_the_page_of_a_log(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS)
    daemon.rpc.supervisor.sendProcessStdin("cat", "one <b>\ntwo\n")
    log = daemon.dir / "cat.out"
    daemon.wait(lambda: log.read_text() == "one <b>\ntwo\n")
    page = ask(UnixConnection(daemon.socket), "/tail.html?processname=cat")
    assert "one &lt;b&gt;\ntwo\n</pre>" in page.body
    assert "<b>" not in page.body
    found = ask(UnixConnection(daemon.socket), "/tail.html?processname=cat&q=TWO")
    assert ">two\n</pre>" in found.body
    main = ask(UnixConnection(daemon.socket), "/tail.html?log=main")
    assert "supervisord started with pid" in main.body


@pytest.mark.parametrize("name", ["<script>alert(1)<", "a&b", "it's", "caf\u00e9\u20ac"])
def test_names_are_text(start_daemon: StartDaemon, name: str) -> None:
    daemon = start_daemon(f"[program:{name}]\ncommand=sleep 1000\nstartsecs=0\n")
    page = ask(UnixConnection(daemon.socket))
    assert "<script>alert" not in page.body
    assert act(daemon, do=f"stop {name}").message == f"Process {name} stopped"
    assert daemon.state(name) == "STOPPED"
