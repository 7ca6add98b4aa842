"""States of processes and of the daemon, by Supervisor's names."""

# ruff: noqa: N802 - Supervisor's names
from __future__ import annotations

from sdsuper.core.states import (
    RUNNING_STATES,
    SIGNALLABLE_STATES,
    STOPPED_STATES,
    ManagerState,
    ProcessState,
)

__all__ = [
    "RUNNING_STATES",
    "SIGNALLABLE_STATES",
    "STOPPED_STATES",
    "EventListenerStates",
    "ProcessStates",
    "SupervisorStates",
    "getProcessStateDescription",
    "getSupervisorStateDescription",
]


class ProcessStates:
    """States of processes: plain numbers, for listeners compare them by `is` with replies."""


class SupervisorStates:
    """States of the daemon."""


for _state in ProcessState:
    setattr(ProcessStates, _state.name, int(_state))
for _mood in ManagerState:
    setattr(SupervisorStates, _mood.name, int(_mood))


class EventListenerStates:
    """What an event listener is at."""

    READY = 10
    BUSY = 20
    ACKNOWLEDGED = 30
    UNKNOWN = 40


def getProcessStateDescription(code: int) -> str | None:
    """Return the name of a process's state, None for none."""
    return next((state.name for state in ProcessState if state == code), None)


def getSupervisorStateDescription(code: int) -> str | None:
    """Return the name of the daemon's state, None for none."""
    return next((state.name for state in ManagerState if state == code), None)
