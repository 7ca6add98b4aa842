"""A plugin as others write them for Supervisor: for tests of what plugins are given and may do."""

# ruff: noqa: N802 - names as Supervisor's methods have them
from __future__ import annotations

import sys
from typing import Any

from supervisor import events
from supervisor.http import NOT_DONE_YET
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface
from supervisor.xmlrpc import Faults, RPCError


class Ping(events.Event):  # type: ignore[misc]  # Supervisor has no types
    """An event of our own."""

    def __init__(self, said: str) -> None:
        self.said = said

    def payload(self) -> str:
        return f"said:{self.said}"


events.register("PING", Ping)


class Wrong(Ping):
    """An event whose payload is none."""

    def payload(self) -> Any:
        return 3


events.register("WRONG", Wrong)


class Plugin:
    """Everything that a plugin was seen to do."""

    def __init__(self, supervisord: Any, **options: str) -> None:
        self.supervisord = supervisord
        self._options = options
        self._main = SupervisorNamespaceRPCInterface(supervisord)
        self._seen: list[list[str]] = []
        events.subscribe(events.ProcessStateRunningEvent, self._running)

    def _running(self, event: Any) -> None:
        name = events.getEventNameByType(type(event))
        self._seen.append([name, event.process.config.name, event.process.group.config.name])

    def getOptions(self) -> dict[str, str]:
        """Return the options.

        @return struct options  The options
        """
        return self._options

    def getSeen(self) -> list[list[str]]:
        return self._seen

    def ping(self, said: str) -> bool:
        """Publish.

        @param string said      What listeners get
        @return boolean result  Always true
        """
        events.notify(Ping(said))
        return True

    def pingWrongly(self) -> None:
        """Publish what no listener could be told."""
        events.notify(Wrong("x"))

    def describe(self, name: str) -> dict[str, Any]:
        process = self.supervisord.process_groups[name].processes[name]
        options = self.supervisord.options
        return {
            "same": process.pid == self._main.getProcessInfo(name)["pid"],
            "state": int(process.get_state()),
            "spawnerr": process.spawnerr or "",
            "started": process.laststart > 0,
            "priority": process.config.priority,
            "group": process.group.config.name,
            "mood": int(options.mood),
            "identifier": options.identifier,
            "names": sorted(self.supervisord.process_groups),
        }

    def restart(self, name: str) -> Any:
        stop = self._main.stopProcess(name)
        starts: list[Any] = []

        def go_on() -> Any:
            if not starts:
                if callable(stop) and stop() is NOT_DONE_YET:
                    return NOT_DONE_YET
                starts.append(self._main.startProcess(name))
            started = starts[0]
            return started() if callable(started) else started

        go_on.delay = 0.05  # type: ignore[attr-defined]
        return go_on

    def start(self, name: str) -> Any:
        return self._main.startProcess(name)

    def refuse(self, own: bool) -> None:
        raise RPCError(777 if own else Faults.BAD_NAME, "so it is")

    def refuseLater(self) -> Any:
        left = [NOT_DONE_YET]

        def ask() -> Any:
            if left:
                return left.pop()
            raise RPCError(Faults.FAILED, "after all")

        ask.delay = 0.05  # type: ignore[attr-defined]
        return ask

    def fail(self) -> None:
        raise ValueError("a mistake of the plugin")

    def nothing(self) -> None:
        pass

    def end(self) -> None:
        sys.exit(3)

    def _hidden(self) -> bool:
        return True


def make(supervisord: Any, **options: str) -> Plugin:
    """Return the plugin."""
    return Plugin(supervisord, **options)


def broken(supervisord: Any) -> Plugin:
    """Return nothing."""
    raise ValueError("no licence")


def handler(event: Any, result: bytes) -> None:
    """Judge what listeners answer: GOOD is good, and TELL goes to the event's process."""
    if result == b"TELL":
        assert not event.process.killing
        event.process.write(event.process.config.name.encode() + b" ran\n")
        return
    if result != b"GOOD":
        raise ValueError(result)
