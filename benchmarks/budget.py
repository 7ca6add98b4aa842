"""What is promised, and how it is shown beside what was measured: the tables of performance.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.limits import LIMITS
from benchmarks.noise import verdict
from benchmarks.peers import FLOOR, OURS
from benchmarks.results import Figure, Results, growths, number, part

_SUPERVISOR = "supervisor"


class Row(NamedTuple):
    """A figure in the table.

    Attributes:
        figure: Its name.
        size: With how many programs, 0 where that means nothing.
        budget: What the median may come to, or must for a rate; None where nothing is promised.
        p99: What the 99th percentile may come to; None where nothing is promised.
        bound: Where the budget is missed: what bounds it, and what was tried.
    """

    figure: str
    size: int
    budget: float | None = None
    p99: float | None = None
    bound: str = ""


_VFORK = (
    "the exec of the program itself, for which the daemon waits (`vfork`), and the log lines and "
    "pipes of a restart; see the profile. Tried: clone3 into the cgroup (a fork: three times as "
    "long at 33 MB), a shell in front (0.6 ms more), words of commands split without shlex"
)
_STARTING = (
    "imports and the reading of the configuration before the first program, see the profile: "
    "what a start costs each program is `vfork`, exec and its pipes. Tried: no OpenSSL, "
    "dataclasses written when first used, imports without `site`: 151 to 92 ms"
)
_LOOKS = (
    "a look for what each program has left behind, and some 2 ms of CPU for the facts, events and "
    "log lines of each. Tried: one look for all that end in a turn of the loop, which halved it"
)
_MEMORY = (
    "Python and asyncio are 17 MiB of it, the rest is our own modules. Tried: no OpenSSL (4 MiB), "
    "lean dataclasses (1), configurations and channels with slots, modules loaded when used (1.5)"
)
_INTERPRETER = (
    "the start of Python, which is the floor, and the import of the client. Tried: one module of "
    "commands loaded, replies split instead of parsed, no `site` (the package's launcher only)"
)

ROWS = (
    Row("killed to replaced, alone", 0, 2.5, 10, _VFORK),
    Row("killed to replaced, among", 100, 2.5, 10, _VFORK),
    Row("killed to replaced, among", 1000, 2.5, 10, _VFORK),
    Row("killed to replaced under a log flood, among", 100, 2.5, 10,
        "the flood takes one of two cores and the turns of the loop that move it; " + _VFORK),
    Row("killed to replaced while 500 are added, among", 100, None, None),
    Row("100 killed at once, all back, of", 100, 80, None,
        "100 execs on two cores that also run what was killed to its end; one loop starts all"),
    Row("start", 10, 100, None, _STARTING),
    Row("start", 100, 150, None, _STARTING),
    Row("start", 1000, 800, None, _STARTING),
    Row("start", 5000),
    Row("stop", 10, 10, None, _LOOKS),
    Row("stop", 100, 30, None, _LOOKS),
    Row("stop", 1000, 150, None, _LOOKS),
    Row("stop", 5000),
    Row("update that adds", 500),
    Row("idle for 30 s: CPU", 1000, 0),
    Row("idle for 30 s: context switches", 1000, 0),
    Row("resident", 1, 22, None, _MEMORY),
    Row("proportional", 1, 12, None, _MEMORY),
    Row("resident", 1000, 28, None, _MEMORY + "; then 8 to 10 KiB for each program"),
    Row("proportional", 1000, 17, None, _MEMORY + "; then 8 to 10 KiB for each program"),
    Row("log, big writes", 0, 1500, None, "the copies into and out of the kernel; see the profile"),
    Row("log, big writes: CPU", 0, 0.55, None, "the same"),
    Row("log, a write per line", 0, 250, None, "the writer: a system call for each 128 bytes"),
    Row("log, a write per line: CPU", 0, 0.4, None, "many short reads; see the profile"),
    Row("log, 20 writers", 0),
    Row("log, 20 writers: CPU", 0),
    Row("log, rotation", 0),
    Row("log, rotation: CPU", 0),
    Row("journal, a write per line: sum", 0),
    Row("journal, 40 lines a write: sum", 0),
    Row("status", 1, 20, None, _INTERPRETER),
    Row("status", 100, 22, None, _INTERPRETER),
    Row("status", 1000, 35, None, _INTERPRETER + "; then 0.1 million instructions for each line"),
    Row("status, pip", 1),
    Row("status, pip", 1000),
    Row("getAllProcessInfo with", 100, 2500, None, "XML of 100 processes, from kept pieces"),
    Row("re-exec with", 1000),
    Row("crash to adopted, with", 1000),
)  # fmt: skip
"""In the order of the table."""


def tables(results: Results) -> str:
    """Return what a run says, as Markdown."""
    return "\n".join([*_run(results), *_budget(results), *_missed(results), *_growth(results),
                      *_skips(results)]) + "\n"  # fmt: skip


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
    heads = ("figure", "sdsuper (min..max)", "p99", "Supervisor", "ratio", "best peer", "floor")
    yield f"| {' | '.join(heads)} | budget | |"
    yield "|---" * (len(heads) + 2) + "|"
    for row in ROWS:
        figure = results.find(row.figure, row.size)
        ours = results.spread(figure, OURS) if figure else None
        if figure is None or ours is None:
            continue
        spread = f"{number(ours.least)}..{number(ours.most)}"
        cells = [
            figure.label,
            f"{number(ours.median)} ({spread})",
            number(ours.p99) if "killed to replaced" in figure.name else "",
            _cell(results, figure, _SUPERVISOR),
            _ratio(results, figure),
            _best(results, figure),
            _cell(results, figure, FLOOR),
            _promise(row),
            "" if row.budget is None else "missed" if is_missed(row, results) else "met",
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _cell(results: Results, figure: Figure, peer: str) -> str:
    found = results.spread(figure, peer)
    return number(found.median) if found else "-"


def _ratio(results: Results, figure: Figure) -> str:
    ours, theirs = results.spread(figure, OURS), results.spread(figure, _SUPERVISOR)
    return part(ours.median, theirs.median) if ours and theirs else "-"


def _best(results: Results, figure: Figure) -> str:
    """Return the best of the others: who, and how much."""
    found = {
        peer: spread.median
        for peer in results.titles
        if peer not in (OURS, FLOOR) and (spread := results.spread(figure, peer))
    }
    if not found:
        return "-"
    best = (max if figure.more_is_better else min)(found, key=lambda peer: found[peer])
    return f"{best} {number(found[best])}"


def _promise(row: Row) -> str:
    budget = "" if row.budget is None else number(row.budget)
    return f"{budget} / {number(row.p99)}" if row.p99 is not None else budget


def is_missed(row: Row, results: Results) -> bool:
    """Whether a row's budget is not kept to."""
    figure = results.find(row.figure, row.size)
    ours = results.spread(figure, OURS) if figure else None
    if figure is None or ours is None or row.budget is None:
        return False
    if figure.more_is_better:
        return ours.median < row.budget
    return ours.median > row.budget or (row.p99 is not None and ours.p99 > row.p99)


def _missed(results: Results) -> Iterator[str]:
    missed = [row for row in ROWS if is_missed(row, results)]
    if missed:
        yield "What bounds the rows that miss their budget:"
        yield ""
        for row in missed:
            figure = results.find(row.figure, row.size)
            assert figure
            yield f"- **{figure.label}**: {row.bound}."
        yield ""


def _growth(results: Results) -> Iterator[str]:
    grown = {(it.name, it.peer): it for it in growths(results)}
    names = list(dict.fromkeys(name for name, _ in grown))
    if not names:
        return
    peers = [peer for peer in results.titles if any((name, peer) in grown for name in names)]
    yield "How figures grow with the number N of programs: as N to the power of"
    yield ""
    yield f"| figure | {' | '.join(peers)} |"
    yield "|---|" + "---|" * len(peers)
    for name in names:
        cells = [
            f"{grown[name, peer].exponent:.2f}" if (name, peer) in grown else "-" for peer in peers
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _skips(results: Results) -> Iterator[str]:
    ours = [skip for skip in results.skips if skip.peer == OURS]
    for skip in ours:
        yield f"Not measured: {skip.metric}: {skip.reason}."
    if ours:
        yield ""


def limits() -> str:
    """Return the table of what is counted, as Markdown."""
    rows = [f"| {limit.name} | {limit.most:g} | {limit.reason} |" for limit in LIMITS]
    return "\n".join(["| count | at most | what is in it |", "|---|---|---|", *rows]) + "\n"
