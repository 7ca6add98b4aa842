"""One process: its state as plain values, and `step`, the state machine."""

from __future__ import annotations

from dataclasses import dataclass

from sdsuper.config.model import ProcessConfig
from sdsuper.core.actions import Action
from sdsuper.core.facts import DeadlinePassed, ProcessFact
from sdsuper.core.states import ProcessState, Wanted
from sdsuper.values import ExitStatus, Instant, Namespec


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """The end of the latest invocation.

    Attributes:
        pid: The pid it had.
        at: When it was reaped.
        expected: Whether its code was among `exitcodes` (and it had been up for startsecs).
    """

    pid: int
    status: ExitStatus
    at: Instant
    expected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One supervised process, all of it: frozen values that can be handed on.

    Attributes:
        pid: The child's pid; 0 when there is none.
        invocation: Number of the current or latest spawn; facts of an older one are ignored.
        started: The latest start attempt, None = never.
        last_exit: The latest end, None = never.
        deadline: Monotonic seconds at which `DeadlinePassed` matters to this state.
        backoff: Failed attempts in a row.
        exitstatus: What getProcessInfo shows: code, -1 for a signal, None for none.
        spawnerr: Why the latest start failed, None for no reason to tell.
        residue: The invocation whose strays are still being ended; nothing is spawned meanwhile.
        trouble: Why the latest signal could not be sent, None when it could.
    """

    name: Namespec
    config: ProcessConfig
    state: ProcessState = ProcessState.STOPPED
    wanted: Wanted = Wanted.DOWN
    pid: int = 0
    invocation: int = 0
    started: Instant | None = None
    last_exit: ExitRecord | None = None
    deadline: float | None = None
    backoff: int = 0
    exitstatus: int | None = None
    spawnerr: str | None = None
    residue: int | None = None
    trouble: str | None = None


def step(
    process: Process, fact: ProcessFact | DeadlinePassed, now: Instant
) -> tuple[Process, tuple[Action, ...]]:
    """Take one fact into account and say what follows from it."""
    raise NotImplementedError
