"""From Supervisor to its drop-in and back, as an administrator of many programs would go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Packages, add_repository
from tests.system.container import SUITES, CommandError, Container, processes
from tests.system.supervisor_rpm import CONFIG as SUPERVISORS
from tests.system.supervisor_rpm import build_supervisor

pytestmark = [pytest.mark.booted, pytest.mark.rpm]

UNIT = "supervisord.service"
CONFIG = "/etc/supervisord.conf"
INI = "/etc/supervisord.d/web.ini"
PROGRAM = "[program:web]\ncommand=sleep 4711\nstartsecs=0\n"
EDITED = SUPERVISORS.replace("loglevel=info", "loglevel=debug") + "; mine\n"


@pytest.fixture(scope="module")
def supervisors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the package of Supervisor."""
    return build_supervisor(tmp_path_factory.mktemp("supervisor"))


@pytest.fixture(scope="module", params=SUITES)
def machine(
    request: pytest.FixtureRequest, packages: Packages, supervisors: Path
) -> Iterator[Container]:
    """A machine where Supervisor runs a program, and our repository has been added."""
    with Container(str(request.param)) as container:
        add_repository(container, "host", packages.host())
        add_repository(container, "supervisors", supervisors)
        container.run("dnf", "-y", "install", "supervisor")
        container.write(INI, PROGRAM)
        container.systemctl("enable", "--now", UNIT)
        container.wait(lambda: processes(container, "^sleep 4711$"), "Supervisor runs it")
        add_repository(container, "first", packages.first(container.suite))
        yield container


def installed(machine: Container) -> set[str]:
    """Return which of the packages are installed."""
    names = ("supervisor", "sdsuper", "sdsuper-supervisor")
    done = machine.run("rpm", "-q", "--qf", "%{name}\n", *names, check=False)
    return set(done.stdout.splitlines()) & set(names)


def leftovers(machine: Container) -> list[str]:
    """Return the files that rpm saved or did not put into place."""
    return sorted(path.name for path in machine.path("/etc").glob("supervisord.conf.rpm*"))


def swap(machine: Container, old: str, new: str) -> str:
    """Exchange a package for another in one transaction."""
    return machine.run("dnf", "-y", "swap", old, new).stdout


def test_nobody_is_moved_without_a_word(machine: Container) -> None:
    machine.run("dnf", "-y", "upgrade")
    assert installed(machine) == {"supervisor"}
    with pytest.raises(CommandError, match="conflicts"):
        machine.run("dnf", "-y", "install", "sdsuper-supervisor")
    assert installed(machine) == {"supervisor"}


def test_a_swap_goes_on_where_supervisor_was(machine: Container) -> None:
    before = processes(machine, "^sleep 4711$")
    told = swap(machine, "supervisor", "sdsuper-supervisor")
    assert installed(machine) == {"sdsuper", "sdsuper-supervisor"}
    assert "runs again" in told
    assert machine.systemctl("is-enabled", UNIT) == "enabled\n"
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.show(UNIT, "Type") == "notify"
    assert machine.read(INI) == PROGRAM
    assert machine.run("supervisorctl", "status").stdout.split()[:2] == ["web", "RUNNING"]
    [pid] = processes(machine, "^sleep 4711$")
    assert [pid] != before


def test_a_file_that_was_not_edited_is_replaced(machine: Container) -> None:
    assert "Supervisor" in machine.read(CONFIG)
    assert machine.read(CONFIG) != SUPERVISORS
    assert leftovers(machine) == []
    assert machine.run("rpm", "-V", "--nomtime", "sdsuper-supervisor").stdout == ""


def test_systemd_understands_every_line_of_the_unit(machine: Container) -> None:
    done = machine.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert "supervisor" not in done.stderr


def test_it_behaves_as_supervisor_does(machine: Container) -> None:
    """No journal, nothing strict, Supervisor's paths, and its list of configuration files."""
    shown = machine.run("supervisord", "config", "show").stdout
    assert "\nstrict=false\n" in shown
    assert "\njournal=false\n" in shown
    assert machine.path("/var/log/supervisor/supervisord.log").exists()
    pidfile = machine.run("cat", "/run/supervisord.pid").stdout
    assert pidfile.strip() == machine.show(UNIT, "MainPID")
    mode = machine.run(
        "stat", "-c", "%a %U:%G", "/run/supervisor", "/run/supervisor/supervisor.sock"
    )
    assert mode.stdout == "770 root:root\n700 root:root\n"
    elsewhere = machine.run("sh", "-c", "cd /srv; supervisorctl pid").stdout
    assert elsewhere.strip() == machine.show(UNIT, "MainPID")
    # Our own name looks at our own file first, where nobody listens.
    assert machine.run("sdsuperctl", "pid", check=False).returncode != 0


def test_the_other_commands_work(machine: Container) -> None:
    sample = machine.run("echo_supervisord_conf").stdout
    assert sample.startswith("; Sample supervisor config file")
    machine.write("/srv/sample.conf", sample)
    assert (
        ": ok (" in machine.run("supervisord", "-c", "/srv/sample.conf", "config", "check").stdout
    )
    assert machine.run("pidproxy", "/srv/pid", "sh", "-c", "exit 3", check=False).returncode == 3
    assert machine.run("sdsuper-pidproxy", "/srv/pid", "true").returncode == 0


def test_reload_updates(machine: Container) -> None:
    [before] = processes(machine, "^sleep 4711$")
    machine.write("/etc/supervisord.d/new.ini", "[program:new]\ncommand=sleep 4712\nstartsecs=0\n")
    machine.systemctl("reload", UNIT)
    assert len(processes(machine, "^sleep 4712$")) == 1
    assert processes(machine, "^sleep 4711$") == [before]
    machine.path("/etc/supervisord.d/new.ini").unlink()
    machine.systemctl("reload", UNIT)


def test_a_stop_ends_what_a_dead_daemon_left(machine: Container) -> None:
    machine.run("kill", "-KILL", machine.show(UNIT, "MainPID"))
    machine.wait(lambda: machine.show(UNIT, "SubState") == "auto-restart", "it is dead")
    assert len(processes(machine, "^sleep 4711$")) == 1
    machine.systemctl("stop", UNIT)
    assert processes(machine, "^sleep 4711$") == []
    machine.systemctl("start", UNIT)


def test_the_two_services_never_run_the_same_programs(machine: Container) -> None:
    machine.systemctl("start", "sdsuperd.service")
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert len(processes(machine, "^sleep 4711$")) == 1
    machine.systemctl("start", UNIT)
    assert machine.show("sdsuperd.service", "ActiveState") == "inactive"
    assert len(processes(machine, "^sleep 4711$")) == 1


def test_the_way_back_is_open(machine: Container) -> None:
    swap(machine, "sdsuper-supervisor", "supervisor")
    assert installed(machine) == {"supervisor"}  # dnf removes what was there for the other
    assert processes(machine, "^sleep 4711$") == []
    assert machine.read(CONFIG) == SUPERVISORS
    machine.systemctl("enable", "--now", UNIT)
    machine.wait(lambda: processes(machine, "^sleep 4711$"), "Supervisor runs it")


def test_an_edited_file_stays_in_effect(machine: Container) -> None:
    machine.write(CONFIG, EDITED)
    swap(machine, "supervisor", "sdsuper-supervisor")
    assert machine.read(CONFIG) == EDITED
    assert leftovers(machine) == ["supervisord.conf.rpmnew"]
    assert machine.run("supervisorctl", "status").stdout.split()[:2] == ["web", "RUNNING"]
    assert "\nloglevel=debug\n" in machine.run("supervisord", "config", "show").stdout


def test_an_upgrade_changes_the_daemon_and_no_program(
    machine: Container, packages: Packages
) -> None:
    before = machine.show(UNIT, "MainPID"), processes(machine, "^sleep 4711$")
    add_repository(machine, "second", packages.second(machine.suite))
    told = machine.run("dnf", "-y", "upgrade").stdout
    assert machine.run("rpm", "-q", "--qf", "%{release}", "sdsuper-supervisor").stdout == "2"
    assert "supervisord.service goes on with the new version" in told
    assert (machine.show(UNIT, "MainPID"), processes(machine, "^sleep 4711$")) == before
    assert machine.read(CONFIG) == EDITED


def test_removing_stops_everything_and_leaves_configuration_and_logs(machine: Container) -> None:
    machine.run("dnf", "-y", "remove", "sdsuper-supervisor", "sdsuper")
    assert installed(machine) == set()
    assert machine.run("pgrep", "-f", "sleep 4711|supervisord", check=False).stdout == ""
    assert machine.systemctl("is-active", UNIT, check=False) == "inactive\n"
    assert machine.read(f"{CONFIG}.rpmsave") == EDITED
    assert machine.read(INI) == PROGRAM
    assert "stopped: web" in machine.read("/var/log/supervisor/supervisord.log")
    assert not machine.path("/var/lib/rpm-state/sdsuper-supervisor").exists()
    links = machine.run("find", "/etc/systemd", "-name", "*super*").stdout
    assert links == ""


def test_removing_first_loses_nothing_either_but_says_what_to_do(machine: Container) -> None:
    machine.path(f"{CONFIG}.rpmnew").unlink()
    machine.path(f"{CONFIG}.rpmsave").unlink()
    machine.run("dnf", "-y", "install", "supervisor")
    machine.write(CONFIG, EDITED)
    machine.run("dnf", "-y", "remove", "supervisor")
    told = machine.run("dnf", "-y", "install", "sdsuper-supervisor").stdout
    assert leftovers(machine) == ["supervisord.conf.rpmsave"]
    [line] = [line for line in told.splitlines() if line.startswith("sdsuper: mv ")]
    machine.run("sh", "-c", line.removeprefix("sdsuper: "))
    assert machine.read(CONFIG) == EDITED
    # It was not running before, so it is not now.
    assert machine.systemctl("is-enabled", UNIT, check=False) == "disabled\n"
    assert machine.systemctl("is-active", UNIT, check=False) == "inactive\n"
