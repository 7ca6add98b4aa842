"""What a child lays on itself before it becomes its program: priority, limits, capabilities.

Only the child can do it exactly: set from outside, right after a spawn, they would come too late
for a program that reads its limits, or forks, at once; and laid on the daemon for the time of a
spawn some could not be undone (capabilities, hard limits), or would hit it (RLIMIT_CPU).

What needs root comes before `user=` is taken. The resource limits themselves come last, since
the child has to live with them: before the change of user only hard limits are raised.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sdsuper.config.model import LimitsConfig, Rlimit
from sdsuper.config.option import options_of
from sdsuper.daemon import prctl
from sdsuper.dataclass import dataclass

_RLIMIT_LOCKS = 10  # asm-generic/resource.h; the standard library leaves it out
_CAPABILITY_NUMBERS = range(64)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a child does.

    Attributes:
        option: The option that asks for it.
        value: What that says.
        act: Does it, in the child; raises OSError.
    """

    option: str
    value: str
    act: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What a child does as root where it has been that, and what right before it executes."""

    early: tuple[Step, ...]
    late: tuple[Step, ...]


NO_LIMITS = LimitsConfig()
UNRESTRICTED = Restrictions((), ())


def restrictions(limits: LimitsConfig) -> Restrictions:
    """Return what a child has to do for its limits but those of its cgroup."""
    early: list[Step] = []
    late: list[Step] = []
    for option in options_of(LimitsConfig):
        value = option.value_in(limits)
        if value is None or value is False:
            continue  # a nice value of 0 is one
        for steps, acts in ((early, _EARLY), (late, _LATE)):
            act = acts.get(option.key)
            if act is not None:
                steps.append(Step(option.key, option.kind.format(value), partial(act, value)))
    return Restrictions(tuple(early), tuple(late))


def _set_oom_score(score: int) -> None:
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(score).encode("ascii"))
    finally:
        os.close(fd)


def _raise_hard(number: int, limit: Rlimit) -> None:
    soft, hard = resource.getrlimit(number)
    if hard != resource.RLIM_INFINITY and not 0 <= limit.hard <= hard:
        _setrlimit(number, soft, limit.hard)


def _set_rlimit(number: int, limit: Rlimit) -> None:
    _setrlimit(number, limit.soft, limit.hard)


def _setrlimit(number: int, soft: int, hard: int) -> None:
    try:
        resource.setrlimit(number, (soft, hard))
    except ValueError:  # what the standard library makes of EPERM and EINVAL
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from None


def _bound(capabilities: frozenset[int]) -> None:
    """Let nothing that is executed from now on get another capability, and keep ours for now."""
    for number in _CAPABILITY_NUMBERS:
        try:
            had = prctl.prctl(prctl.CAPBSET_READ, number)
        except OSError:
            break  # the kernel knows no more
        if had and number not in capabilities:
            prctl.prctl(prctl.CAPBSET_DROP, number)
    prctl.prctl(prctl.SET_KEEPCAPS, 1)


def _take_capabilities(capabilities: frozenset[int]) -> None:
    prctl.set_capabilities(capabilities)
    if os.geteuid() != 0:  # to what root executes the inheritable ones go by themselves
        for number in capabilities:
            prctl.prctl(prctl.CAP_AMBIENT, prctl.CAP_AMBIENT_RAISE, number)


def _no_new_privileges(_: bool) -> None:
    prctl.prctl(prctl.SET_NO_NEW_PRIVS, 1)


_RLIMITS = {
    option.key: getattr(resource, option.key.upper(), _RLIMIT_LOCKS)
    for option in options_of(LimitsConfig)
    if option.key.startswith("rlimit_")
}
"""The kernel's numbers."""

_EARLY: Mapping[str, Callable[[Any], None]] = {
    "nice": partial(os.setpriority, os.PRIO_PROCESS, 0),
    "oom_score_adjust": _set_oom_score,
    "cpu_affinity": partial(os.sched_setaffinity, 0),
    "capabilities": _bound,
    **{key: partial(_raise_hard, number) for key, number in _RLIMITS.items()},
}

_LATE: Mapping[str, Callable[[Any], None]] = {
    "capabilities": _take_capabilities,
    "no_new_privileges": _no_new_privileges,
    **{key: partial(_set_rlimit, number) for key, number in _RLIMITS.items()},
}
