"""The benchmark: `python -m benchmarks`, or `make bench ARGS=...`.

Machines are noisy and differ: read the ratios, and what the run says of the noise. It checks its
own work: every program is up, every line is there; else it says so and ends with 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.metrics import EFFORTS, METRICS, Effort
from benchmarks.peers import PEERS
from benchmarks.results import Results
from benchmarks.runner import FLEETS, Choice, run


def main(words: Sequence[str] | None = None) -> int:
    """Run it; return the exit status."""
    options = _parser().parse_args(words)
    if options.list:
        _list()
        return 0
    if options.read:
        results = Results.read(options.read)
    else:
        results = run(Choice(_effort(options), options.peers, options.metrics, _say))
    print(report.show(results), end="")
    if options.json:
        options.json.write_text(results.to_json(), encoding="utf-8")
    if options.plot:
        from benchmarks import plots

        plots.draw(results, options.plot)
    return 1 if results.wrong else 0


def _parser() -> argparse.ArgumentParser:
    assert __doc__
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--effort", choices=EFFORTS, default="quick", help="how much work")
    parser.add_argument(
        "--peers", type=_names([*PEERS]), default=[*PEERS], help=f"of {', '.join(PEERS)}"
    )
    known = [FLEETS, *METRICS]
    parser.add_argument(
        "--metrics", type=_names(known), default=known, help="some only: see --list"
    )
    parser.add_argument("--sizes", type=_sizes, help="with how many programs: 1,100,1000")
    parser.add_argument("--rounds", type=int, help="how often each peer has its turn")
    parser.add_argument("--list", action="store_true", help="show the metrics and the peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw pictures there")
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="measure nothing: show what --json has written"
    )
    return parser


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a converter of lists of names with commas, `-NAME` for all but one."""

    def convert(text: str) -> list[str]:
        words = text.split(",")
        unknown = {word.removeprefix("-") for word in words} - set(known)
        if unknown:
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}"
            )
        without = {word[1:] for word in words if word.startswith("-")}
        named = [word for word in words if not word.startswith("-")] or known
        return [name for name in known if name in named and name not in without]

    return convert


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted(map(int, text.split(","))))
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError("there is no fleet without a program")
    return sizes


def _effort(options: argparse.Namespace) -> Effort:
    effort = EFFORTS[options.effort]
    return replace(
        effort, rounds=options.rounds or effort.rounds, sizes=options.sizes or effort.sizes
    )


def _list() -> None:
    print(f"{FLEETS:14} From the command to the last exec of a fleet; from the stop to its end.")
    for metric in METRICS.values():
        print(f"{metric.name:14} {metric.help}")
    print()
    for peer in PEERS.values():
        reason = peer.missing()
        print(f"{peer.name:14} {peer.title}{f' (not here: {reason})' if reason else ''}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
