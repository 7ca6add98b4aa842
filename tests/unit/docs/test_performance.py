"""The page on performance shows what was measured, and what counts are held to."""

from __future__ import annotations

from benchmarks.budget import ROWS, Row, is_missed, tables
from benchmarks.results import Figure, Results
from docs.generate_performance import PAGE, page

NOISE = {
    "load before": 0.0,
    "spin ms, median": 5.0,
    "spin ms, 90th percentile": 5.1,
    "spin ms, most": 5.2,
    "stolen": 0.0,
    "idle": 0.9,
}
ABOUT = dict.fromkeys(("rounds", "Python", "kernel", "cores", "command"), "?")


def results(name: str, size: int, unit: str, **values: list[float]) -> Results:
    made = Results(about=ABOUT, titles=dict.fromkeys(values, "it"), noise=NOISE)
    for peer, each in values.items():
        for value in each:
            made.add(Figure(name, size, unit), peer, value)
    return made


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run make docs"


def test_a_row_shows_us_beside_the_others() -> None:
    found = results(
        "start", 100, "ms", sdsuper=[100, 120, 110], supervisor=[220], s6=[55], bare=[40]
    )
    assert "| start, 100 [ms] | 110 (100..120) |  | 220 | 0.5 | s6 55 | 40 | 150 | met |" in tables(
        found
    )


def test_a_rate_is_better_when_it_is_more() -> None:
    row = Row("log", 0, 1500)
    assert is_missed(row, results("log", 0, "MB/s", sdsuper=[1400]))
    assert not is_missed(row, results("log", 0, "MB/s", sdsuper=[1600]))


def test_a_single_slow_restart_misses_the_promise_of_the_99th_percentile() -> None:
    row = Row("killed", 0, 2.5, 10)
    assert not is_missed(row, results("killed", 0, "ms", sdsuper=[1, 2, 9]))
    assert is_missed(row, results("killed", 0, "ms", sdsuper=[1, 2, 11]))


def test_what_bounds_a_missed_row_is_said() -> None:
    found = results("status", 1, "ms", sdsuper=[30])
    (row,) = (row for row in ROWS if (row.figure, row.size) == ("status", 1))
    assert f"- **status, 1 [ms]**: {row.bound}." in tables(found)


def test_each_promise_says_what_bounds_it() -> None:
    assert all(row.bound for row in ROWS if row.budget), "rows whose budget may be missed"
