"""The page on performance shows what was measured, and what counts are held to."""

from __future__ import annotations

import cProfile
import re
import textwrap
from pathlib import Path

from benchmarks.budget import GROWTHS, ROWS, SUPERVISOR, Growing, Row, Verdict
from benchmarks.page import tables
from benchmarks.profiles import Profile, read, shares, table, write
from benchmarks.results import Figure, Results, growths
from docs.generate_performance import PAGE, PICTURES, page

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
    assert "| start, 100 [ms] | 110 (100..120) | 220 | 0.5 | s6 55 | 40 | 150 | met |" in tables(
        found
    )


def test_a_rate_is_better_when_it_is_more() -> None:
    row = Row("log", 0, 1500)
    assert row.judge(results("log", 0, "MB/s", sdsuper=[1400])) is Verdict.MISSED
    assert row.judge(results("log", 0, "MB/s", sdsuper=[1600])) is Verdict.MET


def test_a_single_slow_restart_misses_the_promise_of_the_99th_percentile() -> None:
    row = Row("killed", 0, 2.5, 10)
    assert row.judge(results("killed", 0, "ms", sdsuper=[1, 2, 9])) is Verdict.MET
    assert row.judge(results("killed", 0, "ms", sdsuper=[1, 2, 11])) is Verdict.MISSED


def test_less_than_the_budget_may_still_be_more_than_a_peer() -> None:
    row = Row("resident", 1, 22, beats=SUPERVISOR)
    for theirs, verdict in ((24, Verdict.MET), (20, Verdict.MISSED)):
        assert (
            row.judge(results("resident", 1, "MiB", sdsuper=[21], supervisor=[theirs])) is verdict
        )


def test_each_promise_is_in_the_table_measured_or_not() -> None:
    shown = tables(results("start", 10, "ms", sdsuper=[100]))
    assert (
        shown.count(f" {Verdict.UNKNOWN.value} |")
        == sum(row.budget is not None for row in ROWS) - 1
    )


def test_growth_is_held_to_its_limit() -> None:
    found = results("start", 10, "ms", sdsuper=[10], bare=[5])
    for size, took in ((100, 100), (1000, 2000)):
        found.add(Figure("start", size, "ms"), "sdsuper", took)
        found.add(Figure("start", size, "ms"), "bare", 5)
    shown = next(line for line in tables(found).splitlines() if line.startswith("| start | "))
    assert shown.startswith("| start | 1.15 | 0.00 | 1 | missed |")


def test_what_is_always_nothing_does_not_grow() -> None:
    found = results("idle", 10, "ms", sdsuper=[0])
    for size in (100, 1000):
        found.add(Figure("idle", size, "ms"), "sdsuper", 0.0)
    (growth,) = growths(found)
    assert Growing("idle", 0.0, "").judge(growth) is Verdict.MET


def test_each_growth_is_of_a_figure_of_the_table() -> None:
    assert {growing.figure for growing in GROWTHS} <= {row.figure for row in ROWS}


def test_what_bounds_a_missed_row_is_said() -> None:
    found = results("status", 1, "ms", sdsuper=[30])
    (row,) = (row for row in ROWS if (row.figure, row.size) == ("status", 1))
    assert f"- **status, 1 [ms]**: {row.bound}." in tables(found)


def test_each_promise_says_what_bounds_it() -> None:
    assert all(row.bound for row in ROWS if row.budget), "rows whose budget may be missed"


def test_the_pictures_that_the_page_shows_are_there() -> None:
    shown = re.findall(r"\(performance/(.+?)\)", PAGE.read_text(encoding="utf-8"))
    assert shown
    assert sorted(shown) == sorted(path.name for path in PICTURES.iterdir())


PROFILE = Profile(10.0, 0.25, None, {"core/process": 0.5, "posix.write": 0.125})


def test_a_profile_is_a_row() -> None:
    shown = table({"stop": PROFILE}).splitlines()
    assert shown[2].startswith(
        "| the stop of 1000 | 10 | 25% | `core/process` 50%, `posix.write` 12%"
    )
    assert shown[0].count("|") == shown[2].count("|") == 6


def test_an_older_version_has_a_column_where_one_was_measured() -> None:
    shown = table({"stop": PROFILE._replace(before=20.0), "restart": PROFILE}).splitlines()
    assert [line.split(" | ")[2] for line in shown[2:]] == ["-", "20"]


def test_work_that_is_profiled_again_leaves_the_rest_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    write(file, {"stop": PROFILE, "start": PROFILE})
    write(file, {"stop": PROFILE._replace(kernel=0.5)})
    assert read(file) == {"stop": PROFILE._replace(kernel=0.5), "start": PROFILE}


def test_shares_are_of_modules_and_of_what_is_no_python(tmp_path: Path) -> None:
    profile = cProfile.Profile()
    profile.runcall(lambda: [textwrap.dedent(" x" * 20_000) for _ in range(3)])
    profile.dump_stats(tmp_path / "profile")
    found = shares(tmp_path / "profile")
    assert set(found) & {"textwrap", "method 'sub' of 're.Pattern' objects"}
    assert 0 < sum(found.values()) <= 1
