"""The way between a pipe and its file: whatever happens on it, each byte arrives once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.logs.killing import SCENARIOS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_again_and_again(name: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.unit.logs.killing", name, str(tmp_path), "150", "7"],
        cwd=ROOT,
        check=True,
        timeout=300,
    )
