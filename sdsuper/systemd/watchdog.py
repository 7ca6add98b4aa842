"""The watchdog: when to ping, what a ping has to be earned by, and what is said of a late one.

A ping says more than that the loop turns: what it has to do was done, and it will notice what is
to come. Being late breaks no promise: a host without time to spare must not lose, on top of
that, all that runs on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from sdsuper.dataclass import dataclass

PING = "WATCHDOG=1"
TRIGGER = "WATCHDOG=trigger"

PINGS_PER_PERIOD = 3
"""A daemon that is held up is spared for two thirds of the period at least."""

LAG_TOLD = 1.0
"""Seconds by which a ping may be late without a word in the log."""

TURNS = 3
"""Turns of the loop that a broken invariant must outlive.

Whatever was due when it was seen first, timers and callbacks, has run by then, however long the
daemon was held up in between. So nothing is concluded from time."""


def period(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the seconds within which systemd wants a ping, None where it wants none.

    Source: sd_watchdog_enabled(3).
    """
    try:
        wanted = int(environ["WATCHDOG_USEC"])
        meant_for = int(environ.get("WATCHDOG_PID", pid))
    except (KeyError, ValueError):
        return None
    return wanted / 1_000_000 if wanted > 0 and meant_for == pid else None


@dataclass(frozen=True, slots=True)
class Health:
    """The daemon as it is between two callbacks of its loop.

    Attributes:
        now: Monotonic seconds.
        handling: Whether the handling of a fact seems to be under way.
        unhandled: Facts in the queue.
        deadline: When the core wants to look again, monotonic seconds; None for never.
        armed: The moment for which the loop's timer is set.
        unwatched: Children whose end nobody would notice, as `NAME (PID)`.
    """

    now: float
    handling: bool = False
    unhandled: int = 0
    deadline: float | None = None
    armed: float | None = None
    unwatched: tuple[str, ...] = ()


def broken_invariants(health: Health) -> frozenset[str]:
    """Return what is not as it must be between two callbacks, in words."""
    found = set()
    if health.handling:
        found.add("the handling of a fact never ended")
    if health.unhandled:
        found.add("facts are left in the queue")
    if health.armed != health.deadline:
        found.add(f"the next deadline is {health.deadline}, the timer is set for {health.armed}")
    elif health.deadline is not None and health.deadline < health.now:
        found.add(f"the deadline {health.deadline} is not acted upon")
    found.update(f"nobody would notice the end of {child}" for child in health.unwatched)
    return frozenset(found)


def lag(planned: float, now: float, interval: float, cpu: float) -> str | None:
    """Return what to say of a ping that came late, None where it is in time.

    Args:
        planned: The moment it was planned for, monotonic seconds.
        now: When it came.
        interval: Seconds between two pings.
        cpu: Seconds of CPU that the daemon had since the ping before.
    """
    late = now - planned
    if late < min(LAG_TOLD, interval):
        return None
    return (
        f"the loop came {late:.1f} s late: the daemon had {cpu:.1f} s of CPU in "
        f"{late + interval:.1f} s, {_cause(late, cpu)}"
    )


def _cause(late: float, cpu: float) -> str:
    if cpu > late / 2:
        return "it was busy"
    return "the host gave it no time, or it was stopped or waited for a disk"
