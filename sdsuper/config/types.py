"""Types of values that only a configuration has; `model` is where others find them."""

from __future__ import annotations

import enum
from typing import Literal

from sdsuper.dataclass import dataclass


class Autorestart(enum.Enum):
    """What to do when a RUNNING process exits by itself."""

    NEVER = "false"
    ALWAYS = "true"
    UNEXPECTED = "unexpected"


class Containment(enum.Enum):
    """Whether what a program leaves behind is ended with it."""

    TREE = "tree"
    NONE = "none"


class Ready(enum.Enum):
    """What must have come of the programs before the daemon counts as started."""

    STARTED = "started"
    RUNNING = "running"


@dataclass(frozen=True)
class Account:
    """A resolved `user=`: what was written, and the account's numbers."""

    name: str
    uid: int
    gid: int

    def __str__(self) -> str:
        """What was written."""
        return self.name


@dataclass(frozen=True)
class SocketConfig:
    """One socket of `sockets=`.

    Attributes:
        name: What the program knows it by.
        host: The address in numbers; "" is every IPv4 interface.
        path: Of a unix socket, absolute.
    """

    name: str
    scheme: Literal["tcp", "udp", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def address(self) -> str:
        """The address as it is written: one for each socket of the machine."""
        if self.scheme == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host or "*"
        return f"{self.scheme}://{host}:{self.port}"


EVENT_TYPES = (
    "EVENT",
    "PROCESS_STATE",
    "PROCESS_STATE_STOPPED",
    "PROCESS_STATE_EXITED",
    "PROCESS_STATE_STARTING",
    "PROCESS_STATE_STOPPING",
    "PROCESS_STATE_BACKOFF",
    "PROCESS_STATE_FATAL",
    "PROCESS_STATE_RUNNING",
    "PROCESS_STATE_UNKNOWN",
    "PROCESS_COMMUNICATION",
    "PROCESS_COMMUNICATION_STDOUT",
    "PROCESS_COMMUNICATION_STDERR",
    "PROCESS_LOG",
    "PROCESS_LOG_STDOUT",
    "PROCESS_LOG_STDERR",
    "REMOTE_COMMUNICATION",
    "SUPERVISOR_STATE_CHANGE",
    "SUPERVISOR_STATE_CHANGE_RUNNING",
    "SUPERVISOR_STATE_CHANGE_STOPPING",
    "TICK",
    "TICK_5",
    "TICK_60",
    "TICK_3600",
    "PROCESS_GROUP",
    "PROCESS_GROUP_ADDED",
    "PROCESS_GROUP_REMOVED",
)
"""What `events=` may name; a test holds it against the events that are published."""
