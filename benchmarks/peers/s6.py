"""s6: a folder for each service, a process for each service."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence

from benchmarks.peers.base import Program
from benchmarks.peers.runit import Runit, script

_RUN = "#!/usr/bin/execlineb -P\nfdmove -c 2 1\n{command}\n"
_LOG_RUN = "#!/usr/bin/execlineb -P\ns6-log n{backups} s{max_bytes} {folder}\n"
_GREATEST = 268435455  # of the sizes that s6-log takes
_STATUS = 'for each; do s6-svstat "$each"; done'


class S6(Runit):
    """s6-svscan, an s6-supervise for each service, an s6-log for each log."""

    name = "s6"
    title = "s6 (s6-svscan)"
    most = 1000

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which("s6-svscan") else "run scripts/prepare bench"

    def _write_service(self, program: Program) -> None:
        unfinished = self.folder / "unfinished"
        unfinished.mkdir()
        script(unfinished / "run", _RUN.format(command=shlex.join(program.words)))
        if program.log is not None:
            (unfinished / "log").mkdir()
            size = program.log.max_bytes or _GREATEST
            run = _LOG_RUN.format(
                backups=program.log.backups or 20, max_bytes=size, folder=self.logs / program.name
            )
            script(unfinished / "log" / "run", run)
        unfinished.rename(self.services / program.name)

    def launch(self) -> list[str]:
        return ["s6-svscan", "-c", "4000", str(self.services)]

    def stop(self) -> None:
        self.popen.terminate()  # it asks all of its own to stop, and ends

    def status(self, programs: Sequence[Program]) -> list[str]:
        names = [each.name for program in programs for each in program.each()]
        return ["sh", "-c", _STATUS, "sh", *(str(self.services / name) for name in names)]

    def count_running(self, shown: str) -> int:
        return sum(line.startswith("up (") for line in shown.splitlines())

    def update(self) -> subprocess.Popen[bytes]:
        return self.spawn(["s6-svscanctl", "-a", str(self.services)])
