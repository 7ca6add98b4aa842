"""What programs take, with all that descends from them.

A look is taken when somebody asks, and CPU is what was used since the look before. Where a process
has a cgroup the kernel has counted, also for children that are gone; what it does not count there,
because no controller is enabled, and what has no cgroup is summed up from /proc. That is read
directly: to walk the children of 500 programs takes psutil seconds.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from sdsuper.daemon import proctable
from sdsuper.dataclass import dataclass
from sdsuper.systemd.cgroup import Cgroup, keyed, pressure
from sdsuper.values import Namespec

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MICROSECONDS = 1_000_000

_LOOK_SECONDS_MIN = 0.5
"""With less between two looks the ticks of the clock would tell nothing."""

WAITED_FOR = ("cpu", "memory", "io")
"""What the kernel tells the pressure of (PSI)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program takes.

    Attributes:
        memory: In bytes. Of a cgroup what the kernel charges to it, page cache included, where the
            memory controller is enabled; else resident bytes, what its processes share is
            counted for each.
        cpu: Percent of one CPU since the look before, None at the first one.
    """

    memory: int
    cpu: float | None


@dataclass(frozen=True, slots=True)
class Resources:
    """What a program takes at one moment, in full.

    Attributes:
        processes: How many there are.
        memory: As in `Usage`.
        cpu: CPU seconds: of a cgroup since it was made, which is when the process was first
            started; else of the processes that live.
        tasks: Threads of all processes, None where the pids controller is not enabled.
        pressure: By what was waited for (cpu, memory, io): percent of the last 10 seconds in which
            "some" of the processes, or all ("full"), had to wait. Empty without a cgroup.
    """

    processes: int
    memory: int
    cpu: float
    tasks: int | None
    pressure: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Sum:
    """CPU ticks by pid and start time, and memory in bytes, of some processes."""

    ticks: dict[tuple[int, int], int]
    memory: int


_ALL = (0, 0)
"""Stands for all processes of a cgroup, in whose sum the kernel counts those that are gone too."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen at one moment.

    Attributes:
        ticks: CPU ticks by pid and start time; of a cgroup one sum for all.
    """

    at: float
    ticks: dict[tuple[int, int], int]
    usage: Usage


def resources(pid: int, cgroup: Cgroup | None) -> Resources | None:
    """Return what a program takes, None when its process is gone.

    Args:
        pid: Its child.
        cgroup: Where it and all that descends from it lives, None where it has none.
    """
    if cgroup is None:
        found = _sum(proctable.tree((pid,)))
        return _resources(found) if found.ticks else None
    found = _sum(cgroup.all_pids())
    if not found.ticks:
        return None
    waits = {each: pressure(cgroup.look(f"{each}.pressure") or "") for each in WAITED_FOR}
    return _resources(
        found,
        memory=_number(cgroup, "memory.current"),
        cpu=_cpu_seconds(cgroup),
        tasks=_number(cgroup, "pids.current"),
        pressure={each: told for each, told in waits.items() if told},
    )


def _resources(
    found: _Sum,
    memory: int | None = None,
    cpu: float | None = None,
    tasks: int | None = None,
    pressure: Mapping[str, Mapping[str, float]] | None = None,
) -> Resources:
    return Resources(
        processes=len(found.ticks),
        memory=found.memory if memory is None else memory,
        cpu=sum(found.ticks.values()) / _TICKS if cpu is None else cpu,
        tasks=tasks,
        pressure=pressure or {},
    )


def _number(cgroup: Cgroup, name: str) -> int | None:
    text = (cgroup.look(name) or "").strip()
    return int(text) if text.isdigit() else None


def _cpu_seconds(cgroup: Cgroup) -> float | None:
    text = keyed(cgroup.look("cpu.stat") or "").get("usage_usec")
    return None if text is None else int(text) / _MICROSECONDS


def _sum(pids: Iterable[int]) -> _Sum:
    ticks: dict[tuple[int, int], int] = {}
    memory = 0
    for each in pids:
        found = proctable.consumption(each)
        if found is not None:
            ticks[each, found.started] = found.ticks
            memory += found.resident * _PAGE
    return _Sum(ticks, memory)


class Meter:
    """Takes looks at programs."""

    def __init__(self) -> None:
        self._looks: dict[Namespec, _Look] = {}

    def look(
        self, name: Namespec, pid: int, now: float, cgroup: Cgroup | None = None
    ) -> Usage | None:
        """Return what a program takes, None when its process is gone.

        Args:
            name: The program's process.
            pid: Its child.
            now: Monotonic seconds.
            cgroup: Where it and all that descends from it lives, None where it has none.
        """
        before = self._looks.get(name)
        if before is not None and now - before.at < _LOOK_SECONDS_MIN:
            return before.usage
        found = _sum(proctable.tree((pid,)) if cgroup is None else cgroup.all_pids())
        if not found.ticks:
            self._looks.pop(name, None)
            return None
        ticks, memory = found.ticks, found.memory
        if cgroup is not None:
            seconds, charged = _cpu_seconds(cgroup), _number(cgroup, "memory.current")
            memory = memory if charged is None else charged
            if seconds is not None:
                ticks = {_ALL: round(seconds * _TICKS)}
                if before is not None and _ALL not in before.ticks:
                    before = None
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
