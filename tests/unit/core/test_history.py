"""Who asked, in words; what made an invocation end; how much is remembered."""

from __future__ import annotations

import pytest

from sdsuper.core.facts import (
    Cleared,
    DaemonStarted,
    GroupAdded,
    GroupRemoved,
    SignalRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from sdsuper.core.history import (
    AUTOSTART,
    DAEMON,
    HISTORY_MAX,
    NO_ATTEMPT,
    SIGNALS_MAX,
    Attempt,
    Ending,
    Requester,
    Signalled,
    Via,
    ending_of,
)
from sdsuper.core.manager import FORGOTTEN_MAX, Manager
from sdsuper.values import ExitStatus, Namespec
from tests.unit.core.builders import at, namespec, solo

A = namespec("a")
OPERATOR = Requester(Via.RPC, "supervisor.stopProcess", pid=12, uid=0, command="sdsuperctl")


@pytest.mark.parametrize(
    ("requester", "words"),
    [
        (DAEMON, "the daemon itself"),
        (AUTOSTART, "the daemon itself (autostart)"),
        (Requester(Via.SIGNAL, "SIGTERM"), "SIGTERM to the daemon"),
        (OPERATOR, "sdsuperctl (pid 12, uid 0), supervisor.stopProcess"),
        (
            Requester(Via.RPC, "supervisor.shutdown", pid=9, uid=0, login_uid=1000),
            "a client (pid 9, uid 0, logged in as uid 1000), supervisor.shutdown",
        ),
        (
            Requester(Via.PAGE, "restart", address="127.0.0.1:4711", user="admin"),
            "127.0.0.1:4711 (user admin), restart on the web page",
        ),
        (Requester(Via.RPC, "supervisor.restart"), "a client, supervisor.restart"),
    ],
)
def test_who_asked_in_words(requester: Requester, words: str) -> None:
    assert requester.describe() == words


@pytest.mark.parametrize(
    ("attempt", "status", "oom", "ending"),
    [
        (NO_ATTEMPT, ExitStatus(1), False, Ending.BY_ITSELF),
        (NO_ATTEMPT, ExitStatus(None, 9), True, Ending.OOM),
        (Attempt(stopped_by=OPERATOR), ExitStatus(None, 9), True, Ending.STOPPED),
        (Attempt(failing=Ending.WATCHDOG), ExitStatus(None, 6), False, Ending.WATCHDOG),
        (
            Attempt(signals=(Signalled(15, at(1), OPERATOR),)),
            ExitStatus(None, 15),
            False,
            Ending.SIGNALLED,
        ),
        (
            Attempt(signals=(Signalled(10, at(1), OPERATOR),)),
            ExitStatus(None, 15),
            False,
            Ending.BY_ITSELF,
        ),
    ],
)
def test_what_made_it_end(attempt: Attempt, status: ExitStatus, oom: bool, ending: Ending) -> None:
    assert ending_of(attempt, status, oom=oom) is ending


def started(*names: str) -> Manager:
    manager = Manager()
    manager.handle(DaemonStarted(), at(0))
    for name in names:
        manager.handle(GroupAdded(solo(name)), at(0))
    return manager


def test_the_oldest_of_too_many_signals_are_forgotten() -> None:
    manager = started("a")
    manager.handle(Spawned(A, 1, 100), at(1))
    for number in range(1, SIGNALS_MAX + 3):
        manager.handle(SignalRequested(A, number), at(1 + number))
    sent = [each.signal for each in manager.processes[A].attempt.signals]
    assert sent == [3, 4, 5, 6, 7]


def test_the_histories_of_only_so_many_removed_processes_are_kept() -> None:
    names = [f"p{number:03}" for number in range(FORGOTTEN_MAX + 2)]
    manager = started(*names)
    for number, name in enumerate(names, 1):
        manager.handle(SpawnFailed(Namespec(name, name), number, "no"), at(1))
    # In BACKOFF: a removal is refused before they are down.
    for name in names:
        manager.handle(GroupRemoved(name), at(2))
    assert len(manager.histories) == len(names)
    for name in names:
        manager.handle(StopRequested(Namespec(name, name)), at(3))
        manager.handle(GroupRemoved(name), at(3))
    assert [name.group for name in manager.histories] == names[2:]
    again = Namespec(names[2], names[2])
    manager.handle(GroupAdded(solo(names[2])), at(4))
    assert len(manager.histories[again]) == 1


def test_what_is_remembered_is_bounded() -> None:
    manager = started("a")
    for number in range(1, HISTORY_MAX + 6):
        process = manager.processes[A]
        manager.handle(SpawnFailed(A, process.invocation, str(number)), at(number))
        manager.handle(StopRequested(A), at(number))
        manager.handle(StartRequested(A), at(number))
    errors = [int(past.error) for past in manager.histories[A]]
    assert errors == list(range(6, HISTORY_MAX + 6))


def test_strays_are_counted_where_their_invocation_is_remembered() -> None:
    manager = started("a")
    manager.handle(Cleared(A, 7, strays=2), at(1))
    assert manager.histories == {}
