"""What may be said of the limits of a process: memory, processors, resource limits, capabilities.

Names and values are those of systemd.resource-control(5) and systemd.exec(5) where those have
them, so that what stood in a unit can be written here.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

from sdsuper.dataclass import dataclass
from sdsuper.values import format_bytes, format_timespan, parse_timespan

INFINITY = -1
"""No limit, as a number (that of `resource.RLIM_INFINITY`) where it is written `infinity`."""

_INFINITY = "infinity"
_NUMBER_MAX = 2**63 - 1
_WEIGHT_MAX = 10_000
_NICE_MIN, _NICE_MAX = -20, 19
_OOM_SCORE_MAX = 1000
_RLIMIT_NICE = 20  # getrlimit(2): a limit of n allows a nice value of 20 - n
_CPU_MAX = 8191  # sched_setaffinity(2) knows no more on any machine
_PERCENT_MAX = 100
_QUOTA_MAX = _CPU_MAX * _PERCENT_MAX

_DIGITS = re.compile(r"[0-9]{1,19}")
_SIZE = re.compile(r"([0-9]{1,19}) *([KMGTPE]?)(?:I?B)?")
_SIZE_UNITS = {unit: 1024**power for power, unit in enumerate(("", *"KMGTPE"))}
_MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000}
_SHORT_TIME = re.compile(r"([0-9]{1,19}) *(us|ms|s)?")
_CPUS = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")


class OomPolicy(enum.Enum):
    """What the kernel kills when a process has used up its memory."""

    KILL = "kill"
    CONTINUE = "continue"


@dataclass(frozen=True)
class Memory:
    """An amount of memory.

    Attributes:
        amount: Bytes, or INFINITY; or percent of what the machine has.
    """

    amount: int
    percent: bool = False

    def __str__(self) -> str:
        """As it is written: `512MB`, `50%`, `infinity`."""
        if self.percent:
            return f"{self.amount}%"
        return _INFINITY if self.amount == INFINITY else format_bytes(self.amount)


@dataclass(frozen=True)
class Rlimit:
    """One resource limit, in the unit of getrlimit(2); INFINITY is none."""

    soft: int
    hard: int


CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip
"""By number, without `CAP_`. Source: capabilities(7), linux/capability.h."""

_CAPABILITY_NUMBERS = {name: number for number, name in enumerate(CAPABILITIES)}
_NO_CAPABILITY = "none"


# --- numbers --------------------------------------------------------------------------------------


def _whole(text: str, what: str, lowest: int, highest: int) -> int:
    """Read a whole number with an optional sign; the error says what was asked for."""
    bare = text.strip()
    if not _DIGITS.fullmatch(bare.removeprefix("-").removeprefix("+")):
        raise ValueError(f"not {what}: {text!r}")
    number = int(bare)
    if not lowest <= number <= highest:
        raise ValueError(f"not {what}: {text!r}")
    return number


def parse_count(text: str) -> int:
    """Read a whole number, 0 or more, or `infinity`."""
    if text.strip().lower() == _INFINITY:
        return INFINITY
    return _whole(text, "a whole number or infinity", 0, _NUMBER_MAX)


def format_count(number: int) -> str:
    """Write a number, or `infinity`."""
    return _INFINITY if number == INFINITY else str(number)


def parse_tasks(text: str) -> int:
    """Read how many processes and threads there may be: 1 or more, or `infinity`."""
    number = parse_count(text)
    if number == 0:
        raise ValueError("not 1 or more: no process could be started at all")
    return number


def parse_weight(text: str) -> int:
    """Read a share of what several compete for."""
    return _whole(text, f"a whole number from 1 to {_WEIGHT_MAX}", 1, _WEIGHT_MAX)


def parse_nice(text: str) -> int:
    """Read a nice value. Source: setpriority(2)."""
    what = f"a whole number from {_NICE_MIN} to {_NICE_MAX}"
    return _whole(text, what, _NICE_MIN, _NICE_MAX)


def parse_oom_score(text: str) -> int:
    """Read what is added to the score by which the kernel chooses whom to kill. Source: proc(5)."""
    what = f"a whole number from {-_OOM_SCORE_MAX} to {_OOM_SCORE_MAX}"
    return _whole(text, what, -_OOM_SCORE_MAX, _OOM_SCORE_MAX)


def parse_quota(text: str) -> int:
    """Read how much of the time of one processor may be used, in percent; or `infinity`."""
    bare = text.strip()
    if bare.lower() == _INFINITY:
        return INFINITY
    what = "a percentage of one processor, such as 50% or 150%, or infinity"
    if not bare.endswith("%"):
        raise ValueError(f"not {what}: {text!r}")
    return _whole(bare[:-1], what, 1, _QUOTA_MAX)


def format_quota(percent: int) -> str:
    """Write a quota."""
    return _INFINITY if percent == INFINITY else f"{percent}%"


# --- sizes ----------------------------------------------------------------------------------------


def parse_size(text: str) -> int:
    """Read bytes, or a number with a unit (`K`, `KB` or `KiB` is 1024), or `infinity`."""
    bare = text.strip().upper()
    if bare == _INFINITY.upper():
        return INFINITY
    match = _SIZE.fullmatch(bare)
    size = int(match[1]) * _SIZE_UNITS[match[2]] if match else -1
    if not 0 <= size <= _NUMBER_MAX:
        raise ValueError(f"not bytes, or bytes with K, M, G or T, or infinity: {text!r}")
    return size


def format_size(size: int) -> str:
    """Write bytes with the largest unit that divides them, or `infinity`."""
    return _INFINITY if size == INFINITY else format_bytes(size)


def parse_memory(text: str) -> Memory:
    """Read a size above 0, a percentage of the machine's memory, or `infinity`."""
    bare = text.strip()
    if bare.endswith("%"):
        what = f"a percentage from 1 to {_PERCENT_MAX}"
        return Memory(_whole(bare[:-1], what, 1, _PERCENT_MAX), percent=True)
    size = parse_size(text)
    if size == 0:
        raise ValueError("not more than 0: nothing could run")
    return Memory(size)


def parse_oom_policy(text: str) -> OomPolicy:
    """Read what is killed: all of it, or one process of it."""
    try:
        return OomPolicy(text.strip().lower())
    except ValueError:
        raise ValueError(f"neither kill nor continue: {text!r}") from None


def format_oom_policy(policy: OomPolicy) -> str:
    """Write it."""
    return policy.value


# --- resource limits ------------------------------------------------------------------------------


def rlimit_parser(parse: Callable[[str], int]) -> Callable[[str], Rlimit]:
    """Return what reads `soft:hard`, or one number for both, each by `parse`."""

    def parse_rlimit(text: str) -> Rlimit:
        soft, colon, hard = text.partition(":")
        limit = Rlimit(parse(soft), parse(hard if colon else soft))
        if limit.hard != INFINITY and not 0 <= limit.soft <= limit.hard:
            raise ValueError(f"not soft:hard, the soft limit is above the hard one: {text!r}")
        return limit

    return parse_rlimit


def rlimit_formatter(write: Callable[[int], str]) -> Callable[[Rlimit], str]:
    """Return what writes a limit as the parser reads it: one number where both are the same."""

    def format_rlimit(limit: Rlimit) -> str:
        if limit.soft == limit.hard:
            return write(limit.soft)
        return f"{write(limit.soft)}:{write(limit.hard)}"

    return format_rlimit


def parse_seconds_limit(text: str) -> int:
    """Read a span of time in whole seconds, or `infinity`."""
    return INFINITY if text.strip().lower() == _INFINITY else parse_timespan(text)


def format_seconds_limit(seconds: int) -> str:
    """Write a span of time, or `infinity`."""
    return _INFINITY if seconds == INFINITY else format_timespan(seconds)


def parse_microseconds(text: str) -> int:
    """Read microseconds, or a number with `us`, `ms` or `s`, or `infinity`."""
    bare = text.strip().lower()
    if bare == _INFINITY:
        return INFINITY
    match = _SHORT_TIME.fullmatch(bare)
    time = int(match[1]) * _MICROSECONDS[match[2] or "us"] if match else -1
    if not 0 <= time <= _NUMBER_MAX:
        raise ValueError(f"not microseconds, or a number with us, ms or s, or infinity: {text!r}")
    return time


def format_microseconds(time: int) -> str:
    """Write microseconds with the largest unit that divides them, or `infinity`."""
    if time == INFINITY:
        return _INFINITY
    for unit in ("s", "ms"):
        if time and time % _MICROSECONDS[unit] == 0:
            return f"{time // _MICROSECONDS[unit]}{unit}"
    return f"{time}us"


def parse_nice_limit(text: str) -> int:
    """Read the number of RLIMIT_NICE, or with a sign the nice value it allows: -5 is 25."""
    bare = text.strip()
    if bare[:1] in ("+", "-"):
        return _RLIMIT_NICE - parse_nice(bare)
    return parse_count(bare)


# --- processors and capabilities ------------------------------------------------------------------


def parse_cpus(text: str) -> tuple[int, ...]:
    """Read the numbers of processors and ranges of them, separated by commas or blanks."""
    found: set[int] = set()
    for item in text.replace(",", " ").split():
        match = _CPUS.fullmatch(item)
        first = int(match[1]) if match else 0
        last = int(match[2] or match[1]) if match else -1
        if not first <= last <= _CPU_MAX:
            raise ValueError(f"not a processor or a range of them, such as 0-3: {item!r}")
        found.update(range(first, last + 1))
    if not found:
        raise ValueError("not a list of processors: it is empty")
    return tuple(sorted(found))


def format_cpus(cpus: tuple[int, ...]) -> str:
    """Write processors as ranges: `0-3,6`."""
    ranges: list[list[int]] = []
    for cpu in cpus:
        if ranges and ranges[-1][-1] == cpu - 1:
            ranges[-1][1:] = [cpu]
        else:
            ranges.append([cpu])
    return ",".join("-".join(map(str, each)) for each in ranges)


def parse_capabilities(text: str) -> frozenset[int]:
    """Read the names of capabilities, with or without `CAP_`; `none` for the empty set.

    Returns:
        Their numbers.
    """
    names = text.replace(",", " ").split()
    if [name.lower() for name in names] == [_NO_CAPABILITY]:
        return frozenset()
    if not names:
        raise ValueError(f"not a list of capabilities: it is empty ({_NO_CAPABILITY} is none)")
    found = set()
    for name in names:
        number = _CAPABILITY_NUMBERS.get(name.upper().removeprefix("CAP_"))
        if number is None:
            raise ValueError(f"not a capability: {name!r}")
        found.add(number)
    return frozenset(found)


def format_capabilities(numbers: frozenset[int]) -> str:
    """Write capabilities by name, in the order of their numbers."""
    return ",".join(f"CAP_{CAPABILITIES[each]}" for each in sorted(numbers)) or _NO_CAPABILITY
