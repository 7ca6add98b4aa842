"""What is promised of a child from its first moment on, and what is left of one that never was."""

from __future__ import annotations

import os
import pwd
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from sdsuper.config.model import Account, ChannelConfig, Location, ProcessConfig
from sdsuper.daemon import spawn as spawning
from sdsuper.daemon.command import Command
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.plugins import MODULES
from sdsuper.daemon.setup import keep_descriptors_to_ourselves
from sdsuper.daemon.spawn import Child, SpawnError, spawn

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


def test_a_module_that_cannot_be_loaded_is_a_spawn_error_and_costs_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "subprocess", None)
    config = replace(CONFIG, directory=str(tmp_path))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SpawnError, match="cannot spawn 'p': import of subprocess"):
        spawn(config, Command("/bin/true", ["true"]), {}, DescriptorLimit())
    assert os.listdir("/proc/self/fd") == before


@contextmanager
def run(command: str, **options: Any) -> Iterator[Child]:
    child = spawn(
        replace(CONFIG, **options),
        Command("/bin/sh", ["sh", "-c", command]),
        {"PATH": os.environ["PATH"]},
        DescriptorLimit(),
    )
    try:
        yield child
    finally:
        os.waitpid(child.pid, 0)
        for fd in (child.stdin, child.stdout, child.stderr):
            if fd is not None:
                os.close(fd)


def told(child: Child) -> str:
    os.set_blocking(child.stdout, True)
    with open(child.stdout, closefd=False) as file:
        return file.read()


SAYS = "umask; pwd; ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status"
INTERNAL = 0x180000000
"""Signals 32 and 33, which posix_spawn(3) of the C library ignores: they are its own."""


def told_of_itself(child: Child) -> list[str]:
    *lines, blocked, ignored = told(child).splitlines()
    key, _, mask = ignored.partition("\t")
    return [*lines, blocked, f"{key} {int(mask, 16) & ~INTERNAL}"]


def test_a_child_is_the_same_whichever_way_it_is_made(tmp_path: Path) -> None:
    keep_descriptors_to_ourselves()
    os.set_inheritable(leak := os.open("/dev/null", os.O_RDONLY), True)
    try:
        with patch.object(MODULES, "used", True), run(SAYS) as child:  # the code of others did it
            safe = told_of_itself(child)
        with patch.object(spawning, "_posix_spawn", return_value=None), run(SAYS) as child:
            assert told_of_itself(child) == safe
    finally:
        os.close(leak)
    with patch.object(spawning, "_popen", side_effect=AssertionError), run(SAYS) as child:
        assert told_of_itself(child) == safe
    with run(SAYS, directory=str(tmp_path), umask=0o027) as child:
        assert told(child).splitlines()[:2] == ["0027", str(tmp_path)]


def test_a_child_that_cannot_be_executed_tells_it_and_has_a_pid() -> None:
    child = spawn(CONFIG, Command("/no/such", ["x"]), {}, DescriptorLimit())
    assert child.pid > 0
    assert str(child.failure) == "exec x: ENOENT"
    assert child.stderr is not None
    assert b"couldn't exec x: ENOENT" in os.read(child.stderr, 4096)
    for fd in (child.stdin, child.stdout, child.stderr):
        assert fd is not None
        os.close(fd)


def test_children_do_not_get_our_own_limit_of_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    limits = DescriptorLimit()
    limits.raise_own()
    try:
        for way in (None, spawning._posix_spawn):
            ways = patch.object(spawning, "_posix_spawn", way or (lambda *_: None))
            with ways:
                child = spawn(CONFIG, Command("/bin/sh", ["sh", "-c", "ulimit -Sn"]), {}, limits)
            os.waitpid(child.pid, 0)
            assert told(child) == "256\n"
            for fd in (child.stdin, child.stdout, child.stderr):
                assert fd is not None
                os.close(fd)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        limits.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
