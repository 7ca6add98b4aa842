"""What a cgroup allows the process that lives in it: memory, processors, tasks, disks.

A controller of cgroups (cgroups(7)) is enabled where some program asks for it, and then acts on all
processes: those that ask for nothing get the kernel's own defaults, which are no limits. What
cannot be had is told when the configuration is loaded, once for each section, and stops nothing.

All values are written at each spawn, before the child is there: a cgroup outlives its process, and
may have had another configuration, or a daemon before us. For a process that lives already they are
written when its configuration changes, and, where another daemon started it, when its group becomes
active: controllers that were disabled meanwhile have forgotten them.

By default all that lives in the cgroup is killed when memory_max is reached (memory.oom.group). The
kernel would kill one process of them, and what is left of a program whose worker or helper is
gone mostly neither works nor ends; as a whole it ends, and autorestart says what comes next.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sdsuper.config.limits import INFINITY, Memory, OomPolicy
from sdsuper.config.model import GroupConfig, LimitsConfig, ProcessConfig
from sdsuper.config.option import option_named
from sdsuper.daemon.containment import Containment
from sdsuper.errors import SdsuperError
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.values import Level

Report = Callable[[Level, str], None]

MEMORY = "memory"

_NO_LIMIT = "max"
_CPU_PERIOD = 100_000  # microseconds, the kernel's default
_PERCENT = 100
_WEIGHT_DEFAULT = 100
_BFQ_MAX, _WEIGHT_MAX = 1000, 10_000


class ResourceError(SdsuperError):
    """A limit that the kernel refuses; the text names its option."""


class _File(NamedTuple):
    """One file of a cgroup, and the option that is written to it."""

    controller: str
    name: str
    option: str
    value: Callable[[LimitsConfig], str]


def _count(number: int | None) -> str:
    return _NO_LIMIT if number is None or number == INFINITY else str(number)


def _quota(percent: int | None) -> str:
    limited = percent is not None and percent != INFINITY
    quota = percent * _CPU_PERIOD // _PERCENT if limited and percent is not None else _NO_LIMIT
    return f"{quota} {_CPU_PERIOD}"


def _memory(limit: Memory | None) -> str:
    if limit is None:
        return _NO_LIMIT
    return (
        str(_machine_memory() * limit.amount // _PERCENT) if limit.percent else _count(limit.amount)
    )


def _machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def kills_all(limits: LimitsConfig) -> bool:
    """Whether all that lives in the cgroup is killed where the kernel kills one of it."""
    return limits.memory_max is not None and limits.oom_policy is OomPolicy.KILL


def _weight(limits: LimitsConfig) -> str:
    return f"default {limits.io_weight or _WEIGHT_DEFAULT}"


def _bfq_weight(limits: LimitsConfig) -> str:
    """Return the weight as BFQ has it: 1 to 1000, with the same default of 100."""
    weight = limits.io_weight or _WEIGHT_DEFAULT
    if weight > _WEIGHT_DEFAULT:
        above = (weight - _WEIGHT_DEFAULT) * (_BFQ_MAX - _WEIGHT_DEFAULT)
        weight = _WEIGHT_DEFAULT + above // (_WEIGHT_MAX - _WEIGHT_DEFAULT)
    return str(weight)


_FILES = (
    _File(MEMORY, "memory.high", "memory_high", lambda x: _memory(x.memory_high)),
    _File(MEMORY, "memory.max", "memory_max", lambda x: _memory(x.memory_max)),
    _File(MEMORY, "memory.oom.group", "oom_policy", lambda x: str(int(kills_all(x)))),
    _File("cpu", "cpu.max", "cpu_quota", lambda x: _quota(x.cpu_quota)),
    _File("cpu", "cpu.weight", "cpu_weight", lambda x: str(x.cpu_weight or _WEIGHT_DEFAULT)),
    _File("pids", "pids.max", "pids_max", lambda x: _count(x.pids_max)),
    # Two schedulers of disks, each with a file of its own; a kernel has either, both or none.
    _File("io", "io.weight", "io_weight", _weight),
    _File("io", "io.bfq.weight", "io_weight", _bfq_weight),
)

_CONTROLLERS = {each.option: each.controller for each in _FILES if each.option != "oom_policy"}
"""What each option needs; oom_policy alone asks for nothing."""


class Resources:
    """Writes the limits of processes to their cgroups.

    Args:
        cgroups: Those that are delegated to us, None where none are.
        report: Writes to the daemon's log.
    """

    def __init__(self, cgroups: Containment | None, report: Report) -> None:
        self._cgroups = cgroups
        self._report = report
        self._files: tuple[_File, ...] = ()

    @property
    def counts_memory(self) -> bool:
        """Whether the cgroups tell what became of the memory of processes."""
        return any(each.controller == MEMORY for each in self._files)

    def require(self, group: GroupConfig) -> None:
        """Enable what the processes of a group ask for; what cannot be had is told."""
        asked = {
            _written(process, option): option
            for process in group.processes
            for option in _CONTROLLERS
            if getattr(process.limits, option) is not None
        }
        if not asked:
            return
        missing = self._enable({_CONTROLLERS[option] for option in asked.values()})
        for written, option in asked.items():
            reason = missing.get(_CONTROLLERS[option]) or self._without_file(option)
            if reason:
                self._report(Level.WARN, f"{written} has no effect: {reason}")

    def _enable(self, controllers: Iterable[str]) -> dict[str, str]:
        """Return why controllers do not act, of those that do not."""
        if self._cgroups is None:
            return dict.fromkeys(controllers, "processes have no cgroups of their own")
        missing = self._cgroups.enable(controllers)
        above = self._cgroups.programs.path
        self._files = tuple(each for each in _FILES if os.path.exists(f"{above}/{each.name}"))
        return missing

    def _without_file(self, option: str) -> str:
        if any(each.option == option for each in self._files):
            return ""
        names = [each.name for each in _FILES if each.option == option]
        return f"this kernel has no {' or '.join(names)}"

    def apply(self, cgroup: Cgroup, limits: LimitsConfig) -> None:
        """Write all limits to the cgroup of a process.

        Raises:
            ResourceError: The kernel refuses one.
        """
        for each in self._files:
            value = each.value(limits)
            try:
                cgroup.write(each.name, value)
            except OSError as error:
                text = f"cannot set {each.option} ({each.name}={value}): {error.strerror}"
                raise ResourceError(text) from None


def _written(process: ProcessConfig, option: str) -> str:
    """Return where an option is written and what it says."""
    declared = option_named(LimitsConfig, option)
    text = declared.kind.format(declared.value_in(process.limits))
    place = process.location
    return f"{place.file}:{place.line}: [{process.kind}:{process.program}] {option}={text}"
