"""Small values that every layer shares, and how they are parsed and written."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple


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

    def __str__(self) -> str:
        """Return `exit status 1`, or `terminated by SIGSEGV (core dumped)`."""
        if self.signal is None:
            return f"exit status {self.code}"
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
