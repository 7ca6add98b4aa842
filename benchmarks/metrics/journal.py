"""What a line costs on its way to the journal: through sdsuper, and from a unit of its own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.metrics.registry import Scope, Turn, metric
from benchmarks.peers import OURS
from benchmarks.peers.units import Units
from benchmarks.worker import NotMeasuredError, WrongResultError
from tests.system.container import SUITES, Container, can_boot
from tests.system.sources import UNIT, service_machine

_WRITER = """\
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
_PROGRAM = """\
[program:{name}]
command=python3 /srv/writer.py {lines} {batch}
stdout_logfile=journal
autostart=false
autorestart=false
startsecs=0
"""
_KINDS = {"single": ("a write per line", 1), "many": ("40 lines a write", 40)}
"""Name of the program -> how it is called in figures, lines per write."""

_numbers = itertools.count(1)


class _Cost(NamedTuple):
    """CPU time for one line, microseconds."""

    writer: float
    daemon: float
    journald: float


@metric("journal", Scope.PEER, peers=(OURS, Units.name), once=True)
def journal(turn: Turn) -> None:
    """CPU time for a line of 100 bytes on its way to journald: the writer's, ours, journald's."""
    if not can_boot():
        raise NotMeasuredError("as root, run scripts/prepare tests")
    with _machine(turn.effort.journal_lines) as machine:
        for kind, (name, _) in _KINDS.items():
            cost = _cost(turn, machine, kind)
            for part, value in cost._asdict().items():
                turn.add(f"journal, {name}: {part}", "us/line", value)
            turn.add(f"journal, {name}: sum", "us/line", sum(cost))


@contextlib.contextmanager
def _machine(lines: int) -> Iterator[Container]:
    programs = "".join(
        _PROGRAM.format(name=kind, lines=lines, batch=batch) for kind, (_, batch) in _KINDS.items()
    )
    with service_machine(SUITES[-1], programs) as machine:
        machine.write("/srv/writer.py", _WRITER)
        machine.systemctl("start", UNIT)
        yield machine


def _cost(turn: Turn, machine: Container, kind: str) -> _Cost:
    """Write all lines once, look that they are all there; return what one costs."""
    lines = turn.effort.journal_lines
    pids = [machine.show(unit, "MainPID") for unit in (UNIT, "systemd-journald")]
    before = [_cpu(machine, pid) for pid in pids]
    by = _by_sdsuper if turn.peer.name == OURS else _by_unit
    match = by(machine, kind, lines)
    wanted = [f"{number:099d}" for number in range(lines)]
    machine.wait(lambda: _found(machine, match)[-1:] == wanted[-1:], "the last line", 120)
    found = _found(machine, match)
    if found != wanted:
        raise WrongResultError(f"{len(found)} of {lines} lines are in the journal, or in disorder")
    daemon, journald = (_cpu(machine, pid) - since for pid, since in zip(pids, before, strict=True))
    writer = float(machine.read("/srv/writer"))
    return _Cost(*(each / lines * 1e6 for each in (writer, daemon, journald)))


def _found(machine: Container, match: str) -> list[str]:
    machine.run("journalctl", "--sync")
    words = (match, "_TRANSPORT=journal", "_TRANSPORT=stdout", "PRIORITY=6")
    text = machine.run("journalctl", "-q", "-o", "cat", *words).stdout
    return [line for line in text.splitlines() if line[:1] == "0"]


def _cpu(machine: Container, pid: str) -> float:
    """Return the CPU seconds of a process that has one thread."""
    return int(machine.run("cat", f"/proc/{pid}/schedstat").stdout.split()[0]) / 1e9


def _by_sdsuper(machine: Container, kind: str, lines: int) -> str:
    machine.run("sdsuperctl", "start", kind)
    machine.wait(
        lambda: "EXITED" in machine.run("sdsuperctl", "status", kind, check=False).stdout,
        f"{kind} has exited",
        120,
    )
    invocation = machine.run(
        "journalctl", "-q", "-o", "cat", "-n", "1", "--output-fields=SDSUPER_INVOCATION",
        "-t", kind,
    ).stdout  # fmt: skip
    return f"SDSUPER_INVOCATION={invocation.strip()}"


def _by_unit(machine: Container, kind: str, lines: int) -> str:
    unit = f"plain{next(_numbers)}.service"
    words = ("python3", "/srv/writer.py", str(lines), str(_KINDS[kind][1]))
    machine.run("systemd-run", "-q", "--wait", f"--unit={unit}", *words)
    return f"_SYSTEMD_UNIT={unit}"
