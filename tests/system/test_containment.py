"""Under systemd nothing of a program outlives its stop: cgroups in the real unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.system.container import Container, processes
from tests.system.test_service import LOG, SLEEPER, UNIT, Service

pytestmark = [pytest.mark.booted, pytest.mark.rpm]

CGROUP = f"/sys/fs/cgroup/system.slice/{UNIT}"
ESCAPERS = Path(__file__).parents[1] / "integration" / "escapers.py"
SCRIPT = "/usr/local/bin/escapers.py"
GRACE_MAX = 3.0
"""Seconds beyond stopwaitsecs within which all that a process started is gone."""

TRIES = 3
"""What is promised is a time, and a machine that is busy with other things may be late."""


@pytest.fixture(scope="module")
def installed(machine: Container) -> Container:
    """A machine with the package and a program that is built to escape."""
    machine.run("dnf", "-y", "install", "sdsuper")
    machine.write(SCRIPT, ESCAPERS.read_text(encoding="utf-8"))
    return machine


@pytest.fixture
def service(installed: Container) -> Iterator[Service]:
    """The daemon, not yet running, without any program."""
    service = Service(installed)
    yield service
    service.reset()


def members(service: Service, cgroup: str) -> set[int]:
    """Return the processes of a cgroup below the unit's."""
    told = service.machine.run("cat", f"{CGROUP}/{cgroup}/cgroup.procs").stdout
    return set(map(int, told.split()))


def add_escapers(service: Service, token: str, how: str) -> None:
    """Start the program that is built to escape."""
    service.add(
        "escapers",
        f"[program:escapers]\ncommand=/usr/bin/python3 -I -S {SCRIPT} {token} {how}\n"
        "stopwaitsecs=2\nautorestart=true\n",
    )
    service.start()
    wait_for_escapers(service, token)


def wait_for_escapers(service: Service, token: str) -> None:
    """Return when both that are hard to end are there."""
    service.machine.wait(lambda: escaped(service, token, "hydra"), "the hydra")
    service.machine.wait(lambda: escaped(service, token, "sleeper"), "the sleeper")


def escaped(service: Service, token: str, part: str = "") -> Sequence[int]:
    """Return the processes of the tree."""
    return processes(service.machine, f"escapers.py {token} {part}")


def test_the_daemon_and_each_process_have_a_cgroup_of_their_own(service: Service) -> None:
    service.add("web", SLEEPER.format(name="web", seconds=4711))
    service.add("other", SLEEPER.format(name="other", seconds=4711) + "user=nobody\n")
    service.start()
    assert members(service, "daemon") == {int(service.show("MainPID"))}
    assert members(service, "programs/web:web") == {service.pid("web")}
    assert members(service, "programs/other:other") == {service.pid("other")}
    assert members(service, ".") == set()
    assert "no cgroup of their own" not in service.machine.read(LOG)


@pytest.mark.parametrize("how", ["obedient", "deaf"])
def test_a_tree_that_is_built_to_escape_is_gone_after_a_stop(service: Service, how: str) -> None:
    token = f"stop-{how}"
    add_escapers(service, token, how)
    clock = "cut -d' ' -f1 /proc/uptime"
    passed = []
    for _ in range(TRIES):
        told = service.machine.run("sh", "-c", f"{clock}; sdsuperctl stop escapers; {clock}")
        before, answer, after = told.stdout.splitlines()
        assert answer == "escapers: stopped"
        assert not escaped(service, token)
        assert members(service, "programs/escapers:escapers") == set()
        passed.append(float(after) - float(before))
        if passed[-1] < 2 + GRACE_MAX:
            break
        service.ctl("start", "escapers")
        wait_for_escapers(service, token)
    assert min(passed) < 2 + GRACE_MAX


def test_a_tree_that_is_built_to_escape_is_gone_after_a_restart_of_the_service(
    service: Service,
) -> None:
    add_escapers(service, "restart", "obedient")
    before = set(escaped(service, "restart", "sleeper"))
    service.machine.systemctl("restart", UNIT)
    service.machine.wait(lambda: escaped(service, "restart", "sleeper"), "it runs again")
    assert not before & set(escaped(service, "restart", "sleeper"))
    service.machine.systemctl("stop", UNIT)
    assert not escaped(service, "restart")
    assert service.show("Result") == "success"
