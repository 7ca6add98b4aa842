"""TICK events: one for each slice of 5, 60 and 3600 seconds of the wall clock. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sdsuper.core.events import Tick, Tick5, Tick60, Tick3600

KINDS: tuple[type[Tick], ...] = (Tick5, Tick60, Tick3600)

WAIT_MAX_S = 60.0
"""Seconds between two looks at most: the clock may be set while we wait."""


class Ticker:
    """Knows which slices have been told.

    Args:
        wall: Unix time, seconds; the slices it lies in are not told.
    """

    def __init__(self, wall: float) -> None:
        self._slices = {kind: _slice(kind, wall) for kind in KINDS}

    def due(self, wall: float) -> list[Tick]:
        """Return the events of the slices that were entered, none for any that was skipped."""
        events: list[Tick] = []
        for kind in KINDS:
            entered = _slice(kind, wall)
            if entered != self._slices[kind]:
                self._slices[kind] = entered
                events.append(kind(entered))
        return events


def wait(kinds: Iterable[type[Tick]], wall: float) -> float:
    """Return the seconds until the next look, for whoever wants these types."""
    return min((_left(kind, wall) for kind in kinds), default=WAIT_MAX_S)


def _left(kind: type[Tick], wall: float) -> float:
    return min(WAIT_MAX_S, _slice(kind, wall) + kind.period - wall)


def _slice(kind: type[Tick], wall: float) -> int:
    return int(wall // kind.period) * kind.period
