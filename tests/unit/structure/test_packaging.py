"""What is said twice in packaging agrees."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sdsuper import SUPERVISOR_VERSION

ROOT = Path(__file__).parents[3]
PACKAGING = ROOT / "packaging" / "rpm"
SPEC = (PACKAGING / "sdsuper.spec").read_text(encoding="utf-8")


def locked() -> dict[str, str]:
    """Return the locked versions by name; every line has its hash."""
    lines = (PACKAGING / "requirements.lock").read_text(encoding="utf-8").splitlines()
    found = [
        re.fullmatch(r"([\w-]+)==([\d.]+) --hash=sha256:[0-9a-f]{64}", line)
        for line in lines
        if not line.startswith("#")
    ]
    assert None not in found
    return {match[1].replace("-", "_"): match[2] for match in found if match}


def test_the_spec_names_what_is_locked() -> None:
    named = dict(re.findall(r"^%global (\w+)_version (\S+)$", SPEC, re.MULTILINE))
    named.pop("supervisor")
    assert named == locked()


def test_every_runtime_dependency_is_bundled_and_declared() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["journal"]]
    needed = {re.split(r"[^\w-]", each)[0].replace("-", "_") for each in wanted}
    bundled = re.findall(r"bundled\(python3dist\(([\w-]+)\)\)", SPEC)
    assert {name.replace("-", "_") for name in bundled} == needed
    assert needed <= set(locked())
    assert re.findall(r"^Version: +(\S+)$", SPEC, re.MULTILINE) == [project["version"]]


def test_the_drop_in_stands_for_the_version_that_the_daemon_reports() -> None:
    found = re.findall(r"^%global supervisor_version (\S+)$", SPEC, re.MULTILINE)
    assert found == [SUPERVISOR_VERSION]
    assert re.findall(r"^Obsoletes:", SPEC, re.MULTILINE) == []


TARGETS = {
    "fedora 42": ("/usr/bin/python3", "python3"),
    "rhel 10": ("/usr/bin/python3", "python3"),
    "rhel 9": ("/usr/bin/python3.12", "python3.12"),
    "rhel 8": ("/usr/bin/python3.12", "python3.12"),
    "amzn 2023": ("/usr/bin/python3.11", "python3.11"),
    "debian 12": ("/usr/bin/python3", ""),
}
"""What a target's macros define, to its interpreter, and the package of that in build roots."""


@pytest.mark.rpm
@pytest.mark.parametrize("target", TARGETS)
def test_each_target_gets_its_interpreter(target: str) -> None:
    python, package = TARGETS[target]
    done = subprocess.run(
        ["rpmspec", "-P", "--define", target, str(PACKAGING / "sdsuper.spec")],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    expanded = done.stdout
    needed = set(re.findall(r"^BuildRequires: +(\S+)$", expanded, re.MULTILINE))
    wanted = {f"{package}-devel", "gcc", "/usr/bin/pkg-config", "systemd-devel",
              "systemd-rpm-macros"}  # fmt: skip
    assert needed == (wanted if package else set())
    assert f"\nRequires:       {python}\n" in expanded
    assert f"{python} packaging/rpm/vendor.py" in expanded
    assert f"@PYTHON@|{python}|" in expanded
    assert f"{python} -m compileall" in expanded
    assert "Obsoletes:" not in re.sub(r"^#.*$", "", expanded, flags=re.MULTILINE)
    # No macro was left for the shell to trip over.
    assert re.findall(r"%\{\w+\}", expanded) == []


def derived_unit() -> list[str]:
    """Return the lines of the drop-in's unit."""
    script, unit = PACKAGING / "dropin_unit.py", ROOT / "units" / "sdsuperd.service"
    done = subprocess.run(
        [sys.executable, script, unit], capture_output=True, check=True, encoding="utf-8"
    )
    return done.stdout.splitlines()


def test_the_drop_ins_unit_is_the_same_but_for_names_and_paths() -> None:
    lines = derived_unit()
    own = (ROOT / "units" / "sdsuperd.service").read_text(encoding="utf-8").splitlines()
    assert "ExecStart=/usr/bin/supervisord -n -c /etc/supervisord.conf" in lines
    assert "Conflicts=sdsuperd.service" in lines
    changed = [line for line in lines if line not in own and "upervisor" not in line]
    # Nothing else differs, and nothing of the other's is left.
    assert changed == [
        "Conflicts=sdsuperd.service",
        "RuntimeDirectoryMode=0770",
        "RuntimeDirectoryPreserve=yes",
        "LogsDirectoryMode=0770",
    ]
    told = [line for line in lines if not line.startswith(("#", "Description="))]
    # The companions are the program's, for whichever service.
    assert [line for line in told if "sdsuper" in line] == [
        "Conflicts=sdsuperd.service",
        "Wants=network-online.target sdsuper-guard@%n",
        "OnFailure=sdsuper-cleanup@%n",
        "ExecStopPost=-/usr/libexec/sdsuper/guard stopped %n",
    ]


def test_a_unit_that_lacks_what_is_to_differ_is_refused(tmp_path: Path) -> None:
    unit = tmp_path / "x.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    command = [sys.executable, str(PACKAGING / "dropin_unit.py"), str(unit)]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    assert done.returncode != 0
    assert "occurs 0 times" in done.stderr
