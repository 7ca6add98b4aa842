"""How to reach the daemon: [supervisorctl] of its configuration, the command line laid over it."""

from __future__ import annotations

import os

from sdsuper.config.client import ClientConfig, load_client
from sdsuper.config.find import find_config

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from sdsuper.ctl.options import Arguments

UNIX = "unix://"


class Settings:
    """What a session of the client needs to know.

    Attributes:
        url: Of the server.
        username: To log in with, None to log in as nobody.
        password: The same.
        prompt: What the shell asks with, before `> `.
        history_file: Where the shell keeps what was typed, None for nowhere.
        interactive: Whether there is somebody to ask.
        json: Whether to print JSON.
        plugins: What adds commands of its own.
    """

    def __init__(self, config: ClientConfig | None = None) -> None:
        config = config or ClientConfig()
        self.url = config.serverurl
        self.username = config.username
        self.password = config.password
        self.prompt = config.prompt
        self.history_file = config.history_file
        self.interactive = False
        self.json = False
        self.plugins = config.plugins


def load(arguments: Arguments, program: str) -> Settings:
    """Return the settings for a command line; without a file, the defaults.

    Args:
        arguments: The command line.
        program: The path by which we were called, which decides where to look for the file.

    Raises:
        ConfigError: The file is not there, cannot be read, or is not what it should be.
    """
    path = arguments.get("configuration")
    path = find_config(program) if path is None else path
    settings = Settings(None if path is None else load_client(path))
    settings.username = arguments.get("username") or settings.username
    settings.password = arguments.get("password") or settings.password
    if url := arguments.get("serverurl"):
        settings.url = UNIX + _path(url.removeprefix(UNIX)) if url.startswith(UNIX) else url
    if history_file := arguments.get("history_file"):
        settings.history_file = _path(history_file)
    settings.interactive = "interactive" in arguments or not arguments.words
    settings.json = "json" in arguments
    return settings


def _path(text: str) -> str:
    return os.path.normpath(os.path.expanduser(text))
