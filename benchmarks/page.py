"""What was measured beside what is promised, as Markdown: the tables of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.budget import GROWTHS, ROWS, SUPERVISOR, Growing, Row, Verdict
from benchmarks.limits import LIMITS
from benchmarks.noise import verdict
from benchmarks.peers import FLOOR, OURS
from benchmarks.results import Figure, Growth, Results, Spread, growths, number, part


def tables(results: Results) -> str:
    """Return what a run says, as Markdown."""
    parts = (_run, _budget, _missed, _growth, _skips)
    return "\n".join(line for part in parts for line in part(results)) + "\n"


def _run(results: Results) -> Iterator[str]:
    about = results.about
    yield (
        f"Rounds of one run: {about['rounds']}, all in turn; Python {about['Python']}, kernel "
        f"{about['kernel']}, {about['cores']} cores. In words of the run itself: "
        f"{verdict(results.noise)}. Its peers: "
        + "; ".join(title for name, title in results.titles.items() if name != OURS)
        + "."
    )
    yield ""
    yield f"    {about['command']}"
    yield ""


def _budget(results: Results) -> Iterator[str]:
    heads = ("figure", "sdsuper (min..max)", "Supervisor", "ratio", "best peer", "floor", "budget")
    yield f"| {' | '.join(heads)} | |"
    yield "|---" * (len(heads) + 1) + "|"
    for row in ROWS:
        if row.budget is None and results.find(row.figure, row.size) is None:
            continue
        yield f"| {' | '.join(_cells(row, results))} |"
    yield ""


def _cells(row: Row, results: Results) -> Iterator[str]:
    figure = results.find(row.figure, row.size) or Figure(row.figure, row.size, "")
    ours = results.spread(figure, OURS)
    yield figure.label
    spread = f" ({number(ours.least)}..{number(ours.most)})" if ours else ""
    yield _short(row, ours) + spread
    yield _short(row, results.spread(figure, SUPERVISOR))
    yield _ratio(results, figure)
    yield _best(row, results, figure)
    yield _short(row, results.spread(figure, FLOOR))
    yield _promise(row)
    yield row.judge(results).value


def _short(row: Row, found: Spread | None) -> str:
    """Return the median, and the 99th percentile where one is promised."""
    if found is None:
        return "-"
    return number(found.median) + (f" / {number(found.p99)}" if row.p99 is not None else "")


def _ratio(results: Results, figure: Figure) -> str:
    ours, theirs = results.spread(figure, OURS), results.spread(figure, SUPERVISOR)
    return part(ours.median, theirs.median) if ours and theirs else "-"


def _best(row: Row, results: Results, figure: Figure) -> str:
    """Return the best of the others: who, and how much."""
    found = {
        peer: spread
        for peer in results.titles
        if peer not in (OURS, FLOOR) and (spread := results.spread(figure, peer))
    }
    if not found:
        return "-"
    best = (max if figure.more_is_better else min)(found, key=lambda peer: found[peer].median)
    return f"{best} {_short(row, found[best])}"


def _promise(row: Row) -> str:
    budget = "" if row.budget is None else number(row.budget)
    p99 = "" if row.p99 is None else f" / {number(row.p99)}"
    return budget + p99 + (f", and less than {row.beats}" if row.beats else "")


def _missed(results: Results) -> Iterator[str]:
    bounds: dict[str, list[str]] = {}
    for row in ROWS:
        figure = results.find(row.figure, row.size)
        if figure and row.judge(results) is Verdict.MISSED:
            bounds.setdefault(row.bound, []).append(figure.label)
    if bounds:
        yield "What bounds the rows that miss their budget:"
        yield ""
        for bound, labels in bounds.items():
            yield f"- **{'; '.join(labels)}**: {bound}."
        yield ""


def _growth(results: Results) -> Iterator[str]:
    grown = {(it.name, it.peer): it for it in growths(results)}
    if not grown:
        return
    peers = [peer for peer in results.titles if any(peer == whose for _, whose in grown)]
    sizes = sorted({size for it in grown.values() for size in it.sizes})
    yield (
        "How figures grow with the number N of programs: as N to the power of this, fitted to the "
        f"medians at the sizes of {', '.join(map(str, sizes))} that were measured."
    )
    yield ""
    yield f"| figure | {' | '.join(peers)} | at most | | why |"
    yield "|---" * (len(peers) + 4) + "|"
    for row in GROWTHS:
        yield _growing(row, {peer: grown.get((row.figure, peer)) for peer in peers})
    yield ""


def _growing(row: Growing, found: dict[str, Growth | None]) -> str:
    cells = [f"{it.exponent:.2f}" if it else "-" for it in found.values()]
    ends = [f"{row.most:g}", row.judge(found.get(OURS)).value, row.reason]
    return f"| {' | '.join([row.figure, *cells, *ends])} |"


def _skips(results: Results) -> Iterator[str]:
    if results.skips:
        yield "Not measured:"
        yield ""
        yield from (f"- {line}." for line in results.reasons())
        yield ""


def limits() -> str:
    """Return the table of what is counted, as Markdown."""
    rows = [f"| {limit.name} | {limit.most:g} | {limit.reason} |" for limit in LIMITS]
    return "\n".join(["| count | at most | what is in it |", "|---|---|---|", *rows]) + "\n"
