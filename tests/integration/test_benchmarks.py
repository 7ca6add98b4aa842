"""The benchmark does what it says, on work that is too small for figures worth anything."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import guard
from benchmarks.__main__ import main
from benchmarks.metrics import METRICS
from benchmarks.results import Figure, Results, growths, spread
from benchmarks.worker import (
    FLOOD_LINE_BYTES,
    NotMeasuredError,
    WrongResultError,
    check_lines,
    compile_worker,
)

QUIET = {
    "load before": 0.0,
    "spin ms, median": 5.0,
    "spin ms, 90th percentile": 5.1,
    "spin ms, most": 5.2,
    "stolen": 0.0,
    "idle": 0.9,
}
ROOT = Path(__file__).parents[2]
PEERS = ("sdsuper", "supervisor", "runit", "s6", "circus", "bare")
WRITERS_OF_LOGS = ("sdsuper", "runit", "s6", "circus")
LOGS = ("log-lines", "log-writers", "log-rotation")


def run(folder: Path, peers: Sequence[str], metrics: Sequence[str]) -> Results:
    """Run the command as `make bench` does; nothing may be wrong."""
    file = folder / "results.json"
    words = ["--effort", "smoke", "--json", str(file), "--peers", ",".join(peers)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words, "--metrics", ",".join(metrics)],
        cwd=ROOT, capture_output=True, check=False, encoding="utf-8", timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return Results.read(file)


def measured(results: Results, name: str, size: int) -> set[str]:
    """Return the peers that have a figure."""
    figure = results.find(name, size)
    return set(results.values[figure]) if figure else set()


@pytest.mark.bench_peers
def test_a_fleet_of_each_peer_is_started_measured_and_stopped(tmp_path: Path) -> None:
    results = run(tmp_path, PEERS, ["fleets", "memory", "idle", "status", "rpc"])
    for name in ("start", "stop", "status", "resident", "idle for 30 s: CPU"):
        assert measured(results, name, 3) == set(PEERS)
    assert measured(results, "getAllProcessInfo with", 3) == {"sdsuper", "supervisor", "bare"}
    assert results.noise["spin ms, median"] > 0


@pytest.mark.bench_peers
def test_every_line_of_each_peer_is_found_in_its_log(tmp_path: Path) -> None:
    results = run(tmp_path, WRITERS_OF_LOGS, LOGS)
    assert measured(results, "log, 20 writers", 0) == set(WRITERS_OF_LOGS)
    assert not results.skips


def test_kills_and_updates_are_measured(tmp_path: Path) -> None:
    results = run(tmp_path, ["sdsuper", "bare"], ["alone", "restart", "update", "reexec"])
    assert measured(results, "killed to replaced, alone", 0) == {"sdsuper", "bare"}
    assert measured(results, "killed to replaced, among", 3) == {"sdsuper", "bare"}
    assert measured(results, "update that adds", 5) == {"sdsuper"}
    assert {skip.metric for skip in results.skips} <= {"update", "reexec"}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled worker."""
    return compile_worker(tmp_path_factory.mktemp("worker"))


def lines(numbers: Sequence[int]) -> bytes:
    """Return lines as the worker writes them."""
    return b"".join(b"%010d".ljust(FLOOD_LINE_BYTES - 6, b"x") % n + b"\n" for n in numbers)


def test_lines_are_counted_across_files(worker: Path, tmp_path: Path) -> None:
    files = [tmp_path / "older", tmp_path / "newer"]
    whole = lines(range(10))
    assert len(whole) == 10 * FLOOD_LINE_BYTES
    files[0].write_bytes(whole[:300])
    files[1].write_bytes(whole[300:])
    assert check_lines(worker, files, FLOOD_LINE_BYTES) == 10


@pytest.mark.parametrize("numbers", [(0, 1, 3), (0, 1, 1, 2), (1, 0)])
def test_a_line_that_is_lost_or_twice_there_is_seen(
    worker: Path, tmp_path: Path, numbers: Sequence[int]
) -> None:
    file = tmp_path / "log"
    file.write_bytes(lines(numbers))
    with pytest.raises(WrongResultError, match="log"):
        check_lines(worker, [file], FLOOD_LINE_BYTES)


def test_results_survive_their_file() -> None:
    results = Results(about={"cores": "2"}, titles={"bare": "floor"}, noise={"stolen": 0.5})
    results.add(Figure("start", 10, "ms"), "bare", 1.5)
    assert Results.from_json(results.to_json()) == results


def test_the_99th_percentile_is_a_value_that_was_seen() -> None:
    assert spread([float(number) for number in range(1, 201)]) == (100.5, 1, 200, 198)
    assert spread([3.0, 1.0]).p99 == 3


def test_what_doubles_with_the_programs_grows_with_their_first_power() -> None:
    results = Results()
    for size in (1, 10, 100, 1000):
        results.add(Figure("start", size, "ms"), "bare", 5.0 * size)
    (growth,) = growths(results)
    assert (round(growth.exponent, 6), growth.sizes) == (1, (10, 100, 1000))


def test_pictures_are_drawn(tmp_path: Path) -> None:
    results = Results(titles={"sdsuper": "ours", "bare": "floor"}, noise=QUIET)
    for size in (10, 100):
        for peer in results.titles:
            results.add(Figure("start", size, "ms"), peer, float(size))
            results.add(Figure("killed to replaced, among", size, "ms"), peer, 2.0)
    file = tmp_path / "results.json"
    file.write_text(results.to_json())
    assert main(["--read", str(file), "--plot", str(tmp_path)]) == 0
    made = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
    assert set(made) == {"start.svg", "restart.svg"}
    assert "start [ms]" in made["start.svg"]
    assert main(["--read", str(file), "--plot", str(tmp_path / "again")]) == 0
    assert made == {path.name: path.read_text() for path in (tmp_path / "again").iterdir()}


def python(script: str, *words: str) -> str:
    """Run a script that has the benchmark's modules; return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=ROOT, capture_output=True, check=False, encoding="utf-8", timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_lasts_too_long_is_given_up() -> None:
    with pytest.raises(NotMeasuredError, match="not over within"), guard.limit(0.01):
        signal.pause()


def test_what_loses_its_parent_is_killed_at_the_end() -> None:
    pid = python(
        """
import subprocess
from benchmarks.guard import cleaned
with cleaned():
    subprocess.run(["sh", "-c", "sleep 1000 >&- 2>&- & echo $!"], check=True)
"""
    )
    assert not Path(f"/proc/{int(pid)}").exists()


def test_a_run_that_is_told_to_end_leaves_nothing_and_shows_what_it_has() -> None:
    told = """
import os, signal, sys
from benchmarks.__main__ import main
from benchmarks.metrics import METRICS, Scope
from benchmarks.metrics.registry import metric

@metric("end", Scope.FLEET)
def end(turn, fleet):
    "End the run."
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()

print(main(["--effort", "smoke", "--peers", "bare", "--metrics", "fleets,end", "--sizes", "1,2"]))
"""
    shown = python(told)
    assert "cut short by a signal" in shown
    assert "start, 1 [ms]" in shown
    assert "start, 2 [ms]" not in shown


def test_a_peer_that_fails_costs_its_own_cells_alone() -> None:
    broken = """
import sys
from benchmarks.__main__ import main
from benchmarks.peers import PEERS
from benchmarks.peers.bare import Bare

class Broken(Bare):
    name = "broken"
    def write(self, programs):
        raise KeyError("nothing is known of this")

PEERS["broken"] = Broken
print(main(["--effort", "smoke", "--peers", "broken,bare", "--metrics", "fleets,alone"]))
"""
    shown = python(broken)
    assert "fleets (broken 3): WRONG: KeyError: 'nothing is known of this'" in shown
    assert "alone (broken): WRONG" in shown
    assert "start, 3 [ms]\n  bare" in shown
    assert shown.endswith("\n1\n"), "the status tells it"


def test_an_unknown_metric_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--metrics", "startt"])
    assert f"startt: not one of fleets, {next(iter(METRICS))}" in capsys.readouterr().err
