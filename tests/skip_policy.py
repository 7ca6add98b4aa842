"""Which tests need what, and that no skip goes unnoticed.

A test says by a mark what it needs of the machine. Where that is missing the test is skipped and
the summary says so in capitals; where CI=true, every skip is a failure.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

import pytest


class Need(NamedTuple):
    """Something a test may need of the machine.

    Attributes:
        help: Shown by `pytest --markers`.
        remedy: What to do where it is missing.
        present: Says whether the machine has it.
    """

    help: str
    remedy: str
    present: Callable[[], bool]


def _is_root() -> bool:
    return os.geteuid() == 0


def _has_etcd() -> bool:
    return shutil.which("etcd") is not None and shutil.which("etcdctl") is not None


def _has_systemd_analyze() -> bool:
    return shutil.which("systemd-analyze") is not None


@functools.cache
def _has_namespaces() -> bool:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except OSError:
        return False


def _has_ansible() -> bool:
    return ansible_folder().is_dir()


def ansible_folder() -> Path:
    """Return where `scripts/prepare ansible` puts Ansible's module and its library."""
    cache = os.environ.get("SDSUPER_CACHE") or Path.home() / ".cache" / "sdsuper"
    return Path(cache, "ansible")


def _boots_systemd() -> bool:
    from tests.system.container import can_boot

    return can_boot()


@functools.cache
def _freezes_disks() -> bool:
    if any(shutil.which(tool) is None for tool in ("mkfs.ext4", "fsfreeze", "mount")):
        return False
    return os.geteuid() == 0 and os.path.exists("/dev/loop-control")


def _delegates_cgroups() -> bool:
    from tests.cgroups import can_delegate

    return can_delegate()


def _emulates_machines() -> bool:
    from tests.system.vm import can_run

    return can_run()


def _builds_rpms() -> bool:
    return all(shutil.which(tool) for tool in ("rpmbuild", "createrepo_c", "rpmlint", "gcc"))


def _reads_journals() -> bool:
    from tests.journald import journal_remote

    return importlib.util.find_spec("systemd") is not None and journal_remote() is not None


def _counts() -> bool:
    from benchmarks.counts import missing

    return not missing()


def _has_bench_peers() -> bool:
    from benchmarks.peers import PEERS

    return not any(PEERS[name].missing() for name in ("runit", "s6", "circus"))


def _has_chromium() -> bool:
    return shutil.which("chromium") is not None and shutil.which("chromedriver") is not None


NEEDS = {
    "root": Need("needs root", "run the tests as root", _is_root),
    "etcd": Need("needs etcd and etcdctl", "install etcd-server and etcd-client", _has_etcd),
    "ansible": Need(
        "needs Ansible's module for supervisorctl", "run scripts/prepare ansible", _has_ansible
    ),
    "systemd_analyze": Need("needs systemd-analyze", "install systemd", _has_systemd_analyze),
    "namespaces": Need("needs PID namespaces", "run as root and allow unshare", _has_namespaces),
    "booted": Need(
        "needs a systemd booted in a container",
        "as root, install systemd-container and mmdebstrap",
        _boots_systemd,
    ),
    "cgroups": Need(
        "needs to make cgroups",
        "run the tests as root where cgroups of version 2 are mounted and can be written",
        _delegates_cgroups,
    ),
    "freezes": Need(
        "needs to mount and freeze a file system",
        "run the tests as root where loop devices are",
        _freezes_disks,
    ),
    "vm": Need(
        "needs an emulated machine and a kernel for it",
        "as root, run scripts/prepare vm",
        _emulates_machines,
    ),
    "journal_reader": Need(
        "needs systemd-python and systemd-journal-remote",
        "as root, run scripts/prepare venv and scripts/prepare tests",
        _reads_journals,
    ),
    "counting": Need("needs strace and valgrind", "run scripts/prepare bench", _counts),
    "bench_peers": Need(
        "needs runit, s6 and circus", "run scripts/prepare bench", _has_bench_peers
    ),
    "chromium": Need(
        "needs chromium and chromedriver",
        "install chromium and chromium-driver",
        _has_chromium,
    ),
    "rpm": Need(
        "needs rpmbuild", "install rpm and createrepo-c (scripts/prepare rpm)", _builds_rpms
    ),
}


def _is_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known."""
    for name, need in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: {need.help}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs are not met."""
    for name, need in NEEDS.items():
        if item.get_closest_marker(name) and not need.present():
            pytest.skip(f"{need.help}: {need.remedy}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where CI=true; an expected failure is none."""
    if _is_ci() and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = _reason(report)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: skipped although CI=true\n{reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Refuse a test's skip where CI=true."""
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse a whole module's skip where CI=true."""
    report = yield
    _refuse(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested."""
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if not hasattr(r, "wasxfail")]
    if not skipped:
        return
    by_layer = defaultdict(list)
    for report in skipped:
        by_layer[report.nodeid.split("::")[0].rpartition("/")[0] or "."].append(_reason(report))
    terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
    for layer, reasons in sorted(by_layer.items()):
        told = "; ".join(sorted(set(reasons)))
        terminalreporter.write_line(f"{layer}: {len(reasons)} SKIPPED: {told}")
