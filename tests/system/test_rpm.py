"""The life of the package on a machine, in the order in which an administrator lives it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import ROOT, Packages, add_repository, build
from tests.system.container import SUITES, CommandError, Container, processes

pytestmark = [pytest.mark.booted, pytest.mark.rpm]

UNIT = "sdsuperd.service"
CONFIG = "/etc/sdsuper/sdsuper.conf"
INI = "/etc/supervisord.d/web.ini"
INSTANCE = """\
[supervisord]
user=root
logfile=/var/log/sdsuper-blue/sdsuperd.log
pidfile=/run/sdsuper-blue/sdsuperd.pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
[program:other]
command=sleep 4712
startsecs=0
"""
PROGRAM = "[program:web]\ncommand=sleep 4711\nstartsecs=0\n"


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pid_of(machine: Container, program: str) -> str:
    """Return the pid of a program as the daemon tells it."""
    return machine.run("sdsuperctl", "pid", program).stdout.strip()


def went_on(machine: Container) -> bool:
    """Whether the daemon has executed itself: what it was handed is in its environment."""
    environment = machine.run("cat", f"/proc/{machine.show(UNIT, 'MainPID')}/environ").stdout
    return "SDSUPER_HANDOVER=" in environment


def named(repository: Path, name: str) -> Path:
    """Return the file of a package in a repository."""
    (found,) = (
        path
        for path in repository.glob("*.rpm")
        if path.name.startswith(name) and path.name[len(name) :][1].isdigit()
    )
    return found


def requirements(package: Path) -> set[str]:
    """Return the names of what a package asks of others."""
    command = ["rpm", "-qp", "--requires", str(package)]
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    names = {line.split()[0] for line in done.stdout.splitlines()}
    return {name for name in names if not name.startswith(("rpmlib(", "config("))}


@pytest.mark.parametrize("suite", SUITES)
def test_the_same_tree_gives_the_same_bytes(packages: Packages, tmp_path: Path, suite: str) -> None:
    again = digests(build(packages.tree, suite, 1, tmp_path / "again"))
    assert again == digests(packages.first(suite))
    assert any(name.endswith(".src.rpm") for name in again)
    assert again != digests(packages.second(suite))


@pytest.mark.parametrize("suite", SUITES)
def test_it_asks_for_nothing_beyond_the_base_system(packages: Packages, suite: str) -> None:
    base = {"/bin/sh", "/usr/bin/python3", "systemd"}
    repository = packages.first(suite)
    assert requirements(named(repository, "sdsuper")) == {*base, "shadow-utils"}
    assert requirements(named(repository, "sdsuper-supervisor")) == {*base, "sdsuper"}


def test_installing_starts_and_enables_nothing(machine: Container) -> None:
    machine.run("dnf", "-y", "install", "sdsuper")
    assert machine.systemctl("is-enabled", UNIT, check=False) == "disabled\n"
    assert machine.systemctl("is-active", UNIT, check=False) == "inactive\n"
    assert machine.run("getent", "group", "sdsuper").stdout.startswith("sdsuper:")
    assert machine.run("sdsuperctl", "version", check=False).returncode != 0  # nobody answers
    assert machine.run("rpm", "-V", "--nomtime", "sdsuper").stdout == ""


def test_systemd_understands_every_line_of_the_unit(machine: Container) -> None:
    done = machine.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert "sdsuper" not in done.stderr


def test_the_commands_keep_to_their_private_folder(machine: Container) -> None:
    """Neither the caller's environment nor the working directory can put modules in between."""
    machine.write("/srv/trap/click.py", "raise SystemExit('trapped')")
    machine.write("/srv/trap/socket.py", "raise SystemExit('trapped')")
    for command in ("sdsuperd", "sdsuperctl"):
        shell = f"cd /srv/trap; PYTHONPATH=/srv/trap {command} --help"
        assert "trapped" not in machine.run("sh", "-c", shell).stdout
    shell = "cd /srv/trap; PYTHONPATH=/srv/trap sdsuperd config check"
    machine.run("sh", "-c", shell)


def test_the_bundled_extension_modules_fit(machine: Container) -> None:
    script = "import sys; sys.path.insert(0, '/usr/lib/sdsuper'); from systemd import journal; "
    script += "import psutil; print(journal.__file__, journal.Reader, psutil.pids()[0])"
    said = machine.run("python3", "-Ps", "-c", script).stdout
    assert said.startswith("/usr/lib/sdsuper/systemd/journal.py ")


def test_a_bad_configuration_fails_the_start_for_good_and_says_where(machine: Container) -> None:
    good = machine.read(CONFIG)
    machine.write(CONFIG, good + "\n[program:bad]\ncommand=true\nstartsecs=soon\n")
    with pytest.raises(CommandError):
        machine.systemctl("start", UNIT)
    assert machine.show(UNIT, "ActiveState") == "failed"
    assert machine.show(UNIT, "ExecMainStatus") == "2"
    assert machine.show(UNIT, "NRestarts") == "0"
    line = good.count("\n") + 4
    assert f"{CONFIG}:{line}" in machine.journal(UNIT)
    machine.write(CONFIG, good)
    machine.systemctl("reset-failed", UNIT)


def test_the_first_program(machine: Container) -> None:
    machine.systemctl("enable", "--now", UNIT)
    machine.write(INI, PROGRAM)
    assert machine.run("sdsuperctl", "update").stdout == "web: added process group\n"
    assert machine.run("sdsuperctl", "status").stdout.split()[:2] == ["web", "RUNNING"]


def test_running_wrote_nothing_into_the_package(machine: Container) -> None:
    assert machine.run("rpm", "-V", "--nomtime", "sdsuper").stdout == ""


def changes(machine: Container, verb: str, release: str) -> str:
    """Change to another release, of which the programs must not notice; return what dnf said."""
    units = (UNIT, "sdsuperd@blue.service")
    before = (
        [machine.show(unit, "MainPID") for unit in units],
        processes(machine, "^sleep 471[12]$"),
    )
    told = machine.run("dnf", "-y", verb, "sdsuper").stdout
    assert machine.run("rpm", "-q", "--qf", "%{release}", "sdsuper").stdout == release
    after = [machine.show(unit, "MainPID") for unit in units], processes(machine, "^sleep 471[12]$")
    assert after == before
    for unit in units:
        assert machine.show(unit, "NeedDaemonReload") == "no"
        assert machine.show(unit, "ActiveState") == "active"
    return told


def test_an_upgrade_changes_the_daemon_and_no_program(
    machine: Container, packages: Packages
) -> None:
    add_repository(machine, "second", packages.second(machine.suite))
    machine.write("/etc/sdsuper/blue.conf", INSTANCE)
    machine.systemctl("start", "sdsuperd@blue")
    machine.wait(lambda: len(processes(machine, "^sleep 471[12]$")) == 2, "both run")
    assert not went_on(machine)
    told = changes(machine, "upgrade", "2")
    for unit in (UNIT, "sdsuperd@blue.service"):
        assert f"{unit} goes on with the new version" in told
    assert went_on(machine)
    assert machine.systemctl("is-enabled", UNIT) == "enabled\n"
    assert pid_of(machine, "web") == str(*processes(machine, "^sleep 4711$"))


def test_a_downgrade_does_the_same(machine: Container) -> None:
    assert "goes on with the new version" in changes(machine, "downgrade", "1")
    changes(machine, "upgrade", "2")


def test_a_version_that_does_not_work_is_not_gone_on_with(machine: Container) -> None:
    main = "/usr/lib/sdsuper/sdsuper/sdsuperd.py"
    good = machine.read(main)
    # As if it did not fit the interpreter; compiled files are not checked against their source.
    machine.run("sh", "-c", f"rm -r {main.rpartition('/')[0]}/__pycache__/sdsuperd.*")
    machine.write(main, "raise SystemError('broken')\n")
    told = changes(machine, "reinstall", "2")
    assert "goes on with the new version" in told  # it was put right by the transaction
    machine.run("sh", "-c", f"rm -r {main.rpartition('/')[0]}/__pycache__/sdsuperd.*")
    machine.write(main, "raise SystemError('broken')\n")
    before = machine.show(UNIT, "MainPID"), pid_of(machine, "web")
    done = machine.run("sdsuperctl", "reexec", check=False)
    assert done.returncode != 0
    machine.write(main, good)
    assert (machine.show(UNIT, "MainPID"), pid_of(machine, "web")) == before
    machine.run("sdsuperctl", "reexec")
    assert (machine.show(UNIT, "MainPID"), pid_of(machine, "web")) == before
    machine.systemctl("stop", "sdsuperd@blue")
    assert processes(machine, "^sleep 4712$") == []
    machine.run("rm", "-r", "/var/lib/sdsuper-blue", "/var/log/sdsuper-blue")
    machine.run("dnf", "-y", "reinstall", "sdsuper")


def test_removing_stops_everything_and_leaves_configuration_and_logs(machine: Container) -> None:
    edited = machine.read(CONFIG) + "; mine\n"
    machine.write(CONFIG, edited)
    machine.run("dnf", "-y", "remove", "sdsuper")
    assert machine.run("pgrep", "-f", "sleep 4711|sdsuperd", check=False).stdout == ""
    assert machine.systemctl("is-active", UNIT, check=False) == "inactive\n"
    assert machine.read(f"{CONFIG}.rpmsave") == edited
    assert machine.read(INI) == PROGRAM
    assert "stopped: web" in machine.read("/var/log/sdsuper/sdsuperd.log")
    left = machine.run(
        "find", "/etc", "/usr", "/run", "/var/lib", "-path", "*sdsuper*", "-not", "-path", "*/dnf/*"
    ).stdout.split()
    assert [path for path in left if not path.startswith("/etc/sdsuper")] == []


@pytest.mark.parametrize("suite", SUITES)
def test_no_complaints_of_rpmlint(packages: Packages, suite: str) -> None:
    configuration = str(ROOT / "packaging/rpm/rpmlint.toml")
    files = [str(path) for path in packages.first(suite).glob("*.rpm")]
    command = ["rpmlint", "-c", configuration, *files]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    assert ": E: " not in done.stdout
    assert done.returncode == 0, done.stdout
    assert f" {len(files)} packages" in done.stdout
