"""Small values that every layer shares, and how they are parsed and written."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from sdsuper.dataclass import dataclass


class Namespec(NamedTuple):
    """The full name of a process: its group and its own name."""

    group: str
    process: str

    def __str__(self) -> str:
        """Return `process` where group and process share a name, else `group:process`."""
        return self.process if self.group == self.process else f"{self.group}:{self.process}"


class Instant(NamedTuple):
    """One moment on both clocks.

    Attributes:
        mono: CLOCK_MONOTONIC, seconds; every interval and deadline is measured on it.
        wall: Unix time, seconds; only ever shown, never compared.
    """

    mono: float
    wall: float


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a child ended: an exit code, or a signal.

    Attributes:
        code: The exit code 0..255, or None when a signal ended it.
        signal: The number of the signal, or None when it exited by itself.
        core_dumped: Whether the signal left a core file.
    """

    code: int | None
    signal: int | None = None
    core_dumped: bool = False

    @property
    def value(self) -> int:
        """The number that RPC and events show: the exit code, or -1 for death by signal."""
        return -1 if self.code is None else self.code

    def describe(self) -> str:
        """Return the words of the log for it: `exit status 1`, `terminated by SIGTERM`."""
        if self.code is not None:
            return f"exit status {self.code}"
        if self.signal is None:
            return "unknown termination cause"
        core = " (core dumped)" if self.core_dumped else ""
        return f"terminated by {signal_name(self.signal)}{core}"


class Level(enum.IntEnum):
    """Severity of a line in the daemon's own log; the numbers are Supervisor's."""

    BLATHER = 3
    TRACE = 5
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    CRITICAL = 50


def signal_name(number: int) -> str:
    """Return how logs name a signal: `SIGTERM`, or `signal 42` where it has no name.

    Where a number has two names it is Supervisor's choice: SIGPOLL, not SIGIO.
    """
    import signal  # the client needs the names of states, not of signals

    if number == signal.SIGPOLL:
        return "SIGPOLL"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# --- values as they are written -------------------------------------------------------------
#
# Each parse function raises ValueError with the text that operators know from Supervisor, and
# has a format function beside it: parse(format(x)) == x.

KIB = 1024
_BYTE_UNITS = (("GB", KIB**3), ("MB", KIB**2), ("KB", KIB))
_TRUE = frozenset(("yes", "true", "on", "1"))
_FALSE = frozenset(("no", "false", "off", "0"))
_EXIT_CODE_MAX = 255


def parse_integer(text: str) -> int:
    """Read a whole number: sign, blanks around it and `_` between digits are allowed."""
    return int(text)


def format_integer(number: int) -> str:
    """Write a whole number."""
    return str(number)


def parse_seconds(text: str) -> int:
    """Read a whole number of seconds."""
    return int(text)


def format_seconds(seconds: int) -> str:
    """Write a number of seconds."""
    return str(seconds)


_TIME_UNITS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_TIME_WORD = re.compile(r"([0-9]{1,18})\s*([a-z]*)")
_TIMESPAN_MAX = 100 * 365 * 86400


def parse_timespan(text: str) -> int:
    """Read a span of time: seconds, or numbers with units as in `90s`, `2min`, `1h 30min`.

    Source: systemd.time(7), of whose units the whole ones from seconds to days are known.
    """
    words = _TIME_WORD.findall(text.lower())
    total = sum(int(number) * _TIME_UNITS.get(unit, 0) for number, unit in words)
    known = all(unit in _TIME_UNITS for _, unit in words)
    alone = len(words) == 1 or all(unit for _, unit in words)
    if not words or not known or not alone or _TIME_WORD.sub("", text.lower()).strip():
        raise ValueError(f"not a valid span of time: {text!r}")
    if total > _TIMESPAN_MAX:
        raise ValueError(f"span of time is too long: {text!r}")
    return total


def format_timespan(seconds: int) -> str:
    """Write a span of time with the largest unit that divides it."""
    for unit in ("d", "h", "min"):
        if seconds and seconds % _TIME_UNITS[unit] == 0:
            return f"{seconds // _TIME_UNITS[unit]}{unit}"
    return f"{seconds}s"


def parse_bytes(text: str) -> int:
    """Read a number of bytes: an integer, or one with KB, MB or GB in any case (powers of 1024)."""
    lowered = text.lower()
    for unit, factor in _BYTE_UNITS:
        if lowered.endswith(unit.lower()):
            return int(lowered[: -len(unit)]) * factor
    return int(lowered)


def format_bytes(count: int) -> str:
    """Write a number of bytes with the largest unit that divides it."""
    for unit, factor in _BYTE_UNITS:
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)


def parse_octal(text: str) -> int:
    """Read a file mode or umask: octal digits, with or without a leading `0` or `0o`."""
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError(f"{text} can not be converted to an octal type") from None


def format_octal(mode: int) -> str:
    """Write a mode with at least three octal digits and a leading zero: `022`, `0700`."""
    digits = f"{abs(mode):o}".rjust(2, "0")
    return f"{'-' if mode < 0 else ''}0{digits}"


def parse_boolean(text: str) -> bool:
    """Read yes, true, on, 1 or no, false, off, 0, in any case."""
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(f"not a valid boolean value: {text!r}")


def format_boolean(flag: bool) -> str:
    """Write `true` or `false`."""
    return "true" if flag else "false"


def parse_level(text: str) -> Level:
    """Read the name of a log level, in any case."""
    try:
        return Level[text.upper()] if text.isascii() else Level[text]
    except KeyError:
        raise ValueError(f"bad logging level name {text!r}") from None


def format_level(level: Level) -> str:
    """Write the name of a log level."""
    return level.name.lower()


def parse_signal(text: str) -> int:
    """Read a signal: a number, or a name with or without `SIG`, in any case; also `RTMIN+n`.

    0 is accepted: kill(2) takes it as the question whether a process exists.
    """
    import signal

    try:
        number = int(text)
    except ValueError:
        return _signal_by_name(text)
    if number != 0 and number not in signal.valid_signals():
        raise ValueError(f"value {text!r} is not a valid signal number")
    return number


def _signal_by_name(text: str) -> int:
    import signal

    name = text.strip().upper().removeprefix("SIG")
    base, sign, offset = name.partition("+" if "+" in name else "-")
    known = signal.Signals.__members__.get(f"SIG{base}")
    if known is None or (sign and (base not in ("RTMIN", "RTMAX") or not offset.isdecimal())):
        raise ValueError(f"value {text!r} is not a valid signal name")
    number = int(known) + (int(sign + offset) if sign else 0)
    if number not in signal.valid_signals() or (sign and number < signal.SIGRTMIN):
        raise ValueError(f"value {text!r} is not a valid signal name")
    return number


def format_signal(number: int) -> str:
    """Write a signal's name without `SIG`, `RTMIN+n` for real-time ones, or the bare number."""
    import signal

    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        if signal.SIGRTMIN < number < signal.SIGRTMAX:
            return f"RTMIN+{number - signal.SIGRTMIN}"
        return str(number)


def parse_exit_codes(text: str) -> tuple[int, ...]:
    """Read a comma-separated list of exit codes 0..255; an empty text is an empty list."""
    if not text.strip():
        return ()
    try:
        codes = tuple(int(item) for item in text.split(","))
    except ValueError:
        codes = (-1,)
    if any(not 0 <= code <= _EXIT_CODE_MAX for code in codes):
        raise ValueError(f"not a valid list of exit codes: {text!r}")
    return codes


def format_exit_codes(codes: tuple[int, ...]) -> str:
    """Write exit codes, separated by commas."""
    return ",".join(map(str, codes))
