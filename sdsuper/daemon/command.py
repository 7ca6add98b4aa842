"""`command=` -> the file to execute and its argument vector.

Looked up anew at each start, so that a program installed later is found; only what many programs
share, or one that comes and goes, is not looked for again within a second. The order of the
checks and their texts are Supervisor's; scripts match on them.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import time
from collections.abc import Mapping, Sequence

from sdsuper.config.model import ProcessConfig
from sdsuper.dataclass import dataclass
from sdsuper.errors import SdsuperError

DEFAULT_PATH = "/bin:/usr/bin:/usr/local/bin"
_QUOTING = re.compile(r"""["'\\]""")
_WORD = re.compile(r"[^ \t\r\n]+")
_RECENT_SECONDS = 1.0
_ANY_EXECUTE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


class CommandError(SdsuperError):
    """A command cannot be executed; the text is what operators see as spawn error."""


class CommandNotFoundError(CommandError):
    """There is no such file (fault NO_FILE)."""


class CommandNotExecutableError(CommandError):
    """The command cannot be parsed, or its file cannot be executed (fault NOT_EXECUTABLE)."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to execute.

    Attributes:
        file: Absolute path of the executable.
        argv: The argument vector, argv[0] as it was written.
    """

    file: str
    argv: list[str]


class _Recent:
    """The files that were found within the last moment: many programs may be started at once."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str | None, str | None], str] = {}
        self._until = 0.0

    def get(self, key: tuple[str, str | None, str | None]) -> str | None:
        """Return the file of a command, None where it has to be looked for."""
        if time.monotonic() > self._until:
            self._files.clear()
            return None
        return self._files.get(key)

    def put(self, key: tuple[str, str | None, str | None], file: str) -> None:
        """Remember a file that was just found."""
        now = time.monotonic()
        if now > self._until:
            self._files.clear()
            self._until = now + _RECENT_SECONDS
        self._files[key] = file


_recent = _Recent()


def recent_command(config: ProcessConfig, environ: Mapping[str, str]) -> Command:
    """Return what `resolve_command` would, without a look where that was done a moment ago.

    Raises:
        CommandError: As `resolve_command`.
    """
    words = _words(config)
    file = _recent.get(_key(words[0], config, environ))
    return resolve_command(config, environ) if file is None else Command(file, words)


def _key(
    program: str, config: ProcessConfig, environ: Mapping[str, str]
) -> tuple[str, str | None, str | None]:
    if "/" in program:
        return program, config.directory, None
    return program, None, _path(config, environ)


def _path(config: ProcessConfig, environ: Mapping[str, str]) -> str:
    return config.environment.get("PATH") or environ.get("PATH") or DEFAULT_PATH


def _words(config: ProcessConfig) -> list[str]:
    try:
        argv = split_command(config.command)
    except ValueError as error:
        raise CommandNotExecutableError(
            f"can't parse command {config.command!r}: {error}"
        ) from None
    if not argv:
        raise CommandNotExecutableError("command is empty")
    return argv


def resolve_command(config: ProcessConfig, environ: Mapping[str, str]) -> Command:
    """Split `command=` and find its file.

    Args:
        config: The process; a relative command is tried in the daemon's working directory
            first, then in the program's `directory`.
        environ: The daemon's environment; the program's own PATH takes precedence.

    Raises:
        CommandNotFoundError: No such file.
        CommandNotExecutableError: It cannot be parsed or executed.
    """
    argv = _words(config)
    program = argv[0]
    if "/" in program:
        candidates: Sequence[str] = _beside(program, config.directory)
    else:
        path = _path(config, environ)
        candidates = [os.path.join(folder, program) for folder in path.split(":")]
    first_error: CommandError | None = None
    for candidate in candidates:
        problem = _problem_with(candidate)
        if problem is None:
            file = os.path.abspath(candidate)
            _recent.put(_key(program, config, environ), file)
            return Command(file, argv)
        if first_error is None and not isinstance(problem, CommandNotFoundError):
            first_error = problem
    raise first_error or CommandNotFoundError(f"can't find command {program!r}")


def split_command(command: str) -> list[str]:
    """Return the words of a command as `shlex.split` does.

    Without quotes that is a twentieth of the work, and a start waits for it.

    Raises:
        ValueError: A quotation does not end, or nothing follows an escape.
    """
    if _QUOTING.search(command):
        return shlex.split(command)
    return _WORD.findall(command)


def _beside(program: str, directory: str | None) -> list[str]:
    if directory is None or os.path.isabs(program):
        return [program]
    return [program, os.path.join(directory, program)]


def _problem_with(path: str) -> CommandError | None:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return CommandNotFoundError(f"can't find command {path!r}")
    if stat.S_ISDIR(mode):
        return CommandNotExecutableError(f"command at {path!r} is a directory")
    if not mode & _ANY_EXECUTE:
        return CommandNotExecutableError(f"command at {path!r} is not executable")
    if not os.access(path, os.X_OK):
        return CommandNotExecutableError(f"no permission to run command {path!r}")
    return None
