"""The story that README.md tells of the package, word for word; and the files it began with."""

from __future__ import annotations

import functools
import re
import shutil
import textwrap
from pathlib import Path

import pytest

from tests.system.conftest import ROOT
from tests.system.container import Container, processes

pytestmark = [pytest.mark.booted, pytest.mark.rpm]

EXAMPLE = ROOT / "examples" / "kubernetes"
STORY = "## Install it on a server"
LOOKS_ONLY = ("sdsuperctl status", "journalctl")
"""Commands that may be given again until they show what is expected."""

VARYING = (
    (re.compile(r"^\w{3} \d\d \d\d:\d\d:\d\d \S+ ", re.MULTILINE), "WHEN HOST "),
    (re.compile(r"pid \d+"), "pid N"),
    (re.compile(r"\[\d+\]"), "[N]"),
    (re.compile(r"uptime \d+:\d\d:\d\d"), "uptime T"),
)
"""What differs from one machine and run to the next."""


def story() -> list[tuple[str, str]]:
    """Return the commands of the story, each with what is shown behind it."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"{STORY}\n")[2]
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line[:4] == "    "]
    told: list[tuple[str, str]] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line.startswith("# "):
            told.append((line[2:], ""))
        else:
            command, shown = told.pop()
            told.append((command, f"{shown}{line}\n"))
    return told


def plain(text: str) -> str:
    """Return a text without times, pids and the host's name."""
    for pattern, stands in VARYING:
        text = pattern.sub(stands, text)
    return text


def test_the_story_has_its_parts() -> None:
    commands = [command.split()[0] for command, _ in story()]
    assert commands == ["yum", "systemctl", "printf", "sdsuperctl", "sdsuperctl", "journalctl"]
    assert sum(bool(shown) for _, shown in story()) == 3


def test_the_story_is_true(machine: Container) -> None:
    machine.run("ln", "-s", "dnf", "/usr/bin/yum")  # as it is where yum is typed
    for command, shown in story():
        if command.startswith(LOOKS_ONLY):
            look = functools.partial(says, machine, command, shown)
            machine.wait(look, command)
        else:
            said = machine.run("sh", "-c", command).stdout
            assert not shown or plain(said) == plain(shown)


def says(machine: Container, command: str, expected: str) -> bool:
    """Whether a command prints what is expected, but for what varies."""
    return plain(machine.run("sh", "-c", command, check=False).stdout) == plain(expected)


@pytest.mark.etcd
def test_the_files_it_began_with_run_etcd(machine: Container) -> None:
    for name in ("etcd", "etcdctl"):
        found = shutil.which(name)
        assert found is not None
        machine.copy_in(Path(found), f"/usr/bin/{name}")
    machine.copy_in(EXAMPLE, "/srv/kubernetes")
    machine.run("useradd", "--system", "etcd")
    variables = ("K8S_ROOT=", "K8S_PORT=23790", "K8S_ETCD_USER=etcd")
    machine.run("env", *variables, "K8S_ROOT=/", "/srv/kubernetes/install.sh")
    drop_in = "/etc/systemd/system/sdsuperd.service.d/kubernetes.conf"
    machine.write(drop_in, f"[Service]\nEnvironment={' '.join(variables)}\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "sdsuperd")
    programs = ["etcd-gateway", *(f"etcd-server-{number}" for number in (1, 2, 3))]
    for name in programs:
        machine.copy_in(EXAMPLE / "sdsuper.d" / f"{name}.ini", f"/etc/supervisord.d/{name}.ini")
    said = machine.run("sdsuperctl", "update").stdout
    assert said == "".join(f"{name}: added process group\n" for name in programs)

    def up() -> bool:
        shown = machine.run("sdsuperctl", "status", *programs, check=False).stdout
        return [line.split()[:2] for line in shown.splitlines()] == [
            [name, "RUNNING"] for name in programs
        ]

    machine.wait(up, "all of etcd runs", 60)
    machine.wait(lambda: etcdctl(machine, "put", "story", "told") == "OK\n", "the cluster serves")
    assert etcdctl(machine, "get", "--print-value-only", "story") == "told\n"
    machine.run("journalctl", "--sync")
    for name in programs[1:]:
        entries = machine.run("journalctl", "--no-pager", "-o", "cat", "-t", name).stdout
        assert "etcd-version" in entries or "etcd Version" in entries
        file = machine.read(f"/data/logs/{name}/etcd.stdout.log")
        assert entries.splitlines()[:5] == file.splitlines()[:5]
    # The wrapper forwards nothing, and yet what it started ends with it, and before the next.
    machine.run("sdsuperctl", "restart", "etcd-server-2")
    assert len(processes(machine, "^./etcd --name=etcd-server-2")) == 1
    machine.systemctl("stop", "sdsuperd")
    assert processes(machine, "^./etcd") == []


def etcdctl(machine: Container, *words: str) -> str:
    """Run etcdctl through the gateway."""
    command = ("env", "ETCDCTL_API=3", "etcdctl", "--endpoints=127.0.0.1:23790", *words)
    return machine.run(*command, check=False).stdout
