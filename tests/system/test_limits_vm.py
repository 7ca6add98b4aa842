"""Limits of cgroups on a kernel with all controllers, under the systemd that makes them hard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.system.tree import CONFIG as CONFIGURATION
from tests.system.tree import install
from tests.system.vm import VirtualMachine

pytestmark = pytest.mark.vm

UNIT = "sdsuperd.service"
PROGRAMS = f"/sys/fs/cgroup/system.slice/{UNIT}/programs"
MIB = 1024**2
FILES = "*/cpu.max */cpu.weight */cpu.stat */pids.max */io.weight */memory.[hmo]*"

# It touches memory that it was not given when it is told to; a worker of it does, if there is one.
EATER = """\
import os, signal, sys, time
if "worker" in sys.argv and os.fork():
    signal.pause()
while not os.path.exists("/run/eat-" + sys.argv[1]):
    time.sleep(0.1)
os.unlink("/run/eat-" + sys.argv[1])
eaten = bytearray(64 * 1024**2)
for page in range(0, len(eaten), 4096):
    eaten[page] = 1
time.sleep(600)
"""

FORKER = """\
import os, time
children = 0
try:
    while children < 50:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        children += 1
except OSError as error:
    print(children, error.errno, flush=True)
time.sleep(600)
"""

CONFIG = """\
[program:hog]
command=/usr/bin/python3 -IS /opt/eater.py hog
memory_max=32M
autorestart=true
stopsignal=KILL

[program:prefork]
command=/usr/bin/python3 -IS /opt/eater.py prefork worker
memory_max=32M
oom_policy=continue
autorestart=true
stopsignal=KILL

[program:busy]
command=/bin/sh -c 'while :; do :; done'
cpu_quota=10%
cpu_weight=50
nice=19
stopsignal=KILL

[program:forker]
command=/usr/bin/python3 -IS /opt/forker.py
pids_max=5
stdout_logfile=/run/forker.log
stopsignal=KILL

[program:plain]
command=/bin/sleep 600
io_weight=200

[program:share]
command=/bin/sleep 600
memory_max=50%
memory_high=30M
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[VirtualMachine]:
    """A machine whose daemon runs all of them."""
    with VirtualMachine() as made:
        install(made, CONFIG)
        made.write("/opt/eater.py", EATER)
        made.write("/opt/forker.py", FORKER)
        made.boot()
        made.systemctl("start", UNIT)
        yield made


def values(machine: VirtualMachine) -> dict[tuple[str, str], str]:
    """Return what the files of all cgroups say, by program and file."""
    found = machine.run("sh", "-c", f"cd {PROGRAMS} && grep -H '' {FILES}").stdout
    lines = (re.fullmatch(r"(\w+):\w+/([\w.]+):(.*)", line) for line in found.splitlines())
    parsed: dict[tuple[str, str], str] = {}
    for match in lines:
        if match is not None:
            where = match[1], match[2]
            parsed[where] = f"{parsed[where]}\n{match[3]}" if where in parsed else match[3]
    return parsed


def pid_of(machine: VirtualMachine, program: str) -> int:
    """Return the first process of a program, 0 where there is none."""
    found = machine.read(f"{PROGRAMS}/{program}:{program}/cgroup.procs").split()
    return int(found[0]) if found else 0


def restarted(machine: VirtualMachine, program: str, before: int) -> int:
    """Return the process that has taken the place of another, as soon as there is one."""

    def other() -> int:
        pid = pid_of(machine, program)
        return 0 if pid == before else pid

    pid: int = machine.wait(other, f"{program} runs again")
    return pid


def test_each_has_what_it_asks_for_and_the_others_nothing(machine: VirtualMachine) -> None:
    expected = {
        ("hog", "memory.max"): str(32 * MIB),
        ("share", "memory.high"): str(30 * MIB),
        ("hog", "memory.oom.group"): "1",
        ("hog", "pids.max"): "max",
        ("prefork", "memory.max"): str(32 * MIB),
        ("prefork", "memory.high"): "max",
        ("prefork", "memory.oom.group"): "0",
        ("busy", "memory.max"): "max",
        ("busy", "memory.oom.group"): "0",
        ("busy", "cpu.max"): "10000 100000",
        ("busy", "cpu.weight"): "50",
        ("plain", "cpu.max"): "max 100000",
        ("plain", "cpu.weight"): "100",
        ("plain", "io.weight"): "default 200",
        ("forker", "pids.max"): "5",
    }
    found = values(machine)
    assert {where: found.get(where) for where in expected} == expected
    pages = int(machine.run("getconf", "_PHYS_PAGES").stdout)
    assert found["share", "memory.max"] == str(pages // 2 * 4096)
    assert "has no effect" not in machine.journal(UNIT)


def test_the_processor_time_is_held_down(machine: VirtualMachine) -> None:
    def throttled() -> bool:
        found = re.search(r"nr_throttled (\d+)", values(machine)["busy", "cpu.stat"])
        return found is not None and int(found[1]) > 0

    machine.wait(throttled, "it is throttled")


def test_the_fork_that_is_too_much_fails(machine: VirtualMachine) -> None:
    machine.wait(lambda: machine.read("/run/forker.log"), "it has forked")
    assert machine.read("/run/forker.log") == "4 11\n"  # EAGAIN


def test_what_uses_up_its_memory_is_killed_and_started_again(machine: VirtualMachine) -> None:
    before = pid_of(machine, "hog")
    machine.run("touch", "/run/eat-hog")
    second = restarted(machine, "hog", before)
    told = machine.journal(UNIT)
    assert "the kernel killed all processes of 'hog': memory_max=32MB was reached" in told
    how = "terminated by SIGKILL, out of memory: memory_max=32MB"
    assert f"exited: hog ({how}; not expected)" in told
    # What happened to one invocation is not told of the next.
    machine.run("kill", "-KILL", str(second))
    restarted(machine, "hog", second)
    assert "exited: hog (terminated by SIGKILL; not expected)" in machine.journal(UNIT)


def test_with_continue_the_others_go_on(machine: VirtualMachine) -> None:
    before = pid_of(machine, "prefork")
    machine.run("touch", "/run/eat-prefork")
    told = "the kernel killed a process of 'prefork': memory_max=32MB was reached"
    machine.wait(lambda: told in machine.journal(UNIT), "it is told")
    assert pid_of(machine, "prefork") == before


def updated(machine: VirtualMachine, *changes: tuple[str, str]) -> str:
    """Change what is written, apply it, and return what was told."""
    script = ";".join(f"s/^{old}$/{new}/" for old, new in changes)
    machine.run("sed", "-i", script, CONFIGURATION)
    return machine.run("sdsuperctl", "update").stdout


def test_an_update_changes_the_limits_of_what_runs(machine: VirtualMachine) -> None:
    before = [pid_of(machine, name) for name in ("busy", "share")]
    changes = [
        ("cpu_quota=10%", "cpu_quota=20%"),
        ("memory_max=50%", "memory_max=40M"),
        ("memory_high=30M", "pids_max=9"),
    ]
    told = (
        "busy: changed in place (cpu_quota)\n"
        "share: changed in place (memory_max, memory_high, pids_max)\n"
    )
    assert updated(machine, *changes) == told
    found = values(machine)
    assert found["busy", "cpu.max"] == "20000 100000"
    assert found["share", "memory.max"] == str(40 * MIB)
    assert found["share", "memory.high"] == "max"
    assert found["share", "pids.max"] == "9"
    assert updated(machine, *((new, old) for old, new in changes)) == told
    assert all_hold(machine)
    assert [pid_of(machine, name) for name in ("busy", "share")] == before


def all_hold(machine: VirtualMachine) -> bool:
    """Whether the limits are written, and nothing was told to have none."""
    found = values(machine)
    return (
        found["hog", "memory.max"] == str(32 * MIB)
        and found["busy", "cpu.max"] == "10000 100000"
        and found["forker", "pids.max"] == "5"
        and "has no effect" not in machine.journal(UNIT)
    )


def main_pid(machine: VirtualMachine) -> int:
    """Return the pid of the daemon that is up, 0 while there is none."""
    shown = machine.systemctl("show", "--property", "MainPID,SubState", UNIT)
    found = re.search(r"MainPID=(\d+)\nSubState=running\n", shown)
    return int(found[1]) if found else 0


def test_after_a_crash_the_limits_hold_and_kills_are_told(machine: VirtualMachine) -> None:
    """systemd 252 can start the daemon again only where the controllers are off meanwhile."""
    hog, daemon = pid_of(machine, "hog"), main_pid(machine)
    machine.run("kill", "-KILL", str(daemon))
    machine.wait(lambda: main_pid(machine) not in (0, daemon), "the next daemon is up")
    assert pid_of(machine, "hog") == hog
    assert all_hold(machine)
    told = machine.journal(UNIT)
    machine.run("touch", "/run/eat-hog")
    restarted(machine, "hog", hog)
    news = machine.journal(UNIT).removeprefix(told)
    assert "the kernel killed all processes of 'hog': memory_max=32MB was reached" in news
    assert ", out of memory: memory_max=32MB; not expected)" in news


def test_after_a_restart_of_the_service_the_limits_hold(machine: VirtualMachine) -> None:
    daemon = main_pid(machine)
    machine.systemctl("restart", UNIT)
    assert main_pid(machine) not in (0, daemon)
    machine.wait(lambda: pid_of(machine, "share"), "the programs run")  # it is the last of them
    assert all_hold(machine)


def test_nothing_is_left_of_a_service_that_is_stopped(machine: VirtualMachine) -> None:
    machine.systemctl("stop", UNIT)
    assert machine.run("pgrep", "-f", "/opt/", check=False).stdout == ""
    assert machine.systemctl("show", "--value", "--property", "Result", UNIT).strip() == "success"
