"""Events of the daemon, by Supervisor's names, and the way to publish and to follow them in it."""

# ruff: noqa: N802 - Supervisor's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdsuper.core import events as ours
from sdsuper.core.events import (
    Event,
    ProcessCommunicationStderr,
    ProcessCommunicationStdout,
    ProcessGroupAdded,
    ProcessGroupRemoved,
    ProcessLogStderr,
    ProcessLogStdout,
    Tick,
    Tick5,
    Tick60,
    Tick3600,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Callback = Callable[[Any], object]

ProcessLogEvent = ours.ProcessLog
ProcessLogStdoutEvent = ProcessLogStdout
ProcessLogStderrEvent = ProcessLogStderr
ProcessCommunicationEvent = ours.ProcessCommunication
ProcessCommunicationStdoutEvent = ProcessCommunicationStdout
ProcessCommunicationStderrEvent = ProcessCommunicationStderr
RemoteCommunicationEvent = ours.RemoteCommunication
SupervisorStateChangeEvent = ours.SupervisorStateChange
SupervisorRunningEvent = ours.SupervisorRunning
SupervisorStoppingEvent = ours.SupervisorStopping
ProcessStateEvent = ours.ProcessStateChange
ProcessStateFatalEvent = ours.ProcessFatal
ProcessStateUnknownEvent = ours.ProcessUnknown
ProcessStateStartingEvent = ours.ProcessStarting
ProcessStateBackoffEvent = ours.ProcessBackoff
ProcessStateRunningEvent = ours.ProcessRunning
ProcessStateStoppingEvent = ours.ProcessStopping
ProcessStateStoppedEvent = ours.ProcessStopped
ProcessStateExitedEvent = ours.ProcessExited
ProcessGroupEvent = ours.ProcessGroupChange
ProcessGroupAddedEvent = ProcessGroupAdded
ProcessGroupRemovedEvent = ProcessGroupRemoved
TickEvent = Tick
Tick5Event = Tick5
Tick60Event = Tick60
Tick3600Event = Tick3600

__all__ = [
    "Event",
    "EventTypes",
    "ProcessCommunicationEvent",
    "ProcessCommunicationStderrEvent",
    "ProcessCommunicationStdoutEvent",
    "ProcessGroupAddedEvent",
    "ProcessGroupEvent",
    "ProcessGroupRemovedEvent",
    "ProcessLogEvent",
    "ProcessLogStderrEvent",
    "ProcessLogStdoutEvent",
    "ProcessStateBackoffEvent",
    "ProcessStateEvent",
    "ProcessStateExitedEvent",
    "ProcessStateFatalEvent",
    "ProcessStateRunningEvent",
    "ProcessStateStartingEvent",
    "ProcessStateStoppedEvent",
    "ProcessStateStoppingEvent",
    "ProcessStateUnknownEvent",
    "RemoteCommunicationEvent",
    "SupervisorRunningEvent",
    "SupervisorStateChangeEvent",
    "SupervisorStoppingEvent",
    "Tick5Event",
    "Tick60Event",
    "Tick3600Event",
    "TickEvent",
    "callbacks",
    "clear",
    "getEventNameByType",
    "notify",
    "register",
    "subscribe",
    "unsubscribe",
]


class EventTypes:
    """Every type of event, by its name."""


for _name, _kind in ours.event_types().items():
    setattr(EventTypes, _name, _kind)

callbacks: list[tuple[type[Any], Callback]] = []
"""Who wants to be called with which type of event."""

_publish: Callback | None = None
"""Gives an event to the daemon's listeners, None where there is no daemon; the daemon sets it."""


def register(name: str, event: type[Any]) -> None:
    """Let listeners name a new type of event.

    Raises:
        TypeError: It is not derived from Event.
    """
    if not issubclass(event, Event):
        raise TypeError(f"{event.__name__} is not derived from supervisor.events.Event")
    event.eventname = name
    setattr(EventTypes, name, event)


def subscribe(type: type[Any], callback: Callback) -> None:  # noqa: A002
    """Let a callback be called with every event of a type, and of the types below it."""
    callbacks.append((type, callback))


def unsubscribe(type: type[Any], callback: Callback) -> None:  # noqa: A002
    """Let a callback be called no more.

    Raises:
        ValueError: It has not been.
    """
    callbacks.remove((type, callback))


def clear() -> None:
    """Let no callback be called any more."""
    callbacks.clear()


def notify(event: Any) -> None:
    """Publish an event: to callbacks, and to the listeners of the daemon."""
    if _publish is not None:
        _publish(event)
        return
    for kind, callback in callbacks:
        if isinstance(event, kind):
            callback(event)


def getEventNameByType(requested: type[Any]) -> str | None:
    """Return the name of a type of event, None where it has none."""
    return next((name for name, kind in vars(EventTypes).items() if kind is requested), None)
