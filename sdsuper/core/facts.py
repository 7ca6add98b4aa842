"""What happened: the only inputs of the core. Past tense, plain values, no behaviour."""

from __future__ import annotations

from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.core.history import DAEMON, Requester
from sdsuper.core.notice import Notice
from sdsuper.dataclass import dataclass
from sdsuper.values import ExitStatus, Namespec


@dataclass(frozen=True, slots=True)
class StartRequested:
    """An operator asked for this process to be up."""

    name: Namespec
    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class StopRequested:
    """An operator asked for this process to be down."""

    name: Namespec
    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class SignalRequested:
    """An operator asked for a signal to the main process; no state changes."""

    name: Namespec
    signal: int
    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class Spawned:
    """The answer to `Spawn`: a child exists."""

    name: Namespec
    invocation: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The answer to `Spawn`: no child exists; `error` is the text operators see (spawnerr)."""

    name: Namespec
    invocation: int
    error: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The main process of an invocation was reaped and its pipes were drained.

    Attributes:
        oom: Whether the kernel killed it for want of memory.
    """

    name: Namespec
    invocation: int
    status: ExitStatus
    oom: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """The answer to `EndStrays`: nothing that the invocation started is alive any more.

    Attributes:
        strays: How many processes had to be ended.
    """

    name: Namespec
    invocation: int
    strays: int = 0


@dataclass(frozen=True, slots=True)
class SignalFailed:
    """A signal could not be sent, for another reason than that the process is gone.

    Attributes:
        error: The text the log and the client get.
    """

    name: Namespec
    invocation: int
    error: str


@dataclass(frozen=True, slots=True)
class Notified:
    """The child, or another process of its invocation, said something of itself."""

    name: Namespec
    invocation: int
    notice: Notice


@dataclass(frozen=True, slots=True)
class GroupAdded:
    """A group became active.

    Attributes:
        start: The names of the processes to start; None: those that start by themselves.
    """

    config: GroupConfig
    start: frozenset[str] | None = None
    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """An active group has another configuration; its processes are left as they are.

    What is new in it is taken in. What is gone from it must be down, and so must be what has a
    difference that needs a restart.

    Attributes:
        start: The names of the processes to start.
    """

    config: GroupConfig
    start: frozenset[str] = frozenset()
    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class GroupRemoved:
    """A group, all of whose processes are down, is to be forgotten."""

    group: str


@dataclass(frozen=True, slots=True)
class DaemonStarted:
    """The daemon is set up: autostart may begin."""


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """Stop everything in order, then end. Also turns a restart under way into a shutdown."""

    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """Stop everything in order, then start anew with the configuration read again."""

    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The moment that `Manager.deadline()` named has come (or the loop merely looked)."""


@dataclass(frozen=True, slots=True)
class ShutdownBegan:
    """The manager says: the daemon is stopping, so start nothing; your own turn is to come."""

    name: Namespec
    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class ShutdownReached:
    """The manager says: the daemon is stopping, and it is your turn."""

    name: Namespec
    by: Requester = DAEMON


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """The manager says: this is your configuration from now on."""

    name: Namespec
    config: ProcessConfig


ProcessFact = (
    StartRequested
    | StopRequested
    | SignalRequested
    | Spawned
    | SpawnFailed
    | Exited
    | Cleared
    | SignalFailed
    | Notified
)
ManagerFact = (
    GroupAdded
    | GroupChanged
    | GroupRemoved
    | DaemonStarted
    | ShutdownRequested
    | RestartRequested
    | DeadlinePassed
)
Fact = ProcessFact | ManagerFact
StepFact = ProcessFact | DeadlinePassed | ShutdownBegan | ShutdownReached | Reconfigured
