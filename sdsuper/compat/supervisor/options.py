"""Names of processes, and a client's options."""

from __future__ import annotations

import sys
from configparser import RawConfigParser
from typing import TYPE_CHECKING, Any

from sdsuper import SUPERVISOR_VERSION as VERSION
from sdsuper.ctl import options as command_line
from sdsuper.ctl import settings
from sdsuper.ctl.render import namespec as make_namespec
from sdsuper.ctl.render import split_namespec
from sdsuper.errors import UsageError
from sdsuper.rpc.transport import server_proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERSION", "ClientOptions", "UnhosedConfigParser", "make_namespec", "split_namespec"]


class UnhosedConfigParser(RawConfigParser):
    """A parser of ini files that takes values as they are, names in any case."""

    def optionxform(self, optionstr: str) -> str:
        """Keep a name as it is written."""
        return optionstr


class ClientOptions:
    """How to reach the daemon, as the client's command line and file say.

    Attributes:
        serverurl: Of the daemon.
        username: To log in with, None to log in as nobody.
        password: The same.
        prompt: What the shell asks with.
        history_file: Where the shell keeps what was typed.
        interactive: Whether there is somebody to ask.
        args: What stands behind the options.
    """

    def __init__(self) -> None:
        self._take(settings.Settings())
        self.args: list[str] = []

    def _take(self, found: settings.Settings) -> None:
        self.serverurl = found.url
        self.username = found.username
        self.password = found.password
        self.prompt = found.prompt
        self.history_file = found.history_file
        self.interactive = found.interactive

    def realize(self, args: Sequence[str] | None = None, doc: str | None = None) -> None:
        """Read a command line, this process's own unless it is given, and the file that it names.

        Raises:
            SystemExit: With 2, after saying what is wrong.
        """
        del doc
        try:
            arguments = command_line.parse(sys.argv[1:] if args is None else args)
            self._take(settings.load(arguments, "supervisorctl"))
        except UsageError as error:
            sys.stderr.write(f"Error: {error}\n")
            raise SystemExit(2) from None
        self.args = arguments.words

    def getServerProxy(self) -> Any:  # noqa: N802 - Supervisor's name
        """Return a proxy of the daemon's methods."""
        return server_proxy(self.serverurl, self.username, self.password)
