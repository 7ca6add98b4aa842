"""pidproxy: stand for a daemon that is known by its pid file.

    pidproxy PIDFILE COMMAND [ARGUMENT...]

The command is started; signals that reach this process are sent on to the process whose pid is in
the pid file. It ends when that process has stopped after a signal that asks for it, or when the
command has ended and, where it left a daemon behind (the pid file names a process that was started
since), when the daemon has. Supervisor's notices an end up to 5 seconds late, says 0 whatever
happened, and leaves a daemon that still stops.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Self

FORWARDED = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGQUIT,
)
ENDING = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
"""Signals after which we end, at once where there is no pid file."""

USAGE_STATUS = 1
NOT_FOUND_STATUS = 127
NOT_EXECUTABLE_STATUS = 126

_LOOK_SECONDS = 0.5  # between looks at a process that cannot be waited for, on kernels before 5.3


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and stand for its daemon; return the exit status.

    It is the command's status (128 and the signal where one ended it), or 0 where we were told to
    end.
    """
    program, *words = sys.argv if argv is None else argv
    if len(words) < 2:
        print(f"Usage: {os.path.basename(program)} <pidfile> <command> [<argument> ...]")
        return USAGE_STATUS
    pidfile, *command = words
    with Proxy(pidfile) as proxy:
        try:
            child = spawn(command)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
            missing = isinstance(error, FileNotFoundError)
            return NOT_FOUND_STATUS if missing else NOT_EXECUTABLE_STATUS
        return proxy.run(child)


def spawn(command: Sequence[str]) -> int:
    """Start a command and return its pid.

    Its first word is looked for in the working directory first, as Supervisor's does, then in PATH.

    Raises:
        OSError: It cannot be started.
    """
    path = os.path.abspath(command[0])
    if not os.path.exists(path):
        path = _in_path(command[0]) or path
    # The interpreter ignores these; a command expects their default.
    return os.posix_spawn(
        path, list(command), os.environ, setsigdef=(signal.SIGPIPE, signal.SIGXFSZ)
    )


def _in_path(name: str) -> str | None:
    if os.sep in name:
        return None
    candidates = (os.path.join(folder, name) for folder in os.get_exec_path())
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


class Proxy:
    """One run: the signals that came, and the processes that are waited for.

    Args:
        pidfile: Where the daemon's pid is written, by somebody else.
    """

    def __init__(self, pidfile: str) -> None:
        self._pidfile = pidfile
        self._told_to_end = False
        self._wakes, self._wakeup = socket.socketpair()

    def __enter__(self) -> Self:
        """Hear signals from now on: they wake `_wait` instead of ending us."""
        for end in (self._wakes, self._wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, _heard)
        return self

    def __exit__(self, *_: object) -> None:
        """Hear them no longer."""
        signal.set_wakeup_fd(-1)
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self._wakes.close()
        self._wakeup.close()

    def run(self, child: int) -> int:
        """Forward signals until there is nobody left to wait for; return the exit status.

        Args:
            child: The command's pid.
        """
        status = self._await_child(child)
        if self._told_to_end:
            self._await_end(read_pid(self._pidfile))
            return 0
        pid = read_pid(self._pidfile)
        # The number in a leftover of an earlier run may be somebody else's by now.
        if pid is not None and started_after(pid, os.getpid()):
            self._await_end(pid)
        return 0 if self._told_to_end else status

    def _await_child(self, child: int) -> int:
        """Wait for the command, or to be told to end; return the command's exit status."""
        while not self._told_to_end:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            self._forward(self._wait())
        return 0

    def _await_end(self, pid: int | None) -> None:
        """Wait until a process is gone; with no pid file there is none to wait for."""
        if pid is None:
            return
        pidfd = _open_pidfd(pid)
        try:
            while is_alive(pid):
                self._forward(self._wait(pidfd, None if pidfd is not None else _LOOK_SECONDS))
        finally:
            if pidfd is not None:
                os.close(pidfd)

    def _wait(self, pidfd: int | None = None, seconds: float | None = None) -> Sequence[int]:
        """Wait for a signal or the end of a process; return the signals that came."""
        poll = select.poll()
        poll.register(self._wakes, select.POLLIN)
        if pidfd is not None:
            poll.register(pidfd, select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)
        with contextlib.suppress(BlockingIOError):
            return self._wakes.recv(4096)
        return ()

    def _forward(self, numbers: Sequence[int]) -> None:
        """Send signals on to the process of the pid file."""
        for number in numbers:
            if number not in FORWARDED:
                continue
            pid = read_pid(self._pidfile)
            if pid is None:
                print(f"Can't read child pidfile {self._pidfile}!", flush=True)
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            self._told_to_end = self._told_to_end or number in ENDING


def _heard(_number: int, _frame: object) -> None:
    """Nothing: the number is in the wake-up socket."""


def read_pid(path: str) -> int | None:
    """Return the pid that a file holds, None where there is none."""
    try:
        with open(path, encoding="ascii") as file:
            pid = int(file.read(64))
    except (OSError, ValueError):
        return None
    return pid if pid > 0 else None


def started_after(pid: int, other: int) -> bool:
    """Whether a process was started after (or in the same tick as) another one."""
    first, second = _start_tick(other), _start_tick(pid)
    return first is not None and second is not None and second >= first


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that ended and was not waited for does not."""
    return _stat(pid)[:1] not in ([], [b"Z"], [b"X"])


def _start_tick(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else None


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat behind the name, the state first; [] without one."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # gone already, or a kernel before 5.3


if __name__ == "__main__":
    sys.exit(main())
