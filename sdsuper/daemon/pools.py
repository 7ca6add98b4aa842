"""Events on their way to listeners: who wants them, who is ready for one, what became of it.

An event goes into the buffer of each pool that wants it at once, and out of it in a turn of the
loop of its own: what is published on the way of a restart must not hold that up. It goes to the
first process of the pool, in configured order, that is RUNNING and READY.

An event is over when a listener has answered it well. One that was refused, or whose listener ended
over it, waits again, before all others of its pool.
"""

from __future__ import annotations

import asyncio
import itertools
import traceback
from collections.abc import Callable
from dataclasses import field

from sdsuper.config.model import GroupConfig
from sdsuper.core.events import Event
from sdsuper.daemon.plugins import MODULES
from sdsuper.dataclass import dataclass
from sdsuper.listeners.pool import Pool, Waiting, envelope
from sdsuper.listeners.protocol import (
    BadResult,
    Happening,
    ListenerProtocol,
    ListenerState,
    Moved,
    Result,
)
from sdsuper.listeners.ticks import KINDS, Ticker, wait
from sdsuper.values import Instant, Level, Namespec

DEFAULT_HANDLER = "supervisor.dispatchers:default_handler"
"""The name of Supervisor's own handler; it is known without importing anything."""

_SERIALS = itertools.count()
"""Numbers the events that any pool took, over restarts of the daemon within its process."""

Handler = Callable[[Event, bytes], object]


class RejectEvent(Exception):  # noqa: N818  the name that handlers know
    """A listener refused the event it was sent: it is to wait for its turn again."""


def default_handler(event: Event, result: bytes) -> None:
    """Take `OK` for success.

    Raises:
        RejectEvent: It was something else.
    """
    if result != b"OK":
        raise RejectEvent(result)


@dataclass(slots=True)
class Member:
    """One process of a pool.

    Attributes:
        protocol: Of its present invocation, None before the first.
        sent: The event that it is working on.
        deaf: Its present invocation takes no events: it closed its stdin.
    """

    name: Namespec
    protocol: ListenerProtocol | None = None
    sent: Waiting | None = None
    deaf: bool = False


@dataclass(slots=True)
class _Served:
    """A pool and its members, in configured order."""

    pool: Pool
    handler: Handler
    members: dict[Namespec, Member] = field(default_factory=dict)


class EventPools:
    """All pools of the daemon.

    Args:
        identifier: The daemon's name, as listeners are told it.
        now: The present moment.
        is_running: Whether a process is RUNNING.
        write: Sends bytes to the stdin of a process; raises BrokenPipeError where it has none.
        report: Writes to the daemon's log.

    Attributes:
        shown: Makes of an event what handlers of others take for one.
    """

    def __init__(
        self,
        identifier: str,
        now: Callable[[], Instant],
        is_running: Callable[[Namespec], bool],
        write: Callable[[Namespec, bytes], None],
        report: Callable[[Level, str], None],
    ) -> None:
        self._identifier = identifier
        self._now = now
        self._is_running = is_running
        self._write = write
        self._report = report
        self.shown: Callable[[Event], Event] = lambda event: event
        self._pools: dict[str, _Served] = {}
        self._due: asyncio.Handle | None = None
        self._ticker: Ticker | None = None
        self._tick_timer: asyncio.TimerHandle | None = None

    # --- pools ----------------------------------------------------------------------------------

    def add(self, group: GroupConfig) -> None:
        """Serve a group, if it is a pool of listeners."""
        if group.pool is None:
            return
        pool = Pool(group.name, group.pool)
        names = [Namespec(group.name, each.name) for each in group.processes]
        handler = self._find_handler(group.name, group.pool.result_handler)
        self._pools[group.name] = _Served(pool, handler, {name: Member(name) for name in names})
        if any(character.isspace() for character in self._identifier):
            self._report(
                Level.WARN,
                f"identifier {self._identifier!r} has blanks in it: the listeners of "
                f"{group.name} cannot read the headers of events",
            )
        self._arm_ticks()

    def _find_handler(self, name: str, spec: str) -> Handler:
        if spec == DEFAULT_HANDLER:
            return default_handler
        try:
            found: Handler = MODULES.find(spec)
        except (Exception, SystemExit) as error:  # noqa: BLE001  it is other people's code
            self._report(
                Level.CRITICAL,
                f"cannot use result_handler {spec} of {name}, OK alone counts as success: "
                f"{type(error).__name__}: {error}",
            )
            return default_handler
        return found

    def remove(self, group: str) -> None:
        """Forget a pool; what waits for it is forgotten, too."""
        self._pools.pop(group, None)
        self._arm_ticks()

    def all(self) -> list[Pool]:
        """Return every pool."""
        return [served.pool for served in self._pools.values()]

    def losses(self) -> dict[str, int]:
        """Return how many events were dropped, by pool; no pool that has dropped none."""
        pools = (served.pool for served in self._pools.values())
        return {pool.name: pool.dropped for pool in pools if pool.dropped}

    def close(self) -> None:
        """Let go of the loop."""
        for handle in (self._due, self._tick_timer):
            if handle is not None:
                handle.cancel()

    # --- events ---------------------------------------------------------------------------------

    def publish(self, event: Event) -> None:
        """Let an event wait for each pool that wants it."""
        serial = None
        for served in self._pools.values():
            if served.pool.wants(type(event)):
                serial = next(_SERIALS) if serial is None else serial
                self._tell_overflow(served.pool, served.pool.add(event, serial))
        if serial is not None:
            self._deliver_soon()

    def _tell_overflow(self, pool: Pool, forgotten: Waiting | None) -> None:
        if forgotten is not None:
            self._report(
                Level.ERROR,
                f"pool {pool.name} event buffer overflowed, discarding event {forgotten.serial}",
            )

    def look_again(self) -> None:
        """Some process has become RUNNING: it may be a listener that is awaited."""
        if any(served.pool.waiting for served in self._pools.values()):
            self._deliver_soon()

    def _deliver_soon(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._due = None
        for served in list(self._pools.values()):
            self._deliver_to(served)

    def _deliver_to(self, served: _Served) -> None:
        for member in served.members.values():
            if served.pool.waiting and self._is_ready(member):
                waiting = served.pool.take()
                if waiting is not None and not self._send(served, member, waiting):
                    self._tell_overflow(served.pool, served.pool.put_back(waiting))

    def _is_ready(self, member: Member) -> bool:
        protocol = member.protocol
        return (
            protocol is not None
            and protocol.state is ListenerState.READY
            and not member.deaf
            and self._is_running(member.name)
        )

    def _send(self, served: _Served, member: Member, waiting: Waiting) -> bool:
        assert member.protocol is not None
        name = member.name.process
        try:
            self._write(member.name, envelope(waiting, served.pool, self._identifier))
        except BrokenPipeError:
            member.deaf = True
            self._report(
                Level.DEBUG,
                f"epipe occurred while sending event {waiting.serial} to listener {name}, "
                "listener state unchanged",
            )
            return False
        self._tell_move(name, member.protocol.event_sent())
        member.sent = waiting
        self._report(Level.DEBUG, f"event {waiting.serial} sent to listener {name}")
        return True

    # --- what listeners say ---------------------------------------------------------------------

    def session(self, name: Namespec) -> Callable[[bytes], None] | None:
        """Begin with a new invocation; return what takes its stdout, None for no listener."""
        served = self._pools.get(name.group)
        if served is None or name not in served.members:
            return None
        member = served.members[name]
        protocol = member.protocol = ListenerProtocol()
        member.deaf = False

        def heard(data: bytes) -> None:
            # What an earlier invocation left behind may say must not count as this one's.
            if member.protocol is protocol:
                for happening in protocol.feed(data):
                    self._happened(served, member, happening)

        return heard

    def ended(self, name: Namespec) -> None:
        """The invocation of a process is over: an event that it was working on waits again."""
        served = self._pools.get(name.group)
        member = served.members.get(name) if served is not None else None
        if served is None or member is None:
            return
        member.protocol = None
        self._reject(served, member)

    def _happened(self, served: _Served, member: Member, happening: Happening) -> None:
        name = member.name.process
        match happening:
            case Moved():
                self._tell_move(name, happening)
                if happening.entered is ListenerState.READY and served.pool.waiting:
                    self._deliver_soon()
                elif happening.entered is ListenerState.UNKNOWN:
                    self._reject(served, member)
            case Result(data):
                self._judge(served, member, data)
            case BadResult(line):
                self._report(
                    Level.WARN, f"{name}: bad result line: '{line.decode(errors='replace')}'"
                )

    def _judge(self, served: _Served, member: Member, result: bytes) -> None:
        name, waiting = member.name.process, member.sent
        if waiting is None:
            return
        try:
            ours = served.handler is default_handler
            served.handler(waiting.event if ours else self.shown(waiting.event), result)
        except (Exception, SystemExit) as error:  # noqa: BLE001  it is other people's code
            # A handler of Supervisor's world raises the class of that world.
            if type(error).__name__ == RejectEvent.__name__:
                self._report(Level.WARN, f"{name}: event was rejected")
            else:
                self._report(Level.WARN, f"{name}: event caused an error")
                self._report(Level.DEBUG, traceback.format_exc())
                if member.protocol is not None:
                    self._tell_move(name, member.protocol.fail())
            self._reject(served, member)
            return
        member.sent = None
        self._report(Level.DEBUG, f"{name}: event was processed")

    def _reject(self, served: _Served, member: Member) -> None:
        """Let the event that a member works on, if it does, wait again."""
        waiting, member.sent = member.sent, None
        if waiting is None:
            return
        pool = served.pool
        self._tell_overflow(pool, pool.put_back(waiting))
        self._report(
            Level.DEBUG,
            f"rebuffering event {waiting.serial} for pool {pool.name} "
            f"(buf size={pool.waiting}, max={pool.config.buffer_size})",
        )
        self._deliver_soon()

    def _tell_move(self, name: str, moved: Moved) -> None:
        self._report(Level.DEBUG, f"{name}: {moved.left.name} -> {moved.entered.name}")
        if moved.entered is ListenerState.UNKNOWN:
            self._report(
                Level.WARN,
                f"{name}: has entered the UNKNOWN state and will no longer receive events, "
                "this usually indicates the process violated the eventlistener protocol",
            )

    # --- ticks ----------------------------------------------------------------------------------

    def start(self) -> None:
        """The daemon is up: time begins to tick, for whoever wants to know."""
        self._ticker = Ticker(self._now().wall)
        self._arm_ticks()

    def _arm_ticks(self) -> None:
        if self._tick_timer is not None:
            self._tick_timer.cancel()
            self._tick_timer = None
        wanted = [
            kind
            for kind in KINDS
            if any(served.pool.wants(kind) for served in self._pools.values())
        ]
        if self._ticker is None or not wanted:
            return  # nobody wants any: nothing wakes
        delay = wait(wanted, self._now().wall)
        self._tick_timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._tick_timer = None
        if self._ticker is not None:
            for event in self._ticker.due(self._now().wall):
                self.publish(event)
        self._arm_ticks()
