"""Busy pipes in their turns, so that none of them keeps others, or the loop, from their work."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

from sdsuper import eventloop

_TURN_S = 0.001
"""Seconds after which whoever is still due has to wait for the loop's next turn."""

_SOON_S = 0.0005
"""What is due so soon is done with what is due now: one wake-up instead of two."""


class Pacer:
    """Calls what was put, each once, when its pause is over."""

    def __init__(self) -> None:
        self._due: deque[Callable[[], None]] = deque()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._handle: eventloop.Handle | None = None
        self._wakes_at: float | None = None
        self._turning = False

    def put(self, turn: Callable[[], None], pause: float) -> None:
        """Call something once, in a turn of the loop to come.

        Args:
            turn: What to call.
            pause: The seconds to wait at least; 0.0: in the next turn.
        """
        if pause:
            self._count += 1  # of two that are due at once, the one that was put first
            due = eventloop.get_running_loop().time() + pause
            heapq.heappush(self._later, (due, self._count, turn))
        else:
            self._due.append(turn)
        if not self._turning:
            self._arm()

    def _arm(self) -> None:
        wakes_at = 0.0 if self._due else self._later[0][0] if self._later else None
        if wakes_at == self._wakes_at:
            return
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._wakes_at = wakes_at
        loop = eventloop.get_running_loop()
        if self._due:
            self._handle = loop.call_soon(self._turn)
        elif wakes_at is not None:
            self._handle = loop.call_at(wakes_at, self._turn)

    def _turn(self) -> None:
        self._handle = self._wakes_at = None
        self._turning = True
        clock = eventloop.get_running_loop().time
        now = clock()
        end = now + _TURN_S
        while self._later and self._later[0][0] <= now + _SOON_S:
            self._due.append(heapq.heappop(self._later)[2])
        try:
            for _ in range(len(self._due)):
                self._due.popleft()()
                if clock() >= end:
                    break
        finally:
            self._turning = False
            self._arm()

    def close(self) -> None:
        """Call nothing any more."""
        self._due.clear()
        self._later.clear()
        self._arm()
