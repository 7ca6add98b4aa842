"""How long the daemon may take for its next step, from what its processes wait for.

systemd ends a start or a stop that takes too long unless it is asked for more time. It is asked
only while something moves: a step is due at a known moment, by a deadline or by a child that is
about to be there. What waits for nothing but luck (an operator, a child that outlives SIGKILL,
strays that cannot be ended) does not move, and gets no more time.
"""

from __future__ import annotations

from collections.abc import Iterable

from sdsuper.core.process import STRAYS_GRACE_MIN, Process
from sdsuper.core.states import ProcessState
from sdsuper.values import Instant

SLICE_MAX = 60.0
"""Seconds asked for at once at most: a daemon that hangs meanwhile must not be waited for longer.

It is asked again while the wait lasts, see `notify.refresh_after`."""

MARGIN = 10.0
"""Seconds on top of each wait, for a host that is busy."""


def moves_by(process: Process, now: float) -> float | None:
    """Return the moment by which a process comes a step further, None where it does not.

    Args:
        process: As it is between two facts.
        now: Monotonic seconds.
    """
    if process.spawning:
        return now
    match process.state:
        case ProcessState.RUNNING:
            return None  # its deadline, if it has one, is about its health
        case ProcessState.STARTING | ProcessState.STOPPING if process.pid and process.stop_sent:
            end = _ended_by(process, process.stop_sent)
            return end if now < end else None
        case _:
            return process.deadline


def _ended_by(process: Process, asked: Instant) -> float:
    """Return until when to believe that a child ends, after it was asked to.

    SIGKILL follows SIGKILL for as long as it takes, so that the deadline by itself tells nothing,
    but for one that may say how long it needs.
    """
    patience = max(0, process.config.stopwaitsecs)
    end = asked.mono + patience + max(STRAYS_GRACE_MIN, patience)
    says = process.killed is None and (process.config.notify or process.config.watchdog)
    return max(end, process.deadline) if says and process.deadline is not None else end


def more_time(processes: Iterable[Process], now: float) -> float | None:
    """Return the seconds to ask for from now, None where nothing moves.

    Args:
        processes: Those that are waited for.
        now: Monotonic seconds.
    """
    moments = [moves_by(process, now) for process in processes]
    moving = [moment for moment in moments if moment is not None]
    if not moving:
        return None
    return min(max(0.0, max(moving) - now), SLICE_MAX) + MARGIN
