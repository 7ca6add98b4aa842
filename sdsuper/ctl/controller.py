"""What a plugin sees of the client: the names that Supervisor's own controller has."""

from __future__ import annotations

import sys

from sdsuper.ctl import render
from sdsuper.ctl.commands.process import status_of
from sdsuper.rpc.transport import server_proxy

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sdsuper.ctl.control import Control


class ControllerOptions:
    """The client's settings under Supervisor's names.

    Attributes:
        plugins: The plugins that are loaded.
    """

    def __init__(self, control: Control) -> None:
        self._settings = control.settings
        self.plugins: list[Any] = []

    @property
    def serverurl(self) -> str:
        """Where the daemon listens."""
        return self._settings.url

    @property
    def username(self) -> str | None:
        """As whom we log in."""
        return self._settings.username

    @property
    def password(self) -> str | None:
        """With what."""
        return self._settings.password

    @property
    def interactive(self) -> bool:
        """Whether there is somebody to ask."""
        return self._settings.interactive

    @property
    def prompt(self) -> str:
        """What the shell asks with."""
        return self._settings.prompt

    @property
    def history_file(self) -> str | None:
        """Where the shell keeps what was typed."""
        return self._settings.history_file

    def getServerProxy(self) -> Any:  # noqa: N802 - Supervisor's name
        """Return a proxy of the daemon's methods."""
        return server_proxy(self.serverurl, self.username, self.password)


class Controller:
    """The `ctl` of a plugin.

    Attributes:
        options: The client's settings.
        nohelp: What is said of a topic that nobody knows.
        stdout: Where output goes.
    """

    nohelp = "*** No help on %s"

    def __init__(self, control: Control) -> None:
        self._control = control
        self.options = ControllerOptions(control)
        self.stdout = _Writer(control)

    @property
    def exitstatus(self) -> int:
        """The client's exit status so far."""
        return self._control.status

    @exitstatus.setter
    def exitstatus(self, status: int) -> None:
        self._control.status = status

    @property
    def prompt(self) -> str:
        """The shell's prompt."""
        return f"{self.options.prompt}> "

    @property
    def vocab(self) -> list[str]:
        """All that can be typed."""
        return [name for name in self._control.every_command() if name != "EOF"]

    def output(self, message: object) -> None:
        """Print a line."""
        self._control.print(message if isinstance(message, str) else str(message))

    def get_supervisor(self) -> Any:
        """Return a proxy of the `supervisor` methods."""
        return self.get_server_proxy("supervisor")

    def get_server_proxy(self, namespace: str | None = None) -> Any:
        """Return a proxy of the daemon's methods, or of those of one namespace."""
        proxy = self.options.getServerProxy()
        return proxy if namespace is None else getattr(proxy, namespace)

    def upcheck(self) -> bool:
        """Say what is wrong with the daemon; return whether nothing is."""
        return self._control.server_is_up()

    def onecmd(self, line: str) -> bool:
        """Run a line as if it had been typed; return whether the shell is to end."""
        self._control.run_beside(line)
        return self._control.ended

    def set_exitstatus_from_xmlrpc_fault(
        self, faultcode: int, ignored_faultcode: int | None = None
    ) -> None:
        """Set the exit status by a fault or by the status of a result."""
        if status := status_of(faultcode, ignored_faultcode):
            self.exitstatus = status

    def print_topics(
        self, header: str, cmds: Sequence[str], _cmdlen: int = 15, _maxcol: int = 80
    ) -> None:
        """Print a list of commands under a header, as `help` does."""
        if cmds:
            ruler = "=" * len(header)
            self.output(f"{header}\n{ruler}\n{render.columns(list(cmds))}\n")

    def do_help(self, arg: str) -> None:
        """Say what can be typed."""
        self.onecmd(f"help {arg}")

    def do_EOF(self, _arg: str) -> int:  # noqa: N802 - Supervisor's name
        """End the shell."""
        self.output("")
        return 1

    def emptyline(self) -> None:
        """Do nothing."""

    def default(self, line: str) -> None:
        """Say that a line is no command."""
        self._control.fail(1, f"*** Unknown syntax: {line}")


class _Writer:
    """Standard output for plugins that write there themselves."""

    encoding = "utf-8"

    def __init__(self, control: Control) -> None:
        self._out = control.out

    def write(self, text: str) -> int:
        """Write text."""
        self._out.write(text.encode("utf-8", "surrogateescape"))
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return sys.stdout.isatty()
