"""Which files of a cgroup get which values, and what is told where there are none."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from sdsuper.config.limits import INFINITY, Memory, OomPolicy
from sdsuper.config.model import ChannelConfig, GroupConfig, LimitsConfig, Location, ProcessConfig
from sdsuper.daemon.containment import Containment
from sdsuper.daemon.outofmemory import Kills, MemoryCount
from sdsuper.daemon.resources import ResourceError, Resources
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.values import ExitStatus, Level

PROCESS = ProcessConfig(
    name="p",
    group="g",
    program="p",
    location=Location("test.ini", 7),
    command="sleep 600",
    stdout=ChannelConfig(),
    stderr=ChannelConfig(),
)
FILES = {
    "memory": ("memory.max", "memory.high", "memory.oom.group"),
    "cpu": ("cpu.max", "cpu.weight"),
    "pids": ("pids.max",),
    "io": ("io.bfq.weight",),
}


class Tree:
    """Plain folders with the files that a delegated cgroup would have; nothing acts on them."""

    def __init__(self, folder: Path, controllers: str) -> None:
        self.told: list[tuple[Level, str]] = []
        self.process = folder / "programs" / "g:p"
        self.process.mkdir(parents=True)
        (folder / "uncontained").mkdir()
        for path in (folder, folder / "programs", folder / "uncontained"):
            (path / "cgroup.controllers").write_text(controllers)
            (path / "cgroup.subtree_control").write_text("")
        for path in (folder / "programs", self.process):
            for controller in controllers.split():
                for name in FILES[controller]:
                    (path / name).write_text("")
        self.unit = Cgroup(str(folder))
        self.resources = Resources(Containment(self.unit, self.report), self.report)

    def report(self, level: Level, message: str) -> None:
        self.told.append((level, message))

    def values(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.process.iterdir()}


def group(*limits: LimitsConfig) -> GroupConfig:
    processes = tuple(replace(PROCESS, limits=each) for each in limits)
    return GroupConfig(
        name="g", kind="program", processes=processes, location=Location("test.ini", 7),
        priority=999,
    )  # fmt: skip


TOTAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"memory_max": Memory(2**20)}, {"memory.max": "1048576", "memory.oom.group": "1"}),
        ({"memory_max": Memory(INFINITY)}, {"memory.max": "max", "memory.oom.group": "1"}),
        ({"memory_high": Memory(10, percent=True)}, {"memory.high": str(TOTAL // 10)}),
        (
            {"memory_max": Memory(5), "oom_policy": OomPolicy.CONTINUE},
            {"memory.max": "5", "memory.oom.group": "0"},
        ),
        ({"cpu_quota": 150}, {"cpu.max": "150000 100000"}),
        ({"cpu_quota": INFINITY}, {"cpu.max": "max 100000"}),
        ({"cpu_weight": 7}, {"cpu.weight": "7"}),
        ({"pids_max": 3}, {"pids.max": "3"}),
        ({"pids_max": INFINITY}, {"pids.max": "max"}),
        ({"io_weight": 50}, {"io.bfq.weight": "50"}),
        ({"io_weight": 10000}, {"io.bfq.weight": "1000"}),
        ({"io_weight": 5050}, {"io.bfq.weight": "550"}),
        ({}, {}),
    ],
)
def test_every_file_is_written(
    tmp_path: Path, limits: dict[str, object], expected: dict[str, str]
) -> None:
    tree = Tree(tmp_path, "cpu io memory pids")
    tree.resources.require(group(LimitsConfig(pids_max=9)))
    tree.resources.apply(Cgroup(str(tree.process)), LimitsConfig(**limits))  # type: ignore[arg-type]
    assert tree.values() == {
        "memory.max": "max",
        "memory.high": "max",
        "memory.oom.group": "0",
        "cpu.max": "max 100000",
        "cpu.weight": "100",
        "pids.max": "max",
        "io.bfq.weight": "100",
        **expected,
    }
    assert tree.told == []


def test_nothing_is_enabled_that_nobody_asks_for(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "cpu memory")
    tree.resources.require(group(LimitsConfig(nice=5, oom_policy=OomPolicy.CONTINUE)))
    tree.resources.apply(Cgroup(str(tree.process)), LimitsConfig(nice=5))
    assert tree.unit.enabled() == frozenset()
    assert set(tree.values().values()) == {""}
    assert not tree.resources.counts_memory
    tree.resources.require(group(LimitsConfig(memory_max=Memory(5))))
    assert tree.unit.read("cgroup.subtree_control") == "+memory"
    assert tree.unit.child("programs").read("cgroup.subtree_control") == "+memory"
    assert tree.resources.counts_memory


def test_what_cannot_be_had_is_told_once_with_its_place(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "cpu")
    limits = LimitsConfig(memory_max=Memory(32 * 2**20), cpu_quota=50)
    where, why = "test.ini:7: [program:p]", "the cgroup controller 'memory' is not delegated to us"
    tree.resources.require(group(limits, limits))
    assert tree.told == [(Level.WARN, f"{where} memory_max=32MB has no effect: {why}")]
    tree.resources.apply(Cgroup(str(tree.process)), limits)
    assert tree.values() == {"cpu.max": "50000 100000", "cpu.weight": "100"}


def test_a_file_that_this_kernel_lacks_is_told(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "cpu")
    for path in (tmp_path / "programs", tree.process):
        (path / "cpu.max").unlink()
    tree.resources.require(group(LimitsConfig(cpu_quota=50, cpu_weight=10)))
    told = "test.ini:7: [program:p] cpu_quota=50% has no effect: this kernel has no cpu.max"
    assert tree.told == [(Level.WARN, told)]


def test_without_delegation_each_option_is_told() -> None:
    told: list[str] = []
    resources = Resources(None, lambda level, message: told.append(f"{level.name} {message}"))
    resources.require(group(LimitsConfig(pids_max=5, io_weight=9), LimitsConfig()))
    where, why = "WARN test.ini:7: [program:p]", "processes have no cgroups of their own"
    assert told == [
        f"{where} pids_max=5 has no effect: {why}",
        f"{where} io_weight=9 has no effect: {why}",
    ]


def test_what_the_kernel_refuses_names_its_option(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "pids")
    limits = LimitsConfig(pids_max=5)
    tree.resources.require(group(limits))
    (tree.process / "pids.max").unlink()
    with pytest.raises(ResourceError, match=r"cannot set pids_max \(pids.max=5\): No such file"):
        tree.resources.apply(Cgroup(str(tree.process)), limits)


# --- kills for want of memory ---------------------------------------------------------------------

KILLED = ExitStatus(None, 9)


class Events:
    """A file that says what memory.events would."""

    def __init__(self, path: Path, limits: LimitsConfig, known: Kills | None = None) -> None:
        self.told: list[str] = []
        self._path = path
        self.write(oom=7, oom_kill=9)
        self.fd = os.open(path, os.O_RDONLY)
        self.count = MemoryCount(
            self.fd, "web", limits, lambda _, text: self.told.append(text), known
        )

    def write(self, **counts: int) -> None:
        self._path.write_text("".join(f"{key} {number}\n" for key, number in counts.items()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def test_what_was_killed_before_is_not_this_invocations(tmp_path: Path) -> None:
    with Events(tmp_path / "events", LimitsConfig(memory_max=Memory(2**20))) as events:
        assert not events.count.ended(KILLED)
        assert events.told == []


@pytest.mark.parametrize(
    ("policy", "kills", "what"),
    [
        (OomPolicy.KILL, 2, "all processes"),
        (OomPolicy.CONTINUE, 1, "a process"),
        (OomPolicy.CONTINUE, 3, "3 processes"),
    ],
)
def test_the_limit_that_was_reached_is_told(
    tmp_path: Path, policy: OomPolicy, kills: int, what: str
) -> None:
    limits = LimitsConfig(memory_max=Memory(2**20), oom_policy=policy)
    with Events(tmp_path / "events", limits) as events:
        events.write(oom=8, oom_kill=9)  # told by the kernel before anything is killed
        events.count.look()
        assert events.told == []
        events.write(oom=8, oom_kill=9 + kills)
        events.count.look()
        assert events.told == [f"the kernel killed {what} of 'web': memory_max=1MB was reached"]
        assert events.count.ended(KILLED)
        assert len(events.told) == 1


def test_a_limit_that_has_changed_is_told_as_it_is(tmp_path: Path) -> None:
    with Events(tmp_path / "events", LimitsConfig(memory_max=Memory(2**20))) as events:
        events.write(oom=8, oom_kill=10)  # while the old one was in force
        events.count.reconfigure(LimitsConfig(memory_max=Memory(2**21)))
        events.write(oom=9, oom_kill=11)
        events.count.look()
        told = "the kernel killed all processes of 'web': memory_max={} was reached"
        assert events.told == [told.format("1MB"), told.format("2MB")]


def test_a_kill_while_the_limit_was_not_reached(tmp_path: Path) -> None:
    with Events(tmp_path / "events", LimitsConfig()) as events:
        events.write(oom=7, oom_kill=10)
        assert events.count.ended(KILLED)
        [told] = events.told
        assert (
            told
            == "the kernel killed a process of 'web': no memory is left for the unit or the machine"
        )


@pytest.mark.parametrize("status", [ExitStatus(1), ExitStatus(None, 15)])
def test_an_end_that_is_no_kill_is_not_put_down_to_it(tmp_path: Path, status: ExitStatus) -> None:
    with Events(tmp_path / "events", LimitsConfig()) as events:
        events.write(oom=7, oom_kill=10)
        assert not events.count.ended(status)


@pytest.mark.parametrize("policy", OomPolicy)
def test_an_end_of_which_nobody_knows_was_a_kill_where_all_are_killed(
    tmp_path: Path, policy: OomPolicy
) -> None:
    limits = LimitsConfig(memory_max=Memory(2**20), oom_policy=policy)
    with Events(tmp_path / "events", limits) as events:
        events.write(oom=8, oom_kill=10)
        assert events.count.ended(ExitStatus(None)) == (policy is OomPolicy.KILL)


def test_a_kill_long_after_is_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Events(tmp_path / "events", LimitsConfig()) as events:
        events.write(oom=7, oom_kill=10)
        events.count.look()
        monkeypatch.setattr("time.monotonic", lambda: 1e9)
        assert not events.count.ended(KILLED)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (Kills(7, 9), []),
        (Kills(7, 8), ["a process of 'web': no memory is left for the unit or the machine"]),
        (Kills(6, 8), ["a process of 'web': memory_max=1MB was reached"]),
        # The kernel began anew, since nobody counted for a while: all it has counted is news.
        (Kills(0, 20), ["9 processes of 'web': memory_max=1MB was reached"]),
    ],
)
def test_what_an_earlier_daemon_did_not_see_is_told(
    tmp_path: Path, known: Kills, told: list[str]
) -> None:
    limits = LimitsConfig(memory_max=Memory(2**20), oom_policy=OomPolicy.CONTINUE)
    changes: list[Kills] = []
    with Events(tmp_path / "events", limits, known) as events:
        events.count.on_change = lambda: changes.append(events.count.known)
        assert events.count.ended(KILLED) == bool(told)
        assert events.told == [f"the kernel killed {each}" for each in told]
        assert changes == [Kills(7, 9)] * len(told)
