from __future__ import annotations

import pytest

from sdsuper.config.model import ListenerPoolConfig
from sdsuper.core.events import (
    Event,
    ProcessLogStdout,
    ProcessRunning,
    RemoteCommunication,
    SupervisorRunning,
    Tick5,
    Tick60,
)
from sdsuper.core.states import ProcessState
from sdsuper.listeners.pool import Pool, Waiting, envelope
from sdsuper.listeners.ticks import WAIT_MAX_S, Ticker, wait
from sdsuper.values import Namespec

WEB = Namespec("web", "web")


def pool(*events: str, size: int = 3, payload_length: str = "characters") -> Pool:
    config = ListenerPoolConfig(
        events=events or ("EVENT",),
        buffer_size=size,
        payload_length=payload_length,
        result_handler="",
    )
    return Pool("mail", config)


@pytest.mark.parametrize(
    ("subscribed", "kind", "wanted"),
    [
        ("EVENT", Tick5, True),
        ("TICK", Tick60, True),
        ("TICK_5", Tick60, False),
        ("PROCESS_STATE", ProcessRunning, True),
        ("PROCESS_STATE_EXITED", ProcessRunning, False),
        ("PROCESS_LOG", ProcessLogStdout, True),
        ("PROCESS_LOG_STDERR", ProcessLogStdout, False),
    ],
)
def test_a_type_brings_those_below_it(subscribed: str, kind: type[Event], wanted: bool) -> None:
    assert pool(subscribed).wants(kind) is wanted


def test_first_come_first_served() -> None:
    waiting = pool()
    for serial in (7, 9):
        assert waiting.add(SupervisorRunning(), serial) is None
    assert [waiting.take(), waiting.take(), waiting.take()] == [
        Waiting(SupervisorRunning(), 7, 0),
        Waiting(SupervisorRunning(), 9, 1),
        None,
    ]


def test_the_oldest_makes_room_and_is_counted() -> None:
    waiting = pool(size=2)
    forgotten = [waiting.add(SupervisorRunning(), serial) for serial in range(4)]
    assert [each and each.serial for each in forgotten] == [None, None, 0, 1]
    assert (waiting.waiting, waiting.dropped) == (2, 2)


def test_what_was_refused_is_the_next() -> None:
    waiting = pool(size=2)
    waiting.add(SupervisorRunning(), 0)
    waiting.add(SupervisorRunning(), 1)
    refused = waiting.take()
    assert refused is not None
    waiting.add(SupervisorRunning(), 2)
    forgotten = waiting.put_back(refused)
    assert forgotten is not None
    assert forgotten.serial == 1  # the oldest that waited
    assert waiting.take() == refused


@pytest.mark.parametrize(
    ("event", "eventname", "payload"),
    [
        (
            ProcessRunning(WEB, ProcessState.STARTING, 42),
            "PROCESS_STATE_RUNNING",
            "processname:web groupname:web from_state:STARTING pid:42",
        ),
        (SupervisorRunning(), "SUPERVISOR_STATE_CHANGE_RUNNING", ""),
        (RemoteCommunication("a", "b\nc"), "REMOTE_COMMUNICATION", "type:a\nb\nc"),
    ],
)
def test_the_envelope(event: Event, eventname: str, payload: str) -> None:
    header = (
        f"ver:3.0 server:supervisor serial:21 pool:mail poolserial:3 "
        f"eventname:{eventname} len:{len(payload)}\n"
    )
    assert envelope(Waiting(event, 21, 3), pool(), "supervisor") == (header + payload).encode()


@pytest.mark.parametrize(("unit", "length"), [("characters", 12), ("bytes", 14)])
def test_the_length_counts_what_was_asked_for(unit: str, length: int) -> None:
    event = RemoteCommunication("ä", "\N{GREEK SMALL LETTER OMEGA}oink")
    sent = envelope(Waiting(event, 0, 0), pool(payload_length=unit), "s")
    assert f" len:{length}\n".encode() in sent


def test_each_slice_ticks_once() -> None:
    ticker = Ticker(1003.0)
    assert ticker.due(1004.9) == []
    assert ticker.due(1005.0) == [Tick5(1005)]
    assert ticker.due(1009.0) == []
    assert ticker.due(1021.0) == [Tick5(1020), Tick60(1020)]


def test_skipped_slices_are_not_made_up_and_a_step_back_ticks_too() -> None:
    ticker = Ticker(7200.0)
    assert [event.when for event in ticker.due(11000.0)] == [11000, 10980, 10800]
    assert [event.when for event in ticker.due(7200.0)] == [7200, 7200, 7200]


@pytest.mark.parametrize(
    ("kinds", "wall", "seconds"),
    [
        ((Tick5,), 1003.0, 2.0),
        ((Tick5, Tick60), 1019.5, 0.5),
        ((Tick60,), 1003.0, 17.0),
        ((Tick60,), 1020.0, WAIT_MAX_S),
        ((), 1003.0, WAIT_MAX_S),
    ],
)
def test_when_to_look_again(kinds: tuple[type, ...], wall: float, seconds: float) -> None:
    assert wait(kinds, wall) == pytest.approx(seconds)
