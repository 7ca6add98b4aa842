"""The methods that clients may call: each declared once, by the function that does it.

    @method("supervisor.getPID")
    def get_pid(daemon: Daemon) -> int:
        '''Return the daemon's pid.'''

Names, number and types of arguments, help text, signature and faults all come from there.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdsuper.config.servers import is_main
from sdsuper.core.events import Event
from sdsuper.core.states import ManagerState
from sdsuper.daemon.loop import Daemon
from sdsuper.dataclass import dataclass
from sdsuper.rpc.faults import Fault, FaultCode, name_of
from sdsuper.server.documentation import Documentation, parse
from sdsuper.server.info import InfoCache

if TYPE_CHECKING:
    from sdsuper.server.facade import Supervisord
    from sdsuper.server.plugins import Plugin, PluginMethod

MAIN_NAMESPACE = "supervisor"
"""The namespace under which the methods of that factory are declared."""

WIRE_TYPES: Mapping[object, str] = {
    str: "string",
    int: "int",
    bool: "boolean",
    float: "double",
    list: "array",
    dict: "struct",
    object: "string",
}
"""An annotation's name in signatures. `object` is text that may arrive as a number."""


@dataclass(frozen=True)
class Parameter:
    """One argument of a method.

    Attributes:
        kind: What it must be: str, int, bool, list, or object for anything.
    """

    name: str
    kind: object
    required: bool

    @property
    def wire_type(self) -> str:
        """Its type as clients see it."""
        return WIRE_TYPES[self.kind]


@dataclass(frozen=True)
class Method:
    """A function that clients may call, and all that is known of it.

    Attributes:
        names: `namespace.method`, aliases included; the first one is the proper one.
        function: Takes the daemon and the arguments; may be asynchronous.
        takes_registry: It takes the registry where others take the daemon.
        faults: The codes it may answer, beside INCORRECT_PARAMETERS and SHUTDOWN_STATE.
        while_stopping: Whether it may be called while the daemon shuts down or restarts.
    """

    names: tuple[str, ...]
    function: Callable[..., Any]
    takes_registry: bool
    parameters: tuple[Parameter, ...]
    returns: str
    faults: tuple[int, ...]
    while_stopping: bool

    @property
    def signature(self) -> list[str]:
        """The return type, then the type of each argument."""
        return [self.returns, *(item.wire_type for item in self.parameters)]

    @property
    def help(self) -> str:
        """The docstring, its arguments and its result as `@param` and `@return` lines."""
        told = self.documentation
        lines = [told.text, ""]
        lines += [
            f"@param {item.wire_type} {item.name} {told.arguments[item.name]}"
            for item in self.parameters
        ]
        lines.append(f"@return {self.returns} result {told.result}")
        if self.faults:
            lines += ["", "Faults: " + ", ".join(name_of(code) for code in self.faults)]
        return "\n".join(lines)

    @property
    def documentation(self) -> Documentation:
        """The docstring, taken apart."""
        import inspect  # hardly anybody asks

        return parse(inspect.getdoc(self.function) or "")

    def bind(self, params: Sequence[object]) -> list[object]:
        """Return the arguments as the function takes them.

        Raises:
            Fault: INCORRECT_PARAMETERS, when their number or a type is wrong.
        """
        required = sum(item.required for item in self.parameters)
        if not required <= len(params) <= len(self.parameters):
            raise Fault(FaultCode.INCORRECT_PARAMETERS)
        pairs = zip(self.parameters, params, strict=False)
        return [_convert(item.kind, value) for item, value in pairs]


def method(
    *names: str, faults: Iterable[int] = (), while_stopping: bool = False
) -> Callable[[Callable[..., Any]], Method]:
    """Declare a function as a method that clients may call under these names."""

    def declare(function: Callable[..., Any]) -> Method:
        hints = typing.get_type_hints(function)
        code = function.__code__
        target, *arguments = code.co_varnames[: code.co_argcount]
        optional = arguments[len(arguments) - len(function.__defaults__ or ()) :]
        return Method(
            names=names,
            function=function,
            takes_registry=hints[target] is Registry,
            parameters=tuple(
                Parameter(name, _plain(hints[name]), required=name not in optional)
                for name in arguments
            ),
            returns=_wire_type(hints["return"]),
            faults=tuple(faults),
            while_stopping=while_stopping,
        )

    return declare


class Registry:
    """Every method that is offered, by each of its names.

    Args:
        daemon: What the methods are called with.
        methods: What is offered, by the name that clients send.

    Attributes:
        infos: What getProcessInfo and its kin show.
        plugins: Further namespaces, by name.
    """

    def __init__(self, daemon: Daemon, methods: Mapping[str, Method]) -> None:
        self.daemon = daemon
        self.plugins: Mapping[str, Plugin] = {}
        self._supervisord: Supervisord | None = None
        self.infos = InfoCache(daemon)
        self.methods = dict(sorted(methods.items()))

    @property
    def documented(self) -> Mapping[str, Method | PluginMethod]:
        """What is told of every method, those of plugins included, by its name."""
        told: dict[str, Method | PluginMethod] = {}
        for plugin in self.plugins.values():
            told.update(plugin.methods)
        return self.methods if not told else dict(sorted({**told, **self.methods}.items()))

    def supervisord(self) -> Supervisord:
        """Return the daemon as plugins see it, with all of its own methods whatever is offered."""
        if self._supervisord is None:
            from sdsuper.server.facade import Supervisord

            every = {name: item for item in declared_methods() for name in item.names}
            self._supervisord = Supervisord(self.daemon, Registry(self.daemon, every).call)
            self._supervisord.follow_events()
        return self._supervisord

    def shown(self, event: Event) -> Event:
        """Return an event as the code of others takes it."""
        return self.supervisord().shown(event)

    def find(self, name: str) -> Method:
        """Return a method.

        Raises:
            Fault: UNKNOWN_METHOD. Only declared names are ever looked at, so a name cannot
                reach an attribute, or through one object into another.
        """
        found = self.methods.get(name)
        if found is None:
            raise Fault(FaultCode.UNKNOWN_METHOD)
        return found

    def call(self, name: str, params: Sequence[object]) -> Any | Awaitable[Any]:
        """Call a method; the result is a value, or an awaitable of one.

        Raises:
            Fault: It is not there, it was called wrongly, or it says so.
        """
        plugin = self.plugins.get(name.partition(".")[0])
        if plugin is not None and name not in self.methods:
            return plugin.call(name, params)  # it judges for itself whether it is the time
        found = self.find(name)
        stopping = self.daemon.manager.state is not ManagerState.RUNNING
        if stopping and not found.while_stopping:
            raise Fault(FaultCode.SHUTDOWN_STATE)
        target = self if found.takes_registry else self.daemon
        return found.function(target, *found.bind(params))


def build_registry(daemon: Daemon) -> Registry:
    """Collect the methods that the configuration in force asks for."""
    main = [interface for interface in daemon.config.rpcinterfaces if is_main(interface)]
    offered: dict[str, Method] = {}
    for item in declared_methods():
        for name in item.names:
            namespace, _, short = name.partition(".")
            if namespace == MAIN_NAMESPACE:
                offered.update({f"{interface.name}.{short}": item for interface in main})
            else:
                offered[name] = item
    registry = Registry(daemon, offered)
    plugins = [each for each in daemon.config.rpcinterfaces if not is_main(each)]
    if plugins:  # nothing of this is imported where there are none
        from sdsuper.server.plugins import load_plugins

        registry.plugins = load_plugins(daemon, plugins, registry.supervisord)
    return registry


def declared_methods() -> list[Method]:
    """Return every method there is, in the order of their declarations."""
    from sdsuper.server.methods import config, daemon, logs, process, sdsuper, system, update

    modules = (daemon, process, config, logs, system, sdsuper, update)
    declared = [item for module in modules for item in vars(module).values()]
    return [item for item in declared if isinstance(item, Method)]


# -- arguments -------------------------------------------------------------------------------------


def _convert(kind: object, value: object) -> object:
    """Return an argument as the type that the function declares.

    Supervisor's behaviour: numbers may come as strings, and whatever comes for a boolean counts
    by its truth value, so that `1` and `"1"` of simple clients work.
    """
    if kind is bool:
        return bool(value)
    if kind is int:
        return _to_int(value)
    if kind is object or (isinstance(kind, type) and isinstance(value, kind)):
        return value
    raise Fault(FaultCode.INCORRECT_PARAMETERS)


def _to_int(value: object) -> int:
    if not isinstance(value, int | float | str):
        raise Fault(FaultCode.INCORRECT_PARAMETERS)
    try:
        return int(value)
    except (ValueError, OverflowError):
        raise Fault(FaultCode.INCORRECT_PARAMETERS) from None


def _wire_type(annotation: object) -> str:
    return WIRE_TYPES[_plain(annotation)]


def _plain(annotation: object) -> object:
    """Return `list` for `list[str]`, and the first of a union (what one process returns)."""
    if isinstance(annotation, types.UnionType):
        annotation = typing.get_args(annotation)[0]
    return typing.get_origin(annotation) or annotation
