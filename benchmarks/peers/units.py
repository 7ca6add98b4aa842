"""systemd itself: a unit for each program, in a booted container."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks import processes
from benchmarks.peers.base import Peer, Program
from tests.system.container import SUITES, Container, can_boot

_FOLDER = "/srv/bench"
_UNITS = "/etc/systemd/system"
_TARGET = "bench.target"
_END_SECONDS = 30.0
_UNIT = """\
[Unit]
PartOf={target}
StartLimitIntervalSec=0
[Service]
ExecStart={command}
Restart=always
RestartSec=0
StandardOutput={output}
StandardError=null
"""


class Units(Peer):
    """PID 1 of a container. All peers of a run share the container: `booted` has it."""

    name = "systemd"
    title = "systemd units"
    most = 1000  # 5000 start, but are not unloaded within minutes
    writes_files = False
    _machine: ClassVar[Container | None] = None

    def __init__(self, folder: Path, worker: Path) -> None:
        super().__init__(folder, worker)
        shutil.rmtree(self.machine.path(_FOLDER), ignore_errors=True)
        self.machine.path(_FOLDER).mkdir(parents=True)
        shutil.copy2(worker, self.machine.path(_FOLDER))
        self._written: list[str] = []

    @classmethod
    def missing(cls) -> str:
        return "" if can_boot() else "as root, run scripts/prepare tests"

    @classmethod
    @contextlib.contextmanager
    def booted(cls) -> Iterator[None]:
        """Boot the machine that the peers of this block share."""
        with Container(SUITES[-1]) as machine:
            cls._machine = machine
            version = machine.systemctl("--version").split()[1]
            cls.title = f"systemd {version} units, in a container"
            try:
                yield
            finally:
                cls._machine = None

    @property
    def machine(self) -> Container:
        """The machine."""
        assert self._machine is not None, "no machine is booted"
        return self._machine

    @property
    def fifo(self) -> Path:
        return self.machine.path(_FOLDER) / "stamps"

    @property
    def fifo_inside(self) -> str:
        return f"{_FOLDER}/stamps"

    @property
    def worker_inside(self) -> str:
        return f"{_FOLDER}/{self.worker.name}"

    def write(self, programs: Sequence[Program]) -> None:
        wanted = []
        for program in programs:
            text = _UNIT.format(
                target=_TARGET,
                command=" ".join(program.command("%p_%i")),
                output="journal" if program.log else "null",
            )
            self.machine.write(f"{_UNITS}/{program.name}@.service", text)
            self._written.append(f"{program.name}@.service")
            wanted += [f"{program.name}@{number:05d}.service" for number in range(program.count)]
        # A line has its bounds.
        lines = "".join(
            f"Wants={' '.join(wanted[at : at + 20])}\n" for at in range(0, len(wanted), 20)
        )
        self.machine.write(f"{_UNITS}/{_TARGET}", f"[Unit]\n{lines}")
        if self._popen is None:
            self.machine.systemctl("daemon-reload")

    def _inside(self, *words: str) -> list[str]:
        leader = self._leader()
        return ["nsenter", "-t", str(leader), "-a", "--", "env", "-i", "PATH=/usr/bin", *words]

    def _leader(self) -> int:
        leader = self.machine.leader()
        assert leader is not None
        return leader

    def launch(self) -> list[str]:
        return self._inside("systemctl", "start", _TARGET)

    def stop(self) -> None:
        self.popen.wait()
        self._popen = self.spawn(self._inside("systemctl", "stop", _TARGET))

    def end(self) -> None:
        if self._popen is not None:
            try:
                self._popen.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self.machine.systemctl("stop", _TARGET, check=False)
        for name in {*self._written, _TARGET}:
            self.machine.path(f"{_UNITS}/{name}").unlink(missing_ok=True)
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("reset-failed")

    def pids(self) -> list[int]:
        return [self._leader()]

    def log_pids(self) -> list[int]:
        return [*self.pids(), *processes.named("systemd-journal", self._space())]

    def _space(self) -> str:
        return os.readlink(f"/proc/{self._leader()}/ns/pid")

    def pids_here(self, pids: Sequence[int]) -> list[int]:
        found = processes.outside(self._space())
        return [found[pid] for pid in pids]

    def status(self, programs: Sequence[Program]) -> list[str]:
        shown = ("list-units", "--no-pager", "--plain", "--no-legend", f"{programs[0].name}@*")
        return self._inside("systemctl", *shown)

    def count_running(self, shown: str) -> int:
        return sum(" running " in line for line in shown.splitlines())

    def update(self) -> subprocess.Popen[bytes]:
        script = f"systemctl daemon-reload && systemctl start {_TARGET}"
        return self.spawn(self._inside("sh", "-c", script))
