"""CPU and memory of programs, with all that descends from them.

A look is taken when somebody asks, and CPU is what was used since the look before. /proc is read
directly: to walk the children of 500 programs takes psutil seconds.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from sdsuper.daemon import proctable
from sdsuper.values import Namespec

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

_LOOK_SECONDS_MIN = 0.5
"""With less between two looks the ticks of the clock would tell nothing."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program takes.

    Attributes:
        memory: Resident bytes; what its processes share is counted for each.
        cpu: Percent of one CPU since the look before, None at the first one.
    """

    memory: int
    cpu: float | None


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen at one moment: CPU ticks by pid and start time."""

    at: float
    ticks: dict[tuple[int, int], int]
    usage: Usage


class Meter:
    """Takes looks at programs."""

    def __init__(self) -> None:
        self._looks: dict[Namespec, _Look] = {}

    def look(self, name: Namespec, pid: int, now: float) -> Usage | None:
        """Return what a program takes, None when its process is gone.

        Args:
            name: The program's process.
            pid: Its child.
            now: Monotonic seconds.
        """
        before = self._looks.get(name)
        if before is not None and now - before.at < _LOOK_SECONDS_MIN:
            return before.usage
        ticks: dict[tuple[int, int], int] = {}
        memory = 0
        for each in proctable.tree((pid,)):
            found = proctable.consumption(each)
            if found is not None:
                ticks[each, found.started] = found.ticks
                memory += found.resident * _PAGE
        if not ticks:
            self._looks.pop(name, None)
            return None
        usage = Usage(memory, cpu_percent(before.ticks, ticks, now - before.at) if before else None)
        self._looks[name] = _Look(now, ticks, usage)
        return usage

    def keep(self, names: Collection[Namespec]) -> None:
        """Forget all but these."""
        for name in self._looks.keys() - set(names):
            del self._looks[name]


def cpu_percent(
    before: dict[tuple[int, int], int], after: dict[tuple[int, int], int], seconds: float
) -> float:
    """Return the CPU used between two looks, in percent of one CPU.

    A process that was not there before has used all its ticks since; what one used that is gone
    by now is not known, and not counted.
    """
    used = sum(ticks - before.get(key, 0) for key, ticks in after.items())
    return max(0.0, 100.0 * used / _TICKS / seconds)
