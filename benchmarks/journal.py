"""What a line costs on its way to the journal: through sdsuper, systemd-cat, and a plain unit.

    .venv/bin/python -m benchmarks.journal [--rounds N] [--lines N] [--suite NAME]

All three run in one booted container, interleaved, as root; each writes the same lines, a write
per line or a write of many. Measured is CPU time: of the writer, of the daemon, of journald.
Machines are noisy and differ: read the ratios. Each run checks that every line is in the journal.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.system.container import SUITES, Container
from tests.system.sources import UNIT, service_machine

WRITER = """\
import os, sys, time
count, batch = int(sys.argv[1]), int(sys.argv[2])
lines = [b"%099d\\n" % number for number in range(count)]
batches = [b"".join(lines[at:at + batch]) for at in range(0, count, batch)]
before = time.process_time()
for data in batches:
    while data:
        data = data[os.write(1, data):]
with open("/srv/writer", "w") as file:
    file.write(str(time.process_time() - before))
"""
PROGRAMS = """\
[program:single]
command=python3 /srv/writer.py {lines} 1
stdout_logfile=journal
autostart=false
autorestart=false
startsecs=0
[program:many]
command=python3 /srv/writer.py {lines} 40
stdout_logfile=journal
autostart=false
autorestart=false
startsecs=0
"""
KINDS = {"single": 1, "many": 40}
"""Name of the program -> lines per write."""

PEERS = ("sdsuper", "systemd-cat", "plain unit")


class Cost(NamedTuple):
    """CPU time for one line, microseconds."""

    writer: float
    daemon: float
    journald: float

    @property
    def total(self) -> float:
        return sum(self)


class Bench:
    """One machine, and the ways to the journal on it."""

    def __init__(self, machine: Container, lines: int) -> None:
        self._machine = machine
        self._lines = lines
        self._numbers = itertools.count(1)

    def cost(self, peer: str, kind: str) -> Cost:
        """Write all lines once; return what one costs."""
        run: Mapping[str, Callable[[str], str]] = {
            "sdsuper": self._by_sdsuper,
            "systemd-cat": self._by_systemd_cat,
            "plain unit": self._by_unit,
        }
        pids = [self._machine.show(unit, "MainPID") for unit in (UNIT, "systemd-journald")]
        before = [self._cpu(pid) for pid in pids]
        match = run[peer](kind)
        wanted = [f"{number:099d}" for number in range(self._lines)]
        self._machine.wait(lambda: self._found(match)[-1:] == wanted[-1:], f"{peer}: the end", 60)
        found = self._found(match)
        assert found == wanted, f"{peer}: {len(found)} lines, {sorted(set(wanted) ^ set(found))}"
        daemon, journald = (self._cpu(pid) - since for pid, since in zip(pids, before, strict=True))
        writer = float(self._machine.read("/srv/writer"))
        return Cost(*(each / self._lines * 1e6 for each in (writer, daemon, journald)))

    def _found(self, match: str) -> list[str]:
        self._machine.run("journalctl", "--sync")
        words = (match, "_TRANSPORT=journal", "_TRANSPORT=stdout", "PRIORITY=6")
        text = self._machine.run("journalctl", "-q", "-o", "cat", *words).stdout
        return [line for line in text.splitlines() if line[:1] == "0"]

    def _cpu(self, pid: str) -> float:
        """Return the CPU seconds of a process that has one thread."""
        text = self._machine.run("cat", f"/proc/{pid}/schedstat").stdout
        return int(text.split()[0]) / 1e9

    def _by_sdsuper(self, kind: str) -> str:
        machine = self._machine
        machine.run("sdsuperctl", "start", kind)
        machine.wait(
            lambda: "EXITED" in machine.run("sdsuperctl", "status", kind, check=False).stdout,
            f"{kind} has exited",
            120,
        )
        pid = machine.run(
            "journalctl", "-q", "-o", "cat", "-n", "1", "--output-fields=SDSUPER_INVOCATION",
            "-t", kind,
        ).stdout  # fmt: skip
        return f"SDSUPER_INVOCATION={pid.strip()}"

    def _writer(self, kind: str) -> tuple[str, ...]:
        return "python3", "/srv/writer.py", str(self._lines), str(KINDS[kind])

    def _by_systemd_cat(self, kind: str) -> str:
        tag = f"cat{next(self._numbers)}"
        self._machine.run("systemd-cat", "-t", tag, *self._writer(kind))
        return f"SYSLOG_IDENTIFIER={tag}"

    def _by_unit(self, kind: str) -> str:
        unit = f"plain{next(self._numbers)}.service"
        self._machine.run("systemd-run", "-q", "--wait", f"--unit={unit}", *self._writer(kind))
        return f"_SYSTEMD_UNIT={unit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--suite", choices=SUITES, default=SUITES[-1])
    options = parser.parse_args()
    costs: dict[tuple[str, str], list[Cost]] = {}
    with service_machine(options.suite, PROGRAMS.format(lines=options.lines)) as machine:
        machine.write("/srv/writer.py", WRITER)
        machine.systemctl("start", UNIT)
        bench = Bench(machine, options.lines)
        for _ in range(options.rounds):
            for kind in KINDS:
                for peer in PEERS:
                    costs.setdefault((kind, peer), []).append(bench.cost(peer, kind))
    show(costs)


def show(costs: Mapping[tuple[str, str], list[Cost]]) -> None:
    print("CPU us per line: medians (min..max of the sum)")
    for (kind, peer), found in costs.items():
        writer, daemon, journald = (
            statistics.median(values) for values in zip(*found, strict=True)
        )
        total = statistics.median(cost.total for cost in found)
        plain = statistics.median(cost.total for cost in costs[kind, PEERS[-1]])
        totals = [cost.total for cost in found]
        print(
            f"{KINDS[kind]:3} lines a write, {peer:12} writer {writer:5.1f}  daemon {daemon:5.1f}  "
            f"journald {journald:5.1f}  sum {total:5.1f} ({min(totals):.1f}..{max(totals):.1f})  "
            f"ratio {total / plain:.2f}"
        )


if __name__ == "__main__":
    main()
