"""Whether a process that ended is started again: the policy, and the reason in words."""

from __future__ import annotations

from typing import assert_never

from sdsuper.config.model import Autorestart, ProcessConfig
from sdsuper.core.history import describe_end
from sdsuper.dataclass import dataclass
from sdsuper.values import ExitStatus


@dataclass(frozen=True, slots=True)
class FailedStart:
    """It could not be spawned, or was down before startsecs had passed.

    Attributes:
        error: What was wrong, as operators see it.
        failures: Failed attempts in a row, this one included.
    """

    error: str
    failures: int


@dataclass(frozen=True, slots=True)
class ExitedByItself:
    """It had been up, and nobody asked it to stop.

    Attributes:
        failing: Why the daemon had to end it, None where it did not.
        last_words: What it said of its end, as `Told.last_words` puts it.
        oom: Whether the kernel killed it for want of memory.
    """

    status: ExitStatus
    failing: str | None = None
    last_words: str = ""
    oom: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again at `at` (monotonic seconds)."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Leave it down."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave it down as FATAL."""

    reason: str


Decision = Restart | Rest | GiveUp


def is_expected(config: ProcessConfig, status: ExitStatus) -> bool:
    """Return whether `exitcodes` lists the way it ended (death by a signal never is)."""
    return status.code is not None and status.code in config.exitcodes


def decide(config: ProcessConfig, end: FailedStart | ExitedByItself, now: float) -> Decision:
    """Decide what becomes of a process that ended without being asked to.

    Args:
        config: Its startretries, autorestart and exitcodes.
        end: How it ended.
        now: Monotonic seconds.

    Supervisor's rules: after the n-th failed start in a row the next attempt comes n seconds
    later; startretries counts the attempts after the first. An exit after a successful start is
    answered at once or not at all, without limit.
    """
    match end:
        case FailedStart(error, failures):
            return _after_failed_start(config, error, failures, now)
        case ExitedByItself():
            return _after_exit(config, end, now)
        case _:
            assert_never(end)


def _after_failed_start(config: ProcessConfig, error: str, failures: int, now: float) -> Decision:
    if failures > max(0, config.startretries):
        return GiveUp(f"{error}; {_count(failures, 'attempt')} failed (startretries)")
    return Restart(
        now + failures, f"{error}; retry {failures} of {config.startretries} (startretries)"
    )


def _after_exit(config: ProcessConfig, end: ExitedByItself, now: float) -> Decision:
    expected = end.failing is None and is_expected(config, end.status)
    failing = f"{end.failing}: " if end.failing is not None else ""
    how = describe_end(end.status, oom=end.oom, memory_max=config.limits.memory_max)
    reason = (
        f"{failing}{how}, {'expected' if expected else 'not expected'}"
        f" (autorestart={config.autorestart.value}){end.last_words}"
    )
    match config.autorestart:
        case Autorestart.ALWAYS:
            return Restart(now, reason)
        case Autorestart.UNEXPECTED:
            return Rest(reason) if expected else Restart(now, reason)
        case Autorestart.NEVER:
            return Rest(reason)
        case _:
            assert_never(config.autorestart)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
