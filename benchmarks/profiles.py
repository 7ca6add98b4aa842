"""Where the time goes: of a restart, a start and a stop of many, a gigabyte of log, a status.

    .venv/bin/python -m benchmarks.profiles --json docs/profiles.json [--before TREE] [WORK ...]

Each piece of work is done as it is, for the CPU time and the kernel's part of it, and once under
cProfile, for the shares. The profiler makes what Python calls look dearer than it is, beside what
the kernel does. With the working tree of an older version, that does the same work in turn with us.
`docs/generate_performance.py` makes a table of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pstats
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, NamedTuple, TypeVar

from benchmarks import guard
from benchmarks.installed import ROOT
from benchmarks.metrics.fleet import SETTLED, Fleet, prepared
from benchmarks.peers.base import Log, environment
from benchmarks.peers.ini import Sdsuper
from benchmarks.results import number
from benchmarks.worker import FLOOD_LINE_BYTES, Kind, Stamps, compile_worker

_ROUNDS = 3
_SHOWN = 6
_LEAST_SHARE = 0.02
_SECONDS = 60.0
_WORK_SECONDS = 240.0
_MEGABYTES = 500
_STATUSES = 20
_BURST, _BURSTS = 50, 10
_FEW, _MANY = 1, 1000
_BEGIN, _END = signal.SIGRTMIN + 8, signal.SIGRTMIN + 9
# Not work: waiting, and the frames around all.
_WAITING = ("method 'poll' of 'select.epoll'", "method 'recv' of '_socket", "select.select",
            "method 'exec'", "'disable' of '_lsprof")  # fmt: skip
_DAEMON = """\
import sys
sys.path.insert(0, {tree!r})
from sdsuper.sdsuperd import main
sys.exit(main())
"""
# The profile is of what is done between two signals, or from the start to the second.
_PROFILED = """\
import cProfile, os, signal, sys, time
sys.path.insert(0, {tree!r})
profile = cProfile.Profile(time.process_time)
def end(*_):
    profile.disable()
    profile.dump_stats({file!r} + ".part")
    os.rename({file!r} + ".part", {file!r})
signal.signal({begin}, lambda *_: profile.enable())
signal.signal({end}, end)
if {from_the_start}:
    profile.enable()
from sdsuper.sdsuperd import main
sys.exit(main())
"""
_CLIENT = """\
import cProfile, sys, time
sys.path.insert(0, {tree!r})
profile = cProfile.Profile(time.process_time)
def run():
    from sdsuper.sdsuperctl import main
    return main()
try:
    profile.runcall(run)
finally:
    profile.dump_stats({file!r})
"""


class Spent(NamedTuple):
    """CPU time.

    Attributes:
        user: Seconds in the program.
        system: Seconds in the kernel.
    """

    user: float
    system: float

    @property
    def total(self) -> float:
        """Seconds of both."""
        return self.user + self.system

    def since(self, before: Spent) -> Spent:
        """Return what was spent between two looks."""
        return Spent(self.user - before.user, self.system - before.system)


def spent(pid: int) -> Spent:
    """Return what a process has spent. Source: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return Spent(int(fields[11]) / ticks, int(fields[12]) / ticks)


class Profile(NamedTuple):
    """What a piece of work takes.

    Attributes:
        milliseconds: CPU time of one unit.
        kernel: The kernel's share of it.
        before: The CPU time in an older version, None where there is none.
        shares: Module, or function of no module -> its part of the CPU time.
    """

    milliseconds: float
    kernel: float
    before: float | None
    shares: dict[str, float]


class Tree(Sdsuper):
    """Ourselves, from a working tree."""

    tree: ClassVar[Path] = ROOT

    def launch(self) -> list[str]:
        script = _DAEMON.format(tree=str(self.tree))
        return [sys.executable, "-c", script, "-n", "-c", str(self.ini)]


class Profiled(Tree):
    """The same under cProfile."""

    from_the_start: ClassVar[bool] = False

    @property
    def profile(self) -> Path:
        """What is written at the end."""
        return self.folder / "profile"

    def launch(self) -> list[str]:
        script = _PROFILED.format(
            tree=str(self.tree), file=str(self.profile), begin=int(_BEGIN), end=int(_END),
            from_the_start=self.from_the_start,
        )  # fmt: skip
        return [sys.executable, "-c", script, "-n", "-c", str(self.ini)]

    def shares(self) -> dict[str, float]:
        """End the profile; return what is in it."""
        self.popen.send_signal(_END)
        deadline = time.monotonic() + _SECONDS
        while not self.profile.exists():
            if time.monotonic() > deadline:
                raise TimeoutError("no profile was written")
            time.sleep(0.01)
        return shares(self.profile)


_Tree = TypeVar("_Tree", bound=Tree)


class Work(NamedTuple):
    """A piece of work.

    Attributes:
        title: What one unit of it is.
        units: How many units it has.
        do: Makes a daemon ready, then does it in the block.
        bound: What bounds it.
    """

    title: str
    units: float
    do: Callable[[Tree, Stamps], contextlib.AbstractContextManager[Callable[[], None]]]
    bound: str


def _fleet(count: int) -> Callable[[Tree, Stamps], Fleet]:
    def make(made: Tree, stamps: Stamps) -> Fleet:
        fleet = Fleet(made, stamps, count, flooder=False)
        fleet.start()
        fleet.settle()
        return fleet

    return make


@contextlib.contextmanager
def _restarts(made: Tree, stamps: Stamps) -> Iterator[Callable[[], None]]:
    fleet = _fleet(_BURST)(made, stamps)

    def do() -> None:
        for _ in range(_BURSTS):
            fleet.replace(_BURST)
            time.sleep(SETTLED)

    yield do


@contextlib.contextmanager
def _starts(made: Tree, stamps: Stamps) -> Iterator[Callable[[], None]]:
    def do() -> None:
        _fleet(_MANY)(made, stamps)

    yield do


@contextlib.contextmanager
def _stops(made: Tree, stamps: Stamps) -> Iterator[Callable[[], None]]:
    fleet = _fleet(_MANY)(made, stamps)

    def do() -> None:
        words = [sys.executable, "-c", _CTL.format(tree=str(made.tree)), "-c", str(made.ini)]
        subprocess.run([*words, "stop", "all"], check=True, stdout=subprocess.DEVNULL,
                       timeout=_SECONDS, env=environment())  # fmt: skip
        assert not fleet.peer.popen.poll()

    yield do


_CTL = """\
import sys
sys.path.insert(0, {tree!r})
from sdsuper.sdsuperctl import main
sys.exit(main())
"""


def _log(batch: int) -> Callable[
    [Tree, Stamps], contextlib.AbstractContextManager[Callable[[], None]]
]:  # fmt: skip
    @contextlib.contextmanager
    def ready(made: Tree, stamps: Stamps) -> Iterator[Callable[[], None]]:
        words = _MEGABYTES * 10**6 // FLOOD_LINE_BYTES, FLOOD_LINE_BYTES, batch
        made.write([made.program("s", "spew", *words, log=Log())])
        made.start()
        (started,) = stamps.started("s")
        time.sleep(SETTLED)

        def do() -> None:
            os.kill(started.pid, signal.SIGUSR1)
            stamps.take(1, _SECONDS, lambda stamp: stamp.kind == Kind.WRITTEN)
            time.sleep(0.5)

        yield do

    return ready


WORKS = {
    "restart": Work(
        f"a restart ({_BURST} at a time, of {_BURST})", _BURST * _BURSTS, _restarts,
        "the exec of the program: `vfork` stops the daemon until then",
    ),
    "start": Work(
        f"the start of {_MANY}, the daemon's own with it", 1, _starts,
        "`vfork`, exec and pipes of each program; for a few, imports and the configuration",
    ),
    "stop": Work(
        f"the stop of {_MANY}", 1, _stops,
        "the facts, events and log lines of each, and the looks for what was left behind",
    ),
    "log-lines": Work(
        "a gigabyte of log, a write per line of 128 bytes", _MEGABYTES / 1000, _log(1),
        "the writer: a system call for each line, on the other core",
    ),
    "log-big": Work(
        "a gigabyte of log, writes of 64 KiB", _MEGABYTES / 1000, _log(512),
        "the two copies by the kernel",
    ),
}  # fmt: skip
STATUS = {
    f"status-{count}": (count, f"`status` of {count}, the command's part", bound)
    for count, bound in (
        (_FEW, "the start of Python and the imports"),
        (_MANY, "the start of Python, then the text of the answer"),
    )
}
TITLES = {name: (work.title, work.bound) for name, work in WORKS.items()} | {
    name: (title, bound) for name, (_, title, bound) in STATUS.items()
}
"""Name of a piece of work -> what it is, what bounds it; in the order of the table."""


def measure(name: str, worker: Path, before: Path | None) -> Profile:
    """Do a piece of work some times in each tree, and once under the profiler."""
    if name in STATUS:
        return _status(STATUS[name][0], worker, before)
    trees = [ROOT] if before is None else [ROOT, before]
    found: dict[Path, list[Spent]] = {tree: [] for tree in trees}
    for _ in range(_ROUNDS):
        for tree in trees:
            found[tree].append(_spends(name, tree, worker))
    own = _middle(found[ROOT])
    units = WORKS[name].units
    older = None if before is None else _middle(found[before]).total * 1000 / units
    return Profile(own.total * 1000 / units, own.system / own.total, older, _profile(name, worker))


def _middle(values: Sequence[Spent]) -> Spent:
    return Spent(
        statistics.median(value.user for value in values),
        statistics.median(value.system for value in values),
    )


def _spends(name: str, tree: Path, worker: Path) -> Spent:
    class Made(Tree):
        pass

    Made.tree = tree
    with _ready(Made, worker) as (made, stamps), WORKS[name].do(made, stamps) as do:
        before = spent(made.popen.pid) if name != "start" else Spent(0, 0)
        do()
        return spent(made.popen.pid).since(before)


def _profile(name: str, worker: Path) -> dict[str, float]:
    class Made(Profiled):
        from_the_start = name == "start"

    with _ready(Made, worker) as (made, stamps), WORKS[name].do(made, stamps) as do:
        if not Made.from_the_start:
            made.popen.send_signal(_BEGIN)
        do()
        return made.shares()


@contextlib.contextmanager
def _ready(peer: type[_Tree], worker: Path) -> Iterator[tuple[_Tree, Stamps]]:
    with (
        guard.limit(_WORK_SECONDS),
        TemporaryDirectory() as folder,
        prepared(peer, Path(folder), worker) as (made, stamps),
    ):
        assert isinstance(made, peer)
        yield made, stamps


def _status(count: int, worker: Path, before: Path | None) -> Profile:
    """Ask for the status of so many programs."""
    trees = [ROOT] if before is None else [ROOT, before]
    found: dict[Path, list[Spent]] = {tree: [] for tree in trees}
    with _ready(Tree, worker) as (made, stamps):
        _fleet(count)(made, stamps)
        words = ["-c", str(made.ini), "status"]
        for _ in range(_STATUSES):
            for tree in trees:
                script = _CTL.format(tree=str(tree))
                found[tree].append(_child([sys.executable, "-c", script, *words]))
        file = made.folder / "profile"
        script = _CLIENT.format(tree=str(ROOT), file=str(file))
        _child([sys.executable, "-c", script, *words])
        own = _middle(found[ROOT])
        older = None if before is None else _middle(found[before]).total * 1000
        return Profile(own.total * 1000, own.system / own.total, older, shares(file))


def _child(command: Sequence[str]) -> Spent:
    """Return what a command spends."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(usage.ru_utime, usage.ru_stime)


def shares(path: Path) -> dict[str, float]:
    """Return where a profile's time went, without the waiting: the modules of greatest shares."""
    stats = pstats.Stats(str(path)).stats  # type: ignore[attr-defined] # of all versions, untold
    rows: dict[str, float] = {}
    for where, (_, _, own, _, _) in stats.items():
        if not any(word in where[2] for word in _WAITING):
            name = _name(where)
            rows[name] = rows.get(name, 0.0) + own
    total = sum(rows.values())
    greatest = sorted(rows, key=lambda name: rows[name], reverse=True)[:_SHOWN]
    return {name: rows[name] / total for name in greatest if rows[name] / total > _LEAST_SHARE}


def _name(where: tuple[str, int, str]) -> str:
    """Return the module of a function; the function, where it is not written in Python."""
    file, _, function = where
    if file == "~":
        return function.removeprefix("<").removesuffix(">").replace("built-in method ", "")
    if file.startswith("<frozen importlib"):
        return "importlib"
    path = Path(file).with_suffix("")
    if "sdsuper" in path.parts:  # the last of that name: the tree may be called so, too
        return "/".join(path.parts[-path.parts[::-1].index("sdsuper") :])
    return path.parent.name if path.name == "__init__" else path.name


def table(profiles: dict[str, Profile]) -> str:
    """Return a table, as Markdown."""
    older = any(profile.before is not None for profile in profiles.values())
    heads = ["work", "CPU time, ms", *(["before"] if older else []), "the kernel's part",
             "where the rest goes, under the profiler", "what bounds it"]  # fmt: skip
    rows = [heads, ["---"] * len(heads)]
    for name, (title, bound) in TITLES.items():
        if (profile := profiles.get(name)) is None:
            continue
        where = ", ".join(f"`{each}` {share:.0%}" for each, share in profile.shares.items())
        before = [] if not older else ["-" if profile.before is None else number(profile.before)]
        rows.append(
            [title, number(profile.milliseconds), *before, f"{profile.kernel:.0%}", where, bound]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def read(path: Path) -> dict[str, Profile]:
    """Read a file that `--json` made."""
    return {name: Profile(**row) for name, row in json.loads(path.read_text("utf-8")).items()}


def write(path: Path, profiles: dict[str, Profile]) -> None:
    """Write a file; what it has of other pieces of work stays."""
    kept = read(path) if path.exists() else {}
    rows = {name: profile._asdict() for name, profile in (kept | profiles).items()}
    for row in rows.values():
        row["shares"] = {name: round(share, 4) for name, share in row["shares"].items()}
    path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def main() -> None:
    """Show what was asked for."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(TITLES)}; all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it there")
    parser.add_argument("--before", type=Path, metavar="TREE", help="of an older version")
    options = parser.parse_args()
    works = options.works or [*TITLES]
    if unknown := set(works) - set(TITLES):
        parser.error(f"no such work: {', '.join(sorted(unknown))}")
    before = options.before and options.before.resolve(strict=True)
    profiles = {}
    with guard.cleaned(), TemporaryDirectory() as folder:
        worker = compile_worker(Path(folder))
        for name in works:
            try:
                profiles[name] = measure(name, worker, before)
            except Exception as error:  # noqa: BLE001 # it costs this row, and no other
                print(f"{name}: not measured: {error}", file=sys.stderr)
                continue
            print(table({name: profiles[name]}), flush=True)
            if options.json:
                write(options.json, profiles)


if __name__ == "__main__":
    main()
