"""Whether anything moves, and how much time it may take."""

from __future__ import annotations

from typing import Any

import pytest

from sdsuper.config.model import Containment
from sdsuper.core.facts import (
    Cleared,
    DeadlinePassed,
    Exited,
    Fact,
    GroupAdded,
    Notified,
    ShutdownRequested,
    SignalFailed,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from sdsuper.core.manager import Manager
from sdsuper.core.notice import Notice
from sdsuper.core.process import Process
from sdsuper.core.progress import MARGIN, SLICE_MAX, more_time, moves_by
from sdsuper.values import ExitStatus, Namespec
from tests.unit.core.builders import at, solo

WEB = Namespec("web", "web")
START = StartRequested(WEB)
SPAWNED = Spawned(WEB, 1, 7)
STOP = StopRequested(WEB)
GONE = Exited(WEB, 1, ExitStatus(0))


def says(**words: Any) -> Notified:
    return Notified(WEB, 1, Notice(**words))


def after(*facts: tuple[float, Fact], **options: Any) -> tuple[Process, float]:
    """Return the process after some facts, and the moment of the last."""
    manager = Manager()
    manager.handle(GroupAdded(solo("web", **options)), at(0))
    now = 0.0
    for now, fact in facts:
        manager.handle(fact, at(now))
    return manager.processes[WEB], now


def fact_id(value: object) -> str | None:
    return type(value).__name__ if not isinstance(value, (tuple, dict)) else None


@pytest.mark.parametrize(
    ("options", "facts", "moment"),
    [
        ({}, [], None),
        ({}, [(1, START)], 1),  # a child is about to be there
        ({"startsecs": 9}, [(1, START), (2, SPAWNED)], 11),
        ({"startsecs": 0}, [(1, START), (2, SPAWNED)], None),  # RUNNING
        ({}, [(1, START), (2, SpawnFailed(WEB, 1, "why"))], 3),  # the first retry
        ({"startretries": 0}, [(1, START), (2, SpawnFailed(WEB, 1, "why"))], None),  # FATAL
        ({"stopwaitsecs": 30}, [(1, START), (2, SPAWNED), (3, STOP)], 63),
        ({"stopwaitsecs": 1}, [(1, START), (2, SPAWNED), (3, STOP)], 6),
        # Killed, and killed again: it cannot be ended.
        (
            {"stopwaitsecs": 1},
            [(1, START), (2, SPAWNED), (3, STOP), (4, DeadlinePassed()), (5, DeadlinePassed()),
             (6, DeadlinePassed())],
            None,
        ),
        # Programs that speak for themselves: when they are ready, when they may have ended.
        ({"notify": True}, [(1, START), (2, SPAWNED)], 92),
        ({"notify": True, "start_timeout": 0}, [(1, START), (2, SPAWNED)], None),
        ({"notify": True}, [(1, START), (2, SPAWNED), (3, says(ready=True))], None),
        ({"watchdog": 5, "startsecs": 0}, [(1, START), (2, SPAWNED)], None),
        ({"notify": True, "start_timeout": 5, "stopwaitsecs": 1},
         [(1, START), (2, SPAWNED), (7, DeadlinePassed())], 10),
        ({"notify": True}, [(1, START), (2, SPAWNED), (3, STOP), (4, says(extend=300))], 304),
        # It outlives SIGKILL, and may ask for as much time as it likes.
        ({"notify": True, "stopwaitsecs": 1},
         [(1, START), (2, SPAWNED), (3, STOP), (4, DeadlinePassed()), (5, DeadlinePassed()),
          (6, DeadlinePassed()), (6.5, says(extend=300))], None),
        # Its strays are being ended: 2 s for them, 5 s after SIGKILL.
        ({"stopwaitsecs": 1}, [(1, START), (2, SPAWNED), (3, STOP), (4, GONE)], 11),
        ({"stopwaitsecs": 1, "containment": Containment.NONE},
         [(1, START), (2, SPAWNED), (3, STOP), (4, GONE)], None),
        ({"stopwaitsecs": 1},
         [(1, START), (2, SPAWNED), (3, STOP), (4, GONE), (5, Cleared(WEB, 1))], None),
        # A start that is held by strays that nothing can end.
        ({"startsecs": 0, "stopwaitsecs": 1},
         [(1, START), (2, SPAWNED), (3, GONE), (4, START)], 11),
        ({"startsecs": 0, "stopwaitsecs": 1},
         [(1, START), (2, SPAWNED), (3, GONE), (4, START), (11, DeadlinePassed())], None),
        # It could not be signalled: nothing is to be done, but by a shutdown, once.
        ({}, [(1, START), (2, SPAWNED), (3, STOP), (4, SignalFailed(WEB, 1, "EPERM"))], None),
        ({}, [(1, START), (2, SPAWNED), (3, STOP), (4, SignalFailed(WEB, 1, "EPERM")),
              (5, ShutdownRequested())], 15),
    ],
    ids=fact_id,
)  # fmt: skip
def test_when_a_process_comes_a_step_further(
    options: dict[str, Any], facts: list[tuple[float, Fact]], moment: float | None
) -> None:
    process, now = after(*facts, **options)
    assert moves_by(process, now) == moment


def starting(startsecs: int) -> Process:
    return after((0, START), (0, SPAWNED), startsecs=startsecs)[0]


@pytest.mark.parametrize(
    ("processes", "now", "seconds"),
    [
        ([], 0, None),
        ([starting(0)], 0, None),
        ([starting(8)], 0, 8 + MARGIN),
        ([starting(8), starting(3), starting(0)], 2, 6 + MARGIN),
        ([starting(8)], 9, MARGIN),  # its deadline is about to be noticed
        ([starting(3600)], 0, SLICE_MAX + MARGIN),
    ],
)
def test_how_much_time_is_asked_for(
    processes: list[Process], now: float, seconds: float | None
) -> None:
    assert more_time(processes, now) == seconds
