"""runit: a folder for each service, a process for each service."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import processes
from benchmarks.peers.base import Peer, Program

_RUN = "#!/bin/sh\nexec 2>&1\nexec {command}\n"
_LOG_RUN = "#!/bin/sh\nexec svlogd {folder}\n"


class Runit(Peer):
    """runsvdir, a runsv for each service, an svlogd for each log."""

    name = "runit"
    title = "runit (runsvdir)"
    most = 1000  # runsvdir's own limit

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which("runsvdir") else "run scripts/prepare bench"

    @property
    def services(self) -> Path:
        """The folder of the services."""
        return self.folder / "services"

    def write(self, programs: Sequence[Program]) -> None:
        self.services.mkdir(exist_ok=True)
        for program in programs:
            for each in program.each():
                if not (self.services / each.name).exists():
                    self._write_service(each)

    def _write_service(self, program: Program) -> None:
        # It is looked at every 5 s: a service is put there whole, by renaming.
        unfinished = self.folder / "unfinished"
        unfinished.mkdir()
        script(unfinished / "run", _RUN.format(command=shlex.join(program.words)))
        if program.log is not None:
            logs = self.logs / program.name
            logs.mkdir()
            backups = program.log.backups
            (logs / "config").write_text(f"s{program.log.max_bytes}\nn{backups}\n")
            (unfinished / "log").mkdir()
            script(unfinished / "log" / "run", _LOG_RUN.format(folder=logs))
        unfinished.rename(self.services / program.name)

    def start(self) -> None:
        # It waits a second before it reads a folder that has changed within this one.
        past = time.time() - 10
        os.utime(self.services, (past, past))
        super().start()

    def launch(self) -> list[str]:
        return ["runsvdir", "-P", str(self.services)]

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGHUP)  # it passes TERM on, and ends

    def end(self) -> None:
        own = self.pids() if self._popen is not None else []
        super().end()
        with processes.Ends([pid for pid in own if Path(f"/proc/{pid}").exists()]) as ends:
            ends.wait(30)

    def log_files(self, name: str) -> list[Path]:
        folder = self.logs / name
        # @TIME.s is whole, @TIME.u was cut off; the times sort.
        return [*sorted(folder.glob("@*")), *folder.glob("current")]

    def status(self, programs: Sequence[Program]) -> list[str]:
        names = [each.name for program in programs for each in program.each()]
        return ["sv", "status", *(str(self.services / name) for name in names)]

    def count_running(self, shown: str) -> int:
        return sum(line.startswith("run:") for line in shown.splitlines())

    def update(self) -> subprocess.Popen[bytes] | None:
        return None


def script(path: Path, text: str) -> None:
    """Write a file that can be run."""
    path.write_text(text)
    path.chmod(0o755)
