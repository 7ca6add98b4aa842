"""circus: a daemon in Python, controlled over ZeroMQ."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.base import Peer, Program
from tests.system.container import cache_folder

_BIN = cache_folder() / "circus" / "bin"
_FRAME = """\
[circus]
endpoint = ipc://{folder}/control
pubsub_endpoint = ipc://{folder}/events
statsd = False
loglevel = ERROR
"""
_PROGRAM = """\
[watcher:{name}]
cmd = {command}
numprocesses = {count}
warmup_delay = 0
max_retry = -1
copy_env = True
"""


class Circus(Peer):
    """circusd, from an environment of its own that `scripts/prepare bench` makes."""

    name = "circus"
    title = "circus"
    most = 1000

    @classmethod
    def missing(cls) -> str:
        if not (_BIN / "circusd").exists():
            return "run scripts/prepare bench"
        (package,) = _BIN.parent.glob("lib/*/site-packages/circus-*.dist-info")
        cls.title = f"circus {package.name.removesuffix('.dist-info').rpartition('-')[2]}"
        return ""

    @property
    def ini(self) -> Path:
        """The configuration file."""
        return self.folder / "circus.ini"

    def write(self, programs: Sequence[Program]) -> None:
        frame = _FRAME.format(folder=self.folder)
        watchers = [
            watcher
            for program in programs
            # The file of a log cannot have a number in its name: a watcher for each.
            for watcher in (program.each() if program.log else [program])
        ]
        self.ini.write_text(frame + "".join(map(self._section, watchers)))

    def _section(self, program: Program) -> str:
        name = program.name if program.log else f"{program.name}_$(circus.wid)"
        text = _PROGRAM.format(
            name=program.name,
            command=" ".join(program.command(name)),
            count=program.count,
        )
        if program.log is None:
            return text
        return (
            f"{text}stdout_stream.class = FileStream\n"
            f"stdout_stream.filename = {self.logs}/{name}.log\n"
            f"stdout_stream.max_bytes = {program.log.max_bytes}\n"
            f"stdout_stream.backup_count = {program.log.backups}\n"
        )

    def launch(self) -> list[str]:
        return [str(_BIN / "circusd"), str(self.ini)]

    def _ctl(self, *words: str) -> list[str]:
        endpoint = f"ipc://{self.folder}/control"
        return [str(_BIN / "circusctl"), "--timeout", "120", "--endpoint", endpoint, *words]

    def status(self, programs: Sequence[Program]) -> list[str]:
        return self._ctl("list", programs[0].name)  # one watcher holds all: its status is one word

    def count_running(self, shown: str) -> int:
        return len(shown.split(","))

    def update(self) -> subprocess.Popen[bytes]:
        return self.spawn(self._ctl("reloadconfig"))
