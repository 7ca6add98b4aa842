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
    if process.state is ProcessState.STOPPING and process.pid and process.stop_sent is not None:
        # SIGKILL follows SIGKILL for as long as it takes: the deadline alone tells nothing.
        patience = max(0, process.config.stopwaitsecs)
        end = process.stop_sent.mono + patience + max(STRAYS_GRACE_MIN, patience)
        return end if now < end else None
    return process.deadline


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
