"""What every supervisor under test can be asked; a class of its own for each.

The order of calls: `write`, `start`, what is measured, `stop`, `end`. Nothing here measures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from benchmarks import processes
from benchmarks.worker import NotMeasuredError, WrongResultError

_END_SECONDS = 30.0
_NAME = "{name}"


@dataclass(frozen=True)
class Log:
    """Where a program's output goes: a file in `Peer.logs`.

    Attributes:
        max_bytes: Size at which a new file is begun; 0 for never.
        backups: How many older files are kept.
    """

    max_bytes: int = 0
    backups: int = 0


@dataclass(frozen=True)
class Program:
    """What is to be kept running.

    Attributes:
        name: Letters only: a process is told by what comes before the underscore.
        words: The command; `{name}` stands for the name of the process.
        count: How many processes.
        log: Where its output goes; None drops it.
    """

    name: str
    words: tuple[str, ...]
    count: int = 1
    log: Log | None = None

    def command(self, name: str) -> list[str]:
        """Return the command of the process of a name, or of what the peer writes for one."""
        return [word.replace(_NAME, name) for word in self.words]

    def each(self) -> Iterator[Program]:
        """Yield a program for each process: for peers that know of no counts."""
        for number in range(self.count):
            name = f"{self.name}_{number:05d}"
            yield replace(self, name=name, count=1, words=tuple(self.command(name)))


class Peer(ABC):
    """One supervisor, in a folder of its own.

    Attributes:
        name: How it is called, in options and tables.
        title: How it is introduced: what it is, and its version where known.
        most: How many programs it can take, or would take too long for.
        writes_files: Whether it writes what programs say to files.
        folder: Its folder.
        worker: The compiled worker, a copy of its own.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    most: ClassVar[int] = 10_000
    writes_files: ClassVar[bool] = True

    def __init__(self, folder: Path, worker: Path) -> None:
        self.folder = folder
        self.worker = folder / worker.name
        shutil.copy2(worker, self.worker)  # what runs it is ours, and nobody else's
        self._popen: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str:
        """Return why it cannot run on this machine; nothing where it can."""
        return ""

    @classmethod  # noqa: B027 # most need nothing
    def prepare(cls) -> None:
        """Make what it takes long to make, before anything is measured.

        Raises:
            NotMeasuredError: It cannot be made.
        """

    # --- life ---------------------------------------------------------------------------------

    @abstractmethod
    def write(self, programs: Sequence[Program]) -> None:
        """Write its configuration: these programs and no others."""

    @abstractmethod
    def launch(self) -> list[str]:
        """Return the command that starts it in the foreground, all programs with it."""

    def start(self) -> None:
        """Start it; return at once."""
        self._popen = self.spawn(self.launch())

    def stop(self) -> None:
        """Let it stop all programs, and itself if that is its way; return at once."""
        self.popen.terminate()

    def end(self) -> None:
        """Be rid of it: stop it if it runs, kill what is left."""
        if self._popen is not None:
            if self._popen.poll() is None:
                self.stop()
            try:
                self._popen.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                processes.kill([*self.pids(), self._popen.pid])
                self._popen.wait()
        deadline = time.monotonic() + _END_SECONDS
        while left := processes.running(self.worker):
            processes.kill(left)
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"{self.name} left {len(left)} processes that do not end")
            time.sleep(0.05)

    def check(self) -> None:
        """Look whether it is still there.

        Raises:
            WrongResultError: It has ended by itself.
        """
        if self.popen.poll():
            raise WrongResultError(f"{self.name} ended with status {self.popen.returncode}")

    # --- what it consists of ------------------------------------------------------------------

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """Its first process."""
        assert self._popen is not None, "it has not been started"
        return self._popen

    def pids(self) -> list[int]:
        """Return the pids of all processes that are its own, not its programs': helpers too."""
        return processes.family(self.popen.pid, self.worker)

    def log_pids(self) -> list[int]:
        """Return the pids of those that have to do with logs."""
        return self.pids()

    def pids_here(self, pids: Sequence[int]) -> list[int]:
        """Return the pids of workers as seen from here, of those that the workers told."""
        return list(pids)

    @property
    def fifo(self) -> Path:
        """Where the FIFO is to be made that the workers stamp."""
        return self.folder / "stamps"

    @property
    def fifo_inside(self) -> str:
        """The same, as the workers see it."""
        return str(self.fifo)

    @property
    def worker_inside(self) -> str:
        """The worker, as the supervisor sees it."""
        return str(self.worker)

    def program(
        self, name: str, what: str, *words: object, count: int = 1, log: Log | None = None
    ) -> Program:
        """Return a program that runs the worker.

        Args:
            name: Letters only.
            what: What the worker does: see worker.c.
            words: More arguments for it.
            count: How many processes.
            log: Where their output goes.
        """
        command = (self.worker_inside, what, self.fifo_inside, _NAME, *map(str, words))
        return Program(name, command, count, log)

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        folder = self.folder / "logs"
        folder.mkdir(exist_ok=True)
        return folder

    def log_files(self, name: str) -> list[Path]:
        """Return the files of a process's log, oldest first: FILE.2, FILE.1, FILE."""

        def age(path: Path) -> int:
            suffix = path.name.rpartition(".")[2]
            return int(suffix) if suffix.isdigit() else 0

        found = [*self.logs.glob(f"{name}.log"), *self.logs.glob(f"{name}.log.*")]
        return sorted(found, key=age, reverse=True)

    # --- what can be asked --------------------------------------------------------------------

    @abstractmethod
    def status(self, programs: Sequence[Program]) -> list[str]:
        """Return the command that shows every process."""

    def status_by_pip(self) -> list[str] | None:
        """Return the same as pip installs it, where that is another way to have it."""
        return None

    def count_running(self, shown: str) -> int:
        """Return how many processes the output of `status` shows as up."""
        return shown.count("RUNNING")

    def update(self) -> subprocess.Popen[bytes] | None:
        """Let it take up what has been written anew; None where it looks by itself."""
        raise NotMeasuredError("it cannot take up a changed configuration")

    @property
    def rpc_socket(self) -> Path | None:
        """The unix socket that answers XML-RPC, if it has one."""
        return None

    # --- for classes --------------------------------------------------------------------------

    def spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command in our folder; what it says is in the file `console`."""
        with open(self.folder / "console", "ab") as console:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self.folder,
                env=environment(),
                start_new_session=True,
            )

    def console(self) -> str:
        """Return the end of what it said."""
        try:
            return (self.folder / "console").read_text(errors="replace")[-500:]
        except FileNotFoundError:
            return ""


def environment() -> dict[str, str]:
    """Return an environment that changes nobody's behaviour."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
