"""Calls as a client makes them, on a daemon that is a fake."""

from __future__ import annotations

import inspect
from typing import Any

from sdsuper import eventloop
from sdsuper.config.model import ChannelConfig, GroupConfig, Location, ProcessConfig
from sdsuper.rpc.faults import Fault
from tests.unit.server.fakes import FakeDaemon, registry_of

SOMEWHERE = Location("test.conf", 1)


def program(name: str, group: str = "", **options: Any) -> ProcessConfig:
    values: dict[str, Any] = {"stdout": ChannelConfig(), "stderr": ChannelConfig(), **options}
    return ProcessConfig(
        name=name,
        group=group or name,
        program=name,
        location=SOMEWHERE,
        command=f"/bin/{name}",
        **values,
    )


def group(name: str, *processes: ProcessConfig, priority: int = 999) -> GroupConfig:
    return GroupConfig(
        name=name, kind="group", priority=priority, processes=processes, location=SOMEWHERE
    )


def solo(name: str, priority: int = 999, **options: Any) -> GroupConfig:
    """One program that is its own group, and does not start by itself."""
    return group(name, program(name, **{"autostart": False, **options}), priority=priority)


class Caller:
    """Calls methods and steps through those that wait.

    Attributes:
        fake: The daemon.
    """

    def __init__(self, *groups: GroupConfig) -> None:
        self.fake = FakeDaemon(*groups)
        self.registry = registry_of(self.fake)

    async def begin(self, name: str, *params: object) -> eventloop.Task[Any]:
        """Call a method and let it run until it waits."""

        async def call() -> Any:
            value = self.registry.call(name, list(params))
            return await value if inspect.isawaitable(value) else value

        task = eventloop.Task(call())
        await settle()
        return task

    async def __call__(self, name: str, *params: object) -> Any:
        """Return what a method returns without any waiting, or the text of its fault."""
        task = await self.begin(f"supervisor.{name}", *params)
        assert task.done(), f"{name} waits"
        return outcome(task)


def outcome(task: eventloop.Task[Any]) -> Any:
    error = task.exception()
    if isinstance(error, Fault):
        return error.text
    return task.result()


async def settle() -> None:
    """Let everything run that can run."""
    for _ in range(10):
        await eventloop.sleep(0)


def result(name: str, status: int = 80, description: str = "OK") -> dict[str, object]:
    """One entry of a result list."""
    group_name, _, process = name.partition(":")
    return {
        "name": process or group_name,
        "group": group_name,
        "status": status,
        "description": description,
    }
