"""New code takes this daemon's place in this very process: ask it, then execute it.

The code that is asked is the one that will be executed: the same script, or the same interpreter
with the same options. It reads the snapshot as the successor will, in a process of its own, and
says yes by its exit status or no in words. After that nothing can be refused any more.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from sdsuper import eventloop
from sdsuper.daemon.handover import VARIABLE, Snapshot
from sdsuper.dataclass import dataclass
from sdsuper.errors import HandoverError
from sdsuper.values import ExitStatus

CHECK = "--check-handover"
"""Asks a daemon's code whether it can take over what is in the descriptor that follows."""

_CHECK_SECONDS = 30.0
_REASON_BYTES = 4096

_NOT_INHERITED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""What systemd passed us at our start: these numbers are other descriptors' by now."""


@dataclass(frozen=True)
class Command:
    """How this daemon was started, and how its successor is.

    Attributes:
        path: What is executed.
        words: Its words without the arguments of the daemon.
        arguments: These.
    """

    path: str
    words: tuple[str, ...]
    arguments: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> Command:
        """Return how this process was started; to be asked before it enters another directory."""
        script = os.path.abspath(sys.argv[0])
        arguments = tuple(sys.argv[1:])
        if os.path.isfile(script) and os.access(script, os.X_OK):
            # Its first line may name another interpreter by then.
            return cls(script, (script,), arguments)
        words = sys.orig_argv[: len(sys.orig_argv) - len(arguments)]
        words = [script if word == sys.argv[0] else word for word in words]
        return cls(sys.executable, tuple(words), arguments)


async def ask(
    command: Command,
    snapshot: Snapshot,
    watch: Callable[[int, Callable[[ExitStatus], None]], None],
) -> None:
    """Ask the code on disk whether it can take over a snapshot.

    Args:
        command: How it is started.
        snapshot: What it will find.
        watch: Waits for the end of a child.

    Raises:
        HandoverError: It cannot; the text says why.
    """
    import subprocess  # few daemons need it for another purpose

    fd = snapshot.store.fd
    said = os.memfd_create("sdsuper-said", os.MFD_CLOEXEC)
    try:
        try:
            process = subprocess.Popen(  # noqa: ASYNC220  by vfork, as every program
                [*command.words, CHECK, str(fd)],
                executable=command.path,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                pass_fds=(fd,),
                env=_environment(()),
            )
        except OSError as error:
            raise HandoverError(f"{command.path} cannot be executed: {error.strerror}") from None
        process.returncode = 0  # whoever reaps it is not this object
        ended: eventloop.Future[ExitStatus] = eventloop.Future()
        watch(process.pid, ended.set_result)
        try:
            with eventloop.timeout(_CHECK_SECONDS):
                status = await ended
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, 9)
            raise HandoverError(f"it did not answer within {_CHECK_SECONDS:.0f} s") from None
        if status.code != 0:
            words = os.pread(said, _REASON_BYTES, 0).decode(errors="replace").split()
            raise HandoverError(" ".join(words) or f"its check ended: {status.describe()}")
    finally:
        os.close(said)


def become(command: Command, snapshot: Snapshot) -> None:
    """Execute the successor; returns only if that fails.

    Raises:
        HandoverError: It cannot be executed. Nothing has changed.
    """
    for fd in snapshot.descriptors:
        os.set_inheritable(fd, True)
    environment = _environment([(VARIABLE, snapshot.variable)])
    try:
        os.execve(command.path, [*command.words, *command.arguments], environment)
    except OSError as error:
        raise HandoverError(f"{command.path} cannot be executed: {error.strerror}") from None
    finally:
        for fd in snapshot.descriptors:
            os.set_inheritable(fd, False)


def _environment(more: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**kept, **dict(more)}


def descriptor_of(words: Sequence[str]) -> int:
    """Return the descriptor that a check is about.

    Raises:
        HandoverError: The words name none.
    """
    if len(words) != 1 or not words[0].isdecimal():
        raise HandoverError(f"{CHECK} needs the number of a descriptor")
    return int(words[0])
