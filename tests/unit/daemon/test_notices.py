"""The sockets' directory, and what one program's messages may cost the others."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdsuper import eventloop
from sdsuper.core.notice import Notice
from sdsuper.daemon.environment import INVOCATION_VARIABLE
from sdsuper.daemon.notices import Notices, NotifyFolder, Speaker

MESSAGES = 8


@contextlib.contextmanager
def started(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the end of the block."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


class SlowSpeaker(Speaker):
    """One whose processes are hard to tell from others'."""

    def includes(self, pid: int) -> bool:
        time.sleep(0.02)
        return True


def test_messages_that_are_costly_to_check_leave_others_their_turn(tmp_path: Path) -> None:
    heard: list[Notice] = []

    async def turns_until_all_are_heard() -> int:
        path = str(tmp_path / "n.sock")
        speaker = SlowSpeaker("p", "mark", os.geteuid())
        notices = Notices(path, speaker, heard.append, lambda level, text: None)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(path)
            for _ in range(MESSAGES):
                client.send(b"WATCHDOG=1")
        notices.start()
        turns = 0
        while len(heard) < MESSAGES:
            turns += 1
            await eventloop.sleep(0)
        notices.close()
        return turns

    assert eventloop.run(turns_until_all_are_heard()) >= MESSAGES


@pytest.mark.root
def test_who_merely_joined_the_group_speaks_for_nobody() -> None:
    with (
        started("sleep", "1000", process_group=0) as leader,
        started("sleep", "1000", process_group=leader.pid) as own,
        started("sleep", "1000", process_group=leader.pid, user="nobody") as foreign,
    ):
        speaker = Speaker("p", "mark", os.geteuid(), leader.pid, leader.pid)
        assert speaker.includes(leader.pid)
        assert speaker.includes(own.pid)
        assert not speaker.includes(foreign.pid)
        assert not speaker.includes(os.getpid())


def test_who_has_the_mark_speaks_wherever_it_is() -> None:
    marked = {**os.environ, INVOCATION_VARIABLE: "mark"}
    with (
        started("sleep", "1000", process_group=0, env=marked) as own,
        started("sleep", "1000", process_group=0) as foreign,
    ):
        speaker = Speaker("p", "mark", os.geteuid(), 1, 1)
        assert speaker.includes(own.pid)
        assert not speaker.includes(foreign.pid)


def test_a_directory_that_was_cleaned_away_is_made_again(tmp_path: Path) -> None:
    folder = NotifyFolder({"RUNTIME_DIRECTORY": str(tmp_path)})
    os.rmdir(os.path.dirname(folder.path("1.sock")))
    assert os.path.isdir(os.path.dirname(folder.path("2.sock")))
    folder.close()


def test_the_runtime_directory_of_another_service_is_left_alone(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": str(tmp_path), "SYSTEMD_EXEC_PID": "1"}
    folder = NotifyFolder(environ)
    assert not folder.path("1.sock").startswith(str(tmp_path))
    folder.close()


@pytest.mark.parametrize("trouble", ["missing", "unwritable"])
def test_a_runtime_directory_that_is_of_no_use_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    runtime = tmp_path / "runtime"
    if trouble == "unwritable":
        runtime.mkdir()
        access = os.access  # root may write anywhere
        monkeypatch.setattr(
            os, "access", lambda path, mode: path != str(runtime) and access(path, mode)
        )
    folder = NotifyFolder({"RUNTIME_DIRECTORY": str(runtime)})
    path = folder.path("1.sock")
    try:
        assert not path.startswith(str(runtime))
        assert os.path.isdir(os.path.dirname(path))
    finally:
        folder.close()
    assert not os.path.exists(os.path.dirname(path))
