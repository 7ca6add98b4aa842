"""A daemon whose descriptors are kept, as systemd does it: it can be killed at any moment."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.integration.harness import Daemon, Found

FAKE = Path(__file__).parent / "fake_systemd.py"
KILLED_AT = Path(__file__).parent / "killed_at.py"
GOING_ON = "INFO going on with "


class Unit(Daemon):
    """A daemon under `fake_systemd.py`. `pid` is that of the latter.

    Attributes:
        folder: Where it says what it was told.
    """

    def __init__(self, programs: str = "", **options: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="su", dir="/tmp"))
        prefix: tuple[str, ...] = (sys.executable, str(FAKE), str(self.folder), "--")
        if options.pop("killed_at_steps", False):
            prefix += (sys.executable, str(KILLED_AT), str(self.folder / "kill-at"))
        super().__init__(programs, prefix=prefix, **options)

    @property
    def main_pid(self) -> int:
        """The pid of the daemon itself."""
        return int((self.folder / "pid").read_text())

    def told(self) -> list[str]:
        """What systemd was told, line by line."""
        return (self.folder / "notify.log").read_text().splitlines()

    def stored(self) -> list[str]:
        """What is in the store of descriptors."""
        lines = [line for line in self.told() if line.startswith("stored")]
        return lines[-1].split()[1:] if lines else []

    def processes(self) -> list[Found]:
        """Return the live processes of the daemon, without itself."""
        return [found for found in super().processes() if found.pid != self.main_pid]

    def kill(self, *, wait: bool = True) -> None:
        """Kill the daemon itself; return when the next one answers."""
        before = self.main_pid
        os.kill(before, signal.SIGKILL)
        if wait:
            self.wait_next(before)

    def wait_next(self, before: int) -> None:
        """Return when another daemon than that of a pid answers."""
        self.wait(lambda: self.main_pid != before, what="another daemon is there")
        self.rpc("close")()
        self.wait(self._answers, what="it answers")
        assert self.rpc.supervisor.getPID() == self.main_pid

    def kill_at(self, method: str) -> None:
        """Let the daemon be killed when it calls a method of its executor next."""
        temporary = self.folder / "kill-at.new"
        temporary.write_text(f"sdsuper.daemon.execute Executor {method}")
        temporary.rename(self.folder / "kill-at")

    def keep_down(self) -> None:
        """Kill the daemon and let no other come."""
        (self.folder / "stay-down").touch()
        os.kill(self.main_pid, signal.SIGKILL)
        self.wait((self.folder / "down").exists, what="the daemon is down")

    def let_up(self) -> None:
        """Let the next daemon come; return when it answers."""
        before = self.main_pid
        (self.folder / "stay-down").unlink()
        self.wait_next(before)

    def adoptions(self) -> int:
        """How many daemons have gone on with what another one left."""
        return self.log().count(GOING_ON)

    def _end(self, *, show: bool) -> list[Found]:
        try:
            return super()._end(show=show)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
