"""What every module, folder and file of the project owes."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import sdsuper

ROOT = Path(__file__).parents[3]
MODULES = sorted((ROOT / "sdsuper").rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES if path.parent != ROOT / "sdsuper"})


def relative(path: Path) -> str:
    """Return a path as seen from the top of the project."""
    return str(path.relative_to(ROOT))


def tracked() -> list[Path]:
    """Return the files that are the project's: those git knows, or all where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, encoding="utf-8"
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def project() -> dict[str, object]:
    """Return the [project] table of pyproject.toml."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(table, dict)
    return table


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and not text:
        return
    docstring = ast.get_docstring(ast.parse(text)) or ""
    first = docstring.partition("\n")[0]
    assert first.endswith((".", "?", ":")), f"{relative(path)} begins with no sentence"


@pytest.mark.parametrize("folder", FOLDERS, ids=relative)
def test_every_folder_with_code_has_its_tests(folder: Path) -> None:
    if not [path for path in folder.glob("*.py") if path.stat().st_size]:
        return
    top = folder.relative_to(ROOT / "sdsuper").parts[0]
    assert list((ROOT / "tests" / "unit" / top).rglob("test_*.py"))


def test_types_are_shipped() -> None:
    assert (ROOT / "sdsuper" / "py.typed").is_file()
    assert "Typing :: Typed" in str(project()["classifiers"])


def test_the_version_is_written_alike_in_both_places() -> None:
    assert project()["version"] == sdsuper.__version__


def test_the_commands_can_be_loaded() -> None:
    scripts = metadata.distribution("sdsuper").entry_points.select(group="console_scripts")
    loaded = {script.name: script.load() for script in scripts}
    assert {"sdsuperd", "sdsuperctl"} <= set(loaded)
    assert all(callable(main) for main in loaded.values())


UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
MACHINE = re.compile(r"(?<![\w.])/work/\w+/")
REGISTRY = re.compile(r"\bpypi\.org|files\.pythonhosted|index-url\b")


@pytest.mark.parametrize("pattern", [UNFINISHED, MACHINE, REGISTRY], ids=lambda p: str(p.pattern))
def test_no_file_speaks_of_work_to_do_or_of_one_machine(pattern: re.Pattern[str]) -> None:
    files = [path for path in tracked() if path != Path(__file__)]
    assert files or not (ROOT / ".git").exists()
    found = []
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{relative(path)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []
