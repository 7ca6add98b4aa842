"""The prompt: a command per line until the input ends."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress

from sdsuper.ctl.complete import candidates

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sdsuper.ctl.control import Control
    from sdsuper.rpc.structs import ProcessInfo

PARTS_OF_NAMES = ":*-"
"""Where readline would end a word, were it left alone."""


def converse(control: Control) -> None:
    """Show the status, then run what is typed, until `exit`, Ctrl-C or the end of the input."""
    completer = Completer(control)
    edited = _edited(control.settings.history_file, completer)
    with edited if control.keyboard.is_terminal else nullcontext():
        try:
            control.run("status")
            while not control.ended:
                line = _ask(control)
                completer.forget()
                control.run(line)
        except KeyboardInterrupt:
            control.print("")


def _ask(control: Control) -> str:
    try:
        return control.keyboard.ask(f"{control.settings.prompt}> ")
    except EOFError:
        return "EOF"


class Completer:
    """Answers readline, which asks for one candidate after the other."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._infos: Sequence[ProcessInfo] | None = None
        self._found: list[str] = []

    def forget(self) -> None:
        """Ask the daemon anew next time: a command may have changed what there is."""
        self._infos = None

    def offer(self, line: str, text: str, number: int) -> str | None:
        """Return a candidate, None behind the last.

        Args:
            line: All that is typed so far.
            text: The word under the cursor.
            number: Which candidate, from 0.
        """
        if number == 0:
            commands = self._control.every_command().values()
            self._found = candidates(line, text, commands, self._processes)
        return self._found[number] if number < len(self._found) else None

    def _processes(self) -> Sequence[ProcessInfo]:
        if self._infos is None:
            self._infos = self._control.processes_if_any()
        return self._infos


@contextmanager
def _edited(history_file: str | None, completer: Completer) -> Iterator[None]:
    """Let lines be edited, completed and remembered, where the interpreter can."""
    try:
        import readline
    except ImportError:
        yield
        return

    def complete(text: str, number: int) -> str | None:
        return completer.offer(readline.get_line_buffer(), text, number)

    delimiters = readline.get_completer_delims()
    readline.set_completer_delims("".join(c for c in delimiters if c not in PARTS_OF_NAMES))
    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
    if history_file:
        with suppress(OSError):
            readline.read_history_file(history_file)
    try:
        yield
    finally:
        readline.set_completer(None)
        if history_file:
            with suppress(OSError):
                readline.write_history_file(history_file)
