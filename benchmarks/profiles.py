"""Where the time goes: of a restart, a start and a stop of many, a status, a gigabyte of log.

    .venv/bin/python -m benchmarks.profiles [restart start status log]

Each piece of work is done twice: as it is, for the CPU time and the kernel's part of it, and under
cProfile, for the shares of the CPU time. The profiler makes what Python calls look dearer than it
is, beside what the kernel does.
"""

from __future__ import annotations

import argparse
import os
import pstats
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.metrics.fleet import SETTLED, Fleet, prepared
from benchmarks.peers.base import Log, environment
from benchmarks.peers.ini import Sdsuper
from benchmarks.worker import FLOOD_LINE_BYTES, Kind, compile_worker

_SHOWN = 16
_SECONDS = 120.0
_GIGABYTE = 10**9
# Not work: waiting, and the frames around all.
_WAITING = ("method 'poll' of 'select.epoll'", "method 'recv' of '_socket", "select.select")
_RUN = """\
import cProfile, sys, time
{imports}
profile = cProfile.Profile(time.process_time)
try:
    profile.runcall({call})
finally:
    profile.dump_stats({file!r})
"""


class Spent(NamedTuple):
    """CPU time of a process.

    Attributes:
        user: Seconds in the program.
        system: Seconds in the kernel.
    """

    user: float
    system: float


class Profiled(Sdsuper):
    """Ourselves under cProfile, which starts when all is imported and ends with the daemon."""

    @property
    def profile(self) -> Path:
        """What is written at the end."""
        return self.folder / "profile"

    def launch(self) -> list[str]:
        script = _RUN.format(
            imports="from sdsuper.sdsuperd import main", call="main", file=str(self.profile)
        )
        return [sys.executable, "-c", script, "-n", "-c", str(self.ini)]


def spent(pid: int) -> Spent:
    """Return what a process has spent. Source: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return Spent(int(fields[11]) / ticks, int(fields[12]) / ticks)


class Work(NamedTuple):
    """A piece of work.

    Attributes:
        help: What one unit of it is.
        units: How many units it has.
        programs: Makes the fleet's size.
        do: Does it, on a fleet that is up; None: the start of the fleet is the work.
    """

    help: str
    units: float
    programs: int
    do: Callable[[Fleet], None] | None


def _restarts(fleet: Fleet) -> None:
    time.sleep(SETTLED)
    for _ in range(10):
        fleet.replace(50)


WORKS = {
    "restart": Work("a restart (50 at a time, of 50)", 500, 50, _restarts),
    "start": Work("a program's start and stop (of 500), and the daemon's own", 500, 500, None),
}


def show(name: str, worker: Path) -> Iterator[str]:
    """Do a piece of work on a daemon; yield what it took."""
    work = WORKS[name]
    yield f"## {work.help}"
    for peer in (Sdsuper, Profiled):
        with TemporaryDirectory() as folder, prepared(peer, Path(folder), worker) as (made, stamps):
            fleet = Fleet(made, stamps, work.programs, flooder=False)
            fleet.start()
            before = spent(made.popen.pid)
            if work.do is not None:
                work.do(fleet)
            else:
                before = Spent(0, 0)
            after = spent(made.popen.pid)
            fleet.settle()
            made.stop()
            if isinstance(made, Profiled):
                made.popen.wait(_SECONDS)
                yield from shares(made.profile)
            else:
                yield in_short(before, after, work.units)


def in_short(before: Spent, after: Spent, units: float) -> str:
    """Return a line on CPU time."""
    user, system = after.user - before.user, after.system - before.system
    total = user + system
    return (
        f"{total / units * 1000:.3g} ms of CPU time for each, "
        f"{system / total if total else 0:.0%} of it the kernel's"
    )


def shares(path: Path) -> Iterator[str]:
    """Yield where a profile's time went, without the waiting."""
    stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined] # of all versions, untold
    rows = [
        (own, calls, _name(where))
        for where, (_, calls, own, _, _) in stats.items()
        if not any(word in where[2] for word in _WAITING)
    ]
    total = sum(own for own, _, _ in rows)
    for own, calls, name in sorted(rows, reverse=True)[:_SHOWN]:
        yield f"{own / total:6.1%} {calls:8} calls  {name}"


def _name(where: tuple[str, int, str]) -> str:
    file, _, function = where
    if file == "~":
        return function
    parts = Path(file).parts
    start = parts.index("sdsuper") if "sdsuper" in parts else len(parts) - 2
    return f"{'/'.join(parts[start:])}: {function}"


def show_log(worker: Path) -> Iterator[str]:
    """Write a gigabyte in lines, and one in large writes."""
    for batch, name in ((1, "a write per line of 128 bytes"), (512, "writes of 64 KiB")):
        yield f"## a gigabyte of log, {name}"
        for peer in (Sdsuper, Profiled):
            with (
                TemporaryDirectory() as folder,
                prepared(peer, Path(folder), worker) as (made, stamps),
            ):
                words = _GIGABYTE // FLOOD_LINE_BYTES, FLOOD_LINE_BYTES, batch
                made.write([made.program("s", "spew", *words, log=Log())])
                made.start()
                (started,) = stamps.started("s")
                before = spent(made.popen.pid)
                os.kill(started.pid, 10)
                stamps.take(1, _SECONDS, lambda stamp: stamp.kind == Kind.WRITTEN)
                time.sleep(0.5)
                after = spent(made.popen.pid)
                made.stop()
                made.popen.wait(_SECONDS)
                if isinstance(made, Profiled):
                    yield from shares(made.profile)
                else:
                    yield in_short(before, after, 1)


def show_status(worker: Path) -> Iterator[str]:
    """Ask for the status of 1 and of 1000 programs."""
    for count in (1, 1000):
        yield f"## status of {count}"
        with (
            TemporaryDirectory() as folder,
            prepared(Sdsuper, Path(folder), worker) as (made, stamps),
        ):
            fleet = Fleet(made, stamps, count, flooder=False)
            fleet.start()
            fleet.settle()
            before = spent(made.popen.pid)
            for name, command in (
                ("Python that does nothing", [sys.executable, "-c", "pass"]),
                ("the same, -I -S", [sys.executable, "-I", "-S", "-c", "pass"]),
                ("status", made.status([])),
            ):
                yield f"{name}: {_least(command):.1f} ms, the least of 20"
            after = spent(made.popen.pid)
            yield f"the daemon, for an answer: {in_short(before, after, 20)}"
            file = Path(folder, "profile")
            script = _RUN.format(imports="", call="run", file=str(file)).replace(
                "profile =", "def run():\n    from sdsuper.sdsuperctl import main\n    main()\n"
                "profile =",
            )  # fmt: skip
            subprocess.run(
                [sys.executable, "-c", script, *made.status([])[1:]],
                stdout=subprocess.DEVNULL, check=False, env=environment(),
            )  # fmt: skip
            yield from shares(file)


def _least(command: list[str]) -> float:
    """Return the milliseconds that a command takes at least."""
    found = []
    for _ in range(20):
        begun = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False, env=environment())
        found.append((time.monotonic() - begun) * 1000)
    return min(found)


def main() -> None:
    """Show what was asked for."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*WORKS, "status", "log"]
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(known)}; all")
    works = parser.parse_args().works or known
    if unknown := set(works) - set(known):
        parser.error(f"no such work: {', '.join(sorted(unknown))}")
    with TemporaryDirectory() as folder:
        worker = compile_worker(Path(folder))
        for name in works:
            lines = {"status": show_status, "log": show_log}.get(name)
            for line in lines(worker) if lines else show(name, worker):
                print(line, flush=True)
            print()


if __name__ == "__main__":
    main()
