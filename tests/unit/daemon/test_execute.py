"""Whatever goes wrong at the edge, the core gets its answer."""

import dataclasses
import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sdsuper import eventloop
from sdsuper.config.limits import Memory
from sdsuper.config.model import (
    ChannelConfig,
    DaemonConfig,
    GroupConfig,
    LimitsConfig,
    Location,
    ProcessConfig,
)
from sdsuper.config.types import SocketConfig
from sdsuper.core.actions import EndStrays, Purpose, Reconfigure, SendSignal, Spawn
from sdsuper.core.facts import Cleared, Exited, Fact, Notified, Spawned, SpawnFailed
from sdsuper.core.notice import Notice
from sdsuper.daemon import environment
from sdsuper.daemon.containment import Containment as Cgroups
from sdsuper.daemon.execute import Executor
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.outlets import Outlets
from sdsuper.daemon.outofmemory import Kills, MemoryCount, MemoryWatch
from sdsuper.daemon.pools import EventPools
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.values import ExitStatus, Instant, Level, Namespec
from tests.unit import waiting

NAME = Namespec("g", "p")
CONFIG = ProcessConfig(
    name="p",
    group="g",
    program="p",
    location=Location("test.ini", 1),
    command="true",
    stdout=ChannelConfig(),
    stderr=ChannelConfig(),
)


Told = list[tuple[Level, str]]


def group_of(process: ProcessConfig) -> GroupConfig:
    return GroupConfig(
        name=process.group,
        kind="group",
        priority=999,
        processes=(process,),
        location=process.location,
    )


def make_executor(submit: Callable[[Fact], None], told: Told) -> Executor:
    def report(level: Level, text: str) -> None:
        told.append((level, text))

    return Executor(
        DaemonConfig(logfile=None),
        DescriptorLimit(),
        submit,
        report,
        lambda event: None,
        lambda restart: None,
        EventPools(
            "", lambda: Instant(0.0, 0.0), lambda name: False, lambda name, data: None, report
        ),
        None,
    )


def test_an_unexpected_error_is_told_and_answered() -> None:
    facts: list[Fact] = []
    told: Told = []
    executor = make_executor(facts.append, told)
    executor.execute(Spawn(NAME, 7, CONFIG))  # nothing was prepared for it
    executor.execute(EndStrays(NAME, 8, 2.0))  # an earlier daemon left no more than the order
    assert facts == [
        SpawnFailed(NAME, 7, "unexpected error in the daemon (its log has details)"),
        Cleared(NAME, 8),
    ]
    assert [level for level, _ in told] == [Level.CRITICAL]
    assert "KeyError" in told[0][1]


def test_a_child_whose_output_cannot_be_read_stays_ours_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "no room in epoll")

    monkeypatch.setattr(Outlets, "connect", fail)
    facts: list[Fact] = []
    told: Told = []

    async def spawn_and_wait() -> None:
        ended = waiting.Event()

        def submit(fact: Fact) -> None:
            facts.append(fact)
            if isinstance(fact, Exited):
                ended.set()

        executor = make_executor(submit, told)
        executor.prepare(group_of(dataclasses.replace(CONFIG, command="sleep 600")))
        executor.execute(Spawn(NAME, 1, dataclasses.replace(CONFIG, command="sleep 600")))
        await ended.wait()
        executor.close()

    eventloop.run(spawn_and_wait())
    spawned, exited = facts
    assert isinstance(spawned, Spawned)
    assert exited == Exited(NAME, 1, ExitStatus(None, signal.SIGKILL))
    assert "cannot read from 'p'" in told[0][1]


def test_a_socket_does_not_outlive_a_spawn_that_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise KeyError("no such account")

    monkeypatch.setattr(environment, "child_environment", fail)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    facts: list[Fact] = []

    async def spawn_once() -> None:
        executor = make_executor(facts.append, [])
        config = dataclasses.replace(CONFIG, notify=True)
        executor.prepare(group_of(config))
        before = os.listdir("/proc/self/fd")
        executor.execute(Spawn(NAME, 1, config))
        assert os.listdir("/proc/self/fd") == before
        assert list((tmp_path / "notify").iterdir()) == []
        executor.close()

    eventloop.run(spawn_once())
    assert isinstance(facts[0], SpawnFailed)


def test_a_killed_program_cannot_name_another_main_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    code = (
        "import os, signal, socket; "
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
        "s.connect(os.environ['NOTIFY_SOCKET']); child = os.fork(); "
        "child or signal.pause(); s.send(b'READY=1'); os.read(0, 1); "
        "s.send(b'MAINPID=%d' % child); signal.pause()"
    )
    config = dataclasses.replace(CONFIG, command=f'{sys.executable} -c "{code}"', notify=True)
    facts: list[Fact] = []

    async def kill_and_wait() -> None:
        ready, told, ended = waiting.Event(), waiting.Event(), waiting.Event()

        def submit(fact: Fact) -> None:
            facts.append(fact)
            match fact:
                case Notified(notice=Notice(ready=True)):
                    ready.set()
                case Notified():
                    told.set()
                case Exited():
                    ended.set()
                case _:
                    pass

        executor = make_executor(submit, [])
        executor.prepare(group_of(config))
        executor.execute(Spawn(NAME, 1, config))
        await ready.wait()
        spawned = facts[0]
        assert isinstance(spawned, Spawned)
        # It is on its way to its end, and alive: 0 stands for a SIGKILL that takes its time.
        executor.execute(SendSignal(NAME, 1, spawned.pid, 0, False, Purpose.KILL))
        executor.write_stdin(NAME, b"x")
        await told.wait()
        os.killpg(spawned.pid, signal.SIGKILL)
        await ended.wait()
        executor.close()

    eventloop.run(kill_and_wait())
    assert facts[2] == Notified(NAME, 1, Notice())


def test_limits_of_one_that_lives_are_written_and_its_memory_is_counted(tmp_path: Path) -> None:
    """Plain folders take the place of cgroups: nothing acts on them."""
    lives = tmp_path / "programs" / "g:p"
    lives.mkdir(parents=True)
    (tmp_path / "uncontained").mkdir()
    for folder in (tmp_path, tmp_path / "programs", tmp_path / "uncontained"):
        (folder / "cgroup.controllers").write_text("memory pids\n")
        (folder / "cgroup.subtree_control").write_text("")
    for folder in (tmp_path / "programs", lives):
        for name in ("memory.max", "memory.high", "memory.oom.group", "pids.max"):
            (folder / name).write_text("")
    told: Told = []
    config = dataclasses.replace(CONFIG, command="sleep 600")

    async def change() -> None:
        facts: list[Fact] = []
        ended = waiting.Event()

        def submit(fact: Fact) -> None:
            facts.append(fact)
            if isinstance(fact, Exited):
                ended.set()

        executor = make_executor(submit, told)
        executor.prepare(group_of(config))
        executor.execute(Spawn(NAME, 1, config))
        spawned = facts[0]
        assert isinstance(spawned, Spawned)
        invocation = executor._by_name[NAME]
        invocation.cgroup = Cgroup(str(lives))
        cgroups = Cgroups(Cgroup(str(tmp_path)), lambda *_: None)
        executor._cgroups = executor._resources._cgroups = cgroups
        limits = LimitsConfig(memory_max=Memory(2**20), pids_max=7)
        limited = dataclasses.replace(config, limits=limits)
        (lives / "memory.events").write_text("oom 0\noom_kill 0\n")
        executor._memory = NoEpoll(executor._report)
        executor.prepare_change(group_of(config), group_of(limited))
        executor.execute(Reconfigure(NAME, limited))
        written = {name: (lives / name).read_text() for name in ("memory.max", "pids.max")}
        assert written == {"memory.max": str(2**20), "pids.max": "7"}
        assert (tmp_path / "cgroup.subtree_control").read_text()  # controllers were enabled
        assert invocation.memory is not None
        (lives / "memory.max").write_text("")  # a real one has no rest of what was longer
        executor.prepare_change(group_of(limited), group_of(config))
        executor.execute(Reconfigure(NAME, config))
        assert (lives / "memory.max").read_text() == "max"
        invocation.cgroup = executor._cgroups = None
        os.kill(spawned.pid, signal.SIGKILL)
        await ended.wait()
        executor.close()

    eventloop.run(change())
    assert {level for level, _ in told} <= {Level.DEBUG}


class NoEpoll(MemoryWatch):
    """Counts in files that no kernel tells of."""

    def open(
        self, cgroup: Cgroup, name: str, limits: LimitsConfig, known: Kills | None = None
    ) -> MemoryCount | None:
        fd = os.open(f"{cgroup.path}/memory.events", os.O_RDONLY)
        self._counts[fd] = MemoryCount(fd, name, limits, self._report, known)
        return self._counts[fd]


SOCKET = SocketConfig("web", "unix")


def test_sockets_stay_open_unless_they_are_others(tmp_path: Path) -> None:
    def listening(path: str, **options: Any) -> GroupConfig:
        sockets = (dataclasses.replace(SOCKET, path=str(tmp_path / path)),)
        return group_of(dataclasses.replace(CONFIG, sockets=sockets, **options))

    executor = make_executor(lambda fact: None, [])
    before = listening("one")
    executor.prepare(before)
    opened = executor._listening.open(NAME)
    for after in (
        listening("one", stopwaitsecs=1),
        listening("one", command="false"),
        listening("two", command="false"),
    ):
        executor.prepare_change(before, after)
        executor.execute(Reconfigure(NAME, after.processes[0]))
        assert executor.outlets(NAME).config == after.processes[0]
        stays = after.processes[0].sockets == before.processes[0].sockets
        assert bool(executor._listening.held()) is stays
        before = after
    assert executor._listening.open(NAME)
    assert opened
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    executor.close()
