"""What we publish to listeners: one class each, with its name and its payload.

The classes form the tree of event types: whoever subscribes to a type gets its subtypes too, so
"is this event wanted" is `isinstance`. A type that has subtypes is a heading and never sent; a
class without a name of its own only holds what the classes below it share.
Everything a payload shows is frozen when the event is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from sdsuper.core.states import ProcessState
from sdsuper.dataclass import dataclass
from sdsuper.values import Namespec


@dataclass(frozen=True)
class Event:
    """The root of all events.

    Attributes:
        eventname: The name on the wire and in `events=`.
    """

    eventname: ClassVar[str] = "EVENT"

    def payload(self) -> str:
        """Return what follows the header line on the wire."""
        return ""


def event_types() -> Mapping[str, type[Event]]:
    """Return every event type by its name, parents before children.

    The way back is `eventname` on the class. Types that plugins derive from `Event` are included.
    """
    return {kind.eventname: kind for kind in _tree(Event) if "eventname" in vars(kind)}


def _tree(kind: type[Event]) -> Iterator[type[Event]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


# --- the state of a process ---------------------------------------------------------------------


@dataclass(frozen=True)
class ProcessStateChange(Event):
    """A process went from one state to another.

    Attributes:
        process: Which one.
        from_state: The state it left.
    """

    eventname: ClassVar[str] = "PROCESS_STATE"

    process: Namespec
    from_state: ProcessState

    def payload(self) -> str:
        """Return the tokens that all state events share, then the type's own."""
        return " ".join(
            (
                f"processname:{self.process.process}",
                f"groupname:{self.process.group}",
                f"from_state:{self.from_state.name}",
                *self.tokens(),
            )
        )

    def tokens(self) -> tuple[str, ...]:
        """Return the tokens that only this type has."""
        return ()


@dataclass(frozen=True)
class _WithTries(ProcessStateChange):
    tries: int

    def tokens(self) -> tuple[str, ...]:
        return (f"tries:{self.tries}",)


@dataclass(frozen=True)
class _WithPid(ProcessStateChange):
    pid: int

    def tokens(self) -> tuple[str, ...]:
        return (f"pid:{self.pid}",)


@dataclass(frozen=True)
class ProcessStarting(_WithTries):
    """A start began; `tries` counts the failed attempts before it."""

    eventname: ClassVar[str] = "PROCESS_STATE_STARTING"


@dataclass(frozen=True)
class ProcessBackoff(_WithTries):
    """A start failed; `tries` counts the failed attempts, this one included."""

    eventname: ClassVar[str] = "PROCESS_STATE_BACKOFF"


@dataclass(frozen=True)
class ProcessRunning(_WithPid):
    """The child has been up for startsecs."""

    eventname: ClassVar[str] = "PROCESS_STATE_RUNNING"


@dataclass(frozen=True)
class ProcessStopping(_WithPid):
    """The child is asked to stop."""

    eventname: ClassVar[str] = "PROCESS_STATE_STOPPING"


@dataclass(frozen=True)
class ProcessStopped(_WithPid):
    """A stop is complete; `pid` is the dead child's, 0 where there was none."""

    eventname: ClassVar[str] = "PROCESS_STATE_STOPPED"


@dataclass(frozen=True)
class ProcessExited(ProcessStateChange):
    """A child that was up ended by itself; `pid` is the dead child's."""

    eventname: ClassVar[str] = "PROCESS_STATE_EXITED"

    expected: bool
    pid: int
    oom: bool = False

    def tokens(self) -> tuple[str, ...]:
        """Return whether the exit code was expected, the pid, and `oom:1` where memory ran out."""
        told = (f"expected:{int(self.expected)}", f"pid:{self.pid}")
        return (*told, "oom:1") if self.oom else told


@dataclass(frozen=True)
class ProcessFatal(ProcessStateChange):
    """Too many starts failed in a row, or the daemon stopped between two of them."""

    eventname: ClassVar[str] = "PROCESS_STATE_FATAL"


@dataclass(frozen=True)
class ProcessUnknown(ProcessStateChange):
    """A signal could not be sent, so nothing is known any more."""

    eventname: ClassVar[str] = "PROCESS_STATE_UNKNOWN"


# --- the output of a process --------------------------------------------------------------------


@dataclass(frozen=True)
class _Output(Event):
    process: Namespec
    pid: int
    data: bytes

    def origin(self) -> str:
        return f"processname:{self.process.process} groupname:{self.process.group} pid:{self.pid}"


@dataclass(frozen=True)
class ProcessLog(_Output):
    """A process wrote a chunk of output, and asked for events about it.

    Attributes:
        process: Which one.
        pid: Its child's pid.
        data: The chunk as it went to the log.
    """

    eventname: ClassVar[str] = "PROCESS_LOG"
    channel: ClassVar[str]

    def payload(self) -> str:
        """Return the origin and the channel on one line, then the chunk."""
        return f"{self.origin()} channel:{self.channel}\n{_text(self.data)}"


@dataclass(frozen=True)
class ProcessLogStdout(ProcessLog):
    """A chunk of stdout (and of stderr where it is redirected)."""

    eventname: ClassVar[str] = "PROCESS_LOG_STDOUT"
    channel: ClassVar[str] = "stdout"


@dataclass(frozen=True)
class ProcessLogStderr(ProcessLog):
    """A chunk of stderr."""

    eventname: ClassVar[str] = "PROCESS_LOG_STDERR"
    channel: ClassVar[str] = "stderr"


@dataclass(frozen=True)
class ProcessCommunication(_Output):
    """A process wrote something between the capture tokens.

    Attributes:
        process: Which one.
        pid: Its child's pid.
        data: What was captured.
    """

    eventname: ClassVar[str] = "PROCESS_COMMUNICATION"

    def payload(self) -> str:
        """Return the origin on one line, then what was captured."""
        return f"{self.origin()}\n{_text(self.data)}"


@dataclass(frozen=True)
class ProcessCommunicationStdout(ProcessCommunication):
    """Captured on stdout."""

    eventname: ClassVar[str] = "PROCESS_COMMUNICATION_STDOUT"


@dataclass(frozen=True)
class ProcessCommunicationStderr(ProcessCommunication):
    """Captured on stderr."""

    eventname: ClassVar[str] = "PROCESS_COMMUNICATION_STDERR"


def _text(data: bytes) -> str:
    """Return a chunk as text; one that is not UTF-8 is shown whole as Python writes bytes."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"Undecodable: {data!r}"


# --- everything else ----------------------------------------------------------------------------


@dataclass(frozen=True)
class RemoteCommunication(Event):
    """A client sent something to the listeners (sendRemoteCommEvent)."""

    eventname: ClassVar[str] = "REMOTE_COMMUNICATION"

    type: str
    data: str

    def payload(self) -> str:
        """Return the type on one line, then the data; both as the client gave them."""
        return f"type:{self.type}\n{self.data}"


@dataclass(frozen=True)
class SupervisorStateChange(Event):
    """The daemon is up, or begins to stop; the payload is empty."""

    eventname: ClassVar[str] = "SUPERVISOR_STATE_CHANGE"


@dataclass(frozen=True)
class SupervisorRunning(SupervisorStateChange):
    """The daemon is up; autostart follows."""

    eventname: ClassVar[str] = "SUPERVISOR_STATE_CHANGE_RUNNING"


@dataclass(frozen=True)
class SupervisorStopping(SupervisorStateChange):
    """The daemon begins to stop everything, to end or to start anew."""

    eventname: ClassVar[str] = "SUPERVISOR_STATE_CHANGE_STOPPING"


@dataclass(frozen=True)
class Tick(Event):
    """The wall clock came to a multiple of a period.

    Attributes:
        when: That multiple, Unix time in seconds.
        period: The period in seconds.
    """

    eventname: ClassVar[str] = "TICK"
    period: ClassVar[int]

    when: int

    def payload(self) -> str:
        """Return the multiple of the period that has come."""
        return f"when:{self.when}"


@dataclass(frozen=True)
class Tick5(Tick):
    """Every five seconds."""

    eventname: ClassVar[str] = "TICK_5"
    period: ClassVar[int] = 5


@dataclass(frozen=True)
class Tick60(Tick):
    """Every minute."""

    eventname: ClassVar[str] = "TICK_60"
    period: ClassVar[int] = 60


@dataclass(frozen=True)
class Tick3600(Tick):
    """Every hour."""

    eventname: ClassVar[str] = "TICK_3600"
    period: ClassVar[int] = 3600


@dataclass(frozen=True)
class ProcessGroupChange(Event):
    """A group became active or was forgotten."""

    eventname: ClassVar[str] = "PROCESS_GROUP"

    group: str

    def payload(self) -> str:
        """Return the group; unlike the others this payload ends its line."""
        return f"groupname:{self.group}\n"


@dataclass(frozen=True)
class ProcessGroupAdded(ProcessGroupChange):
    """A group became active."""

    eventname: ClassVar[str] = "PROCESS_GROUP_ADDED"


@dataclass(frozen=True)
class ProcessGroupRemoved(ProcessGroupChange):
    """A group was forgotten."""

    eventname: ClassVar[str] = "PROCESS_GROUP_REMOVED"
