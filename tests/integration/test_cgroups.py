"""Where cgroups are delegated to it, nothing gets away from the daemon; and where none are."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cgroups
from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, wait_until

ESCAPERS = Path(__file__).with_name("escapers.py")
GRACE_MAX = 3.0
"""Seconds beyond stopwaitsecs within which all that a process started is gone."""

TRIES = 3
"""What is promised is a time, and a machine that is busy with other things may be late."""

pytestmark = pytest.mark.cgroups


@pytest.fixture
def unit() -> Iterator[Path]:
    """A cgroup as systemd delegates it to a unit."""
    with cgroups.delegated() as path:
        yield path


@pytest.fixture
def undelegated() -> Iterator[Path]:
    """A cgroup of our own that nobody has delegated."""
    with cgroups.delegated(marked=False) as path:
        yield path


def pids(cgroup: Path) -> set[int]:
    return set(map(int, (cgroup / "cgroup.procs").read_text().split()))


def sleepers(cgroup: Path) -> list[int]:
    """Return the processes of a cgroup that have come to their `sleep`."""
    comm = "/proc/{}/comm"
    found = []
    for pid in pids(cgroup):
        with contextlib.suppress(OSError):
            if Path(comm.format(pid)).read_text() == "sleep\n":
                found.append(pid)
    return found


def tokened(token: str) -> list[str]:
    """Return the command lines of live processes with a word in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if token.encode() in words:
            found.append(b" ".join(words).decode())
    return found


def start(start_daemon: StartDaemon, unit: Path, programs: str, **options: object) -> Daemon:
    return start_daemon(programs, prefix=cgroups.inside(unit), **options)


def start_escapers(daemon: Daemon, token: str, options: str, how: str = "obedient") -> None:
    daemon.write(
        f"[program:e]\ncommand={sys.executable} -I -S {ESCAPERS} {token} {how}\n{options}\n"
    )
    daemon.ctl("update")
    wait_for_escapers(daemon, token)


def wait_for_escapers(daemon: Daemon, token: str) -> None:
    seen: set[str] = set()

    def both() -> bool:  # not at once: one of them is another process all the time
        seen.update(each.split()[-1] for each in tokened(token))
        return {"hydra", "sleeper"} <= seen

    daemon.wait(both)


def test_the_daemon_and_each_process_have_a_cgroup_of_their_own(
    start_daemon: StartDaemon, unit: Path
) -> None:
    daemon = start(
        start_daemon,
        unit,
        "[program:a]\ncommand=sleep 7777\n"
        "[program:b]\ncommand=sleep 7777\nnumprocs=2\nprocess_name=b%%x_%(process_num)d\n"
        "[program:other]\ncommand=sleep 7777\nuser=nobody\n"
        "[program:none]\ncommand=sleep 7777\ncontainment=none\n",
    )
    for name in ("a", "b:b%x_0", "b:b%x_1", "other", "none"):
        daemon.wait_state(name, "RUNNING")
    assert pids(unit / "daemon") == {daemon.pid}
    assert pids(unit) == set()
    for directory, name in (
        ("programs/a:a", "a"),
        ("programs/b:b%25x_0", "b:b%x_0"),
        ("programs/b:b%25x_1", "b:b%x_1"),
        ("programs/other:other", "other"),
        ("uncontained/none:none", "none"),
    ):
        assert pids(unit / directory) == {daemon.pid_of(name)}
    assert daemon.terminate() == 0
    assert [path.name for path in unit.iterdir() if path.is_dir()] == []


def test_a_cgroup_stays_over_restarts_and_goes_with_its_process(
    start_daemon: StartDaemon, unit: Path
) -> None:
    daemon = start(
        start_daemon, unit, "[program:a]\ncommand=sleep 7777\n[program:b]\ncommand=cat\n"
    )
    daemon.wait_state("a", "RUNNING")
    inode = (unit / "programs/a:a").stat().st_ino
    daemon.ctl("restart", "a")
    daemon.wait_state("a", "RUNNING")
    assert (unit / "programs/a:a").stat().st_ino == inode
    daemon.write("[program:b]\ncommand=cat\n")
    daemon.ctl("update")
    assert [path.name for path in (unit / "programs").iterdir() if path.is_dir()] == ["b:b"]


@pytest.mark.parametrize("how", ["obedient", "deaf"])
def test_a_tree_that_is_built_to_escape_is_gone_after_a_stop(
    start_daemon: StartDaemon, unit: Path, how: str
) -> None:
    token = f"token-{os.urandom(8).hex()}"
    daemon = start(start_daemon, unit, "")
    start_escapers(daemon, token, "stopwaitsecs=2\nautorestart=true", how)
    passed = []
    for _ in range(TRIES):
        before = time.monotonic()
        assert daemon.ctl("stop", "e") == ("e: stopped\n", 0)
        passed.append(time.monotonic() - before)
        assert tokened(token) == []
        assert pids(unit / "programs/e:e") == set()
        if passed[-1] < 2 + GRACE_MAX:
            break
        daemon.ctl("start", "e")
        wait_for_escapers(daemon, token)
    assert min(passed) < 2 + GRACE_MAX
    assert "ending what 'e'" in daemon.log()
    assert "killing what 'e'" in daemon.log()


def test_a_tree_that_is_built_to_escape_never_meets_its_successor(
    start_daemon: StartDaemon, unit: Path
) -> None:
    token = f"token-{os.urandom(8).hex()}"
    daemon = start(start_daemon, unit, "")
    start_escapers(daemon, token, "stopwaitsecs=1\nautorestart=true\nstartsecs=0")
    first = daemon.pid_of("e")
    os.kill(first, signal.SIGKILL)

    def successor() -> int:
        return next((pid for pid in [daemon.pid_of("e")] if pid not in (0, first)), 0)

    pid = daemon.wait(successor)
    log = daemon.log()
    assert log.index("killing what 'e'") < log.index(f"spawned: 'e' with pid {pid}")
    daemon.ctl("stop", "e")
    assert tokened(token) == []


def test_a_tree_that_is_built_to_escape_is_gone_after_a_shutdown(
    start_daemon: StartDaemon, unit: Path
) -> None:
    token = f"token-{os.urandom(8).hex()}"
    daemon = start(start_daemon, unit, "")
    start_escapers(daemon, token, "stopwaitsecs=1")
    assert daemon.terminate() == 0
    assert tokened(token) == []
    assert [path.name for path in unit.iterdir() if path.is_dir()] == []


def test_without_delegation_the_log_says_so_and_one_that_wiped_all_traces_gets_away(
    start_daemon: StartDaemon, undelegated: Path
) -> None:
    """The limit of the way without cgroups: nothing tells whose an unmarked orphan is."""
    daemon = start(start_daemon, undelegated, "")
    wiped = "(setsid env -i setsid sleep 7777 &); sleep 0.2; exit 0"
    daemon.write(
        f'[program:w]\ncommand=sh -c "{wiped}"\nstartsecs=0\nautorestart=false\nstopwaitsecs=1\n'
    )
    daemon.ctl("update")
    daemon.wait_state("w", "EXITED")
    assert pids(undelegated) > {daemon.pid}
    path = "/" + undelegated.name
    assert f"{path} is not delegated to us" in daemon.log()
    assert daemon.log().count("no cgroup of their own") == 1


def test_one_that_wiped_all_traces_is_ended_where_it_has_a_cgroup(
    start_daemon: StartDaemon, unit: Path
) -> None:
    daemon = start(start_daemon, unit, "")
    wiped = "(setsid env -i setsid sleep 7777 &); sleep 0.2; exit 0"
    daemon.write(
        f'[program:w]\ncommand=sh -c "{wiped}"\nstartsecs=0\nautorestart=false\nstopwaitsecs=1\n'
    )
    daemon.ctl("update")
    daemon.wait_state("w", "EXITED")
    daemon.wait(lambda: pids(unit / "programs/w:w") == set())
    assert "ending what 'w'" in daemon.log()


def test_containment_none_leaves_what_was_left(start_daemon: StartDaemon, unit: Path) -> None:
    daemon = start(
        start_daemon,
        unit,
        '[program:n]\ncommand=sh -c "setsid sleep 7777 & exec sleep 7777"\ncontainment=none\n',
        may_leave=True,
    )
    daemon.wait(lambda: len(pids(unit / "uncontained/n:n")) == 2)
    daemon.ctl("stop", "n")
    (left,) = pids(unit / "uncontained/n:n")
    daemon.ctl("start", "n")
    daemon.wait(lambda: len(pids(unit / "uncontained/n:n")) == 3)
    assert daemon.terminate() == 0
    assert left in pids(unit / "uncontained/n:n")
    assert not (unit / "programs").exists()


def test_what_is_frozen_is_stopped_and_starts_again(start_daemon: StartDaemon, unit: Path) -> None:
    daemon = start(
        start_daemon,
        unit,
        "[program:f]\ncommand=sh -c \"trap 'echo bye; exit 0' TERM; echo up; "
        'while :; do sleep 0.05; done"\n'
        "stdout_logfile=%(here)s/out\n",
    )
    out, cgroup = daemon.dir / "out", unit / "programs/f:f"
    daemon.wait(lambda: out.exists() and "up" in out.read_text())
    (cgroup / "cgroup.freeze").write_text("1")
    daemon.wait(lambda: "frozen 1" in (cgroup / "cgroup.events").read_text())
    daemon.ctl("stop", "f")
    assert out.read_text().splitlines()[-1] == "bye"
    (cgroup / "cgroup.freeze").write_text("1")
    daemon.ctl("start", "f")
    daemon.wait(lambda: out.read_text().splitlines()[-1] == "up")


def test_a_program_with_cgroups_of_its_own_can_be_started_again(
    start_daemon: StartDaemon, unit: Path
) -> None:
    """What it made must go with it: a cgroup that hands on controllers lets no process in."""
    own = 'mkdir -p "$0/sub"; echo $$ >"$0/sub/cgroup.procs"; exec sleep 7777'
    daemon = start(
        start_daemon,
        unit,
        f"[program:c]\ncommand=sh -c '{own}' {unit}/programs/c:c\nstopwaitsecs=1\n",
    )

    def is_in_its_own() -> bool:
        with contextlib.suppress(FileNotFoundError):  # not made yet, or gone with the last one
            return pids(unit / "programs/c:c/sub") == {daemon.pid_of("c")}
        return False

    for _ in range(2):
        daemon.wait(is_in_its_own)
        daemon.ctl("restart", "c")
    daemon.wait(is_in_its_own)


def test_usage_counts_all_that_descends_from_a_process(
    start_daemon: StartDaemon, unit: Path
) -> None:
    burn = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
    daemon = start(
        start_daemon,
        unit,
        f"[program:u]\ncommand=sh -c \"(setsid sh -c '{burn}; exec sleep 7777' &); "
        '(setsid sleep 7777 &); exec sleep 7777"\n'
        "[program:idle]\ncommand=sleep 7777\nautostart=false\n",
    )
    daemon.wait(lambda: len(sleepers(unit / "programs/u:u")) == 3)
    (told,) = daemon.rpc.sdsuper.getUsage()
    assert told["cgroup"] == f"{unit}/programs/u:u"
    assert told["processes"] == 3
    assert told["pid"] == daemon.pid_of("u")
    assert told["memory"] > 0
    counted = (unit / "programs/u:u/cpu.stat").read_text().split()[1]
    assert 0 < told["cpu"] <= int(counted) / 1e6
    assert set(told["pressure"]) == {
        each for each in ("cpu", "memory", "io") if (unit / f"{each}.pressure").exists()
    }
    out, status = daemon.ctl("usage")
    assert [line.split()[0] for line in out.splitlines()] == ["NAME", "idle", "u"]
    assert status == 0


def test_what_a_killed_daemon_left_is_ended_before_anything_starts(
    start_daemon: StartDaemon, unit: Path
) -> None:
    token = f"token-{os.urandom(8).hex()}"
    daemon = start(start_daemon, unit, "")
    start_escapers(daemon, token, "stopwaitsecs=1")
    old = pids(unit / "programs/e:e")
    daemon.signal(signal.SIGKILL)
    daemon.wait_end()
    assert pids(unit / "programs/e:e")
    daemon.start()
    daemon.wait_state("e", "RUNNING")
    log = daemon.log()
    assert log.index("ending what an earlier daemon left of 'e:e'") < log.rindex("spawned: 'e'")
    assert not old & pids(unit / "programs/e:e")


def test_a_second_daemon_in_the_same_cgroup_leaves_the_first_ones_programs_alone(
    start_daemon: StartDaemon, unit: Path
) -> None:
    programs = "[program:a]\ncommand=sleep 7777\n"
    first = start(start_daemon, unit, programs)
    first.wait_state("a", "RUNNING")
    second = start(start_daemon, unit, programs)
    second.wait_state("a", "RUNNING")
    assert "another daemon uses it" in second.log()
    assert second.terminate() == 0
    assert pids(unit / "programs/a:a") == {first.pid_of("a")}


SETTLE = """
from sdsuper.daemon.containment import Containment
containment = Containment.settle(lambda level, message: print(message))
print(containment and containment.unit.path, open("/proc/self/cgroup").read().split("0::")[1])
"""


@pytest.mark.namespaces
@pytest.mark.parametrize("pid_1", [True, False])
def test_pid_1_of_a_container_has_the_tree_that_it_sees(undelegated: Path, pid_1: bool) -> None:
    """As container managers do it: namespaces, and the tree mounted anew inside."""
    point = cgroups.mount_point()
    mount = f"mount -t proc proc /proc; umount {point}; mount -t cgroup2 none {point} && "
    told = subprocess.run(
        [
            *cgroups.inside(undelegated),
            *("unshare", "--pid", "--fork", "--mount", "--cgroup", "sh", "-c"),
            f'{mount}{"exec" if pid_1 else ""} "$@"; exit $?',
            *("sh", sys.executable, "-c", SETTLE),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    if pid_1:
        assert told.split() == [str(point), "/daemon"]
    else:
        assert "/ is not delegated to us" in told


@pytest.mark.parametrize(
    ("rounds", "delay", "by_fork"),
    [
        pytest.param(2000, 0, 0, id="as it is"),
        pytest.param(200, 0.003, 0, id="interrupted"),
        pytest.param(200, 0, 1, id="another user"),
    ],
)
def test_a_program_that_runs_away_at_once_never_gets_away(
    unit: Path, rounds: int, delay: float, by_fork: int
) -> None:
    command = [sys.executable, "-m", "tests.integration.racer", *map(str, (rounds, delay, by_fork))]
    told = subprocess.run(
        [*cgroups.inside(unit), *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    born_outside, left_outside = map(int, told.stdout.split())
    assert left_outside == 0
    assert born_outside > 0 or not delay, "nothing was to be moved: this has tested nothing"
    wait_until(lambda: not pids(unit), what="all of it is gone")
