"""ProcessConfig -> child: pipes, process group, limits, identity, directory, umask, exec.

Two ways lead to a child. Where the identity stays and no sockets are passed, it is made by vfork:
that cost does not grow with the daemon's memory. posix_spawn(3) is the shortest such way, and tells
a failure without a pipe, but not of what. Then, and where a directory or a umask is asked for, the
standard library's `Popen` does it. Both block signals and restore their default actions.

Where `user=` asks for another identity, the standard library would fork, and would change the
identity only after `directory` had been entered; there our own fork keeps the order that Supervisor
promises. It also serves programs with `sockets=`, since LISTEN_PID is the child's own pid, which
only the child knows, and those with limits: some the child has to set (`restrict`), others are
those of a cgroup, and would not hold for what a program does before it is moved there.

Whichever way, a child that fails before its program runs tells it twice: to the program's log
in Supervisor's words (with exit status 127), and to us as stage and errno.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from sdsuper.config.model import Account, ProcessConfig
from sdsuper.daemon.command import Command
from sdsuper.daemon.containment import Entry
from sdsuper.daemon.identity import IdentityError, take_identity
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.plugins import MODULES
from sdsuper.daemon.restrict import NO_LIMITS, UNRESTRICTED, Restrictions, restrictions
from sdsuper.dataclass import dataclass
from sdsuper.errors import SdsuperError

if TYPE_CHECKING:
    import subprocess

EXIT_NOT_SPAWNED = 127
"""Exit status of a child that could not become its program (Supervisor's number)."""

_EVERY_SIGNAL = tuple(signal.valid_signals())  # to ask for it takes as long as a vfork
_STANDARD_FDS = 3
_SEPARATORS = 2


class SpawnError(SdsuperError):
    """No child came to be; the text is what operators see as spawn error."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A child that ended before it became its program.

    Attributes:
        stage: "cgroup", "setuid", "chdir" or "exec", or the option of a limit that could not be
            set.
        errno: The error number, 0 where there is none.
    """

    stage: str
    errno: int
    detail: str

    def __str__(self) -> str:
        reason = errno.errorcode.get(self.errno, str(self.errno)) if self.errno else ""
        return f"{self.stage} {self.detail}: {reason}" if reason else f"{self.stage}: {self.detail}"


@dataclass(slots=True)
class Child:
    """A new child and our ends of its pipes (non-blocking, close-on-exec).

    Attributes:
        stdin: None where it was given another descriptor 0 than a pipe.
        failure: Set where it is known already that it never became its program; such a child
            is reaped already.
        failure_fd: Where a child that is still on its way will tell its `Failure`.
    """

    pid: int
    stdin: int | None
    stdout: int
    stderr: int | None
    failure: Failure | None = None
    failure_fd: int | None = None


@dataclass(slots=True)
class _Pipes:
    """Both ends; `child` is what the child gets as 0, 1, 2."""

    child: tuple[int, int, int]
    stdin: int | None
    stdout: int
    stderr: int | None

    @classmethod
    def make(cls, redirect_stderr: bool, stdin: int | None) -> _Pipes:
        made: list[int] = []

        def pipe() -> tuple[int, int]:
            read, write = os.pipe2(os.O_CLOEXEC)
            made.extend((read, write))
            return read, write

        try:
            in_read, in_write = pipe() if stdin is None else (os.dup(stdin), None)
            made.append(in_read)
            out_read, out_write = pipe()
            err_read, err_write = (None, out_write) if redirect_stderr else pipe()
        except OSError:
            for fd in set(made):
                os.close(fd)
            raise
        for own in (in_write, out_read, err_read):
            if own is not None:
                os.set_blocking(own, False)
        return cls((in_read, out_write, err_write), in_write, out_read, err_read)

    def close_child_ends(self) -> None:
        for fd in set(self.child):
            os.close(fd)

    def own(self) -> dict[str, int]:
        ends = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}
        return {name: fd for name, fd in ends.items() if fd is not None}

    def close_own_ends(self) -> None:
        for fd in self.own().values():
            os.close(fd)


def spawn(
    config: ProcessConfig,
    command: Command,
    environment: Mapping[str, str],
    limits: DescriptorLimit,
    sockets: Sequence[int] = (),
    stdin: int | None = None,
    entry: Entry | None = None,
    on_pipes: Callable[[Mapping[str, int]], None] | None = None,
) -> Child:
    """Make a child that runs `command`.

    Args:
        config: The process.
        command: What it runs.
        environment: Its variables.
        limits: What it gets as limit of descriptors.
        sockets: Its descriptors from 3 on.
        stdin: Its descriptor 0, None for a pipe from us.
        entry: Its way into a cgroup of its own, None where it stays in ours.
        on_pipes: Called with our ends of its pipes, by name, before there is a child.

    Raises:
        SpawnError: No child could be made: descriptors or process slots ran out.
    """
    name = config.name
    try:
        pipes = _Pipes.make(config.redirect_stderr, stdin)
    except OSError as error:
        raise SpawnError(dispatcher_error(name, error)) from None
    account = config.user
    try:
        if on_pipes is not None:
            on_pipes(pipes.own())
        if account is not None and account.uid == os.geteuid():
            account = None
        limited = config.limits != NO_LIMITS
        if account is None and not sockets and not limited:
            child = _vfork(config, command, environment, limits, pipes, entry)
        else:
            restrict = restrictions(config.limits) if limited else UNRESTRICTED
            with limits.for_child():
                child = _fork(
                    config, account, command, environment, pipes, sockets, entry, restrict
                )
    except OSError as error:
        pipes.close_own_ends()
        raise SpawnError(_fork_error(name, error)) from None
    # A NUL byte in an argument, a variable or the directory; a module that cannot be loaded now.
    except (ValueError, ImportError) as error:
        pipes.close_own_ends()
        raise SpawnError(f"cannot spawn '{name}': {error}") from None
    finally:
        pipes.close_child_ends()
    return child


def dispatcher_error(name: str, error: OSError) -> str:
    """Return the spawn error for pipes or log files that could not be opened."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"too many open files to spawn '{name}'"
    return f"unknown error making dispatchers for '{name}': {_errno_name(error)}"


def _fork_error(name: str, error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"too many open files to spawn '{name}'"
    if error.errno == errno.EAGAIN:
        return f"Too many processes in process table to spawn '{name}'"
    return f"unknown error during fork for '{name}': {_errno_name(error)}"


def _errno_name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


@functools.cache
def _popen_class() -> type[subprocess.Popen[bytes]]:
    """Return a Popen whose pid can be read after it failed to execute the program.

    Most daemons need none, and save what comes with it: `threading`, `locale`, half a megabyte.
    """
    import subprocess

    class _Popen(subprocess.Popen[bytes]):
        pid: int = 0

    return _Popen


def _vfork(
    config: ProcessConfig,
    command: Command,
    environment: Mapping[str, str],
    limits: DescriptorLimit,
    pipes: _Pipes,
    entry: Entry | None,
) -> Child:
    if entry is not None:
        entry.open()
    failure = None
    with limits.for_child(reserve=False):
        pid = _posix_spawn(config, command, environment, pipes.child)
    if pid is None:
        popen = _popen_class()  # before the limit may be too low to open a file
        with limits.for_child():
            pid, failure = _popen(popen, config, command, environment, pipes.child)
    if entry is not None and failure is None:
        failure = _bring(entry, pid, pipes.child[2])
    return Child(pid, pipes.stdin, pipes.stdout, pipes.stderr, failure)


_CLOSE_FROM: int | None = getattr(os, "POSIX_SPAWN_CLOSEFROM", None)
"""The action that closes all descriptors from one on; Python has it since 3.13."""

_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""The signals that Python ignores, which a program would inherit."""


def _posix_spawn(
    config: ProcessConfig,
    command: Command,
    environment: Mapping[str, str],
    standard: tuple[int, int, int],
) -> int | None:
    """Return the pid of a child that runs its program, None where another way has to be taken."""
    if config.directory is not None or config.umask is not None or min(standard) < _STANDARD_FDS:
        return None
    # All that we open is closed by exec; what the code of others opens in this process may not be.
    if _CLOSE_FROM is None and MODULES.used:
        return None
    actions: list[tuple[int, ...]] = [
        (os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(standard)
    ]
    if _CLOSE_FROM is not None:
        actions.append((_CLOSE_FROM, _STANDARD_FDS))
    try:
        return os.posix_spawn(
            command.file,
            command.argv,
            environment,
            file_actions=actions,
            setpgroup=0,
            setsigmask=(),
            setsigdef=_RESTORED,
        )
    except OSError:
        return None


def _popen(
    popen: type[subprocess.Popen[bytes]],
    config: ProcessConfig,
    command: Command,
    environment: Mapping[str, str],
    standard: tuple[int, int, int],
) -> tuple[int, Failure | None]:
    stdin, stdout, stderr = standard
    process = popen.__new__(popen)
    failure = None
    try:
        process.__init__(  # type: ignore[misc]
            command.argv,
            executable=command.file,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=config.directory,
            env=environment,
            process_group=0,
            umask=-1 if config.umask is None else config.umask,
        )
    except OSError as error:
        if not process.pid:
            raise
        failed_chdir = error.filename == config.directory and config.directory is not None
        failure = Failure(
            "chdir" if failed_chdir else "exec",
            error.errno or 0,
            config.directory or "" if failed_chdir else command.argv[0],
        )
        os.write(stderr, failure_text(failure).encode(errors="surrogateescape"))
    process.returncode = 0  # whoever reaps it is not this object
    return process.pid, failure


def _bring(entry: Entry, pid: int, stderr: int) -> Failure | None:
    """See a child that has executed its program into its cgroup; end it where that fails."""
    try:
        entry.bring(pid)
    except OSError as error:
        failure = Failure("cgroup", error.errno or 0, entry.cgroup.path)
        os.write(stderr, failure_text(failure).encode(errors="surrogateescape"))
        os.waitpid(pid, 0)
        return failure
    return None


def failure_text(failure: Failure) -> str:
    """Return what the program's own log says of a failed spawn."""
    reason = errno.errorcode.get(failure.errno, str(failure.errno))
    match failure.stage:
        case "setuid":
            told = f"couldn't setuid to {failure.detail}"
        case "chdir":
            told = f"couldn't chdir to {failure.detail}: {reason}"
        case "cgroup":
            told = f"couldn't enter the cgroup {failure.detail}: {reason}"
        case "exec":
            told = f"couldn't exec {failure.detail}: {reason}"
        case option:
            told = f"couldn't set {option}={failure.detail}: {reason}"
    return f"supervisor: {told}\nsupervisor: child process was not spawned\n"


def _fork(
    config: ProcessConfig,
    account: Account | None,
    command: Command,
    environment: Mapping[str, str],
    pipes: _Pipes,
    sockets: Sequence[int],
    entry: Entry | None,
    restrict: Restrictions,
) -> Child:
    told, tell = os.pipe2(os.O_CLOEXEC)
    # A signal that arrives in the child before exec would run the daemon's handler there and
    # write to the wake-up descriptor that both share: none may arrive.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _EVERY_SIGNAL)
    try:
        pid = os.fork()
        if pid == 0:
            _become(
                config, account, command, environment, pipes.child, tell, sockets, entry, restrict
            )
        # The child does it too; whoever comes first, a signal to the group finds the group.
        with contextlib.suppress(OSError):  # it has, or it has even executed its program
            os.setpgid(pid, pid)
    except OSError:
        os.close(told)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(tell)
    os.set_blocking(told, False)
    return Child(pid, pipes.stdin, pipes.stdout, pipes.stderr, failure_fd=told)


def _become(
    config: ProcessConfig,
    account: Account | None,
    command: Command,
    environment: Mapping[str, str],
    standard: tuple[int, int, int],
    tell: int,
    sockets: Sequence[int],
    entry: Entry | None,
    restrict: Restrictions,
) -> NoReturn:
    """In the child: become the program, or tell why not and exit."""
    stage, detail = "exec", command.argv[0]
    failure = None
    try:
        os.setpgid(0, 0)
        tell = _take_fds((*standard, *sockets), tell)
        _restore_signals()
        if entry is not None:  # while we may
            stage, detail = "cgroup", entry.cgroup.path
            entry.enter()
        for step in restrict.early:
            stage, detail = step.option, step.value
            step.act()
        if account is not None:
            stage, detail = "setuid", str(account.uid)
            take_identity(account)
        if config.directory is not None:
            stage, detail = "chdir", config.directory
            os.chdir(config.directory)
        if config.umask is not None:
            os.umask(config.umask)
        if sockets:
            environment = {**environment, "LISTEN_PID": str(os.getpid())}
        for step in restrict.late:
            stage, detail = step.option, step.value
            step.act()
        stage, detail = "exec", command.argv[0]
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command.file, command.argv, environment)
    except IdentityError as error:
        failure = Failure(stage, 0, f"{detail}: {error}")
    except OSError as error:
        failure = Failure(stage, error.errno or 0, detail)
    except BaseException as error:  # noqa: BLE001  nothing may unwind into the daemon's frames
        failure = Failure(stage, 0, f"{detail}: {error!r}")
    finally:
        try:
            if failure is not None:
                _tell(tell, failure)
        finally:
            os._exit(EXIT_NOT_SPAWNED)


def _tell(tell: int, failure: Failure) -> None:
    os.write(2, failure_text(failure).encode(errors="surrogateescape"))
    told = f"{failure.stage}\0{failure.errno}\0{failure.detail}"
    os.write(tell, told.encode(errors="surrogateescape"))


def _take_fds(wanted: Sequence[int], tell: int) -> int:
    """Put descriptors at 0, 1, 2 and so on, and close everything else but the telling end."""
    count = len(wanted)
    high = [_above(fd, count) for fd in (*wanted, tell)]
    for target in range(count):
        os.dup2(high[target], target, inheritable=True)
    tell = high[count]
    os.closerange(count, tell)
    os.closerange(tell + 1, os.sysconf("SC_OPEN_MAX"))
    return tell


def _above(fd: int, count: int) -> int:
    while fd < count:
        fd = os.dup(fd)
    os.set_inheritable(fd, False)
    return fd


def _restore_signals() -> None:
    """Undo the interpreter's and the event loop's dispositions; ignored ones would be inherited."""
    signal.set_wakeup_fd(-1)
    for number in _EVERY_SIGNAL:
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)


def read_failure(fd: int) -> Failure | None:
    """Return what a child told through its `failure_fd`, None where it has not told any."""
    try:
        told = os.read(fd, 4096)
    except OSError:
        return None
    if told.count(b"\0") < _SEPARATORS:
        return None
    stage, number, detail = told.decode(sys.getfilesystemencoding(), "surrogateescape").split(
        "\0", 2
    )
    return Failure(stage, int(number), detail)
