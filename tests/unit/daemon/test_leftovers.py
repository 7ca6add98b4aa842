"""What is not known of a cgroup is never taken for empty; the rest is tried on real daemons."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest

from sdsuper import eventloop
from sdsuper.daemon import leftovers, strays
from sdsuper.daemon.leftovers import Watch, end, kill, named
from sdsuper.daemon.strays import Strays
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.values import Level
from tests import cgroups
from tests.unit import waiting

Told = list[tuple[Level, str]]


def test_where_it_cannot_be_looked_at_a_cgroup_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: Told = []
    failures = [OSError(errno.EMFILE, "Too many open files")] * 2
    read = Cgroup.read

    def fail_at_first(cgroup: Cgroup, name: str) -> str:
        if failures:
            raise failures.pop()
        return read(cgroup, name)

    async def sweep() -> None:
        cleared = waiting.Event()
        found = Strays((), lambda level, text: told.append((level, text)))
        found.empty(Cgroup(str(tmp_path / "gone")), "p", 7, 60.0, lambda _: cleared.set())
        assert not cleared.is_set()
        await cleared.wait()

    monkeypatch.setattr(Cgroup, "read", fail_at_first)
    monkeypatch.setattr(strays, "_TRY_AGAIN_AFTER", 0.01)
    eventloop.run(sweep())
    assert [level for level, _ in told] == [Level.WARN, Level.WARN]
    assert told[0][1].startswith("cannot look at what 'p' (7) left behind: [Errno 24]")


def test_a_cgroup_that_is_gone_is_empty(tmp_path: Path) -> None:
    gone = Cgroup(str(tmp_path / "gone"))
    assert not gone.populated
    told: Told = []
    end(gone, 60.0, "what was", lambda level, text: told.append((level, text)))
    assert told == []


@pytest.mark.cgroups
def test_a_cgroup_that_cannot_be_killed_as_a_whole_is_killed_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_cgroup: Cgroup, name: str, _value: str) -> None:
        raise OSError(errno.EOPNOTSUPP, name)

    with cgroups.delegated() as path:
        cgroup = Cgroup(str(path))
        with subprocess.Popen([*cgroups.inside(path), "sleep", "7777"]) as sleeper:
            try:
                while sleeper.pid not in cgroup.pids():
                    assert sleeper.poll() is None
                    os.sched_yield()
                with contextlib.closing(Watch(cgroup)) as watch, monkeypatch.context() as patched:
                    patched.setattr(Cgroup, "write", refuse)
                    assert not kill(cgroup)
                    assert watch.wait(20)
            finally:
                sleeper.kill()


@pytest.mark.cgroups
def test_what_does_not_end_is_told_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_PATIENCE", 0.2)
    monkeypatch.setattr(leftovers, "kill", lambda cgroup: True)
    told: Told = []
    with cgroups.delegated() as path:
        cgroup = Cgroup(str(path))
        command = [*cgroups.inside(path), "sh", "-c", "trap '' TERM; exec sleep 7777"]
        with subprocess.Popen(command) as deaf:
            try:
                while named(cgroup.pids()) != f"sleep (pid {deaf.pid})":
                    assert deaf.poll() is None
                    os.sched_yield()
                end(cgroup, 0.0, "what was", lambda level, text: told.append((level, text)))
            finally:
                deaf.kill()
    assert [level for level, _ in told] == [Level.WARN, Level.WARN, Level.CRITICAL]
    assert told[2][1] == f"cannot end what was: sleep (pid {deaf.pid})"
