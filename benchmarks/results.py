"""What was measured: plain values, from and to JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self


class Figure(NamedTuple):
    """What a value says.

    Attributes:
        name: What is measured.
        size: With how many programs, 0 where that means nothing.
        unit: Of the value.
    """

    name: str
    size: int
    unit: str

    @property
    def label(self) -> str:
        """How it is named in tables."""
        name = f"{self.name}, {self.size}" if self.size else self.name
        return f"{name} [{self.unit}]" if self.unit else name

    @property
    def more_is_better(self) -> bool:
        """Whether it is a rate."""
        return self.unit.endswith("/s")


class Skip(NamedTuple):
    """What was not measured, and why.

    Attributes:
        metric: Its name.
        size: With how many programs, 0 where that means nothing.
        peer: Whose.
        reason: Why not.
        wrong: Whether the work was done, but wrong.
    """

    metric: str
    size: int
    peer: str
    reason: str
    wrong: bool


class Spread(NamedTuple):
    """Values in short."""

    median: float
    least: float
    most: float
    p99: float


def spread(values: Sequence[float]) -> Spread:
    """Return values in short; the 99th percentile is a value that was seen (nearest rank)."""
    ordered = sorted(values)
    rank = math.ceil(len(ordered) * 0.99) - 1
    return Spread(statistics.median(ordered), ordered[0], ordered[-1], ordered[rank])


@dataclass
class Results:
    """All of a run.

    Attributes:
        about: What it was run on, and how: name -> text.
        titles: Name of a peer -> what it is.
        values: Figure -> name of the peer -> each value, in the order of measuring.
        skips: What is missing.
        noise: How much of it was the machine: see `noise.py`.
    """

    about: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    values: dict[Figure, dict[str, list[float]]] = field(default_factory=dict)
    skips: list[Skip] = field(default_factory=list)
    noise: dict[str, float] = field(default_factory=dict)

    def add(self, figure: Figure, peer: str, value: float) -> None:
        """Keep a value."""
        self.values.setdefault(figure, {}).setdefault(peer, []).append(value)

    def skip(self, skip: Skip) -> None:
        """Keep why something is missing."""
        if skip not in self.skips:
            self.skips.append(skip)

    def spread(self, figure: Figure, peer: str) -> Spread | None:
        """Return a peer's figure in short, None where it has none."""
        values = self.values.get(figure, {}).get(peer)
        return spread(values) if values else None

    def find(self, name: str, size: int) -> Figure | None:
        """Return the figure of a name and size, whatever its unit."""
        return next((it for it in self.values if (it.name, it.size) == (name, size)), None)

    def reasons(self) -> Iterator[str]:
        """Yield what is missing and why: a line for what has the same reason."""
        found: dict[tuple[str, str, bool], dict[str, list[int]]] = {}
        for skip in self.skips:
            peers = found.setdefault((skip.metric, skip.reason, skip.wrong), {})
            peers.setdefault(skip.peer, []).append(skip.size)
        for (metric, reason, wrong), peers in found.items():
            whose = ", ".join(
                " ".join([peer, *(str(size) for size in sizes if size)])
                for peer, sizes in peers.items()
            )
            yield f"{metric} ({whose}): {'WRONG: ' if wrong else ''}{reason}"

    @property
    def wrong(self) -> list[Skip]:
        """The work that was done wrong."""
        return [skip for skip in self.skips if skip.wrong]

    def to_json(self) -> str:
        """Return it as text."""
        rows = [{**figure._asdict(), "values": by_peer} for figure, by_peer in self.values.items()]
        plain = {**asdict(self), "values": rows, "skips": [skip._asdict() for skip in self.skips]}
        return json.dumps(_rounded(plain), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote."""
        plain = json.loads(text)
        values = {
            Figure(row["name"], row["size"], row["unit"]): row["values"] for row in plain["values"]
        }
        skips = [Skip(**row) for row in plain["skips"]]
        return cls(plain["about"], plain["titles"], values, skips, plain["noise"])

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `to_json` made."""
        return cls.from_json(path.read_text(encoding="utf-8"))


def _rounded(value: Any) -> Any:
    """Return plain values with numbers that do not pretend to be exact."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value


class Growth(NamedTuple):
    """How a figure grows with the number of programs: as N to the power of `exponent`."""

    name: str
    peer: str
    exponent: float
    sizes: tuple[int, ...]


def growths(results: Results) -> Iterator[Growth]:
    """Yield an exponent for each figure and peer that was measured at three sizes at least.

    Sizes below 10 are left out: there what is fixed decides. What is nothing at all sizes does not
    grow.
    """
    points: dict[tuple[str, str], dict[int, float]] = {}
    for figure, by_peer in results.values.items():
        if figure.size < 10 or figure.more_is_better:
            continue
        for peer, values in by_peer.items():
            points.setdefault((figure.name, peer), {})[figure.size] = statistics.median(values)
    for (name, peer), found in points.items():
        if len(found) >= 3 and (exponent := _exponent(found)) is not None:
            yield Growth(name, peer, exponent, tuple(sorted(found)))


def _exponent(points: Mapping[int, float]) -> float | None:
    if not any(points.values()):
        return 0.0
    if min(points.values()) <= 0:
        return None
    sizes, values = zip(*points.items(), strict=True)
    return statistics.linear_regression([*map(math.log, sizes)], [*map(math.log, values)]).slope


def number(value: float) -> str:
    """Return a value with as many digits as mean something."""
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"


def part(ours: float, theirs: float) -> str:
    """Return a ratio as text; nothing where there is none."""
    return f"{ours / theirs:.3g}" if theirs else "-"
