"""Pings for the watchdog, each earned by a look at the daemon's health."""

from __future__ import annotations

import time
from collections.abc import Callable

from sdsuper import eventloop
from sdsuper.systemd import watchdog
from sdsuper.systemd.notify import Notifier
from sdsuper.systemd.watchdog import Health
from sdsuper.values import Level


class Heartbeat:
    """Pings systemd's watchdog until it is closed, or until the daemon is broken.

    A ping is sent from a callback that came through the loop, after all that was due before it.

    Args:
        period: Seconds within which systemd wants a ping.
        notifier: The way to systemd.
        health: Looks at the daemon.
        report: Writes to the daemon's log.
    """

    def __init__(
        self,
        period: float,
        notifier: Notifier,
        health: Callable[[], Health],
        report: Callable[[Level, str], None],
    ) -> None:
        self._interval = period / watchdog.PINGS_PER_PERIOD
        self._notifier = notifier
        self._health = health
        self._report = report
        self._loop = eventloop.get_running_loop()
        self._planned = self._loop.time()
        self._cpu = time.process_time()
        self._next: eventloop.Handle = self._loop.call_soon(self._look)

    def close(self) -> None:
        """Ping no more."""
        self._next.cancel()

    def _due(self) -> None:
        cpu = time.process_time()
        told = watchdog.lag(self._planned, self._loop.time(), self._interval, cpu - self._cpu)
        self._cpu = cpu
        if told is not None:
            self._report(Level.WARN, told)
        # Whatever was due as well has run before the next turn of the loop.
        self._next = self._loop.call_soon(self._look)

    def _look(self) -> None:
        broken = watchdog.broken_invariants(self._health())
        if broken:
            self._look_again(broken, watchdog.TURNS)
        else:
            self._ping()

    def _look_again(self, broken: frozenset[str], turns: int) -> None:
        self._next = self._loop.call_soon(self._confirm, broken, turns)

    def _confirm(self, before: frozenset[str], turns: int) -> None:
        broken = before & watchdog.broken_invariants(self._health())
        if not broken:
            self._ping()
        elif turns > 1:
            self._look_again(broken, turns - 1)
        else:
            self._trigger(broken)

    def _ping(self) -> None:
        self._notifier.send(watchdog.PING)
        self._planned = self._loop.time() + self._interval
        self._next = self._loop.call_at(self._planned, self._due)

    def _trigger(self, broken: frozenset[str]) -> None:
        for each in sorted(broken):
            self._report(Level.CRITICAL, f"broken invariant: {each}")
        self._report(Level.CRITICAL, "asking systemd to end this daemon and to start another")
        self._notifier.send(watchdog.TRIGGER)
