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


_PANEL_WIDTH = 2.8  # inches, as are all lengths
_LEAST_WIDTH = 4.8  # of the legend


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
    Picture("start", "start and stop of N programs", ("start", "stop")),
    Picture("status", "status of N programs", ("status",)),
    Picture("memory", "memory with N programs", ("resident", "proportional")),
)
"""Lines: a figure over the number of programs."""

DISTRIBUTIONS = (
    Picture(
        "restart",
        "killed to replaced: the share of restarts that took no longer",
        (
            "killed to replaced, alone",
            "killed to replaced, among",
            "killed to replaced under a log flood, among",
        ),
    ),
)
"""Lines: the share of values that are no greater."""

BARS = (
    Picture(
        "log",
        "output into files",
        ("log, big writes", "log, a write per line", "log, 20 writers", "log, rotation"),
    ),
)
"""Bars: a figure of each peer."""

PICTURES = (*GROWTH, *DISTRIBUTIONS, *BARS)


def drawable(results: Results) -> list[Picture]:
    """Return the pictures that there are values for."""
    names = {figure.name for figure in results.values}
    return [picture for picture in PICTURES if names.intersection(picture.figures)]


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what there are values for; return the files."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same values give the same file.
    mpl.rcParams.update({"svg.hashsalt": "sdsuper", "font.size": 8, "axes.spines.top": False,
                         "axes.spines.right": False, "svg.fonttype": "none"})  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for pictures, panel in ((GROWTH, _lines), (DISTRIBUTIONS, _shares), (BARS, _bars)):
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

    width = max(_LEAST_WIDTH, _PANEL_WIDTH * len(panels))
    drawing, axes = plt.subplots(1, len(panels), figsize=(width, 2.8), squeeze=False)
    for axis, figures in zip(axes[0], panels, strict=True):
        panel(axis, results, figures)
    handles = [Patch(color=_COLOURS[peer]) for peer in PEERS if peer in results.titles]
    labels = [peer for peer in PEERS if peer in results.titles]
    drawing.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    drawing.suptitle(picture.title)
    drawing.tight_layout(rect=(0, 0.08, 1, 1))
    path = folder / f"{picture.name}.svg"
    drawing.savefig(path, metadata={"Date": None, "Creator": None})
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


def _shares(axis: Any, results: Results, figures: list[Figure]) -> None:
    figure = _middle(figures)
    for peer in results.titles:
        if values := sorted(results.values[figure].get(peer, ())):
            shares = [(at + 1) / len(values) for at in range(len(values))]
            axis.step(values, shares, where="post", color=_COLOURS[peer], linewidth=1.2)
    axis.set_xscale("log")
    axis.set_ylim(0, 1.03)
    axis.set_title(_title(figure))


def _middle(figures: list[Figure]) -> Figure:
    """Return the size that the budget is about, else the greatest."""
    return next((figure for figure in figures if figure.size == 100), figures[-1])


def _title(figure: Figure) -> str:
    size = f" {figure.size}" if figure.size else ""
    return f"{figure.name}{size} [{figure.unit}]".replace(" under", "\nunder")


def _bars(axis: Any, results: Results, figures: list[Figure]) -> None:
    figure = figures[-1]  # the greatest size
    peers = [peer for peer in results.titles if peer in results.values[figure]]
    found = [results.spread(figure, peer) for peer in peers]
    axis.bar(
        peers, [it.median if it else math.nan for it in found], color=[_COLOURS[it] for it in peers]
    )
    axis.set_xticks([])
    axis.set_title(_title(figure))
