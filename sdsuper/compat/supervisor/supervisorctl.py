"""What plugins of the client are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdsuper.ctl import render
from sdsuper.ctl.commands import all_commands
from sdsuper.ctl.commands.logs import CLEAR
from sdsuper.ctl.commands.process import NOT_RUNNING_FAULTS as DEAD_PROGRAM_FAULTS
from sdsuper.ctl.commands.process import SIGNAL, START, STOP, Verb
from sdsuper.sdsuperctl import main

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdsuper.ctl.controller import Controller

__all__ = [
    "DEAD_PROGRAM_FAULTS",
    "ControllerPluginBase",
    "DefaultControllerPlugin",
    "LSBInitExitStatuses",
    "LSBStatusExitStatuses",
    "main",
]


class LSBInitExitStatuses:
    """Exit statuses of actions."""

    SUCCESS = 0
    GENERIC = 1
    INVALID_ARGS = 2
    UNIMPLEMENTED_FEATURE = 3
    INSUFFICIENT_PRIVILEGES = 4
    NOT_INSTALLED = 5
    NOT_RUNNING = 7


class LSBStatusExitStatuses:
    """Exit statuses of `status`."""

    NOT_RUNNING = 3
    UNKNOWN = 4


class ControllerPluginBase:
    """What a plugin derives from.

    Attributes:
        name: What stands behind the colon of its section.
        ctl: The client.
    """

    name = "unnamed"

    def __init__(self, controller: Controller) -> None:
        self.ctl = controller

    @property
    def doc_header(self) -> str:
        """What stands above its commands in `help`."""
        return f"{self.name} commands (type help <topic>):"

    def do_help(self, arg: str) -> None:
        """Say what can be typed."""
        self.ctl.do_help(arg)


class DefaultControllerPlugin(ControllerPluginBase):
    """The client's own commands, `do_start` and the like, and their lines for results."""

    name = "default"

    def _startresult(self, result: Mapping[str, Any]) -> str:
        return _line(START, result)

    def _stopresult(self, result: Mapping[str, Any]) -> str:
        return _line(STOP, result)

    def _signalresult(self, result: Mapping[str, Any], success: str = SIGNAL.done) -> str:
        return _line(Verb("signal", success, SIGNAL.texts), result)

    def _clearresult(self, result: Mapping[str, Any]) -> str:
        return _line(CLEAR, result)

    def __getattr__(self, name: str) -> Any:
        word = name.removeprefix("do_")
        if word == name or word not in all_commands():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return lambda arg="": self.ctl.onecmd(f"{word} {arg}")


def _line(verb: Verb, result: Mapping[str, Any]) -> str:
    name = render.namespec(result["group"], result["name"])
    return verb.line(name, result["status"], result["description"])
