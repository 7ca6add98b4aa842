"""The daemon replaces itself: the same pid, children, pipes and sockets, and other code.

Theory of operation
-------------------
1. *The new code is asked first.* A snapshot is written as for the real thing, and what would be
   executed is run as a child of ours with the words `handover check FD`. It reads the snapshot into
   values, and ends with 0 or a reason. Code that is too old to know these words, that cannot be
   imported, or that hangs, refuses by that. Nothing has changed so far.
2. *Quiet.* No client is accepted any more (they wait in the backlog), replies under way are
   finished, those that would take long are told to come again.
3. *Over.* Signals are blocked: what arrives from here on is the successor's. Within one turn of the
   loop the final snapshot is written and the command executed, in this very process. If the
   kernel refuses that, all of it is taken back, and the daemon goes on.

From then on the successor has to do with what it finds. If it fails, systemd starts another one,
which finds the same snapshot in the store of descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from sdsuper.core.states import ManagerState
from sdsuper.dataclass import dataclass
from sdsuper.errors import SdsuperError
from sdsuper.values import ExitStatus, Level

HANDOVER_VARIABLE = "SDSUPER_HANDOVER"
"""What the successor finds in its environment: the descriptors of `Handed`, with colons."""

CHECK_WORDS = ("handover", "check")
"""What the new code is run with to be asked; the descriptor of the snapshot follows."""

CHECK_SECONDS = 60.0
"""How long it may take: a machine that is just upgraded is busy."""

UPDATE_SECONDS = 60.0
"""How long an update of groups that is under way is waited for."""

_TOLD_BYTES_MAX = 4096


class ReexecError(SdsuperError):
    """The daemon was not replaced, and goes on; the text says why."""


class Handed(NamedTuple):
    """The descriptors that are all a successor needs.

    Attributes:
        memory: The snapshot.
        ends: The box of all other descriptors.
    """

    memory: int
    ends: tuple[int, int]

    @classmethod
    def parse(cls, text: str) -> Handed | None:
        """Return what HANDOVER_VARIABLE says, None where that makes no sense."""
        try:
            memory, first, second = map(int, text.split(":"))
        except ValueError:
            return None
        return cls(memory, (first, second)) if min(memory, first, second) >= 0 else None

    @property
    def fds(self) -> tuple[int, int, int]:
        """All of them."""
        return (self.memory, *self.ends)

    def __str__(self) -> str:
        """What HANDOVER_VARIABLE says."""
        return ":".join(map(str, self.fds))


@dataclass(frozen=True, slots=True)
class Incarnation:
    """Which daemon this is of all that had the same programs, one after another.

    Attributes:
        number: 1 is the one that started them.
        how: How it came to be: "start", "re-exec", or "adoption" after a crash.
    """

    number: int = 1
    how: str = "start"


class Command(NamedTuple):
    """How this daemon was started, so that it can be started like that from any directory.

    Attributes:
        file: What is executed.
        start: Its name and what comes before the daemon's own words.
        words: The daemon's own words.
    """

    file: str
    start: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> Command:
        """Return ours. Call it before the working directory changes.

        A script that can be executed is (the interpreter may be another one after an upgrade),
        else the interpreter is, with all that it was given.
        """
        script, *words = sys.argv
        script = os.path.abspath(script)
        if os.path.isfile(script) and os.access(script, os.X_OK):
            return cls(script, (script,), tuple(words))
        given = sys.orig_argv[1 : len(sys.orig_argv) - len(words)]
        return cls(sys.executable, (sys.executable, *given), tuple(words))


class Target(Protocol):
    """The part of the daemon that is needed here."""

    updating: asyncio.Lock

    @property
    def state(self) -> ManagerState:
        """The state of the daemon."""

    def report(self, level: Level, message: str) -> None:
        """Write to the daemon's log."""

    def watch_helper(self, pid: int, ended: Callable[[ExitStatus], None]) -> None:
        """Call back when a child that is no program's has ended."""


class Clients(Protocol):
    """The servers."""

    async def pause(self) -> None:
        """Accept nobody, and finish what is under way, within a few seconds."""

    def hand_on(self) -> Mapping[str, int]:
        """Return the sockets that the successor goes on with, by name."""

    async def resume(self) -> None:
        """Accept again."""


class Reexec:
    """Replaces the daemon.

    Args:
        target: The daemon.
        command: What to execute.
        whole: Writes a snapshot of everything; gets further descriptors to hand on, by name.
        clients: The servers.
        before: Called before the point of no return, with whatever has to be let go of or said.
        after: Called when there was none: takes back what `before` did.

    Attributes:
        busy: Whether that is under way.
    """

    def __init__(
        self,
        target: Target,
        command: Command,
        whole: Callable[[Mapping[str, int]], Handed],
        clients: Clients,
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        self._target = target
        self._command = command
        self._whole = whole
        self._clients = clients
        self._before = before
        self._after = after
        self.busy = False
        self._task: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Ask the new code whether it can go on from here; then call `go`, or `give_up`.

        Raises:
            ReexecError: It cannot, or now is not the time. Nothing has changed.
        """
        if self.busy:
            raise ReexecError("it is under way already")
        self._check_state()
        self.busy = True
        try:
            await self._wait_for_update()
            await self._ask()
            self._check_state()
        except BaseException:
            self.busy = False
            raise

    def _check_state(self) -> None:
        if self._target.state is not ManagerState.RUNNING:
            raise ReexecError("the daemon is stopping")

    async def _wait_for_update(self) -> None:
        try:
            await asyncio.wait_for(self._target.updating.acquire(), UPDATE_SECONDS)
        except TimeoutError:
            raise ReexecError("an update of groups is under way") from None
        self._target.updating.release()

    async def _ask(self) -> None:
        handed = self._whole({})
        try:
            check = _Check(self._command, handed.memory)
        except OSError as error:
            raise ReexecError(f"cannot run {self._command.file}: {error}") from None
        finally:
            for fd in handed.fds:
                os.close(fd)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[ExitStatus] = loop.create_future()
        self._target.watch_helper(check.pid, ended.set_result)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                told = await check.told()
                status = await asyncio.shield(ended)
        except TimeoutError:
            raise ReexecError(f"the new code did not answer within {CHECK_SECONDS:g} s") from None
        finally:
            if not ended.done():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(check.pid, signal.SIGKILL)
            check.close()
        if status != ExitStatus(0):
            raise ReexecError(f"the new code refuses ({status.describe()}): {told or 'no reason'}")
        for line in told.splitlines():
            self._target.report(Level.WARN, f"re-exec: {line}")

    def go(self) -> None:
        """Replace the daemon, soon: whoever asked for it gets an answer first."""
        self._task = asyncio.get_running_loop().create_task(self._go())

    def give_up(self) -> None:
        """Do not, after all."""
        self.busy = False

    async def _go(self) -> None:
        try:
            await self._clients.pause()
            async with self._target.updating:
                self._check_state()
                self._replace()
        except Exception as error:  # noqa: BLE001  whatever it was, the daemon goes on
            self._target.report(Level.CRITICAL, f"the re-exec failed, everything goes on: {error}")
            await self._clients.resume()
        finally:
            self.busy = False

    def _replace(self) -> None:
        """Execute the command. Returns never, or raises OSError."""
        self._target.report(Level.INFO, "replacing the daemon (re-exec), all programs go on")
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        fds: Sequence[int] = ()
        try:
            self._before()
            handed = self._whole(self._clients.hand_on())
            fds = handed.fds
            for fd in fds:
                os.set_inheritable(fd, True)
            environment = {**os.environ, HANDOVER_VARIABLE: str(handed)}
            argv = (*self._command.start, *self._command.words)
            _flush_standard()
            os.execve(self._command.file, argv, environment)
        except BaseException:
            _close_all(fds)
            self._after()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)

    async def on_signal(self, name: str) -> None:
        """Do all of it because a signal asked for it; a refusal goes to the log."""
        try:
            await self.prepare()
        except ReexecError as error:
            self._target.report(Level.CRITICAL, f"re-exec ({name}) refused: {error}")
            return
        self.go()


class _Check:
    """The new code at work on a snapshot.

    Raises:
        OSError: It cannot be run.
    """

    def __init__(self, command: Command, memory: int) -> None:
        silent = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS")
        process = subprocess.Popen(
            [*command.start, *CHECK_WORDS, str(memory)],
            executable=command.file,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name not in silent},
            pass_fds=(memory,),
            bufsize=0,
            process_group=0,
        )
        process.returncode = 0  # whoever reaps it is not this object
        assert process.stdout is not None
        self.pid = process.pid
        self._output = process.stdout
        os.set_blocking(self._output.fileno(), False)

    async def told(self) -> str:
        """Return what it says, up to its end."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        told = bytearray()
        fd = self._output.fileno()

        def readable() -> None:
            with contextlib.suppress(BlockingIOError):
                part = os.read(fd, _TOLD_BYTES_MAX)
                told.extend(part)
                del told[:-_TOLD_BYTES_MAX]
                if not part and not done.done():
                    done.set_result(None)

        loop.add_reader(fd, readable)
        try:
            await done
        finally:
            loop.remove_reader(fd)
        return told.decode(errors="replace").strip()

    def close(self) -> None:
        self._output.close()


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


def _flush_standard() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
