"""The states of a process and of the daemon: names, wire codes, sets, allowed transitions."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class ProcessState(enum.IntEnum):
    """State of one process; the value is the code on the wire (getProcessInfo `state`)."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100
    FATAL = 200
    UNKNOWN = 1000


STOPPED_STATES = frozenset(
    {ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FATAL, ProcessState.UNKNOWN}
)
"""Down: a stop is complete, a group may be removed, `status` exits 3."""

RUNNING_STATES = frozenset({ProcessState.RUNNING, ProcessState.BACKOFF, ProcessState.STARTING})
"""Up or on its way: a start is refused as ALREADY_STARTED, a stop is allowed."""

SIGNALLABLE_STATES = frozenset({ProcessState.RUNNING, ProcessState.STARTING, ProcessState.STOPPING})

TRANSITIONS: Mapping[tuple[ProcessState, ProcessState], str] = MappingProxyType(
    {
        (ProcessState.STOPPED, ProcessState.STARTING): "started, by autostart or request",
        (ProcessState.EXITED, ProcessState.STARTING): "autorestart, or start requested",
        (ProcessState.FATAL, ProcessState.STARTING): "start requested",
        (ProcessState.BACKOFF, ProcessState.STARTING): "the wait is over",
        (ProcessState.STARTING, ProcessState.RUNNING): "up for startsecs, or said that it is ready",
        (ProcessState.STARTING, ProcessState.BACKOFF): "spawn failed, or it ended before it was up",
        (ProcessState.STARTING, ProcessState.STOPPING): "stop requested, or shutdown",
        (ProcessState.STARTING, ProcessState.UNKNOWN): "a signal could not be sent",
        (ProcessState.RUNNING, ProcessState.EXITED): "exited by itself",
        (ProcessState.RUNNING, ProcessState.STOPPING): "stop requested, or shutdown",
        (ProcessState.RUNNING, ProcessState.UNKNOWN): "a signal could not be sent",
        (ProcessState.BACKOFF, ProcessState.FATAL): "startretries used up, or shutdown",
        (ProcessState.BACKOFF, ProcessState.STOPPED): "stop requested",
        (ProcessState.STOPPING, ProcessState.STOPPED): "nothing of it is left",
        (ProcessState.STOPPING, ProcessState.UNKNOWN): "a signal could not be sent",
        (ProcessState.UNKNOWN, ProcessState.STOPPED): "reaped after all",
    }
)
"""Every change of state there is, and when it happens."""


class ManagerState(enum.IntEnum):
    """State of the daemon; the value is the code on the wire (getState `statecode`)."""

    FATAL = 2
    RUNNING = 1
    RESTARTING = 0
    SHUTDOWN = -1


class Wanted(enum.Enum):
    """What the operator asked for, apart from what is."""

    UP = "up"
    DOWN = "down"
