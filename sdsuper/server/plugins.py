"""[rpcinterface:x]: methods that others have written for Supervisor's daemon.

A plugin is the object that its factory returns; every public method of it is an RPC method. It runs
in the daemon's only thread: what it raises is told and answered, what it waits for everybody waits
for. A function that it returns is its promise of a result: it is asked again and again, at the pace
that it names, until it has one.
"""

from __future__ import annotations

import contextlib
import re
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdsuper import eventloop
from sdsuper.config.model import RpcInterfaceConfig
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.plugins import MODULES, described
from sdsuper.dataclass import dataclass
from sdsuper.errors import traceback_text
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.values import Level

if TYPE_CHECKING:
    from sdsuper.server.facade import Supervisord

PACE_MIN, PACE_DEFAULT, PACE_MAX = 0.05, 0.5, 10.0
"""Seconds between two looks at a promise, however it is meant."""

PATIENCE = 3600.0
"""Seconds after which a promise is given up; the stopwaitsecs of real programs are far below."""

_TAG = re.compile(r"^\s*@(param|return)\s+(\S+)", re.MULTILINE)


class Unsupported(AttributeError):  # noqa: N818 - it says what it is
    """A plugin asks for what only Supervisor has."""


@dataclass(frozen=True)
class PluginMethod:
    """What is known of one method.

    Attributes:
        help: Its docstring, empty for none.
    """

    help: str

    @property
    def signature(self) -> list[str]:
        """The return type, then the type of each argument, as the docstring's tags say.

        Raises:
            Fault: SIGNATURE_UNSUPPORTED: it does not say what is returned.
        """
        tags = _TAG.findall(self.help)
        returned = [kind for tag, kind in tags if tag == "return"]
        if not returned:
            raise Fault(FaultCode.SIGNATURE_UNSUPPORTED)
        return [returned[-1], *(kind for tag, kind in tags if tag == "param")]


class Plugin:
    """One [rpcinterface:x] that is loaded.

    Args:
        name: The namespace.
        target: What the factory returned.

    Attributes:
        methods: What is told of its methods, by their full names: those that its class itself has.
    """

    def __init__(self, name: str, target: object) -> None:
        import inspect

        self.name = name
        self.methods = {
            f"{name}.{short}": PluginMethod(inspect.getdoc(function) or "")
            for short, function in vars(type(target)).items()
            if not short.startswith("_") and callable(function)
        }
        self._target = target

    def call(self, name: str, params: Sequence[object]) -> Any | Awaitable[Any]:
        """Call a method; the result is a value, or an awaitable of one.

        Raises:
            Fault: There is no such method, the parameters do not fit, or it says so.
            Exception: Whatever else it raises.
        """
        function = self._find(name)
        if not _fits(function, params):
            raise Fault(FaultCode.INCORRECT_PARAMETERS)
        with _fenced():
            value = function(*params)
        if isinstance(value, types.FunctionType):
            return promised(name, value)
        return _whole(value)

    def _find(self, name: str) -> types.MethodType:
        """Return a method: never what lies behind another object, nor what is not for callers."""
        namespace, _, short = name.partition(".")
        if namespace == self.name and "." not in short and not short.startswith("_"):
            with _fenced():
                function = getattr(self._target, short, None)
            if isinstance(function, types.MethodType):
                return function
        raise Fault(FaultCode.UNKNOWN_METHOD)


def _fits(function: types.MethodType, params: Sequence[object]) -> bool:
    import inspect

    try:
        inspect.signature(function).bind(*params)
    except TypeError:
        return False
    except ValueError:  # it has no signature that can be read
        pass
    return True


async def promised(name: str, ask: Callable[[], Any]) -> object:
    """Ask for a result until there is one.

    Raises:
        Fault: It says so, or it has taken PATIENCE.
        Exception: Whatever else it raises.
    """
    loop = eventloop.get_running_loop()
    pace, given_up = _pace(ask), loop.time() + PATIENCE
    while True:
        with _fenced():
            value = ask()
        if getattr(value, "__name__", "") != "NOT_DONE_YET":
            return _whole(value)
        if loop.time() > given_up:
            raise Fault(FaultCode.FAILED, f"{name} has given no result for {PATIENCE:.0f} seconds")
        await eventloop.sleep(pace)


def _pace(ask: Callable[[], Any]) -> float:
    try:
        wanted = float(getattr(ask, "delay", PACE_DEFAULT))
    except (TypeError, ValueError):
        wanted = PACE_DEFAULT
    return min(max(wanted, PACE_MIN), PACE_MAX) if wanted == wanted else PACE_DEFAULT


def _whole(value: object) -> object:
    """Return a result: a tuple is, to Python's XML-RPC, what a reply holds: one value."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


@contextlib.contextmanager
def _fenced() -> Iterator[None]:
    """Let what a plugin raises be ours: its refusals are faults, and it cannot end the daemon."""
    try:
        yield
    except Fault:
        raise
    except SystemExit as error:
        raise RuntimeError("a plugin wanted to end the daemon") from error
    except Exception as error:
        fault = as_fault(error)
        if fault is None:
            raise
        raise fault from error


def as_fault(error: BaseException) -> Fault | None:
    """Return the fault that a plugin means by an exception, None if it means none."""
    if isinstance(error, Unsupported):
        return Fault(FaultCode.FAILED, str(error))
    code, text = getattr(error, "code", None), getattr(error, "text", None)
    # Supervisor's own class, or the one that stands in for it: by name, for nothing is imported.
    known = any(kind.__name__ == "RPCError" for kind in type(error).__mro__)
    if known and isinstance(code, int):
        return Fault.from_wire(code, str(text))
    return None


def load_plugins(
    daemon: Daemon,
    interfaces: Sequence[RpcInterfaceConfig],
    supervisord: Callable[[], Supervisord],
) -> Mapping[str, Plugin]:
    """Load plugins; one that cannot be is told, and costs only its own methods.

    Args:
        daemon: Its log is written to.
        interfaces: Their sections.
        supervisord: Makes what the factories are called with; not called where there are none.
    """
    plugins: dict[str, Plugin] = {}
    shown: Supervisord | None = None
    for interface in interfaces:
        try:
            factory = MODULES.find(interface.factory)
        except (Exception, SystemExit):  # noqa: BLE001  the configuration's notes tell it
            continue
        try:
            shown = shown or supervisord()
            target = factory(shown, **interface.options)
            plugin = Plugin(interface.name, target)
        except (Exception, SystemExit) as error:  # noqa: BLE001  it is other people's code
            place = f"{interface.location.file}:{interface.location.line}"
            daemon.report(Level.WARN, traceback_text())
            daemon.report(
                Level.CRITICAL,
                f"{place}: Could not make {interface.name} rpc interface: {described(error)}; "
                "everything else goes on without it",
            )
            continue
        daemon.report(Level.INFO, f"RPC interface {interface.name!r} initialized")
        plugins[interface.name] = plugin
    return plugins
