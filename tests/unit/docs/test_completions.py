"""The completion scripts are current, and shells can read them."""

from __future__ import annotations

import subprocess

import pytest

from docs.generate_completions import FOLDER, SCRIPTS, arguments
from sdsuper.ctl.commands import all_commands


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_is_current(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == SCRIPTS[name](), "run make docs"


def test_there_is_no_other_script() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SCRIPTS)


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name.endswith(".bash")])
def test_bash_reads_it(name: str) -> None:
    done = subprocess.run(["bash", "-n", FOLDER / name], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("status", "@names @members"),
        ("signal", "@signals @names @members all"),
        ("tail", "@names stdout stderr -f"),
        ("update", "all @groups --keep --dry-run"),
        ("reload", ""),
        ("help", "@actions"),
        ("version", "--verbose"),
        ("restart", "@names @members all"),
    ],
)
def test_arguments_follow_from_how_a_command_is_used(command: str, expected: str) -> None:
    assert arguments(all_commands()[command]) == expected
