"""A skip is told loudly, and is a failure where CI=true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

TESTS = """
import pytest

@pytest.mark.impossible
def test_with_a_need():
    pass

@pytest.mark.skip(reason="no mood")
def test_skipped():
    pass

@pytest.mark.xfail(strict=True)
def test_known_to_fail():
    assert False

def test_passes():
    pass
"""

PLUGIN = """
from tests import skip_policy
skip_policy.NEEDS["impossible"] = skip_policy.Need("needs a unicorn", "get one", lambda: False)
from tests.skip_policy import *
"""


MODULE = """
import pytest
pytest.skip("not here", allow_module_level=True)
"""


def run(folder: Path, text: str, ci: str) -> tuple[int, str]:
    """Run tests in a pytest of their own; return its exit status and its output."""
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    (folder / "policy_under_test.py").write_text(PLUGIN, encoding="utf-8")
    options = ["-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "policy_under_test", *options, str(folder)],
        env={**os.environ, "CI": ci, "PYTHONPATH": f"{folder}:{ROOT}", "COLUMNS": "200"},
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("ci", ["", "false"])
def test_elsewhere_skips_are_told(tmp_path: Path, ci: str) -> None:
    status, output = run(tmp_path, TESTS, ci)
    assert status == 0, output
    assert "NOT EVERYTHING WAS TESTED" in output
    assert "2 SKIPPED: Skipped: needs a unicorn: get one; Skipped: no mood" in output
    assert "1 passed, 2 skipped, 1 xfailed" in output


def test_with_ci_every_skip_is_a_failure(tmp_path: Path) -> None:
    status, output = run(tmp_path, TESTS, "true")
    assert status != 0, output
    assert "test_with_a_need: skipped although CI=true" in output
    assert "test_skipped: skipped although CI=true" in output
    assert " skipped, " not in output


def test_with_ci_the_skip_of_a_module_is_a_failure(tmp_path: Path) -> None:
    status, output = run(tmp_path, MODULE, "true")
    assert status != 0, output
    assert "test_it.py: skipped although CI=true" in output
