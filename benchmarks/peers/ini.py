"""Supervisor, and ourselves: one configuration, two implementations."""

from __future__ import annotations

import contextlib
import importlib.metadata
import resource
import subprocess
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks import installed
from benchmarks.peers.base import Peer, Program
from benchmarks.worker import NotMeasuredError

MOST_FILES = 65_536
"""Descriptors that a daemon may have, where this machine allows so many: three for a program."""

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
redirect_stderr=true
"""


class IniPeer(Peer):
    """A daemon that reads Supervisor's ini files."""

    commands: ClassVar[tuple[str, str]]

    @staticmethod
    @abstractmethod
    def bin() -> Path:
        """Return the folder of its commands, as its users have them."""

    @property
    def ini(self) -> Path:
        """The configuration file."""
        return self.folder / "d.conf"

    def write(self, programs: Sequence[Program]) -> None:
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        frame = _FRAME.format(folder=self.folder, minfds=min(MOST_FILES, allowed))
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
        return [str(self.bin() / self.commands[0]), "-n", "-c", str(self.ini)]

    def ctl(self, *words: str) -> list[str]:
        """Return a command of the client."""
        return [str(self.bin() / self.commands[1]), "-c", str(self.ini), *words]

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

    @staticmethod
    def bin() -> Path:
        return installed.packaged()

    @classmethod
    def prepare(cls) -> None:
        cls.bin()
        with contextlib.suppress(NotMeasuredError):  # its own figure tells it
            installed.by_pip(str(installed.ROOT))

    def status_by_pip(self) -> list[str]:
        folder = installed.by_pip(str(installed.ROOT))
        return [str(folder / self.commands[1]), "-c", str(self.ini), "status"]


class Supervisor(IniPeer):
    """What we replace."""

    name = "supervisor"
    commands = ("supervisord", "supervisorctl")
    most = 1000
    title = "Supervisor"

    @staticmethod
    def bin() -> Path:
        return installed.by_pip(f"supervisor=={importlib.metadata.version('supervisor')}")

    @classmethod
    def missing(cls) -> str:
        try:
            cls.title = f"Supervisor {importlib.metadata.version('supervisor')}"
        except importlib.metadata.PackageNotFoundError:
            return "run scripts/prepare venv"
        return ""

    @classmethod
    def prepare(cls) -> None:
        cls.bin()
