"""The struct that status shows."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import pytest

from sdsuper.core.notice import Told
from sdsuper.core.process import ExitRecord, Process
from sdsuper.core.states import ProcessState
from sdsuper.rpc.codec import dumps_response, loads_response
from sdsuper.server.info import InfoCache, LogPaths, describe, process_info
from sdsuper.values import ExitStatus, Instant, Namespec
from tests.unit.server.calls import group, program, solo
from tests.unit.server.fakes import WALL, FakeDaemon, as_daemon

NOVEMBER = 1_795_407_300.0  # 2026-11-23 04:15:00 UTC


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def process(state: ProcessState = ProcessState.STOPPED, **values: object) -> Process:
    return Process(
        name=Namespec("g", "a"),
        config=program("a", "g"),
        state=state,
        **values,  # type: ignore[arg-type]
    )


def ended(wall: float) -> ExitRecord:
    return ExitRecord(pid=7, status=ExitStatus(0), at=Instant(50.0, wall), expected=True)


@pytest.mark.parametrize(
    ("seconds", "uptime"),
    [
        (0.0, "0:00:00"),
        (5.9, "0:00:05"),
        (48138.0, "13:22:18"),
        (86405.0, "1 day, 0:00:05"),
        (12 * 86400 + 11045.0, "12 days, 3:04:05"),
        (-100.0, "0:00:00"),
    ],
)
def test_uptime_is_on_the_clock_that_never_steps(seconds: float, uptime: str) -> None:
    up = process(ProcessState.RUNNING, pid=77, started=Instant(1000.0, WALL))
    assert describe(up, Instant(1000.0 + seconds, 5.0)) == f"pid 77, uptime {uptime}"


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (process(), "Not started"),
        (process(ProcessState.EXITED), "Not started"),
        (
            process(started=Instant(1.0, WALL), last_exit=ended(NOVEMBER)),
            "Nov 23 04:15 AM",
        ),
        (
            process(
                ProcessState.EXITED,
                started=Instant(1.0, WALL),
                last_exit=ended(NOVEMBER + 12 * 3600),
            ),
            "Nov 23 04:15 PM",
        ),
        (process(started=Instant(1.0, NOVEMBER)), "Nov 23 04:15 AM"),
        (process(ProcessState.FATAL, spawnerr="no room"), "no room"),
        (process(ProcessState.BACKOFF), 'unknown error (try "tail a")'),
        (process(ProcessState.STARTING, pid=5), ""),
        (process(ProcessState.STOPPING, pid=5), ""),
        (process(ProcessState.UNKNOWN), ""),
    ],
)
def test_description(shown: Process, text: str) -> None:
    assert describe(shown, Instant(100.0, WALL)) == text


def test_the_whole_struct() -> None:
    shown = process(
        ProcessState.EXITED,
        started=Instant(1.0, WALL + 0.9),
        last_exit=ended(NOVEMBER),
        exitstatus=-1,
        spawnerr="Bad exit code -1",
    )
    assert process_info(shown, LogPaths("/out", ""), Instant(2.0, NOVEMBER + 5.5)) == {
        "name": "a",
        "group": "g",
        "start": int(WALL),
        "stop": int(NOVEMBER),
        "now": int(NOVEMBER) + 5,
        "state": 100,
        "statename": "EXITED",
        "spawnerr": "Bad exit code -1",
        "exitstatus": -1,
        "logfile": "/out",
        "stdout_logfile": "/out",
        "stderr_logfile": "",
        "pid": 0,
        "description": "Nov 23 04:15 AM",
    }


def test_what_is_kept_never_differs_from_what_is() -> None:
    fake = FakeDaemon(solo("a", autostart=True), group("b", program("y", "b"), program("x", "b")))
    fake.logfiles["a", "stdout"] = "/log/a"
    cache = InfoCache(as_daemon(fake))

    def shown() -> object:
        return loads_response(dumps_response(cache.all()))

    def true() -> object:
        names = sorted(fake.manager.processes)
        return [
            process_info(
                fake.manager.processes[name],
                LogPaths(fake.log_path(name, "stdout") or "", ""),
                fake.now(),
            )
            for name in names
        ]

    def columns() -> object:
        told: Any = loads_response(dumps_response(cache.columns()))
        return [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)]

    def true_columns() -> object:
        keys = ("group", "name", "statename", "description")
        return [{key: item[key] for key in keys} for item in true()]  # type: ignore[attr-defined]

    assert [re.sub("^.*<name>", "", item["name"]) for item in true()] == ["a", "x", "y"]  # type: ignore[attr-defined]
    assert shown() == true()
    assert columns() == true_columns()
    for step in (
        lambda: fake.advance(0.2),
        lambda: fake.advance(1.0),
        lambda: fake.exit("a", 3),
        lambda: fake.advance(90_000.0),
        lambda: fake.exit("b:x", 0),
        lambda: fake.remove_group("b"),
        lambda: fake.add_group(group("b", program("z", "b"))),
    ):
        step()
        assert shown() == true()
        assert columns() == true_columns()


def test_times_after_2038_are_capped_on_the_wire() -> None:
    fake = FakeDaemon(solo("a"))
    fake.mono = 2.0**31
    (info,) = loads_response(dumps_response(InfoCache(as_daemon(fake)).all()))  # type: ignore[misc]
    assert info["now"] == 2**31 - 1  # type: ignore[index,call-overload]


def test_what_a_program_says_of_itself_is_shown() -> None:
    said = Told(status="{uptime} <b>")
    now = Instant(1005.0, WALL)
    up = process(ProcessState.RUNNING, pid=77, started=Instant(1000.0, WALL), told=said)
    assert describe(up, now) == "pid 77, uptime 0:00:05, {uptime} <b>"
    assert describe(process(ProcessState.STARTING, told=said), now) == "{uptime} <b>"
    assert describe(process(ProcessState.EXITED, told=said), now) == "Not started"


def test_the_cache_shows_it_too() -> None:
    fake = FakeDaemon(solo("a", autostart=True))
    (name,) = fake.manager.processes
    told = replace(
        fake.manager.processes[name],
        state=ProcessState.RUNNING,
        told=Told(status="{uptime} <b>"),
    )
    fake.manager.processes[name] = told
    (info,) = loads_response(dumps_response(InfoCache(as_daemon(fake)).all()))  # type: ignore[misc]
    assert info["description"] == describe(told, fake.now())  # type: ignore[index,call-overload]
    assert ", {uptime} <b>" in info["description"]  # type: ignore[index,call-overload,operator]


def test_what_a_pool_dropped_is_shown_behind_its_listeners() -> None:
    fake = FakeDaemon(
        solo("a", autostart=True, startsecs=0), solo("b", autostart=True, startsecs=0)
    )
    cache = InfoCache(as_daemon(fake))

    def shown() -> list[str]:
        infos = loads_response(dumps_response(cache.all()))
        return [info["description"].partition(", uptime 0:00:00")[2] for info in infos]  # type: ignore[union-attr,call-overload,index]

    assert shown() == ["", ""]
    fake.pools.losses = lambda: {"a": 3}
    assert shown() == [", 3 events dropped", ""]
    columns: Any = loads_response(dumps_response(cache.columns()))
    assert [text.partition(", uptime ")[2] for text in columns["description"]] == [
        "0:00:00, 3 events dropped",
        "0:00:00",
    ]
