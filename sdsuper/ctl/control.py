"""A session of the client: the connection, what is printed, the exit status, and one command."""

from __future__ import annotations

import sys

from sdsuper.ctl import render
from sdsuper.ctl.keyboard import Keyboard
from sdsuper.rpc.client import Client, ProtocolError
from sdsuper.rpc.faults import Fault, FaultCode

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, BinaryIO, TypeVar

    from sdsuper.ctl.commands import Command
    from sdsuper.ctl.plugins import Plugin
    from sdsuper.ctl.settings import Settings
    from sdsuper.rpc.structs import ProcessInfo

    T = TypeVar("T")

API_VERSION = "3.0"

LOOK_SECONDS = 0.1
"""How often is looked at what a daemon that was replaced would have told."""

NO_NAMESPACE = (
    "Sorry, supervisord responded but did not recognize the supervisor namespace commands that "
    "supervisorctl uses to control it.  Please check that the [rpcinterface:supervisor] section "
    "is enabled in the configuration file (see sample.conf)."
)
WRONG_VERSION = (
    "Sorry, this version of supervisorctl expects to talk to a server with API version "
    f"{API_VERSION}, but the remote version is %s."
)
BEING_REPLACED = (
    "ERROR: the daemon is being replaced; what was asked for goes on: look at the status"
)
LOGIN_NEEDED = "Server requires authentication"


class Status:
    """Exit statuses, as scripts know them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DOWN = 3
    NO_NAMESPACE = 3
    UNKNOWN = 4
    REFUSED = 4
    WRONG_VERSION = 5
    NOT_RUNNING = 7
    NO_SOCKET = 7
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


class OutputClosed(Exception):  # noqa: N818 - nothing went wrong
    """Nobody reads what we print any more."""


class Output:
    """Text to a stream of bytes: UTF-8 whatever the locale, at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def line(self, text: str) -> None:
        """Write text and a newline."""
        self.write(f"{text}\n".encode("utf-8", "surrogateescape"))

    def write(self, data: bytes) -> None:
        """Write bytes as they are.

        Raises:
            OutputClosed: Nobody reads them.
        """
        try:
            self._stream.write(data)
            self._stream.flush()
        except BrokenPipeError:
            raise OutputClosed from None


class Control:
    """One session.

    Attributes:
        settings: How to reach the daemon.
        client: The connection.
        commands: Our own commands by name.
        out: What commands print.
        errors: What goes to stderr.
        status: The exit status so far: a later failure overwrites it, success leaves it.
        ended: Whether the shell is to end.
        keyboard: Who is asked, and what is typed.
        encoding: What stdout is said to take; what we print is UTF-8 all the same.
    """

    def __init__(
        self,
        settings: Settings,
        out: Output,
        errors: Output,
        commands: Mapping[str, Command],
        connect: Callable[[Settings], Client] | None = None,
        keyboard: Keyboard | None = None,
    ) -> None:
        self.settings = settings
        self.out = out
        self.errors = errors
        self.commands = commands
        self.status = Status.OK
        self.ended = False
        self.keyboard = keyboard or Keyboard(out)
        self.encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        self._connect = connect or _client
        self.client = self._connect(settings)
        self._plugins: Sequence[Plugin] | None = None

    # What can be typed

    @property
    def plugins(self) -> Sequence[Plugin]:
        """What the file's plugins add; made when first asked for: our commands need none."""
        if self._plugins is None:
            self._plugins = ()
            if self.settings.plugins:
                from sdsuper.ctl.plugins import load

                self._plugins = load(self)
        return self._plugins

    def every_command(self) -> dict[str, Command]:
        """Return all that can be typed, by name: ours before a plugin's of the same name."""
        found: dict[str, Command] = {}
        for plugin in reversed(self.plugins):
            found.update(plugin.commands)
        return {**found, **self.commands}

    # What commands use

    def call(self, method: str, *params: object) -> Any:
        """Call a method of the supervisor namespace; raises what Client.call does."""
        return self.client.call(f"supervisor.{method}", *params)

    def outlast(self, act: Callable[[], T]) -> T:
        """Do something, and once more where the daemon was replaced in its midst.

        It must come to the same when it is done twice. What is being stopped is waited for first:
        the daemon that was replaced would have done so.

        Raises:
            ProtocolError: The server answered with another HTTP error.
        """
        while True:
            try:
                return act()
            except ProtocolError as error:
                if not error.is_replaced:
                    raise
            import time

            while any(info["statename"] == "STOPPING" for info in self.call("getAllProcessInfo")):
                time.sleep(LOOK_SECONDS)

    def print(self, text: str) -> None:
        """Print text and a newline."""
        self.out.line(text)

    def fail(self, status: int, text: str | None = None) -> None:
        """Set the exit status, after printing why."""
        if text is not None:
            self.print(text)
        self.status = status

    def misused(self, command: Command, text: str, status: int = Status.FAILED) -> None:
        """Say how a command is used, after what was wrong."""
        self.print(text)
        self.print(command.help)
        self.status = status

    def confirms(self, question: str) -> bool:
        """Ask before something drastic, where there is somebody to ask."""
        return not self.settings.interactive or self.keyboard.ask(question)[:1] in {"y", "Y"}

    def processes_if_any(self) -> Sequence[ProcessInfo]:
        """Return every process, none where the daemon cannot be asked."""
        try:
            infos: Sequence[ProcessInfo] = self.call("getAllProcessInfo")
        except (Fault, ProtocolError, OSError, ValueError):
            return ()
        finally:
            self.client.close()
        return infos

    def open(self, url: str) -> None:
        """Turn to another server."""
        self.client.close()
        self.settings.url = url
        self.client = self._connect(self.settings)

    # Running a line

    def run(self, line: str) -> None:
        """Run one line of words, as they were typed; whatever fails is told and sets the status.

        Raises:
            KeyboardInterrupt: It was interrupted.
            OutputClosed: Nobody reads what it prints.
        """
        line = line.strip()
        if not line:
            return
        name, rest = split_command(line)
        command = self.commands.get(name) or self.every_command().get(name)
        if command is None:
            self.fail(Status.FAILED, f"*** Unknown syntax: {line}")
            return
        try:
            while not self._try(command, rest):
                pass
        except EOFError:
            self.fail(Status.FAILED, "")  # nobody there to answer what we ask
        finally:
            self.client.close()

    def run_beside(self, line: str) -> None:
        """Run a line with a connection of its own, as plugins do from several threads at once."""
        beside = Control(
            self.settings, self.out, self.errors, self.commands, self._connect, self.keyboard
        )
        beside._plugins = self._plugins
        beside.run(line)
        self.status = beside.status or self.status
        self.ended = self.ended or beside.ended

    def _try(self, command: Command, rest: str) -> bool:
        """Run a command; return whether that was it, False to try again with a new login."""
        try:
            if not command.checks or self.server_is_up(command.unreachable_status):
                command.run(self, rest)
        except ProtocolError as error:
            if error.is_replaced:
                self.fail(Status.FAILED, BEING_REPLACED)
                return True
            if error.status != 401:
                self.fail(Status.FAILED, render.unexpected(error))
                return True
            self.print(LOGIN_NEEDED)
            self.status = Status.FAILED
            return not self._log_in()
        except (EOFError, OutputClosed):
            raise
        except Exception as error:  # noqa: BLE001 - the shell lives on, whatever a plugin does
            friendly = render.unreachable(self.settings.url, error)
            if friendly is not None:
                self.print(friendly)
            self.fail(Status.FAILED, render.unexpected(error))
            if isinstance(error, PermissionError):
                self._tell_owner()
        return True

    def _tell_owner(self) -> None:
        """Say who may use the socket, where it can be seen."""
        path = self.settings.url.removeprefix("unix://")
        if path == self.settings.url:
            return
        import grp
        import os
        import pwd
        import stat

        try:
            status = os.stat(path)
            user = pwd.getpwuid(status.st_uid).pw_name
            group = grp.getgrgid(status.st_gid).gr_name
        except (OSError, KeyError):
            return
        shared = bool(status.st_mode & stat.S_IWGRP)
        self.errors.line(render.denied(path, user, group if shared else None))

    def server_is_up(self, unreachable_status: int = Status.OK) -> bool:
        """Call the server once before a command; say what is wrong with it, if anything is.

        Args:
            unreachable_status: The exit status where something is, 0 for one that says what.
        """
        status, text = Status.OK, None
        try:
            version = self.call("getVersion")
            if version != API_VERSION:
                status, text = Status.WRONG_VERSION, WRONG_VERSION % version
        except Fault as error:
            if error.code != FaultCode.UNKNOWN_METHOD:
                raise
            status, text = Status.NO_NAMESPACE, NO_NAMESPACE
        except FileNotFoundError as error:
            status, text = Status.NO_SOCKET, render.unreachable(self.settings.url, error)
        except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            # A daemon that ends resets what it has not accepted: nobody listens there either.
            status = Status.REFUSED
            text = render.unreachable(self.settings.url, ConnectionRefusedError())
        if text is None:
            return True
        self.fail(unreachable_status or status, text)
        return False

    def _log_in(self) -> bool:
        """Ask for a login, where there is somebody to ask."""
        if not self.settings.interactive:
            return False
        self.settings.username = self.keyboard.ask("Username:")
        self.settings.password = self.keyboard.ask_secret("Password:")
        self.print("")
        self.status = Status.OK
        self.client.close()
        self.client = self._connect(self.settings)
        return True


def _client(settings: Settings) -> Client:
    return Client(settings.url, settings.username, settings.password)


def split_command(line: str) -> tuple[str, str]:
    """Return the command's name and the rest of a line; `?` is short for `help`."""
    if line.startswith("?"):
        return "help", line[1:]
    end = 0
    while end < len(line) and line[end].isascii() and (line[end].isalnum() or line[end] == "_"):
        end += 1
    return line[:end], line[end:]
