"""What watchers are told, and that one who does not read costs little and not for long."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from sdsuper import eventloop
from sdsuper.core.facts import GroupRemoved, Notified, StartRequested
from sdsuper.core.notice import Notice
from sdsuper.server.page import live
from sdsuper.server.page.live import Board, Watcher
from sdsuper.values import Namespec
from tests.unit.server.calls import solo
from tests.unit.server.site import Client, Site, get, run


def board_of(site: Site) -> Board:
    return site.web.router._pages._board


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await eventloop.sleep(0)


class Events:
    """The events of one connection, one after the other."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._text = ""

    async def next(self) -> tuple[str, Any]:
        while "\n\n" not in self._text:
            self._text += (await self._client.chunk()).decode()
        event, _, self._text = self._text.partition("\n\n")
        lines = dict(line.split(": ", 1) for line in event.splitlines())
        return lines["event"], json.loads(lines["data"])

    async def of(self, kind: str, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the data of the next event of a kind that fits."""
        while True:
            event, data = await self.next()
            if event == kind and fits(data):
                return data


async def watch(site: Site) -> Events:
    client = await site.client()
    await client.say(get("/events"))
    head = await client.head()
    assert head.status == 200
    assert head.headers["content-type"] == "text/event-stream"
    assert head.headers["cache-control"] == "no-store"
    return Events(client)


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(live, "HASTE_SECONDS", 0.0)


def test_a_watcher_is_told_all_and_then_what_changes(haste: None) -> None:
    async def test() -> None:
        async with Site(solo("a"), solo("b", startsecs=0)) as site:
            events = await watch(site)
            assert await events.next() == ("hello", site.web.router._pages._guard.generation)
            assert await events.next() == ("daemon", "RUNNING")
            kind, data = await events.next()
            assert (kind, set(data["rows"])) == ("rows", {"a", "b"})
            assert data["rows"]["b"]["state"] == "stopped"
            site.fake.submit(StartRequested(Namespec("b", "b")))
            data = await events.of("rows")
            assert set(data["rows"]) == {"b"}
            assert data["rows"]["b"]["state"] == "running"
            assert data["rows"]["b"]["since"] == site.fake.mono
            # What a program says of itself is no event, and is told all the same.
            process = site.fake.process("b")
            notice = Notice(status="<12> jobs\n\u20ac")
            site.fake.submit(Notified(process.name, process.invocation, notice))
            data = await events.of("rows", lambda data: data["rows"]["b"]["note"])
            assert data["rows"]["b"]["note"] == "<12> jobs\n\u20ac"

    run(test())


def test_groups_that_go_and_a_daemon_that_stops_are_told(haste: None) -> None:
    async def test() -> None:
        async with Site(solo("a"), solo("b")) as site:
            events = await watch(site)
            await events.of("rows")
            site.fake.submit(GroupRemoved("a"))
            await events.of("gone")
            site.fake.add_group(solo("c"))
            await events.of("rows", lambda data: "c" in data["rows"])
            site.fake.request_shutdown()
            assert await events.of("daemon") == "SHUTDOWN"

    run(test())


def test_nothing_runs_while_nobody_watches(haste: None) -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            await site.ask(get("/"))
            board = board_of(site)
            assert board._timer is None
            client = await site.client()
            await client.say(get("/events"))
            await client.head()
            await client.chunk()
            assert board._timer is not None
            await client.close()
            await until(lambda: not board._watchers)
            assert board._timer is None
            assert board._shown == {}
            site.fake.submit(StartRequested(Namespec("a", "a")))
            assert board._timer is None

    run(test())


def test_what_is_told_to_all_is_written_once(haste: None, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = live.row_text

    def counted(row: Any) -> str:
        written.append(row.spec)
        return real(row)

    monkeypatch.setattr(live, "row_text", counted)

    async def test() -> None:
        async with Site(solo("a"), solo("b", startsecs=0)) as site:
            watchers = [await watch(site) for _ in range(5)]
            for events in watchers:
                await events.of("rows")
            assert sorted(written) == ["a", "b"]
            site.fake.submit(StartRequested(Namespec("b", "b")))
            for events in watchers:
                await events.of("rows", lambda data: data["rows"]["b"]["state"] == "running")
            assert written.count("a") == 1

    run(test())


def test_one_watcher_too_many_is_told_to_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WATCHERS_MAX", 2)

    async def test() -> None:
        async with Site(solo("a")) as site:
            for _ in range(2):
                await (await watch(site)).next()
            answer = await site.ask(get("/events"))
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0

    run(test())


def test_a_watcher_that_does_not_read_is_dropped_and_costs_a_bounded_amount(
    haste: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watcher, "patience", 0.2)

    async def test() -> None:
        async with Site(*(solo(f"program-{number}", startsecs=0) for number in range(50))) as site:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as slow:
                slow.setblocking(False)
                slow.connect(site.path)
                slow.sendall(get("/events"))
                board = board_of(site)
                await until(lambda: bool(board._watchers))
                (watcher,) = board._watchers
                transport = watcher._connection._transport
                most = 0
                number = 0
                while board._watchers:
                    for process in site.fake.manager.processes.values():
                        # Much to tell, again and again.
                        if process.pid == 0:
                            site.fake.submit(StartRequested(process.name))
                            continue
                        number += 1
                        notice = Notice(status=f"{number} {'x' * 500}")
                        site.fake.submit(Notified(process.name, process.invocation, notice))
                    await eventloop.sleep(0.001)
                    most = max(most, transport.waiting)
                assert 64 * 1024 < most < 256 * 1024
            # Others are served as before.
            assert len((await (await watch(site)).of("rows"))["rows"]) == 50

    run(test())


def test_a_watcher_that_was_slow_gets_the_latest(haste: None) -> None:
    async def test() -> None:
        async with Site(solo("a", startsecs=0)) as site:
            events = await watch(site)
            await events.of("rows")
            (watcher,) = board_of(site)._watchers
            watcher._connection.pause_writing()
            site.fake.submit(StartRequested(Namespec("a", "a")))
            process = site.fake.process("a")
            for number in range(100):
                notice = Notice(status=str(number))
                site.fake.submit(Notified(process.name, process.invocation, notice))
                await eventloop.sleep(0)
            watcher._connection.resume_writing()
            data = await events.of("rows")
            assert (data["rows"]["a"]["state"], data["rows"]["a"]["note"]) == ("running", "99")

    run(test())


def test_closing_does_not_wait_for_watchers() -> None:
    async def test() -> None:
        async with Site(solo("a")) as site:
            events = await watch(site)
            await events.of("rows")
            await site.web.close()
            assert not board_of(site)._watchers

    run(test())
