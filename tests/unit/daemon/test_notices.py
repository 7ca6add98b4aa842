"""What one program's messages may cost the others."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

from sdsuper.core.notice import Notice
from sdsuper.daemon.notices import Notices, Speaker

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
