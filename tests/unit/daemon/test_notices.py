"""The sockets' directory, and what one program's messages may cost the others."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from sdsuper.core.notice import Notice
from sdsuper.daemon.notices import Notices, NotifyFolder, Speaker

MESSAGES = 8


class SlowSpeaker(Speaker):
    """One whose processes are hard to tell from others'."""

    def includes(self, pid: int) -> bool:
        time.sleep(0.02)
        return True


def test_messages_that_are_costly_to_check_leave_others_their_turn(tmp_path: Path) -> None:
    heard: list[Notice] = []

    async def turns_until_all_are_heard() -> int:
        path = str(tmp_path / "n.sock")
        speaker = SlowSpeaker("p", "mark")
        notices = Notices(path, None, speaker, heard.append, lambda level, text: None)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(path)
            for _ in range(MESSAGES):
                client.send(b"WATCHDOG=1")
        notices.start()
        turns = 0
        while len(heard) < MESSAGES:
            turns += 1
            await asyncio.sleep(0)
        notices.close()
        return turns

    assert asyncio.run(turns_until_all_are_heard()) >= MESSAGES


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
