"""What the daemon tells systemd: the texts, and the sender against a real datagram socket."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdsuper.core.process import ExitRecord, Process
from sdsuper.core.states import ProcessState
from sdsuper.systemd import notify, watchdog
from sdsuper.systemd.notify import Shown
from sdsuper.values import ExitStatus, Namespec
from tests.unit.core.builders import at, process_config

S = ProcessState


def record(mono: float, invocation: int) -> ExitRecord:
    return ExitRecord(7, ExitStatus(1), at(mono), expected=False, invocation=invocation)


def shown(name: str, state: ProcessState, seconds: float | None = None) -> Shown:
    return Shown(Namespec(name, name), state, seconds)


@pytest.mark.parametrize(
    ("processes", "line"),
    [
        ([], "0 running"),
        ([shown("a", S.RUNNING)], "1 running"),
        (
            [shown("a", S.RUNNING), shown("kubelet", S.STARTING, 8.9), shown("proxy", S.FATAL)],
            "1 running, 1 starting: kubelet (8 s), 1 FATAL: proxy",
        ),
        ([shown("a", S.STARTING, 0.9)], "0 running, 1 starting: a"),
        (
            [shown(name, S.BACKOFF, 3) for name in "abcde"],
            "0 running, 5 in back-off: a (3 s), b (3 s), c (3 s), ...",
        ),
        (
            [shown("a", S.STOPPED), shown("b", S.EXITED)],
            "0 running, 1 stopped, 1 exited",
        ),
    ],
)
def test_summary(processes: list[Shown], line: str) -> None:
    assert notify.summary(processes) == line


@pytest.mark.parametrize(
    ("processes", "line"),
    [
        ([], "shutting down"),
        (
            [shown("web", S.STOPPING, 3.2), shown("db", S.RUNNING)],
            "shutting down, waiting for 2: web (3 s), db",
        ),
        (
            [shown(name, S.RUNNING) for name in "abcde"],
            "shutting down, waiting for 5: a, b, c, ...",
        ),
    ],
)
def test_waiting(processes: list[Shown], line: str) -> None:
    assert notify.waiting("shutting down", processes) == line


@pytest.mark.parametrize(
    ("processes", "seconds"),
    [
        ([], None),
        ([shown("a", S.RUNNING), shown("b", S.FATAL)], None),
        ([shown("a", S.STARTING, 5)], 1),
        ([shown("a", S.STARTING, 60)], 10),
        ([shown("a", S.STARTING, 3600), shown("b", S.STOPPING, 2)], 1),
    ],
)
def test_the_line_is_told_again_only_while_it_shows_seconds(
    processes: list[Shown], seconds: float | None
) -> None:
    assert notify.refresh_after(processes) == seconds


@pytest.mark.parametrize(
    ("state", "values", "seconds"),
    [
        (S.RUNNING, {"started": at(1), "spawned": at(1)}, None),
        (S.STARTING, {"started": at(1), "spawned": at(2)}, 9),
        (S.BACKOFF, {"started": at(1), "invocation": 3, "last_exit": record(4, 3)}, 6),
        # The latest attempt came to no child, so the latest exit is older.
        (S.BACKOFF, {"started": at(7), "invocation": 4, "last_exit": record(4, 3)}, 3),
        (S.BACKOFF, {"started": at(7), "invocation": 1}, 3),
        (S.STOPPING, {"started": at(1), "stop_sent": at(8)}, 2),
        (S.STOPPING, {"started": at(1)}, 9),
        (S.STOPPED, {"started": at(1)}, None),
        (S.FATAL, {"started": at(1)}, None),
    ],
)
def test_seconds_are_shown_for_what_should_pass(
    state: ProcessState, values: dict[str, Any], seconds: float | None
) -> None:
    name = Namespec("a", "a")
    process = Process(name=name, config=process_config("a"), state=state, **values)
    assert notify.shown(process, 10.0) == Shown(name, state, seconds)


def test_a_status_is_one_line_whatever_it_quotes() -> None:
    assert notify.status('found="a\nREADY=1"') == 'STATUS=found="a READY=1"'


def test_a_reload_carries_the_monotonic_clock_in_microseconds() -> None:
    assert notify.reloading(12.5) == "RELOADING=1\nMONOTONIC_USEC=12500000"


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
        notifier.send(watchdog.PING)
    notifier.close()
    assert systemd.recv(64) == b"WATCHDOG=1"


def test_without_a_socket_nothing_is_sent() -> None:
    notifier = notify.Notifier({})
    assert not notifier.enabled
    notifier.send(notify.READY)
