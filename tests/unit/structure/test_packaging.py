"""What is said twice in packaging agrees."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGING = ROOT / "packaging" / "rpm"
SPEC = (PACKAGING / "sdsuper.spec").read_text(encoding="utf-8")


def locked() -> dict[str, str]:
    """Return the locked versions by name; every line has its hash."""
    lines = (PACKAGING / "requirements.lock").read_text(encoding="utf-8").splitlines()
    found = [
        re.fullmatch(r"(\w+)==([\d.]+) --hash=sha256:[0-9a-f]{64}", line)
        for line in lines
        if not line.startswith("#")
    ]
    assert None not in found
    return {match[1]: match[2] for match in found if match}


def test_the_spec_names_what_is_locked() -> None:
    assert dict(re.findall(r"^%global (\w+)_version (\S+)$", SPEC, re.MULTILINE)) == locked()


def test_every_runtime_dependency_is_bundled_and_declared() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    needed = {re.split(r"\W", each)[0] for each in project["dependencies"]}
    assert set(re.findall(r"bundled\(python3dist\((\w+)\)\)", SPEC)) == needed
    assert needed <= set(locked())
    assert re.findall(r"^Version: +(\S+)$", SPEC, re.MULTILINE) == [project["version"]]
