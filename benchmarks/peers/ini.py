"""Supervisor, and ourselves: one configuration, two implementations."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks.peers.base import Peer, Program

BIN = Path(sys.executable).parent

_FRAME = """\
[supervisord]
logfile={folder}/main.log
pidfile={folder}/pid
childlogdir={folder}
minfds={minfds}
[unix_http_server]
file={folder}/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/sock
"""
_PROGRAM = """\
[program:{name}]
command={command}
numprocs={count}
process_name=%(program_name)s_%(process_num)05d
autorestart=true
startsecs=0
stderr_logfile=NONE
"""


class IniPeer(Peer):
    """A daemon that reads Supervisor's ini files."""

    commands: ClassVar[tuple[str, str]]

    @property
    def ini(self) -> Path:
        """The configuration file."""
        return self.folder / "d.conf"

    def write(self, programs: Sequence[Program]) -> None:
        frame = _FRAME.format(folder=self.folder, minfds=20_000)
        self.ini.write_text(frame + "".join(map(self._section, programs)))

    def _section(self, program: Program) -> str:
        name = "%(program_name)s_%(process_num)05d"
        text = _PROGRAM.format(
            name=program.name, command=" ".join(program.command(name)), count=program.count
        )
        if program.log is None:
            return text + "stdout_logfile=NONE\n"
        return (
            f"{text}stdout_logfile={self.logs}/{name}.log\n"
            f"stdout_logfile_maxbytes={program.log.max_bytes}\n"
            f"stdout_logfile_backups={program.log.backups}\n"
        )

    def launch(self) -> list[str]:
        return [str(BIN / self.commands[0]), "-n", "-c", str(self.ini)]

    def ctl(self, *words: str) -> list[str]:
        """Return a command of the client."""
        return [str(BIN / self.commands[1]), "-c", str(self.ini), *words]

    def status(self, programs: Sequence[Program]) -> list[str]:
        return self.ctl("status")

    def update(self) -> subprocess.Popen[bytes]:
        return self.spawn(self.ctl("update"))

    @property
    def rpc_socket(self) -> Path:
        return self.folder / "sock"


class Sdsuper(IniPeer):
    """What we make."""

    name = "sdsuper"
    title = f"sdsuper {importlib.metadata.version('sdsuper')}"
    commands = ("sdsuperd", "sdsuperctl")


class Supervisor(IniPeer):
    """What we replace."""

    name = "supervisor"
    commands = ("supervisord", "supervisorctl")
    most = 1000
    title = "Supervisor"

    @classmethod
    def missing(cls) -> str:
        if not (BIN / cls.commands[0]).exists():
            return "run scripts/prepare venv"
        cls.title = f"Supervisor {importlib.metadata.version('supervisor')}"
        return ""
