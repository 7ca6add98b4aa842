"""The unit file: what it promises, and that systemd understands it."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "units" / "sdsuperd.service"

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


@pytest.fixture
def service() -> configparser.SectionProxy:
    """The [Service] section, its keys as written."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser["Service"]


def test_it_runs_the_daemon_in_the_foreground_and_hears_from_it(
    service: configparser.SectionProxy,
) -> None:
    assert service["Type"] == "notify"  # not notify-reload, which older versions take for simple
    assert service["ExecStart"] == "/usr/bin/sdsuperd -n -c /etc/sdsuper/sdsuper.conf"
    assert int(service["WatchdogSec"]) > 0


def test_a_reload_updates_and_never_restarts_everything(
    service: configparser.SectionProxy,
) -> None:
    assert service["ExecReload"].endswith("sdsuperctl -c /etc/sdsuper/sdsuper.conf update")


def test_a_shutdown_by_the_operator_and_a_usage_error_stay_down(
    service: configparser.SectionProxy,
) -> None:
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"


def test_programs_inherit_no_sandbox(service: configparser.SectionProxy) -> None:
    assert [key for key in service if key.startswith(INHERITED_BY_PROGRAMS)] == []


@pytest.mark.systemd_analyze
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    # The commands must exist to be accepted: the ones of this environment stand for the installed.
    text = UNIT.read_text(encoding="utf-8").replace("/usr/bin/", f"{Path(sys.executable).parent}/")
    copy = tmp_path / UNIT.name
    copy.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy)],
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
