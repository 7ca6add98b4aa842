"""[ctlplugin:x]: commands that others have written for Supervisor's client.

A plugin is what its factory returns: every method `do_NAME` is a command, which is given the rest
of the line; `help_NAME`, or the docstring, is its help. What it sees of us is the `Controller`.
Our own commands come first and load no plugin, so one that is broken costs nobody its neighbours.
"""

from __future__ import annotations

from importlib import import_module

from sdsuper.compat import open_folders, stand_in
from sdsuper.ctl.commands import Command
from sdsuper.ctl.controller import Controller
from sdsuper.rpc.client import ProtocolError

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sdsuper.config.client import ClientPluginConfig
    from sdsuper.ctl.control import Control

OURS = frozenset({"help", "EOF"})
"""Commands of the shell itself: what a plugin has under these names is its inheritance."""


class PluginCommand(Command):
    """A command of a plugin."""

    def __init__(self, name: str, do: Callable[[str], object]) -> None:
        super().__init__(self._act, ((name, ""),), checks=False, unreachable_status=0)
        self.name = name
        self._do = do

    def run(self, control: Control, rest: str) -> None:
        """Call the plugin; what it returns says whether the shell is to end."""
        from xmlrpc.client import ProtocolError as TheirProtocolError

        try:
            ends = self._do(rest.strip())
        except TheirProtocolError as error:
            raise ProtocolError(error.url, error.errcode, error.errmsg) from error
        control.ended = control.ended or bool(ends)

    def _act(self, control: Control, words: list[str]) -> None:
        self.run(control, " ".join(words))


class Plugin:
    """One [ctlplugin:x] that is loaded.

    Attributes:
        name: What stands behind the colon.
        commands: What it adds, by name.
    """

    def __init__(self, name: str, target: Any, controller: Controller) -> None:
        self.name = name
        self._controller = controller
        self._target = target
        found = {attribute[3:]: getattr(target, attribute) for attribute in _doing(target)}
        self.commands = {name: PluginCommand(name, do) for name, do in found.items()}

    @property
    def documented(self) -> list[str]:
        """The names of commands that have help."""
        return [name for name in self.commands if self._help_of(name) is not None]

    def explains(self, topic: str) -> bool:
        """Print the help of a command; return whether there is any."""
        explain = self._help_of(topic)
        if explain is not None:
            explain()
        return explain is not None

    def _help_of(self, topic: str) -> Callable[[], object] | None:
        explain: Callable[[], object] | None = getattr(self._target, f"help_{topic}", None)
        if explain is None and topic in self.commands:
            text = getattr(self._target, f"do_{topic}").__doc__
            if text:
                return lambda: self._controller.output(text)
        return explain


def _doing(target: object) -> list[str]:
    return [
        attribute
        for attribute in dir(target)
        if attribute.startswith("do_")
        and attribute[3:] not in OURS
        and callable(getattr(target, attribute))
    ]


def load(control: Control) -> list[Plugin]:
    """Return the plugins of the configuration; those that cannot be loaded are told on stderr."""
    open_folders()
    stand_in()
    controller = Controller(control)
    plugins: list[Plugin] = []
    try:
        # Some plugins look for Supervisor's own commands, which are its first plugin.
        default = import_module("supervisor.supervisorctl").DefaultControllerPlugin
        controller.options.plugins.append(default(controller))
    except Exception as error:  # noqa: BLE001 - an installed Supervisor may be of any age
        control.errors.line(f"Error: plugins are not loaded: {type(error).__name__}: {error}")
        return plugins
    for config in control.settings.plugins:
        try:
            target = _factory(config)(controller, **config.options)
            target.name = config.name
            plugin = Plugin(config.name, target, controller)
        except Exception as error:  # noqa: BLE001 - others wrote it
            control.errors.line(_refusal(config, error))
            continue
        plugins.append(plugin)
        controller.options.plugins.append(target)
    return plugins


def _factory(config: ClientPluginConfig) -> Callable[..., Any]:
    module, colon, path = config.factory.partition(":")
    if not (module.strip() and colon and path.strip()):
        raise ValueError("not of the form module:callable")
    found: Any = import_module(module.strip())
    for name in path.strip().split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{path.strip()} cannot be called")
    return found  # type: ignore[no-any-return]  # checked to be callable


def _refusal(config: ClientPluginConfig, error: Exception) -> str:
    return (
        f"Error: {config.factory} cannot be resolved within [ctlplugin:{config.name}]\n"
        f"{config.place}: {type(error).__name__}: {error}"
    )
