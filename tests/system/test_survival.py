"""What becomes of the programs when the daemon ends, in order or not, or the service is stopped.

A crash is survived by all of them; a stop by none, however the daemon is at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.container import SUITES, Container, processes
from tests.system.sources import UNIT, service_machine

pytestmark = pytest.mark.booted

CGROUP = f"/sys/fs/cgroup/system.slice/{UNIT}"
DROP_IN = f"/run/systemd/system/{UNIT}.d"
LOG = "/var/log/sdsuper/sdsuperd.log"

TELLS = """\
exec 2>/dev/null
trap "echo told >/srv/told; exit" TERM
while :; do sleep 0.1; done
"""

# One that is told to end and says so, one that does not listen, one that leaves a process behind.
PROGRAMS = """\
[program:tells]
command=sh /srv/tells.sh
[program:deaf]
command=sh -c 'trap "" TERM; exec sleep 4711'
stopwaitsecs=1
[program:wrapper]
command=sh -c 'setsid sleep 4712 & exec sleep 4713'
"""


@pytest.fixture(scope="module", params=SUITES)
def booted(request: pytest.FixtureRequest) -> Iterator[Container]:
    """A machine with the service and its programs, not started."""
    with service_machine(str(request.param), PROGRAMS) as made:
        made.write("/srv/tells.sh", TELLS)
        yield made


@pytest.fixture
def machine(booted: Container) -> Iterator[Container]:
    """The machine with the daemon and its programs running, and no patience with a hung daemon."""
    booted.run("rm", "-f", "/srv/told")
    override(booted, "TimeoutStopSec=4")
    start(booted)
    yield booted
    booted.run("rm", "-rf", DROP_IN)
    booted.systemctl("daemon-reload")
    booted.systemctl("stop", UNIT)
    booted.systemctl("reset-failed", UNIT, check=False)


def start(machine: Container) -> None:
    """Start the service and wait until its programs are there."""
    machine.systemctl("start", UNIT)
    machine.wait(lambda: programs(machine), "the programs run")


def override(machine: Container, *lines: str, section: str = "Service") -> None:
    """Change the unit until the end of the test."""
    machine.run("mkdir", "-p", DROP_IN)
    text = "\n".join((f"[{section}]", *lines, ""))
    machine.run("tee", "-a", f"{DROP_IN}/test.conf", stdin=text)
    machine.systemctl("daemon-reload")


def inside(machine: Container) -> list[int]:
    """Return the pids of all processes in the cgroup of the service."""
    find = f"find {CGROUP} -name cgroup.procs -exec cat {{}} + 2>/dev/null"
    return sorted(int(pid) for pid in machine.run("sh", "-c", find, check=False).stdout.split())


def programs(machine: Container) -> dict[str, list[int]] | None:
    """Return the processes of the programs by what they are; None if one is missing or double."""
    found = {
        what: list(processes(machine, what))
        for what in ("^sh /srv/tells", "^sleep 4711$", "^sleep 4712$", "^sleep 4713$")
    }
    return found if all(len(pids) == 1 for pids in found.values()) else None


def daemon(machine: Container) -> int:
    """Return the pid of the daemon."""
    return int(machine.show(UNIT, "MainPID"))


def kill(machine: Container) -> None:
    """Kill the daemon alone, as nothing can prevent."""
    machine.run("kill", "-KILL", str(daemon(machine)))


def hang(machine: Container) -> None:
    """Make the daemon hang; a stopped process would be continued by systemd."""
    pid = daemon(machine)
    leaf = f"{CGROUP}/daemon"
    machine.run("mkdir", "-p", leaf)
    machine.run("sh", "-c", f"echo {pid} >{leaf}/cgroup.procs; echo 1 >{leaf}/cgroup.freeze")
    machine.wait(
        lambda: "frozen 1" in machine.run("cat", f"{leaf}/cgroup.events").stdout, "it hangs"
    )


def replaced(machine: Container, old: int) -> None:
    """Wait until systemd has started another daemon in the place of one."""
    machine.wait(
        lambda: machine.show(UNIT, "ActiveState") == "active" and daemon(machine) not in (0, old),
        "another daemon runs",
        timeout=40,
    )


def nothing_left(machine: Container) -> None:
    """Wait until the cgroup of the service is empty, or gone, and the service is down."""
    machine.wait(lambda: not inside(machine), "nothing is left", timeout=40)
    assert machine.show(UNIT, "ActiveState") in ("inactive", "failed")
    assert processes(machine, "^sleep 471.$") == []


# --- a stop ends everything -----------------------------------------------------------------------


def guard(machine: Container) -> str:
    """Return all that was said by those who end what is left."""
    machine.run("journalctl", "--sync")
    return machine.run("journalctl", "--no-pager", "-o", "cat", "-t", "guard").stdout


def test_a_stop_is_in_order_and_not_cut_short(machine: Container) -> None:
    before = guard(machine)
    machine.systemctl("stop", UNIT)
    assert inside(machine) == []
    log = machine.read(LOG)
    assert all(f"stopped: {name}" in log for name in ("tells", "deaf", "wrapper"))
    assert machine.show(UNIT, "Result") == "success"
    assert guard(machine) == before


def test_a_stop_leaves_one_that_is_under_way_alone(machine: Container) -> None:
    machine.write(LOG, "")
    before = guard(machine)
    machine.run("sdsuperctl", "shutdown")
    machine.systemctl("stop", UNIT)
    assert inside(machine) == []
    assert "stopped: deaf (terminated by SIGKILL)" in machine.read(LOG)
    assert guard(machine) == before


@pytest.mark.parametrize("pause", [0, 0.02, 0.05, 0.1, 0.5])
def test_a_stop_right_after_the_daemon_was_killed(machine: Container, pause: float) -> None:
    machine.run("sh", "-c", f"kill -KILL {daemon(machine)}; sleep {pause}; systemctl stop {UNIT}")
    nothing_left(machine)
    assert machine.read("/srv/told") == "told\n"


def test_a_stop_while_the_next_daemon_is_started(machine: Container) -> None:
    hold = "touch /run/holding; exec sleep 4719"
    override(machine, f"ExecStartPre=/bin/sh -c '{hold}'")
    machine.run("rm", "-f", "/run/holding")
    kill(machine)
    machine.wait(
        lambda: machine.path("/run/holding") and processes(machine, "^sleep 4719$"), "held"
    )
    machine.systemctl("stop", UNIT)
    nothing_left(machine)


def test_a_stop_of_a_hung_daemon(machine: Container) -> None:
    hang(machine)
    machine.systemctl("stop", UNIT)
    assert inside(machine) == []
    assert machine.show(UNIT, "Result") == "timeout"
    assert machine.read("/srv/told") == "told\n"


def test_a_restart_ends_the_programs_too(machine: Container) -> None:
    before = machine.wait(lambda: programs(machine), "the programs run")
    machine.systemctl("restart", UNIT)
    after = machine.wait(lambda: programs(machine), "the programs run again")
    assert before is not None
    assert after is not None
    assert all(before[name] != after[name] for name in before)


def test_a_restart_of_a_hung_daemon(machine: Container) -> None:
    before = programs(machine)
    hang(machine)
    machine.systemctl("restart", UNIT)
    machine.wait(lambda: programs(machine), "the programs run")
    after = programs(machine)
    assert before is not None
    assert after is not None
    assert all(before[name] != after[name] for name in before)
    assert machine.show(UNIT, "ActiveState") == "active"


def test_a_daemon_that_crashed_for_good(machine: Container) -> None:
    override(machine, "RestartPreventExitStatus=SIGKILL")
    kill(machine)
    nothing_left(machine)
    assert machine.show(UNIT, "ActiveState") == "failed"
    assert machine.read("/srv/told") == "told\n"


def test_a_daemon_that_crashes_too_often(machine: Container) -> None:
    override(machine, "StartLimitIntervalSec=1000", "StartLimitBurst=1", section="Unit")
    old = daemon(machine)
    kill(machine)
    replaced(machine, old)
    kill(machine)
    machine.wait(lambda: machine.show(UNIT, "ActiveState") == "failed", "it is given up")
    nothing_left(machine)


def test_all_are_asked_to_end(machine: Container) -> None:
    machine.systemctl("kill", UNIT)
    machine.wait(lambda: machine.show(UNIT, "ActiveState") == "inactive", "it has ended")
    nothing_left(machine)


def test_all_are_killed_and_come_back(machine: Container) -> None:
    old = daemon(machine)
    machine.systemctl("kill", "--signal=KILL", UNIT)
    replaced(machine, old)
    machine.wait(lambda: programs(machine), "the programs run")


def test_the_machine_goes_down_right_after_the_daemon_was_killed(booted: Container) -> None:
    booted.run("rm", "-f", "/srv/told")
    start(booted)
    kill(booted)
    booted.reboot()
    assert booted.read("/srv/told") == "told\n"


# --- a crash ends nothing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "meanwhile", ["true", "systemctl daemon-reload", "systemctl daemon-reexec"],
)  # fmt: skip
def test_a_killed_daemon_takes_nothing_along(machine: Container, meanwhile: str) -> None:
    before, old = programs(machine), daemon(machine)
    machine.run("sh", "-c", f"{meanwhile}; kill -KILL {old}; {meanwhile}")
    replaced(machine, old)
    assert programs(machine) == before
    assert "RUNNING" in machine.run("sdsuperctl", "status", "wrapper").stdout
    machine.systemctl("stop", UNIT)
    assert inside(machine) == []


def test_a_daemon_that_hangs_is_replaced_and_takes_nothing_along(machine: Container) -> None:
    override(machine, "WatchdogSec=2", "TimeoutAbortSec=1")
    machine.systemctl("restart", UNIT)
    machine.wait(lambda: programs(machine), "the programs run")
    before, old = programs(machine), daemon(machine)
    hang(machine)
    replaced(machine, old)
    assert programs(machine) == before


def test_a_new_daemon_can_be_killed_as_well(machine: Container) -> None:
    before = programs(machine)
    for _ in range(3):
        old = daemon(machine)
        kill(machine)
        replaced(machine, old)
    assert programs(machine) == before
