"""The daemon's command line, by the grammar of Supervisor's: getopt, not GNU.

Options end at the first word that is not one; long names may be shortened to a unique beginning;
an option given twice, in whatever spelling, is an error. What each option sets, and of what type
it is, comes from the declarations of [supervisord].
"""

from __future__ import annotations

import getopt
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sdsuper.config.kinds import BOOLEAN
from sdsuper.config.model import DaemonConfig
from sdsuper.config.option import Option, options_of
from sdsuper.dataclass import dataclass, field
from sdsuper.errors import UsageError

COMMANDS = ("config",)
"""First words that are commands of their own."""


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """What the command line says.

    Attributes:
        config: The file of -c, None without one.
        overrides: Values of [supervisord] by option name, ready for `load`.
        help: -h was given; nothing behind it was looked at.
        version: -v was given; nothing behind it was looked at.
        profile_options: The words of --profile_options, None without.
        words: What follows the options: a command and its own words.
    """

    config: str | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    help: bool = False
    version: bool = False
    profile_options: str | None = None
    words: tuple[str, ...] = ()

    @property
    def nodaemon(self) -> bool:
        """Whether -n was given."""
        return bool(self.overrides.get("nodaemon"))


@dataclass(frozen=True)
class _Flag:
    """One command-line option: its names, its argument's name ("" for none), what it sets."""

    short: str
    long: str
    argument: str
    help: str
    name: str
    parse: Callable[[str], Any] | None = None


_OWN_FLAGS = (
    _Flag("c", "configuration", "FILENAME", "read FILENAME instead of searching", "config"),
    _Flag("h", "help", "", "print this text and exit (-? does the same)", "help"),
    _Flag("?", "", "", "", "help"),
    _Flag("v", "version", "", "print the version and exit", "version"),
    _Flag("", "profile_options", "LIST", "profile the daemon: a comma-separated list", "profile"),
)

_ARGUMENTS = {
    "file": "FILENAME",
    "main log": "FILENAME",
    "directory": "DIRECTORY",
    "number": "NUMBER",
    "bytes": "BYTES",
    "octal mode": "MODE",
    "log level": "LEVEL",
    "user": "USER",
    "text": "NAME",
}


@cache
def _flags() -> tuple[_Flag, ...]:
    declared = (_flag(option) for option in options_of(DaemonConfig) if option.flag is not None)
    return (*_OWN_FLAGS, *declared)


def _flag(option: Option) -> _Flag:
    boolean = option.kind is BOOLEAN
    argument = "" if boolean else _ARGUMENTS[option.kind.name]
    # The account is looked up when everything else has been read, as an error of the file is.
    parse = None if boolean or option.key == "user" else option.kind.parse
    return _Flag(option.flag or "", option.key, argument, option.help, option.key, parse)


def parse_command_line(argv: Sequence[str], commands: Sequence[str] = COMMANDS) -> CommandLine:
    """Read the words behind the program's name.

    Args:
        argv: Those words.
        commands: First words that are commands; anything else behind the options is refused.

    Raises:
        UsageError: The text for behind `Error: `.
    """
    flags = _flags()
    short = "".join(flag.short + (":" if flag.argument else "") for flag in flags if flag.short)
    long = [flag.long + ("=" if flag.argument else "") for flag in flags if flag.long]
    try:
        given, words = getopt.getopt(list(argv), short, long)
    except getopt.GetoptError as error:
        raise UsageError(error.msg) from None
    if words and words[0] not in commands:
        raise UsageError(f"positional arguments are not supported: {words!r}")
    return _collect(given, tuple(words))


def _collect(given: list[tuple[str, str]], words: tuple[str, ...]) -> CommandLine:
    by_name = {f"-{flag.short}": flag for flag in _flags() if flag.short}
    by_name |= {f"--{flag.long}": flag for flag in _flags() if flag.long}
    values: dict[str, Any] = {}
    for name, text in given:
        flag = by_name[name]
        if flag.name == "help":
            return CommandLine(help=True)
        if flag.name == "version":
            return CommandLine(version=True)
        value = _value(flag, name, text)
        if flag.name in values:
            raise UsageError(f"conflicting command line option {name!r}")
        values[flag.name] = value
    config, profile = values.pop("config", None), values.pop("profile", None)
    return CommandLine(config=config, overrides=values, profile_options=profile, words=words)


def _value(flag: _Flag, name: str, text: str) -> Any:
    if not flag.argument:
        return True
    if flag.parse is None:
        return text
    try:
        return flag.parse(text)
    except ValueError as error:
        raise UsageError(f"invalid value for {name} {text!r}: {error}") from None


def usage(prog: str) -> str:
    """Return the text of -h, with a newline at its end.

    Args:
        prog: The name of the program as called.
    """
    lines = [
        "supervisord -- run a set of applications and keep them as configured",
        "",
        f"Usage: {prog} [options] [config check|show|sample ...]",
        "",
        "Options (they win over the configuration file):",
        *(
            f"{'/'.join(names)} {argument}".rstrip() + f" -- {text}"
            for names, argument, text in rows()
        ),
    ]
    return "\n".join(lines) + "\n"


def rows() -> list[tuple[tuple[str, ...], str, str]]:
    """Return names, argument ("" for none) and help of every option, for usage and manual."""
    return [_row(flag) for flag in _flags() if flag.long]


def _row(flag: _Flag) -> tuple[tuple[str, ...], str, str]:
    names = (f"-{flag.short}", f"--{flag.long}") if flag.short else (f"--{flag.long}",)
    if flag.long == "logfile":
        return names, flag.argument, "use FILENAME as the daemon's own log, or `syslog`"
    return names, flag.argument, f"{flag.help[0].lower()}{flag.help[1:].rstrip('.')}"
