"""What became of the latest invocations of a process, and who asked for it: plain values."""

from __future__ import annotations

import enum

from sdsuper.config.model import Memory
from sdsuper.dataclass import dataclass
from sdsuper.values import ExitStatus, Instant

HISTORY_MAX = 20
"""Invocations that are remembered of each process."""

SIGNALS_MAX = 5
"""Signals that are remembered of one invocation: the latest that somebody asked for."""


class Via(enum.Enum):
    """Through what somebody asked."""

    DAEMON = "daemon"
    SIGNAL = "signal"
    RPC = "rpc"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asked for something, and through what.

    Attributes:
        what: What was asked: the method of an RPC, the action of the page, the signal that the
            daemon got, or what the daemon does by itself (autostart, autorestart).
        pid: Of the client at the other end of a unix socket, 0 = unknown.
        uid: As whom it runs, None = unknown.
        login_uid: As whom its user had logged in, before any su or sudo; None = unknown.
        command: The name of its program, "" = unknown.
        address: Of a client on an inet socket, as `HOST:PORT`.
        user: The name that went with the password, "" = none was asked for.
    """

    via: Via = Via.DAEMON
    what: str = ""
    pid: int = 0
    uid: int | None = None
    login_uid: int | None = None
    command: str = ""
    address: str = ""
    user: str = ""

    def describe(self) -> str:
        """Return who it was in words: `sdsuperctl (pid 12, uid 0), supervisor.stopProcess`."""
        match self.via:
            case Via.DAEMON:
                return f"the daemon itself ({self.what})" if self.what else "the daemon itself"
            case Via.SIGNAL:
                return f"{self.what} to the daemon"
            case Via.RPC:
                return f"{self._client()}, {self.what}"
            case Via.PAGE:
                return f"{self._client()}, {self.what} on the web page"

    def _client(self) -> str:
        facts = [f"pid {self.pid}"] * bool(self.pid)
        facts += [f"uid {self.uid}"] * (self.uid is not None)
        if self.login_uid not in {None, self.uid}:
            facts.append(f"logged in as uid {self.login_uid}")
        facts += [f"user {self.user}"] * bool(self.user)
        who = self.command or self.address or "a client"
        return f"{who} ({', '.join(facts)})" if facts else who


DAEMON = Requester()
AUTOSTART = Requester(what="autostart")
AUTORESTART = Requester(what="autorestart")


class Ending(enum.Enum):
    """What made an invocation end."""

    BY_ITSELF = "by itself"
    STOPPED = "stopped"
    SIGNALLED = "signalled"
    OOM = "oom"
    WATCHDOG = "watchdog"
    TRIGGER = "trigger"
    START_TIMEOUT = "start_timeout"
    STOPPING_TIMEOUT = "stopping"
    NOT_SPAWNED = "not spawned"


class Next(enum.Enum):
    """What was decided when an invocation had ended."""

    RESTART = "restart"
    REST = "rest"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal that somebody asked for."""

    signal: int
    at: Instant
    by: Requester


@dataclass(frozen=True, slots=True)
class Attempt:
    """The latest start of a process, beside what `Process` says of it.

    Attributes:
        by: Who asked for it.
        ready: When it became RUNNING, None = not yet.
        stopped_by: Who asked for its stop, None = nobody did.
        stop_asked: When.
        signals: The latest that somebody asked for.
        failing: Why the daemon ends it although it is wanted up, None = it does not.
    """

    by: Requester = DAEMON
    ready: Instant | None = None
    stopped_by: Requester | None = None
    stop_asked: Instant | None = None
    signals: tuple[Signalled, ...] = ()
    failing: Ending | None = None


NO_ATTEMPT = Attempt()


@dataclass(frozen=True, slots=True, kw_only=True)
class PastInvocation:
    """One invocation, from its spawn to its exit and to what was decided then.

    Attributes:
        number: Of the invocation.
        pid: Of its main process when that ended, 0 = there was none.
        started: When the start began.
        spawned: When the child came to be, None = it did not.
        ended: When it was reaped, or the spawn failed.
        status: How the child ended, None = there was none.
        expected: Whether that was expected.
        oom: Whether the kernel killed the main process for want of memory.
        error: Why the start failed, or why the daemon ended it; "" for neither.
        killed: Whether the daemon had to send SIGKILL.
        strays: How many processes it left behind that had to be ended.
        decision: What followed.
        reason: The words for it.
    """

    number: int
    pid: int = 0
    started: Instant | None
    spawned: Instant | None = None
    ended: Instant
    status: ExitStatus | None = None
    expected: bool = False
    oom: bool = False
    error: str = ""
    ending: Ending
    killed: bool = False
    strays: int = 0
    decision: Next = Next.REST
    reason: str = ""
    attempt: Attempt


def ending_of(attempt: Attempt, status: ExitStatus, *, oom: bool) -> Ending:
    """Return what made a child end."""
    if attempt.stopped_by is not None:
        return Ending.STOPPED
    if attempt.failing is not None:
        return attempt.failing
    if oom:
        return Ending.OOM
    if status.signal is not None and any(each.signal == status.signal for each in attempt.signals):
        return Ending.SIGNALLED
    return Ending.BY_ITSELF


def remembered(
    history: tuple[PastInvocation, ...], latest: PastInvocation
) -> tuple[PastInvocation, ...]:
    """Return a history with its latest entry, which may be there already with less in it."""
    if history and history[-1].number == latest.number:
        return (*history[:-1], latest)
    return (*history[1 - HISTORY_MAX :], latest)


def describe_end(status: ExitStatus, *, oom: bool, memory_max: Memory | None = None) -> str:
    """Return how a child ended, in the words of the log.

    Args:
        status: How.
        oom: Whether the kernel killed it for want of memory.
        memory_max: How much it may have, None where there is no limit.
    """
    return f"{status.describe()}{out_of_memory(memory_max) if oom else ''}"


def out_of_memory(memory_max: Memory | None) -> str:
    """Return what is said of a kill for want of memory, behind how the child ended."""
    return f", out of memory: memory_max={memory_max}" if memory_max else ", out of memory"
