"""The unit files: what they promise, and that systemd understands them."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[3] / "units"
MAIN = UNITS / "sdsuperd.service"
INSTANCE = UNITS / "sdsuperd@.service"
USER = UNITS / "user" / "sdsuperd.service"
SOCKET = UNITS / "sdsuperd.socket"
SERVICES = (MAIN, INSTANCE, USER)
GUARD = UNITS / "guard"
COMPANIONS = tuple(f"sdsuper-{name}@.service" for name in ("guard", "cleanup"))

INHERITED_BY_PROGRAMS = (
    "Private",
    "Protect",
    "Restrict",
    "ReadOnly",
    "ReadWrite",
    "Inaccessible",
    "SystemCall",
    "NoNewPrivileges",
    "MemoryDenyWriteExecute",
    "BindPaths",
    "TemporaryFileSystem",
)

OF_THE_SYSTEM = ("User", "Group", "Limit", "TasksMax", "Capabilit", "OOMScore", "Nice")
"""What a user's manager cannot give, or may have less of than we would ask for."""


def read(unit: Path) -> configparser.ConfigParser:
    """Return a unit file, its keys as written."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit, encoding="utf-8")
    return parser


def service_of(unit: Path) -> configparser.SectionProxy:
    """Return the [Service] section of a unit file."""
    return read(unit)["Service"]


def named(unit: Path) -> str:
    """Return what a test is called after."""
    return str(unit.relative_to(UNITS))


each_service = pytest.mark.parametrize("unit", SERVICES, ids=named)


@pytest.mark.parametrize(
    ("unit", "config", "directory"),
    [
        (MAIN, "/etc/sdsuper/sdsuper.conf", "/run/sdsuper"),
        (INSTANCE, "/etc/sdsuper/%i.conf", "/run/sdsuper-%i"),
        (USER, "%E/sdsuper/sdsuper.conf", "%t/sdsuper"),
    ],
    ids=["main", "instance", "user"],
)
def test_each_runs_a_daemon_of_its_own_and_reloads_it_in_one_step(
    unit: Path, config: str, directory: str
) -> None:
    service = service_of(unit)
    assert service["ExecStart"] == f"/usr/bin/sdsuperd -n -c {config}"
    socket = f"unix://{directory}/sdsuper.sock"
    assert service["ExecReload"] == f"/usr/bin/sdsuperctl -c {config} -s {socket} update"
    assert service["RuntimeDirectory"] == directory.rpartition("/")[2]
    assert service["RuntimeDirectoryPreserve"] == "restart"
    assert int(service["FileDescriptorStoreMax"]) > 0


@each_service
def test_the_daemon_is_heard_and_watched(unit: Path) -> None:
    service = service_of(unit)
    assert service["Type"] == "notify"  # not notify-reload, which older versions take for simple
    assert int(service["WatchdogSec"]) > 0
    assert service["Delegate"] == "yes"
    assert service["OOMPolicy"] == "continue"


@each_service
def test_programs_outlive_the_daemon_but_not_the_service(unit: Path) -> None:
    service = service_of(unit)
    assert service["KillMode"] == "process"
    # Passed descriptors count against the soft limit, of which a program gets 1024 by default.
    assert 2 * int(service["FileDescriptorStoreMax"]) < 1024
    scope = "--user " if unit == USER else ""
    assert service["ExecStopPost"] == f"-/usr/libexec/sdsuper/guard {scope}stopped %n"
    assert read(unit)["Unit"]["Wants"].split()[-1] == "sdsuper-guard@%n"
    assert read(unit)["Unit"]["OnFailure"] == "sdsuper-cleanup@%n"


@pytest.mark.parametrize("name", COMPANIONS)
def test_a_user_has_the_same_companions(name: str) -> None:
    system = (UNITS / name).read_text(encoding="utf-8")
    assert system.count("/guard ") == 1
    expected = system.replace("/guard ", "/guard --user ")
    assert (USER.parent / name).read_text(encoding="utf-8") == expected
    # With systemd's own limit they would not be there for the sixth crash within 10 seconds.
    assert read(UNITS / name)["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_guard_is_a_script_that_a_shell_understands() -> None:
    assert GUARD.stat().st_mode & 0o111 == 0o111
    assert subprocess.run(["sh", "-n", str(GUARD)], check=False).returncode == 0


@each_service
def test_a_shutdown_by_the_operator_and_a_usage_error_stay_down(unit: Path) -> None:
    service = service_of(unit)
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"


@each_service
def test_programs_inherit_no_sandbox(unit: Path) -> None:
    assert [key for key in service_of(unit) if key.startswith(INHERITED_BY_PROGRAMS)] == []


def test_an_instance_differs_from_the_service_only_in_what_is_its_own() -> None:
    main, instance = dict(service_of(MAIN)), dict(service_of(INSTANCE))
    own = {key for key in main.keys() | instance.keys() if main.get(key) != instance.get(key)}
    folders = {f"{kind}Directory" for kind in ("Runtime", "State", "Logs", "Configuration")}
    assert own == folders | {"ExecStart", "ExecReload"}
    assert {key: instance[key] for key in folders} == {
        "RuntimeDirectory": "sdsuper-%i",
        "StateDirectory": "sdsuper-%i",
        "LogsDirectory": "sdsuper-%i",
        "ConfigurationDirectory": "sdsuper/%i.d",
    }


def test_a_user_unit_asks_for_nothing_that_only_the_system_can_give() -> None:
    unit = read(USER)
    assert [key for key in unit["Service"] if key.startswith(OF_THE_SYSTEM)] == []
    assert unit["Unit"]["Wants"] == "sdsuper-guard@%n"  # nothing that only the system has
    assert not {"After", "Conflicts"} & set(unit["Unit"])
    assert unit["Install"]["WantedBy"] == "default.target"


def test_the_socket_unit_makes_the_socket_that_the_daemon_would_make() -> None:
    socket = read(SOCKET)["Socket"]
    assert socket["ListenStream"] == "/run/sdsuper/sdsuper.sock"
    rights = socket["SocketUser"], socket["SocketGroup"], socket["SocketMode"]
    assert rights == ("root", "sdsuper", "0660")


@pytest.mark.systemd_analyze
@pytest.mark.parametrize(
    ("units", "scope"),
    [((MAIN, SOCKET), "--system"), ((INSTANCE,), "--system"), ((USER,), "--user")],
    ids=["main and socket", "instance", "user"],
)
def test_systemd_understands_every_line(
    units: tuple[Path, ...], scope: str, tmp_path: Path
) -> None:
    # The commands must exist to be accepted: the ones of this environment stand for the installed.
    companions = [units[0].parent / name for name in COMPANIONS]
    version = run_analyze(tmp_path, "--version").stdout.split()[1]
    copies = []
    for unit in (*units, *companions):
        text = unit.read_text(encoding="utf-8")
        text = text.replace("/usr/bin/", f"{Path(sys.executable).parent}/")
        text = text.replace("/usr/libexec/sdsuper/guard", str(GUARD))
        if int(version) < 254:  # as the package does
            text = re.sub(r"(?m)^DelegateSubgroup=.*\n", "", text)
        copy = tmp_path / unit.name.replace("@", "@name")
        copy.write_text(text, "utf-8")
        copies.append(str(copy))
    done = run_analyze(tmp_path, "verify", scope, "--man=no", "--recursive-errors=no", *copies)
    assert (done.returncode, done.stderr) == (0, "")


def run_analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, with a folder for what belongs to a user."""
    return subprocess.run(
        ["systemd-analyze", *words],
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
        env={"XDG_RUNTIME_DIR": str(folder), "HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )


# --- after an upgrade -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (0, "sdsuperd.service goes on with the new version, and its programs went on all the time"),
        (1, "sdsuperd.service was left alone with the old version, and so were its programs: no"),
    ],
)
def test_an_upgrade_asks_the_daemon_and_never_fails(tmp_path: Path, status: int, told: str) -> None:
    for name, text in (("sdsuperctl", f"echo no\necho $* >{tmp_path}/asked\nexit {status}"),
                       ("systemctl", "exit 1")):  # fmt: skip
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    script = UNITS.parent / "packaging" / "rpm" / "upgraded"
    done = subprocess.run(
        [script, "sdsuperd.service", "/etc/sdsuper/sdsuper.conf", "/run/sdsuper/sdsuper.sock"],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        timeout=60,
    )
    assert done.stderr == ""
    assert told in done.stdout
    assert ("systemctl restart sdsuperd.service" in done.stdout) == bool(status)
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert asked == "-c /etc/sdsuper/sdsuper.conf -s unix:///run/sdsuper/sdsuper.sock reexec\n"
