"""What to do: the only outputs of the core.

The edge carries them out in the order given, and hands a fact that comes of one (the answer to a
`Spawn`, say) back after the whole list. What a restart waits for, `Spawn` and `EndStrays`, comes
before what merely tells of it; a signal comes after the line and the event that announce it.
"""

from __future__ import annotations

import enum

from sdsuper.config.model import ProcessConfig
from sdsuper.core.events import Event
from sdsuper.dataclass import dataclass
from sdsuper.values import Level, Namespec


class Purpose(enum.Enum):
    """Why a signal is sent; it decides what the log says when the target is gone."""

    STOP = "stop"
    KILL = "kill"
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a child. Answered by `Spawned` or `SpawnFailed` with the same invocation."""

    name: Namespec
    invocation: int
    config: ProcessConfig


@dataclass(frozen=True, slots=True)
class SendSignal:
    """Send a signal to the child, or to its process group. Answered only on failure."""

    name: Namespec
    invocation: int
    pid: int
    signal: int
    to_group: bool
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class EndStrays:
    """End whatever the invocation left behind: SIGTERM, `grace` seconds, SIGKILL.

    Answered by `Cleared` (at once where nothing was left).
    """

    name: Namespec
    invocation: int
    grace: float


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell an event to whoever listens."""

    event: Event


@dataclass(frozen=True, slots=True)
class Log:
    """Write one message to the daemon's own log."""

    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """The process has another configuration: what is in use for it follows that."""

    name: Namespec
    config: ProcessConfig


@dataclass(frozen=True, slots=True)
class Forget:
    """The process is no longer part of the configuration in force: let go of what it used."""

    name: Namespec


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything is down: leave the loop, and start anew if `restart`."""

    restart: bool


Action = Spawn | SendSignal | EndStrays | Publish | Log | Reconfigure | Forget | Finish
