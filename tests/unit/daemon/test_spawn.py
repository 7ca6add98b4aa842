"""What is promised of a child from its first moment on, and what is left of one that never was."""

from __future__ import annotations

import os
import pwd
import signal
from dataclasses import replace

import pytest

from sdsuper.config.model import Account, ChannelConfig, Location, ProcessConfig
from sdsuper.daemon.command import Command
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.spawn import SpawnError, spawn

CONFIG = ProcessConfig(
    name="p",
    group="g",
    program="p",
    location=Location("test.ini", 1),
    command="sleep 600",
    stdout=ChannelConfig(),
    stderr=ChannelConfig(),
)
SLEEP = Command("/bin/sleep", ["sleep", "600"])


@pytest.mark.root
def test_a_signal_to_the_group_of_a_new_child_reaches_it() -> None:
    nobody = pwd.getpwnam("nobody")
    config = replace(CONFIG, user=Account("nobody", nobody.pw_uid, nobody.pw_gid))
    for _ in range(20):
        child = spawn(config, SLEEP, {}, DescriptorLimit())
        try:
            os.killpg(child.pid, signal.SIGTERM)  # before the child had a moment of its own
            assert os.waitpid(child.pid, 0)[1] == signal.SIGTERM
        finally:
            for fd in (child.stdin, child.stdout, child.stderr, child.failure_fd):
                assert fd is not None
                os.close(fd)


def test_what_cannot_be_an_argument_is_a_spawn_error_and_costs_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SpawnError, match="cannot spawn 'p': embedded null byte"):
        spawn(CONFIG, Command("/bin/sleep", ["sleep", "6\0"]), {}, DescriptorLimit())
    assert os.listdir("/proc/self/fd") == before
