"""How a metric is declared, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeVar

from benchmarks.peers import Peer
from benchmarks.results import Figure, Results, Skip
from benchmarks.worker import NotMeasuredError, WrongResultError


@dataclass(frozen=True)
class Again:
    """What is measured again, in the rounds after the first: what is noisy, where it matters.

    Attributes:
        peers: Whose turns; the others have had theirs.
        most: The greatest fleet.
    """

    peers: tuple[str, ...]
    most: int


@dataclass(frozen=True)
class Effort:
    """How much work a run is.

    Attributes:
        rounds: How often each peer has its turn.
        sizes: With how many programs, growing.
        samples: Restarts, status commands: how many of each kind in a turn.
        seconds: For how long a turn takes samples at most.
        idle: Seconds of looking at nothing happening.
        log_bytes: Bytes a log's writers write in a turn.
        journal_lines: Lines that go to the journal in a turn.
        update: Programs that an update adds.
        turn: Seconds after which a turn is given up.
        minutes: After these no turn begins.
        again: What the rounds after the first are about; None: about all.
    """

    rounds: int
    sizes: tuple[int, ...]
    samples: int
    seconds: float
    idle: float
    log_bytes: int
    journal_lines: int
    update: int
    turn: float
    minutes: float
    again: Again | None = None


_SIZES = (1, 10, 100, 1000, 5000)
EFFORTS = {
    "smoke": Effort(1, (3,), 2, 2, 0.2, 1 << 20, 2000, 5, 60, 4),
    "quick": Effort(1, (1, 100), 50, 1, 2, 50 << 20, 20_000, 100, 30, 4.5),
    "medium": Effort(
        3, _SIZES, 60, 2, 3, 100 << 20, 50_000, 500, 100, 18,
        Again(("sdsuper", "supervisor", "bare"), 1000),
    ),
    "full": Effort(3, _SIZES, 200, 5, 5, 200 << 20, 100_000, 500, 300, 75),
}  # fmt: skip


@dataclass
class Turn:
    """One peer's turn at one metric: what it needs, and where the values go.

    Attributes:
        effort: How much work to do.
        peer: Whose turn it is.
        folder: A folder of its own.
        worker: The compiled worker.
        size: With how many programs; 0 where that is the metric's own affair.
        metric: The name of the metric.
    """

    effort: Effort
    peer: type[Peer]
    folder: Path
    worker: Path
    size: int
    metric: str
    _results: Results = field(repr=False)

    def add(self, name: str, unit: str, value: float, size: int | None = None) -> None:
        """Keep a value."""
        figure = Figure(name, self.size if size is None else size, unit)
        self._results.add(figure, self.peer.name, value)

    def skip(self, error: NotMeasuredError) -> None:
        """Keep why there is no value."""
        wrong = isinstance(error, WrongResultError)
        self.fail(str(error), wrong=wrong)

    def fail(self, reason: str, *, wrong: bool) -> None:
        """Keep why there is no value, and whether that is somebody's fault."""
        self._results.skip(
            Skip(self.metric, self.size, self.peer.name, " ".join(reason.split()), wrong)
        )


class Scope(Enum):
    """What a metric's function is given."""

    FLEET = "(turn, fleet): a fleet that is up, for each of the sizes"
    PEER = "(turn): one peer after the other, each from nothing"
    TOGETHER = "([(turn, fleet)]): a fleet of one program of each peer, all up at once"


@dataclass(frozen=True)
class Metric:
    """Something to measure.

    Attributes:
        name: How options name it.
        help: What it is: the first line of its function.
        scope: What it is run on.
        sizes: For fleets: the only sizes at which it is taken; none for all.
        most: For fleets: the greatest size at which it is taken.
        peers: The only peers it concerns; none for all.
        once: Whether one turn tells as much as many; see `Again`.
        run: Measures it.
    """

    name: str
    help: str
    scope: Scope
    sizes: tuple[int, ...]
    most: int
    peers: tuple[str, ...]
    once: bool
    run: Callable[..., None]

    def is_for(self, size: int) -> bool:
        """Whether it is taken on a fleet of a size."""
        return size <= self.most and (not self.sizes or size in self.sizes)


METRICS: dict[str, Metric] = {}
"""In the order of running."""


_Function = TypeVar("_Function", bound=Callable[..., None])


def metric(
    name: str,
    scope: Scope,
    *,
    sizes: tuple[int, ...] = (),
    most: int = 1000,
    peers: tuple[str, ...] = (),
    once: bool = False,
) -> Callable[[_Function], _Function]:
    """Declare that a function measures something; see `Metric`."""

    def declare(function: _Function) -> _Function:
        assert function.__doc__
        help_ = function.__doc__.splitlines()[0]
        METRICS[name] = Metric(name, help_, scope, sizes, most, peers, once, function)
        return function

    return declare
