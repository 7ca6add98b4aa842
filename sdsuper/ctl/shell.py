"""The prompt: a command per line until the input ends."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from sdsuper.ctl.control import Control


def converse(control: Control) -> None:
    """Show the status, then run what is typed, until `exit`, Ctrl-C or the end of the input."""
    try:
        control.run("status")
        while not control.ended:
            control.run(_ask(control))
    except KeyboardInterrupt:
        control.print("")


def _ask(control: Control) -> str:
    try:
        return control.ask(f"{control.settings.prompt}> ")
    except EOFError:
        return "EOF"
