"""From a command line to an exit status."""

from __future__ import annotations

import os
import sys

from sdsuper.ctl import options, settings
from sdsuper.ctl.commands import all_commands, commands_until
from sdsuper.ctl.control import Control, Output, OutputClosed, Status, split_command
from sdsuper.errors import ConfigError, UsageError

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence


def run(program: str, argv: Sequence[str]) -> int:
    """Do what a command line asks for.

    Args:
        program: The path by which we were called.
        argv: What stood behind it.

    Returns:
        The exit status.
    """
    out, errors = Output(sys.stdout.buffer), Output(sys.stderr.buffer)
    try:
        return _run(program, argv, out, errors)
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except OutputClosed:
        # The interpreter flushes once more at its end, and would say what we keep to ourselves.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.OUTPUT_CLOSED


def _run(program: str, argv: Sequence[str], out: Output, errors: Output) -> int:
    try:
        arguments = options.parse(argv)
        if "help" in arguments:
            out.line(_usage(program))
            return Status.OK
        loaded = settings.load(arguments, program)
    except ConfigError as error:
        details = [str(problem) for problem in error.problems if problem.line]
        return _misused(errors, program, error.first, details)
    except UsageError as error:
        return _misused(errors, program, str(error))
    if arguments.words:
        line = " ".join(arguments.words)
        control = Control(loaded, out, errors, commands_until(split_command(line)[0]))
        control.run(line)
        return control.status
    from sdsuper.ctl.shell import converse

    converse(Control(loaded, out, errors, all_commands()))
    return Status.OK


def _misused(errors: Output, program: str, text: str, details: Sequence[str] = ()) -> int:
    """Say what is wrong: Supervisor's two lines, then all that we know."""
    errors.line("\n".join((f"Error: {text}", f"For help, use {program} -h", *details)))
    return Status.USAGE


def _usage(program: str) -> str:
    called = os.path.basename(program)
    name = "supervisorctl" if called == "supervisorctl" else "sdsuperctl"
    actions = [(found.name, found.forms[0][1]) for found in all_commands().values() if found.forms]
    return options.usage(name, program, actions)
