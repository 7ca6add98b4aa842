"""What can be typed: one function per command, found by its name."""

from __future__ import annotations

import sys

from sdsuper.ctl import render

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable

    from sdsuper.ctl.control import Control

    Act = Callable[[Control, list[str]], None]


class Command:
    """A command: what it is called, what help says of it, and what it does.

    Attributes:
        name: The word that is typed.
        act: Does it: `act(control, words)`.
        forms: How it may be typed, and what each form does; the first stands for all in usage.
        checks: Whether the server is called once beforehand, so that failures read well.
        unreachable_status: The exit status when that call fails, 0 for one that says why.
    """

    def __init__(
        self,
        act: Act,
        forms: tuple[tuple[str, str], ...],
        *,
        checks: bool,
        unreachable_status: int,
    ) -> None:
        self.name = act.__name__.rstrip("_")
        self.act = act
        self.forms = forms
        self.checks = checks
        self.unreachable_status = unreachable_status

    @property
    def help(self) -> str:
        """What `help NAME` prints."""
        return render.help_forms(self.forms)

    def run(self, control: Control, rest: str) -> None:
        """Do what was typed: `rest` is the line behind the command's name."""
        self.act(control, rest.split())


def command(
    *forms: tuple[str, str], checks: bool = True, unreachable_status: int = 0
) -> Callable[[Act], Command]:
    """Make a command of a function; a trailing underscore of its name is dropped."""

    def make(act: Act) -> Command:
        return Command(act, forms, checks=checks, unreachable_status=unreachable_status)

    return make


MODULES = ("process", "config", "logs", "daemon")
"""Where commands are, in the order in which they are looked for: `status` and its like first."""


def all_commands() -> dict[str, Command]:
    """Return every command by its name."""
    return commands_until(None)


def commands_until(name: str | None) -> dict[str, Command]:
    """Return the commands by name of as few modules as it takes to find one.

    Args:
        name: That one; all modules are loaded where there is none of this name.
    """
    commands: dict[str, Command] = {}
    for module in MODULES:
        path = f"{__name__}.{module}"
        __import__(path)  # importlib would load more than the module itself
        defined = vars(sys.modules[path]).values()
        commands |= {found.name: found for found in defined if isinstance(found, Command)}
        if name in commands:
            break
    return commands
