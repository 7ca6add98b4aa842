"""The containers themselves: nothing below them is worth a test if these do not hold."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.system.container import CommandError, Container, hierarchies

pytestmark = pytest.mark.booted

UNIT = "[Service]\nExecStart=/bin/sh -c 'echo here I am; exec sleep 1000'\n"


def test_a_container_lives_and_leaves_nothing() -> None:
    with Container("bookworm") as machine:
        root = machine.root
        machine.write("/etc/systemd/system/one.service", UNIT)
        machine.systemctl("start", "one")
        assert machine.show("one", "ActiveState") == "active"
        machine.wait(lambda: "here I am" in machine.journal("one"), "its words in the journal")
        assert "sleep 1000" in machine.run("ps", "-e", "-o", "args").stdout
        with pytest.raises(CommandError, match="status 3"):
            machine.run("sh", "-c", "exit 3")
        machine.reboot()
        assert machine.show("one", "ActiveState") == "inactive"
        assert machine.read("/etc/systemd/system/one.service") == UNIT
    mounts = subprocess.run(["mount"], capture_output=True, check=True, encoding="utf-8").stdout
    assert str(root.parent) not in mounts
    assert not root.parent.exists()
    assert [path for top in hierarchies() for path in top.glob(f"sdsuper-{os.getpid()}-*")] == []


def test_two_containers_do_not_see_each_other() -> None:
    with Container("bookworm") as one, Container("trixie") as other:
        for machine in (one, other):
            machine.write("/etc/systemd/system/same.service", UNIT)
            machine.systemctl("start", "same")
        one.systemctl("stop", "same")
        assert other.show("same", "ActiveState") == "active"
        assert [one.systemctl("--version")[:11], other.systemctl("--version")[:11]] == [
            "systemd 252",
            "systemd 257",
        ]
