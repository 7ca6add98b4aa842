"""What tests of readers share: a channel into a folder, a pipe, and what was reported."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdsuper.config.model import ChannelConfig
from sdsuper.logs.channel import Channel
from sdsuper.logs.reader import Reader
from sdsuper.values import Level


class Bench:
    """A reader on a pipe whose write end is held, its channel, and its log file.

    Attributes:
        reports: What the channel told the daemon's log.
        logged: What went to `on_log`.
        captured: What went to `on_capture`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        strip_ansi: bool = False,
        path: str | None = "",
        listens: bool = False,
        **config: Any,
    ) -> None:
        self.log = folder / "log"
        self.reports: list[tuple[Level, str]] = []
        self.logged: list[bytes] = []
        self.captured: list[bytes] = []
        self.channel = Channel(
            process="cat",
            channel="stdout",
            config=ChannelConfig(**config),
            path=str(self.log) if path == "" else path,
            strip_ansi=strip_ansi,
            report=lambda level, text: self.reports.append((level, text)),
        )
        self.channel.open()
        fd, self.end = os.pipe()
        on_log: Callable[[bytes], None] | None = self.logged.append if listens else None
        self.reader = Reader(fd, self.channel, on_log=on_log, on_capture=self.captured.append)

    def says(self, data: bytes) -> bool:
        """Let the child write, and read it."""
        os.write(self.end, data)
        return self.reader.read_ready()

    def ends(self) -> None:
        """Let the child close its end, and read to the end of the stream."""
        os.close(self.end)
        assert not self.reader.drain()
        self.reader.close()
        self.channel.close()
