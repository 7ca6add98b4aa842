"""Who asked is known however it was asked, and getProcessHistory tells it."""

from __future__ import annotations

import os
import re
import socket
from base64 import b64encode
from pathlib import Path

import pytest

from sdsuper import eventloop
from sdsuper.core.facts import Exited
from sdsuper.core.history import DAEMON, Requester, Via
from sdsuper.core.states import ProcessState
from sdsuper.daemon.proctable import Entry
from sdsuper.rpc.codec import dumps_call
from sdsuper.server.caller import NOBODY, Caller, Peer, calling, requester
from sdsuper.values import ExitStatus, Namespec
from tests.unit.core.builders import solo
from tests.unit.server.site import Client, Site, call, post, run
from tests.unit.server.streams import connect

A = Namespec("a", "a")
ME = Path("/proc/self/comm").read_text().strip()


def asked(site: Site) -> Requester | None:
    return site.fake.manager.processes[A].attempt.stopped_by


def mine(what: str, via: Via = Via.RPC, user: str = "") -> Requester:
    """This very process, whatever login it is of."""
    found = Caller(via, what, Peer(pid=os.getpid(), uid=os.getuid()), user).requester()
    assert (found.pid, found.uid, found.command) == (os.getpid(), os.getuid(), ME)
    return found


def test_a_client_of_the_unix_socket_is_known_by_its_process() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            await site.ask(call("supervisor.stopProcess", "a", False))
            assert asked(site) == mine("supervisor.stopProcess")

    run(test())


def test_the_user_of_a_password_is_told() -> None:
    async def test() -> None:
        async with Site(solo("a"), credentials=("admin", "x")) as site:
            login = f"Authorization: Basic {b64encode(b'admin:x').decode()}"
            body = dumps_call("supervisor.stopProcess", ("a", False))
            await site.ask(post(body, login))
            assert asked(site) == mine("supervisor.stopProcess", user="admin")

    run(test())


def test_a_method_within_a_multicall_is_told_by_its_own_name() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            inner = {"methodName": "supervisor.stopProcess", "params": ["a", False]}
            await site.ask(call("system.multicall", [inner]))
            assert asked(site) == mine("supervisor.stopProcess")

    run(test())


def test_a_button_of_the_page_is_told_as_such() -> None:
    async def test() -> None:
        async with Site(solo("a", startsecs=0)) as site:
            client = await site.client()
            page = await client.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            found = re.search(rb'name="token" value="([^"]+)"', page.body)
            assert found is not None
            form = b"action=stop&processname=a&token=" + found[1]
            work = eventloop.Task(client.ask(post(form, target="/")))
            processes = site.fake.manager.processes
            await site.fake.until(lambda: processes[A].state is ProcessState.STOPPING, (A,))
            site.fake.exit("a")
            await work
            assert asked(site) == mine("stop", Via.PAGE)

    run(test())


@pytest.mark.parametrize(
    ("method", "what"), [("shutdown", "supervisor.shutdown"), ("restart", "supervisor.restart")]
)
def test_who_ended_the_daemon_is_told_of_each_process(method: str, what: str) -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            await site.ask(call(f"supervisor.{method}"))
            assert asked(site) == mine(what)

    run(test())


def test_signals_and_starts_are_told_too() -> None:
    async def test() -> None:
        async with Site(solo("a", startsecs=0)) as site:
            await site.ask(call("supervisor.signalProcess", "a", "HUP"))
            (sent,) = site.fake.process("a").attempt.signals
            assert (sent.signal, sent.by) == (1, mine("supervisor.signalProcess"))
            site.fake.exit("a")
            await site.ask(call("supervisor.startProcess", "a"))
            assert site.fake.process("a").attempt.by == mine("supervisor.startProcess")

    run(test())


def test_a_client_of_an_inet_socket_is_known_by_its_address() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            listening = socket.create_server(("127.0.0.1", 0))
            (server,) = site.web._servers
            accepting = eventloop.Acceptor(listening, server._connect, 1)
            client = Client(await connect(listening.getsockname()))
            await client.ask(call("supervisor.stopProcess", "a", False))
            host, port = client.stream.transport.socket.getsockname()
            await client.close()
            accepting.close()
            listening.close()
            told = asked(site)
            expected = Requester(Via.RPC, "supervisor.stopProcess", address=f"{host}:{port}")
            assert told == expected

    run(test())


def test_without_a_caller_it_is_the_daemon_itself() -> None:
    assert requester() is DAEMON
    with calling(Caller(Via.RPC, "x.y", NOBODY, "")):
        assert requester() == Requester(Via.RPC, "x.y")
        with calling(None):
            assert requester() is DAEMON
    assert requester() is DAEMON


def test_the_history_of_a_process() -> None:
    async def test() -> None:
        async with Site(solo("a", startsecs=0)) as site:
            fake = site.fake
            fake.outputs["a"] = {"stdout": b"last\x1b words\n"}
            fake.in_journal = {("a", "stdout"), ("a", "stderr")}
            fake.strays = [Entry(55, 1, 55, 1, zombie=False, exiting=False, comm="sleep")]
            fake.mono += 60
            fake.submit(Exited(A, 1, ExitStatus(None, 9), oom=True))
            fake.mono += 2
            told = (await site.ask(call("sdsuper.getProcessHistory", "a"))).value
            assert told["statename"] == "STARTING"
            assert (told["waits_for"], told["waits_seconds"]) == ("strays", 13.0)
            assert told["strays"] == [{"pid": 55, "command": "sleep"}]
            assert told["output"] == {
                "stdout": {"text": "last\ufffd words\n", "journal": False},
                "stderr": {"text": "", "journal": True},
            }
            assert told["started_by"]["what"] == "autorestart"
            assert told["stopped_by"] == {}
            assert told["restarts"] == 1
            (past,) = told["invocations"]
            assert past["number"] == 1
            assert (past["signal"], past["exitstatus"], past["oom"]) == ("SIGKILL", -1, True)
            assert (past["ending"], past["decision"]) == ("oom", "restart")
            assert past["uptime"] == 60.0
            reason = "terminated by SIGKILL, out of memory, not expected (autorestart=unexpected)"
            assert past["reason"] == reason
            # It is told while the daemon stops, too: that is when somebody asks.
            fake.request_shutdown()
            again = await site.ask(call("sdsuper.getProcessHistory", "a"))
            assert again.value["statename"] == "STOPPING"

    run(test())
