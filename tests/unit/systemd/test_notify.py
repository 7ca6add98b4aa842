"""What the daemon tells systemd: the texts, and the sender against a real datagram socket."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.core.states import ProcessState
from sdsuper.systemd import notify
from sdsuper.values import Namespec


def named(name: str, state: ProcessState) -> tuple[Namespec, ProcessState]:
    return Namespec(name, name), state


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ([], "0 running"),
        ([named("a", ProcessState.RUNNING)], "1 running"),
        (
            [
                named("a", ProcessState.RUNNING),
                named("kubelet", ProcessState.STARTING),
                named("proxy", ProcessState.FATAL),
            ],
            "1 running, 1 starting: kubelet, 1 FATAL: proxy",
        ),
        (
            [named(name, ProcessState.BACKOFF) for name in "abcde"],
            "0 running, 5 in back-off: a, b, c, ...",
        ),
        (
            [named("a", ProcessState.STOPPED), named("b", ProcessState.EXITED)],
            "0 running, 1 stopped, 1 exited",
        ),
    ],
)
def test_summary(states: list[tuple[Namespec, ProcessState]], line: str) -> None:
    assert notify.summary(states) == line


def test_a_reload_carries_the_monotonic_clock_in_microseconds() -> None:
    assert notify.reloading(12.5) == "RELOADING=1\nMONOTONIC_USEC=12500000"


@pytest.mark.parametrize(
    ("environ", "period"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_watchdog_period(environ: dict[str, str], period: float | None) -> None:
    assert notify.watchdog_period(environ, pid=7) == period


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder:
        path = str(Path(folder, "n"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(path)
            server.settimeout(10)
            monkeypatch.setenv("NOTIFY_SOCKET", path)
            yield server


def test_messages_arrive_in_one_datagram_as_utf8(systemd: socket.socket) -> None:
    notifier = notify.Notifier(os.environ)
    notifier.send(notify.READY, notify.status("1 FATAL: größe-日本"))
    notifier.close()
    assert systemd.recv(4096).decode() == "READY=1\nSTATUS=1 FATAL: größe-日本"


def test_a_full_queue_does_not_block(systemd: socket.socket) -> None:
    notifier = notify.Notifier(os.environ)
    for _ in range(2000):  # far more than any queue of datagrams holds
        notifier.send(notify.WATCHDOG)
    notifier.close()
    assert systemd.recv(64) == b"WATCHDOG=1"


def test_without_a_socket_nothing_is_sent() -> None:
    notifier = notify.Notifier({})
    assert not notifier.enabled
    notifier.send(notify.READY)
