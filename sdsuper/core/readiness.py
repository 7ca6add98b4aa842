"""Whether the daemon has come up: what `ready=running` waits for, and what fails a start.

Theory of operation
-------------------
Processes are *required* when they start by themselves and their program is marked `required`, or
start by themselves where none that does is marked. Where some were, nobody takes their place when
they are removed: what did not matter when the start began does not fail it later.

The daemon is ready when each of them has been RUNNING. One that has been stays counted, so that a
program that does its work and exits does not hold the start up; an exit that was not expected
takes that back, and it has to be RUNNING anew.

A required process *fails* when it is given up (FATAL), or when it rests in EXITED after an exit
that was not expected. One that an operator stopped is waited for, but does not move.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sdsuper.core.events import Event, ProcessExited, ProcessRunning
from sdsuper.core.process import Process
from sdsuper.core.states import ProcessState
from sdsuper.dataclass import dataclass
from sdsuper.values import Namespec


@dataclass(frozen=True, slots=True)
class Failure:
    """A required process that does not come up any more."""

    name: Namespec
    state: ProcessState
    reason: str

    def __str__(self) -> str:
        """`web is FATAL: why`, in one line."""
        return " ".join(f"{self.name} is {self.state.name}: {self.reason}".split())


def required(processes: Iterable[Process], *, by_mark: bool = False) -> frozenset[Namespec]:
    """Return the processes that must have been RUNNING.

    Args:
        processes: All there are.
        by_mark: Whether only those that are marked can be, also where there is none.
    """
    starting = [process for process in processes if process.config.autostart]
    marked = [process for process in starting if process.config.required]
    return frozenset(process.name for process in (marked if marked or by_mark else starting))


def failure(process: Process, *, has_run: bool) -> Failure | None:
    """Return why a process does not come up any more, None where it may or did.

    Args:
        process: As it is between two facts, so that an EXITED one rests.
        has_run: Whether it has been RUNNING, and no unexpected exit took that back.
    """
    match process.state:
        case ProcessState.FATAL:
            return Failure(process.name, process.state, process.reason or "given up")
        case ProcessState.EXITED if not has_run:
            return Failure(process.name, process.state, process.reason or "not restarted")
        case _:
            return None


@dataclass(frozen=True, slots=True)
class HeldReadiness:
    """A start under way, as plain values.

    Attributes:
        by_mark: There was a process that is marked.
        has_run: Those that have been RUNNING.
        failed: Those that do not come up any more, which was told.
    """

    by_mark: bool = False
    has_run: frozenset[Namespec] = frozenset()
    failed: frozenset[Namespec] = frozenset()


class Readiness:
    """The start under way: what is still waited for.

    Attributes:
        waiting: Required processes that have not been RUNNING and have not failed.
    """

    waiting: set[Namespec]

    def __init__(self) -> None:
        self.waiting = set()
        self._required: frozenset[Namespec] = frozenset()
        self._by_mark = False  # there was one that is marked
        self._failed: set[Namespec] = set()
        self._has_run: set[Namespec] = set()

    def held(self) -> HeldReadiness:
        """Return what a successor goes on with."""
        return HeldReadiness(self._by_mark, frozenset(self._has_run), frozenset(self._failed))

    def restore(self, held: HeldReadiness) -> None:
        """Go on with a start that is under way; `choose` follows."""
        self._by_mark = held.by_mark
        self._has_run = set(held.has_run)
        self._failed = set(held.failed)

    def choose(self, processes: Mapping[Namespec, Process]) -> list[Failure]:
        """Work out who is required, at the beginning and when groups came or went.

        Returns:
            The failures that are news.
        """
        self.forget_gone(processes)
        self._required = required(processes.values(), by_mark=self._by_mark)
        self._by_mark |= any(processes[name].config.required for name in self._required)
        self._failed.intersection_update(self._required)
        self.waiting.intersection_update(self._required)
        found = [self.look(processes[name]) for name in sorted(self._required)]
        return [failed for failed in found if failed is not None]

    def forget_gone(self, processes: Collection[Namespec]) -> None:
        """Forget what processes did that are not among these; of the same name, they are others."""
        for names in (self._has_run, self._failed, self.waiting):
            names.intersection_update(processes)

    def saw(self, event: Event) -> None:
        """Take an event into account, in the order of events."""
        match event:
            case ProcessRunning(process=name):
                self._has_run.add(name)
            case ProcessExited(process=name, expected=False):
                self._has_run.discard(name)
            case _:
                pass

    def look(self, process: Process) -> Failure | None:
        """Judge a process that changed; return its failure where that is news.

        Args:
            process: As it is between two facts, all its events seen.
        """
        name = process.name
        if name not in self._required:
            return None
        has_run = name in self._has_run
        found = failure(process, has_run=has_run)
        news = found is not None and name not in self._failed
        _put(name, self._failed, there=found is not None)
        _put(name, self.waiting, there=found is None and not has_run)
        return found if news else None


def _put(name: Namespec, names: set[Namespec], *, there: bool) -> None:
    if there:
        names.add(name)
    else:
        names.discard(name)
