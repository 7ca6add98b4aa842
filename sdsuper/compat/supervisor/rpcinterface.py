"""The daemon's own methods, for plugins that build on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .http import NOT_DONE_YET
from .states import RUNNING_STATES, STOPPED_STATES
from .xmlrpc import Faults, RPCError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "API_VERSION",
    "SupervisorNamespaceRPCInterface",
    "isNotRunning",
    "isRunning",
    "isSignallable",
    "make_allfunc",
    "make_main_rpcinterface",
]

API_VERSION = "3.0"

METHODS = (
    "addProcessGroup", "clearAllProcessLogs", "clearLog", "clearProcessLog", "clearProcessLogs",
    "getAPIVersion", "getAllConfigInfo", "getAllProcessInfo", "getIdentification", "getPID",
    "getProcessInfo", "getState", "getSupervisorVersion", "getVersion", "readLog",
    "readMainLog", "readProcessLog", "readProcessStderrLog", "readProcessStdoutLog",
    "reloadConfig", "removeProcessGroup", "restart", "sendProcessStdin", "sendRemoteCommEvent",
    "shutdown", "signalAllProcesses", "signalProcess", "signalProcessGroup",
    "startAllProcesses", "startProcess", "startProcessGroup", "stopAllProcesses",
    "stopProcess", "stopProcessGroup", "tailProcessLog", "tailProcessStderrLog",
    "tailProcessStdoutLog",
)  # fmt: skip
"""The names of all methods; a test holds them against those that the daemon has."""


class SupervisorNamespaceRPCInterface:
    """Every method of the `supervisor` namespace, called from within the daemon.

    What has to wait returns a function, as Supervisor's do: it is called until it returns
    something else than NOT_DONE_YET.
    """

    def __init__(self, supervisord: Any) -> None:
        self.supervisord = supervisord

    def _update(self, text: str) -> None:
        self.update_text = text

    def _call(self, name: str, *params: object) -> Any:
        return self.supervisord.call(name, params)


def _method(name: str) -> Callable[..., Any]:
    def call(self: SupervisorNamespaceRPCInterface, *params: object) -> Any:
        return self._call(name, *params)

    call.__name__ = name
    return call


for _name in METHODS:
    setattr(SupervisorNamespaceRPCInterface, _name, _method(_name))


def make_main_rpcinterface(supervisord: Any) -> SupervisorNamespaceRPCInterface:
    """Return the daemon's own methods."""
    return SupervisorNamespaceRPCInterface(supervisord)


def isRunning(process: Any) -> bool:  # noqa: N802 - Supervisor's name
    """Whether a process is up or on its way."""
    return process.get_state() in RUNNING_STATES


def isNotRunning(process: Any) -> bool:  # noqa: N802 - Supervisor's name
    """Whether a process is neither up nor on its way."""
    return not isRunning(process)


def isSignallable(process: Any) -> bool:  # noqa: N802 - Supervisor's name
    """Whether a process can be sent a signal."""
    return process.get_state() not in STOPPED_STATES


def make_allfunc(
    processes: Iterable[tuple[Any, Any]],
    predicate: Callable[[Any], bool],
    func: Callable[..., Any],
    **extra_kwargs: Any,
) -> Callable[[], Any]:
    """Return a function that calls another for each process that a predicate holds for.

    Args:
        processes: Group and process.
        predicate: Whether a process is to be asked.
        func: Takes the process's full name; may return a function to be called until it is done.
        extra_kwargs: Given to `func`, too.

    Returns:
        What returns NOT_DONE_YET while one of them is not done, and then the results of all.
    """
    waiting: list[tuple[Any, Any, Callable[[], Any] | None]] = [
        (group, process, None) for group, process in processes if predicate(process)
    ]
    results: list[dict[str, object]] = []

    def one(group: Any, process: Any, ask: Callable[[], Any] | None) -> Callable[[], Any] | None:
        try:
            if ask is None:
                value = func(f"{group.config.name}:{process.config.name}", **extra_kwargs)
                if callable(value):
                    return value  # type: ignore[no-any-return]  # nothing more is known of it
            elif ask() is NOT_DONE_YET:
                return ask
            status, text = Faults.SUCCESS, "OK"
        except RPCError as error:
            status, text = error.code, error.text
        results.append(
            {
                "name": process.config.name,
                "group": group.config.name,
                "status": status,
                "description": text,
            }
        )
        return None

    def allfunc() -> Any:
        left = [(group, process, one(group, process, ask)) for group, process, ask in waiting]
        waiting[:] = [each for each in left if each[2] is not None]
        return NOT_DONE_YET if waiting else results

    allfunc.delay = 0.05  # type: ignore[attr-defined]
    return allfunc
