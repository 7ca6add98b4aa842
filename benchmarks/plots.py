"""Results as pictures, SVG."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers import PEERS
from benchmarks.results import Figure, Results

_COLOURS = {
    "sdsuper": "#0b6e4f",
    "supervisor": "#c8553d",
    "runit": "#3d5a80",
    "s6": "#98c1d9",
    "circus": "#e0a458",
    "systemd": "#6d597a",
    "bare": "#bbbbbb",
}


class Picture(NamedTuple):
    """One file.

    Attributes:
        name: Of the file.
        title: Over it.
        figures: The names of the figures, a panel for each.
    """

    name: str
    title: str
    figures: tuple[str, ...]


GROWTH = (
    Picture("growth", "with N programs", ("start", "stop", "status", "resident", "proportional")),
)
"""Lines: a figure over the number of programs."""

BARS = (
    Picture(
        "restart",
        "killed to replaced: the median, and the worst",
        (
            "killed to replaced, alone",
            "killed to replaced, among",
            "killed to replaced under a log flood, among",
        ),
    ),
    Picture(
        "log",
        "output into files",
        ("log, big writes", "log, a write per line", "log, 20 writers", "log, rotation"),
    ),
)
"""Bars: a figure of each peer."""


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what there are values for; return the files."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same values give the same file.
    mpl.rcParams.update({"svg.hashsalt": "sdsuper", "font.size": 8, "axes.spines.top": False,
                         "axes.spines.right": False, "svg.fonttype": "none"})  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for pictures, panel in ((GROWTH, _lines), (BARS, _bars)):
        for picture in pictures:
            panels = [found for name in picture.figures if (found := _find(results, name))]
            if panels:
                made.append(_picture(results, picture, panels, panel, folder))
    return made


def _find(results: Results, name: str) -> list[Figure]:
    return sorted(figure for figure in results.values if figure.name == name)


def _picture(
    results: Results, picture: Picture, panels: list[list[Figure]], panel: Any, folder: Path
) -> Path:
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    drawing, axes = plt.subplots(1, len(panels), figsize=(2.6 * len(panels), 2.8), squeeze=False)
    for axis, figures in zip(axes[0], panels, strict=True):
        panel(axis, results, figures)
    handles = [Patch(color=_COLOURS[peer]) for peer in PEERS if peer in results.titles]
    labels = [peer for peer in PEERS if peer in results.titles]
    drawing.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    drawing.suptitle(picture.title)
    drawing.tight_layout(rect=(0, 0.08, 1, 1))
    path = folder / f"{picture.name}.svg"
    drawing.savefig(path, metadata={"Date": None})
    plt.close(drawing)
    return path


def _lines(axis: Any, results: Results, figures: list[Figure]) -> None:
    for peer in results.titles:
        points = [
            (figure.size, statistics.median(values))
            for figure in figures
            if (values := results.values[figure].get(peer))
        ]
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, color=_COLOURS[peer])
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_title(f"{figures[0].name} [{figures[0].unit}]")


def _bars(axis: Any, results: Results, figures: list[Figure]) -> None:
    figure = figures[-1]  # the greatest size
    peers = [peer for peer in results.titles if peer in results.values[figure]]
    found = [results.spread(figure, peer) for peer in peers]
    medians = [it.median if it else math.nan for it in found]
    most = [it.most if it else math.nan for it in found]
    axis.bar(peers, medians, color=[_COLOURS[peer] for peer in peers])
    if not figure.more_is_better:
        axis.scatter(peers, most, marker="_", color="black", linewidths=1)
        axis.set_yscale("log")
    axis.set_xticks([])
    size = f" {figure.size}" if figure.size else ""
    axis.set_title(f"{figure.name}{size} [{figure.unit}]".replace(" under", "\nunder"))
