"""The same work through sdsuper and through Supervisor, interleaved in one run.

    .venv/bin/python -m benchmarks.compare [--rounds N] [--programs N] [--json FILE]

Machines are noisy and differ: read the ratios, not the figures. Each figure is the median of the
rounds, with the least and the greatest. The run checks its own results: all programs came up,
each killed child was replaced, no byte of log was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.harness import BIN, PEERS, Daemon, wait_until

PAIR = OURS, PEER = "sdsuper", "supervisor"
QUIET_SECONDS = 5.0
LOG_BYTES = 200 * 1024 * 1024


@dataclass
class Metric:
    """One figure, measured for each peer in each round."""

    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, peer: str, value: float) -> None:
        self.values.setdefault(peer, []).append(value)

    def median(self, peer: str) -> float:
        return statistics.median(self.values[peer])


def sleepers(count: int) -> str:
    return (
        f"[program:s]\ncommand=sleep 100000\nnumprocs={count}\nstdout_logfile=NONE\n"
        "stderr_logfile=NONE\nprocess_name=%(program_name)s_%(process_num)05d\n"
        "autorestart=true\nstartsecs=0\n"
    )


def is_exec_done(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/exe").endswith("sleep")
    except OSError:
        return False


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(each) for each in re.findall(r"ctxt_switches:\t(\d+)", text))


def memory(pid: int, kind: str) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def daemon_with(peer: str, programs: str) -> Iterator[Daemon]:
    with Daemon(programs, peer=peer, may_leave=True, settings="minfds=15000") as daemon:
        yield daemon


def measure_many(peer: str, count: int, add: Callable[[str, str, float], None]) -> None:
    """Start, idle, status, kills, stop: all with `count` programs."""
    begun = time.monotonic()
    with daemon_with(peer, sleepers(count)) as daemon:
        wait_until(lambda: sum(map(is_exec_done, children(daemon.pid))) == count, 120, "all are up")
        add(f"start {count}", "ms", (time.monotonic() - begun) * 1000)
        add(f"resident, {count}", "MiB", memory(daemon.pid, "Rss"))
        add(f"proportional, {count}", "MiB", memory(daemon.pid, "Pss"))
        daemon.rpc("close")()
        time.sleep(1.5)  # what follows a start (RUNNING, closing connections) is not idleness
        before = cpu_seconds(daemon.pid), switches(daemon.pid)
        time.sleep(QUIET_SECONDS)
        add(f"idle CPU, {count}", "ms", (cpu_seconds(daemon.pid) - before[0]) * 1000)
        add(f"idle switches, {count}", "", switches(daemon.pid) - before[1])
        measure_status(peer, daemon, count, add)
        measure_rpc(daemon, peer, count, add)
        measure_kills(peer, daemon, count, add)
        begun = time.monotonic()
        daemon.terminate(300)
        add(f"stop {count}", "ms", (time.monotonic() - begun) * 1000)


def measure_status(
    peer: str, daemon: Daemon, count: int, add: Callable[[str, str, float], None]
) -> None:
    command = [str(BIN / PEERS[peer].client), "-c", str(daemon.ini), "status"]
    begun = time.monotonic()
    shown = subprocess.run(command, check=False, capture_output=True, text=True)
    add(f"status, {count}", "ms", (time.monotonic() - begun) * 1000)
    assert shown.stdout.count("RUNNING") == count, shown.stdout[-500:]


def measure_rpc(
    daemon: Daemon, peer: str, count: int, add: Callable[[str, str, float], None]
) -> None:
    calls = max(3, 2000 // count)
    begun = time.monotonic()
    for _ in range(calls):
        daemon.rpc.supervisor.getState()
    add(f"getState, {count}", "calls/s", calls / (time.monotonic() - begun))


def measure_kills(
    peer: str, daemon: Daemon, count: int, add: Callable[[str, str, float], None]
) -> None:
    for _ in range(3):
        known = set(children(daemon.pid))
        victim = min(known)
        begun = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        while not any(is_exec_done(each) for each in set(children(daemon.pid)) - known):
            if time.monotonic() - begun > 20:
                raise AssertionError("a killed child was not replaced")
        add(f"killed to replaced, {count}", "ms", (time.monotonic() - begun) * 1000)
    many = min(count, 100)
    victims = set(sorted(children(daemon.pid))[:many])
    begun = time.monotonic()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)

    def all_back() -> bool:
        alive = set(children(daemon.pid)) - victims
        return sum(map(is_exec_done, alive)) == count

    wait_until(all_back, 60, "all are back")
    add(f"{many} killed, all back, {count}", "ms", (time.monotonic() - begun) * 1000)


def measure_log(peer: str, kind: str, writer: str, add: Callable[[str, str, float], None]) -> None:
    with daemon_with(peer, "") as daemon:
        script = daemon.dir / "writer.py"
        script.write_text(writer)
        daemon.write(
            f"[program:w]\ncommand={sys.executable} -IS {script}\nautorestart=false\n"
            f"startsecs=0\nstdout_logfile={daemon.dir}/out\nstdout_logfile_maxbytes=0\n"
        )
        before = cpu_seconds(daemon.pid)
        begun = time.monotonic()
        daemon.run_ctl("update")
        out = daemon.dir / "out"
        wait_until(lambda: out.exists() and out.stat().st_size >= LOG_BYTES, 120, "all is written")
        elapsed = time.monotonic() - begun
        add(f"log, {kind}", "MB/s", LOG_BYTES / 1e6 / elapsed)
        add(f"log CPU, {kind}", "s/GB", (cpu_seconds(daemon.pid) - before) / (LOG_BYTES / 1e9))
        assert out.stat().st_size == LOG_BYTES


BIG_WRITES = f"import os\nfor _ in range({LOG_BYTES} // 65536): os.write(1, b'x' * 65536)\n"
LINES = (
    "import os\nline = b'x' * 127 + b'\\n'\n"
    f"for _ in range({LOG_BYTES} // 128): os.write(1, line)\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--no-log", action="store_true", help="leave the log figures out")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    options = parser.parse_args()
    metrics: dict[str, Metric] = {}
    for _ in range(options.rounds):
        for peer in PAIR:

            def add(name: str, unit: str, value: float, peer: str = peer) -> None:
                metrics.setdefault(name, Metric(unit)).add(peer, value)

            for count in options.programs:
                measure_many(peer, count, add)
            if not options.no_log:
                measure_log(peer, "big writes", BIG_WRITES, add)
                measure_log(peer, "a write per line", LINES, add)
    show(metrics)
    if options.json:
        options.json.write_text(
            json.dumps({name: {"unit": each.unit, **each.values} for name, each in metrics.items()})
        )


def show(metrics: dict[str, Metric]) -> None:
    print(f"{'figure':34} {'sdsuper (min..max)':>28} {'Supervisor (min..max)':>28} {'ratio':>7}")
    for name, metric in metrics.items():
        ours, theirs = metric.median(OURS), metric.median(PEER)
        ratio = f"{ours / theirs:.3f}" if theirs else "-"
        label = f"{name} [{metric.unit}]" if metric.unit else name
        cells = [
            f"{metric.median(peer):.1f} {spread(metric.values[peer])}" for peer in (OURS, PEER)
        ]
        print(f"{label:34} {cells[0]:>28} {cells[1]:>28} {ratio:>7}")


def spread(values: list[float]) -> str:
    return f"({min(values):.1f}..{max(values):.1f})"


if __name__ == "__main__":
    main()
