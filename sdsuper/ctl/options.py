"""The command line: one table of options, and Supervisor's grammar for them.

It is getopt's: options end at the first word that is none, long names may be cut to a unique
front, and each option may be given once. The standard library's getopt takes 5 ms to import.
"""

from __future__ import annotations

from sdsuper.errors import UsageError

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Option:
    """One option.

    Attributes:
        name: Its long name; empty where it has none.
        short: Its letter, empty where it has none.
        argument: What usage calls its argument, empty where it takes none.
        help: What usage says of it.
        check: Raises ValueError for a bad argument.
        sets: The key of its value, where that is not its name.
    """

    def __init__(
        self,
        name: str,
        short: str = "",
        argument: str = "",
        help: str = "",  # noqa: A002 - the word that users type
        check: Callable[[str], None] | None = None,
        *,
        sets: str = "",
    ) -> None:
        self.name = name
        self.short = short
        self.argument = argument
        self.help = help
        self.check = check
        self.sets = sets or name


def check_url(text: str) -> None:
    """Raise ValueError unless a text is a URL: a scheme, a colon, and something behind it.

    What scheme it is shows when the first call is made (Supervisor's behaviour).
    """
    scheme, colon, rest = text.partition(":")
    named = scheme[:1].isalpha() and all(c.isalnum() or c in "+-." for c in scheme)
    if not (colon and named and scheme.isascii() and rest.strip("/")):
        raise ValueError(f"value {text!r} is not a URL")


OPTIONS = (
    Option("configuration", "c", "FILENAME", "read this configuration file, search for none"),
    Option("help", "h", help="print this text and exit"),
    Option("", "?", sets="help"),
    Option(
        "interactive",
        "i",
        help="start an interactive shell; with an action: ask for passwords and confirmation",
    ),
    Option("serverurl", "s", "URL", "call unix:///path or http://host[:port]", check_url),
    Option("username", "u", "USERNAME", "log in as this user"),
    Option("password", "p", "PASSWORD", "log in with this password"),
    Option("history_file", "r", "FILENAME", "keep what is typed in the shell in this file"),
    Option("history-file", argument="FILENAME", sets="history_file"),
    Option("json", help="print JSON (status, avail, reread, usage, why)"),
)


class Arguments:
    """What was on the command line.

    Attributes:
        values: The options' arguments by name, "" for those without.
        words: All that stood behind the options.
    """

    def __init__(self, values: dict[str, str], words: Sequence[str]) -> None:
        self.values = values
        self.words = list(words)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> str | None:
        """Return an option's argument, None where it was not given."""
        return self.values.get(name)


def parse(argv: Sequence[str], options: Sequence[Option] = OPTIONS) -> Arguments:
    """Read a command line, without the command's own name. `help` ends it at once.

    Raises:
        UsageError: With Supervisor's text.
    """
    pairs, words = _split(list(argv), options)
    values: dict[str, str] = {}
    for typed, option, argument in pairs:
        if option.sets == "help":
            return Arguments({"help": ""}, words)
        if option.check is not None:
            try:
                option.check(argument)
            except ValueError as error:
                raise UsageError(f"invalid value for {typed} {argument!r}: {error}") from None
        if option.sets in values:
            raise UsageError(f"conflicting command line option {typed!r}")
        values[option.sets] = argument
    return Arguments(values, words)


def _split(
    words: list[str], options: Sequence[Option]
) -> tuple[list[tuple[str, Option, str]], list[str]]:
    pairs = []
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            pairs.append(_long(word[2:], words, options))
        else:
            pairs += _shorts(word[1:], words, options)
    return pairs, words


def _long(text: str, words: list[str], options: Sequence[Option]) -> tuple[str, Option, str]:
    name, equals, argument = text.partition("=")
    found = [option for option in options if option.name and option.name.startswith(name)]
    exact = [option for option in found if option.name == name]
    if not found:
        raise UsageError(f"option --{name} not recognized")
    if not exact and len({option.sets for option in found}) > 1:
        raise UsageError(f"option --{name} not a unique prefix")
    option = (exact or found)[0]
    if not option.argument:
        if equals:
            raise UsageError(f"option --{option.name} must not have an argument")
    elif not equals:
        argument = _argument(f"--{option.name}", words)
    return f"--{option.name}", option, argument


def _shorts(
    letters: str, words: list[str], options: Sequence[Option]
) -> list[tuple[str, Option, str]]:
    pairs = []
    while letters:
        letter, letters = letters[0], letters[1:]
        option = next((option for option in options if option.short == letter), None)
        if option is None:
            raise UsageError(f"option -{letter} not recognized")
        argument = ""
        if option.argument:
            argument, letters = letters or _argument(f"-{letter}", words), ""
        pairs.append((f"-{letter}", option, argument))
    return pairs


def _argument(typed: str, words: list[str]) -> str:
    if not words:
        raise UsageError(f"option {typed} requires argument")
    return words.pop(0)


def usage(command: str, program: str, actions: Sequence[tuple[str, str]]) -> str:
    """Return what `--help` prints.

    Args:
        command: The name by which the command is known.
        program: The path by which it was called.
        actions: Name and one line of help of each action.
    """
    rows = [
        (f"-{option.short}/--{option.name}" if option.short else f"--{option.name}", option)
        for option in OPTIONS
        if option.help
    ]
    lines = [
        f"{label}{' ' if option.argument else ''}{option.argument} -- {option.help}"
        for label, option in rows
    ]
    width = max(len(name) for name, _ in actions)
    return "\n".join(
        (
            f"{command} -- control applications run by the daemon from the command line.",
            "",
            f"Usage: {program} [options] [action [arguments]]",
            "",
            "Options:",
            *lines,
            "",
            "Actions:",
            *(f"  {name:<{width}}  {text}" for name, text in actions),
            "",
            "Names: `web` is one process, `group:web` one of a group, `group:*` all of a group,",
            "`all` every process. Without an action a shell reads one per line.",
            "",
            "Examples:",
            f"  {command} status",
            f"  {command} restart web 'workers:*'",
            f"  {command} tail -f web stderr",
            f"  {command} update              read the files again, apply what has changed",
            f"  {command} help restart        what one action takes",
            "",
            "Exit status: 0 done; 1 refused or failed; 2 wrong usage; 3 something shown is down;",
            "4 unknown name or nobody listens; 7 not running, or it did not start.",
        )
    )
