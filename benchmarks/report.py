"""Results as a table for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.budget import GROWTHS, ROWS, Verdict
from benchmarks.noise import verdict
from benchmarks.peers import OURS
from benchmarks.results import Figure, Results, Spread, growths, number, part


def show(results: Results) -> str:
    """Return everything there is to say of a run."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    yield from (f"{name}: {title}" for name, title in results.titles.items())
    yield ", ".join(f"{name} {value}" for name, value in results.about.items())
    yield verdict(results.noise)
    yield ""
    yield f"{'':14}{'median':>10}  {'min..max':24}{'p99':>10}{'n':>6}  sdsuper's part of it"
    for figure in sorted(results.values, key=_order(results)):
        yield figure.label
        for peer in results.titles:
            if (found := results.spread(figure, peer)) is not None:
                yield _row(results, figure, peer, found)
    yield from _growths(results)
    yield from _promises(results)
    if results.skips:
        yield ""
        yield "not measured"
        yield from (f"  {line}" for line in results.reasons())


def _growths(results: Results) -> Iterator[str]:
    grown = list(growths(results))
    if not grown:
        return
    promised = {row.figure: row for row in GROWTHS}
    yield ""
    yield "growth with the number of programs N: as N to the power of"
    for growth in grown:
        sizes = ", ".join(map(str, growth.sizes))
        line = f"  {growth.name:34}{growth.peer:12}{growth.exponent:6.2f}  ({sizes})"
        row = promised.get(growth.name)
        if row and growth.peer == OURS:
            line += f"  at most {row.most:g}: {row.judge(growth).value}"
        yield line


def _promises(results: Results) -> Iterator[str]:
    judged = [(row, row.judge(results)) for row in ROWS]
    missed = [row for row, verdict in judged if verdict is Verdict.MISSED]
    met = sum(verdict is Verdict.MET for _, verdict in judged)
    if met or missed:
        yield ""
        yield f"budgets: {met} met, {len(missed)} missed"
        yield from (f"  missed: {row.figure}, {row.size}" for row in missed)


def _order(results: Results) -> Callable[[Figure], tuple[int, int]]:
    """Return a key that puts the sizes of a figure side by side, else as measured."""
    names = list(dict.fromkeys(figure.name for figure in results.values))
    return lambda figure: (names.index(figure.name), figure.size)


def _row(results: Results, figure: Figure, peer: str, found: Spread) -> str:
    ours = results.spread(figure, OURS)
    ratio = "" if ours is None or peer == OURS else f"  {part(ours.median, found.median)}"
    spread = f"{number(found.least)}..{number(found.most)}"
    count = len(results.values[figure][peer])
    cells = f"{number(found.median):>10}  {spread:24}{number(found.p99):>10}{count:>6}{ratio}"
    return f"  {peer:12}{cells}"
