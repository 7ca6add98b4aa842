"""The configurations that we ship as examples are without fault."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import BIN, clean_environment

EXAMPLES = Path(__file__).parents[2] / "examples"


def check(config: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Return exit status and words of `sdsuperd config check`."""
    done = subprocess.run(
        [BIN / "sdsuperd", "-c", config, "config", "check"],
        env=clean_environment(environment),
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_quickstart_is_without_fault() -> None:
    status, said = check(EXAMPLES / "quickstart" / "sdsuper.conf", {})
    assert status == 0, said


@pytest.fixture
def kubernetes(tmp_path: Path) -> dict[str, str]:
    """The variables of the Kubernetes example, laid out with every ini file in place."""
    variables = {
        "K8S_ROOT": str(tmp_path),
        "K8S_PORT": "23790",
        "K8S_ETCD_USER": "root",  # exists everywhere, also where etcd's account does not
    }
    install = EXAMPLES / "kubernetes" / "install.sh"
    subprocess.run([install], check=True, env={**os.environ, **variables}, timeout=30)
    (tmp_path / "sdsuper.d").symlink_to(EXAMPLES / "kubernetes" / "sdsuper.d")
    return variables


def test_the_kubernetes_example_is_without_fault(kubernetes: dict[str, str]) -> None:
    status, said = check(EXAMPLES / "kubernetes" / "sdsuper.conf", kubernetes)
    assert status == 0, said
    assert "10 processes" in said


@pytest.mark.root  # install.sh gives the data directory to etcd's account
def test_every_program_of_it_has_its_wrapper_and_its_log_directory(
    kubernetes: dict[str, str],
) -> None:
    root = Path(kubernetes["K8S_ROOT"])
    scripts, logs = set(), set()
    for ini in (root / "sdsuper.d").glob("*.ini"):
        for line in ini.read_text(encoding="utf-8").splitlines():
            key, _, value = line.replace("%(ENV_K8S_ROOT)s", str(root)).partition("=")
            if key == "command":
                scripts.add(Path(value.split()[0]))
            if key == "stdout_logfile":
                logs.add(Path(value.split()[0]))
    assert len(scripts) == 8
    assert len(logs) == 10
    assert all(os.access(script, os.X_OK) for script in scripts)
    assert not any("exec " in script.read_text(encoding="utf-8") for script in scripts)
    assert all(log.parent.is_dir() for log in logs)
