"""What the buttons do: the methods of the RPC, and what came of them in one line.

The names of the actions, and the words for what came of those that Supervisor has, are its own.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from sdsuper.daemon.loop import Daemon
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.lookup import find_members, find_process
from sdsuper.server.registry import Registry, declared_methods

_REASONS = {
    FaultCode.NO_FILE: "no such file",
    FaultCode.NOT_EXECUTABLE: "file not executable",
    FaultCode.ALREADY_STARTED: "already started",
    FaultCode.SPAWN_ERROR: "spawn error",
    FaultCode.ABNORMAL_TERMINATION: "abnormal termination",
}

_TOLD_MAX = 5
"""How many processes of a group are named as failed; the others are counted."""


class Outcome(NamedTuple):
    """What came of an action.

    Attributes:
        message: For the visitor.
        good: Whether it did what was asked.
    """

    message: str
    good: bool = True


class UnknownAction(Exception):  # noqa: N818 - what was asked for, no defect
    """There is no such action, or it needs the name of a process."""


def page_registry(daemon: Daemon) -> Registry:
    """Return the methods that the page calls, whatever the configuration offers to clients."""
    methods = declared_methods()
    return Registry(daemon, {name: method for method in methods for name in method.names})


class Actions:
    """Does what visitors ask for.

    Args:
        registry: What `page_registry` made.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._on_one: dict[str, Callable[[str], Awaitable[Outcome]]] = {
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "clearlog": self._clear,
        }
        self._on_group: dict[str, Callable[[str], Awaitable[Outcome]]] = {
            "start": self._start_group,
            "stop": self._stop_group,
            "restart": self._restart_group,
        }
        self._on_all: dict[str, Callable[[], Awaitable[Outcome]]] = {
            "startall": self._start_all,
            "stopall": self._stop_all,
            "restartall": self._restart_all,
            "clearlogall": self._clear_all,
        }

    def label(self, action: str, name: str) -> str:
        """Return an action in words.

        Raises:
            UnknownAction: There is none of this name.
        """
        words = {
            "startall": "Start all programs",
            "stopall": "Stop all programs",
            "restartall": "Restart all programs",
            "clearlogall": "Clear the logs of all programs",
        }
        if action in words:
            return words[action]
        if action not in self._on_one or not name:
            raise UnknownAction(action)
        group, _, process = name.partition(":")
        whom = f"group {group}" if ":" in name and process in {"", "*"} else name
        return f"Clear the log of {whom}" if action == "clearlog" else f"{action.title()} {whom}"

    async def act(self, action: str, name: str) -> Outcome:
        """Do it, and wait until it is done.

        Args:
            action: Which.
            name: Process, `group:*`, or "" where the action is about all.

        Raises:
            UnknownAction: There is none of this name.
        """
        if action in self._on_all:
            return await self._guarded(self._on_all[action]())
        if action not in self._on_one or not name:
            raise UnknownAction(action)
        daemon = self._registry.daemon
        try:
            members = find_members(daemon, name)
            if members is None:
                find_process(daemon, name)
        except Fault:
            return Outcome(f"No such process named {name}", good=False)
        if members is None:
            return await self._guarded(self._on_one[action](name))
        if action not in self._on_group:
            raise UnknownAction(action)
        return await self._guarded(self._on_group[action](name))

    async def call(self, method: str, *params: object) -> object:
        """Return what a method of the `supervisor` namespace returns.

        Raises:
            Fault: It says so.
        """
        value = self._registry.call(f"supervisor.{method}", params)
        return await value if isinstance(value, Awaitable) else value

    async def _guarded(self, work: Awaitable[Outcome]) -> Outcome:
        try:
            return await work
        except Fault as fault:
            return Outcome(unexpected(fault), good=False)

    # -- one process --

    async def _start(self, name: str) -> Outcome:
        try:
            await self.call("startProcess", name)
        except Fault as fault:
            return Outcome(f"ERROR: Process {name}: {_reason(fault)}", good=False)
        return Outcome(f"Process {name} started")

    async def _stop(self, name: str) -> Outcome:
        await self.call("stopProcess", name)
        return Outcome(f"Process {name} stopped")

    async def _restart(self, name: str) -> Outcome:
        try:
            await self.call("stopProcess", name)
        except Fault as fault:
            if fault.code != FaultCode.NOT_RUNNING:
                raise
        started = await self._start(name)
        return Outcome(f"Process {name} restarted") if started.good else started

    async def _clear(self, name: str) -> Outcome:
        await self.call("clearProcessLogs", name)
        return Outcome(f"Log for {name} cleared")

    # -- a group --

    async def _start_group(self, name: str) -> Outcome:
        results = await self.call("startProcess", name)
        return _of_many(f"Group {_group(name)} started", results)

    async def _stop_group(self, name: str) -> Outcome:
        results = await self.call("stopProcess", name)
        return _of_many(f"Group {_group(name)} stopped", results)

    async def _restart_group(self, name: str) -> Outcome:
        await self.call("stopProcess", name)
        results = await self.call("startProcess", name)
        return _of_many(f"Group {_group(name)} restarted", results)

    # -- all --

    async def _start_all(self) -> Outcome:
        results = await self.call("startAllProcesses")
        return _of_many(f"All started at {time.ctime()}", results)

    async def _stop_all(self) -> Outcome:
        results = await self.call("stopAllProcesses")
        return _of_many(f"All stopped at {time.ctime()}", results)

    async def _restart_all(self) -> Outcome:
        await self.call("stopAllProcesses")
        results = await self.call("startAllProcesses")
        return _of_many(f"All restarted at {time.ctime()}", results)

    async def _clear_all(self) -> Outcome:
        results = await self.call("clearAllProcessLogs")
        return _of_many(f"All logs cleared at {time.ctime()}", results)


def unexpected(fault: Fault) -> str:
    """Return the words for a fault that is none of an action's usual ones."""
    return f"unexpected rpc fault [{fault.code}] {fault.text}"


def _reason(fault: Fault) -> str:
    return _REASONS.get(fault.code) or unexpected(fault)


def _group(name: str) -> str:
    return name.partition(":")[0]


def _of_many(done: str, results: object) -> Outcome:
    """Return the outcome of an action on many processes, from the results of its method."""
    assert isinstance(results, list)
    failed = [result for result in results if result["status"] != FaultCode.SUCCESS]
    if not failed:
        return Outcome(done)
    told = [
        f"{_spec(result)}: {_REASONS.get(result['status'], result['description'])}"
        for result in failed[:_TOLD_MAX]
    ]
    if len(failed) > _TOLD_MAX:
        told.append(f"and {len(failed) - _TOLD_MAX} more")
    return Outcome(f"ERROR: {len(failed)} of {len(results)} failed: {', '.join(told)}", good=False)


def _spec(result: dict[str, object]) -> str:
    name, group = result["name"], result["group"]
    return str(name) if name == group else f"{group}:{name}"
