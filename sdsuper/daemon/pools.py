"""Events on their way to listeners: who wants them, who is ready for one, what became of it.

An event goes into the buffer of each pool that wants it at once, and out of it in a turn of the
loop of its own: what is published on the way of a restart must not hold that up. It goes to the
first process of the pool, in configured order, that is RUNNING and READY.

An event is over when a listener has answered it well. One that was refused, or whose listener ended
over it, waits again, before all others of its pool.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping

from sdsuper import eventloop
from sdsuper.config.model import GroupConfig
from sdsuper.core.events import Event, event_types
from sdsuper.daemon.handover import Inheritance, Keeper
from sdsuper.daemon.plugins import MODULES
from sdsuper.dataclass import dataclass, field
from sdsuper.errors import traceback_text
from sdsuper.handover.codec import Plain, codec_of
from sdsuper.listeners.pool import Pool, Waiting, envelope
from sdsuper.listeners.protocol import (
    BadResult,
    Happening,
    HeldProtocol,
    ListenerProtocol,
    ListenerState,
    Moved,
    Result,
)
from sdsuper.listeners.ticks import KINDS, Ticker, wait
from sdsuper.systemd.notify import Notifier
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

    def unfinished(self) -> list[Waiting]:
        """Return the events that are not over: those that wait, and those that are worked on."""
        at_work = [each.sent for each in self.members.values() if each.sent is not None]
        return [*at_work, *self.pool.all()]

    def held(self) -> HeldPool:
        """Return what a successor goes on with, beside the events themselves."""
        members = {
            member.name: HeldMember(
                None if member.protocol is None else member.protocol.held(),
                None if member.sent is None else member.sent.poolserial,
                member.deaf,
            )
            for member in self.members.values()
        }
        return HeldPool(self.pool.poolserial, self.pool.dropped, members)

    def restore(self, held: HeldPool, events: dict[int, Waiting]) -> None:
        """Go on from there.

        Args:
            held: As `held` returned it.
            events: Those that are not over, by their number in the pool.
        """
        for name, each in held.members.items():
            member = self.members.get(name)
            if member is not None:
                member.protocol = None if each.protocol is None else ListenerProtocol(each.protocol)
                member.sent = None if each.sent is None else events.pop(each.sent, None)
                member.deaf = each.deaf
        poolserial = max([held.poolserial, *(number + 1 for number in events)])
        waiting = [events[number] for number in sorted(events)]
        self.pool.restore(waiting, poolserial, held.dropped)


@dataclass(frozen=True, slots=True)
class HeldMember:
    """One process of a pool, as it is handed on.

    Attributes:
        sent: The number in the pool of the event that it is working on.
    """

    protocol: HeldProtocol | None
    sent: int | None
    deaf: bool


@dataclass(frozen=True, slots=True)
class HeldPool:
    """A pool as it is handed on, beside its events."""

    poolserial: int
    dropped: int
    members: dict[Namespec, HeldMember]


_POOL, _EVENT, _SERIAL = "pool/", "event/", "serial"
_POOL_CODEC = codec_of(HeldPool)


def _event_key(pool: Pool, waiting: Waiting) -> str:
    return f"{_EVENT}{pool.name}/{waiting.poolserial}"


def _encode(waiting: Waiting) -> Plain:
    """Return an event as it is handed on; None where no plain data stands for it."""
    event = waiting.event
    try:
        plain = codec_of(type(event)).encode(event)
    except TypeError:
        return None
    return [event.eventname, plain, waiting.serial, waiting.poolserial]


def _events(left: Inheritance, prefix: str) -> dict[int, Waiting]:
    """Return the events of a pool that are not over, by their number in it."""
    kinds = event_types()
    found = {}
    for key, plain in left.table(prefix).items():
        kind = kinds.get(plain[0]) if isinstance(plain, list) and len(plain) == _PARTS else None
        if kind is None:
            left.notes.append(f"{prefix}{key}: an event that is not known here")
            continue
        event = codec_of(kind).decode(plain[1], prefix + key, left.notes)
        found[plain[3]] = Waiting(event, plain[2], plain[3])
    return found


_PARTS = 4


def decode_pools(left: Inheritance) -> None:
    """Read what was handed on of all pools. Raises HandoverError."""
    for name, plain in left.table(_POOL).items():
        _POOL_CODEC.decode(plain, _POOL + name)
        _events(left, f"{_EVENT}{name}/")


def _pass_over(serial: int) -> None:
    """Let the next event have a number above one that was given out by an earlier daemon."""
    global _SERIALS
    _SERIALS = itertools.count(max(serial + 1, next(_SERIALS)))


class EventPools:
    """All pools of the daemon.

    Args:
        identifier: The daemon's name, as listeners are told it.
        now: The present moment.
        is_running: Whether a process is RUNNING.
        write: Sends bytes to the stdin of a process; raises BrokenPipeError where it has none.
        report: Writes to the daemon's log.
        keeper: Takes what a successor needs.

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
        keeper: Keeper | None = None,
    ) -> None:
        self._keeper = keeper or Keeper(report, Notifier({}), enabled=False)
        self._keeper.register(self)
        self._identifier = identifier
        self._now = now
        self._is_running = is_running
        self._write = write
        self._report = report
        self.shown: Callable[[Event], Event] = lambda event: event
        self._pools: dict[str, _Served] = {}
        self._serial = -1  # of the newest event
        self._due: eventloop.Handle | None = None
        self._ticker: Ticker | None = None
        self._tick_timer: eventloop.TimerHandle | None = None

    # --- pools ----------------------------------------------------------------------------------

    def add(self, group: GroupConfig) -> None:
        """Serve a group, if it is a pool of listeners."""
        if group.pool is None:
            return
        pool = Pool(group.name, group.pool)
        names = [Namespec(group.name, each.name) for each in group.processes]
        handler = self._find_handler(group.name, group.pool.result_handler)
        served = _Served(pool, handler, {name: Member(name) for name in names})
        self._pools[group.name] = served
        self._record(served)
        if any(character.isspace() for character in self._identifier):
            self._report(
                Level.WARN,
                f"identifier {self._identifier!r} has blanks in it: the listeners of "
                f"{group.name} cannot read the headers of events",
            )
        self._arm_ticks()

    def change(self, group: GroupConfig) -> None:
        """Serve a group whose processes are others by now, as the pool that it was."""
        served = self._pools.get(group.name)
        if served is None:
            return
        before = served.members
        names = [Namespec(group.name, each.name) for each in group.processes]
        served.members = {name: before.get(name) or Member(name) for name in names}
        for name in before.keys() - served.members.keys():
            self._reject(served, before[name])  # one that could not be ended may have had an event
        self._record(served)

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
        served = self._pools.pop(group, None)
        if served is not None:
            for waiting in served.unfinished():
                self._keeper.gone(_event_key(served.pool, waiting))
            self._keeper.gone(_POOL + group)
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
                if serial is None:
                    serial = self._serial = next(_SERIALS)
                self._tell_overflow(served.pool, served.pool.add(event, serial))
                self._record_event(served.pool, served.pool.newest)
                self._record(served)
        if serial is not None:
            self._deliver_soon()

    def _tell_overflow(self, pool: Pool, forgotten: Waiting | None) -> None:
        if forgotten is not None:
            self._keeper.gone(_event_key(pool, forgotten))
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
            self._due = eventloop.get_running_loop().call_soon(self._deliver)

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
        self._record(served)
        self._keeper.flush()
        self._report(Level.DEBUG, f"event {waiting.serial} sent to listener {name}")
        return True

    # --- what listeners say ---------------------------------------------------------------------

    def session(self, name: Namespec) -> Callable[[bytes], None] | None:
        """Begin with a new invocation; return what takes its stdout, None for no listener."""
        return self._session(name, new=True)

    def resumed(self, name: Namespec) -> Callable[[bytes], None] | None:
        """Go on with an invocation of an earlier daemon, as `restore` found it."""
        return self._session(name, new=False)

    def _session(self, name: Namespec, *, new: bool) -> Callable[[bytes], None] | None:
        served = self._pools.get(name.group)
        if served is None or name not in served.members:
            return None
        member = served.members[name]
        if new or member.protocol is None:
            member.protocol = ListenerProtocol()
            member.deaf = False
            self._record(served)
        protocol = member.protocol

        def heard(data: bytes) -> None:
            # What an earlier invocation left behind may say must not count as this one's.
            if member.protocol is protocol:
                for happening in protocol.feed(data):
                    self._happened(served, member, happening)
                self._record(served)

        return heard

    def ended(self, name: Namespec) -> None:
        """The invocation of a process is over: an event that it was working on waits again."""
        served = self._pools.get(name.group)
        member = served.members.get(name) if served is not None else None
        if served is None or member is None:
            return
        member.protocol = None
        self._reject(served, member)
        self._record(served)

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
                self._report(Level.DEBUG, traceback_text())
                if member.protocol is not None:
                    self._tell_move(name, member.protocol.fail())
            self._reject(served, member)
            return
        member.sent = None
        self._keeper.gone(_event_key(served.pool, waiting))
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

    # --- what a successor needs -----------------------------------------------------------------

    def _record(self, served: _Served) -> None:
        key = _POOL + served.pool.name
        self._keeper.changed(key, lambda: _POOL_CODEC.encode(served.held()))

    def _record_event(self, pool: Pool, waiting: Waiting) -> None:
        if self._keeper.recording:
            self._keeper.changed(_event_key(pool, waiting), lambda: _encode(waiting))

    def export(self) -> Mapping[str, Plain]:
        """Return all pools, and all events that are not over."""
        records: dict[str, Plain] = {}
        if self._pools:
            records[_SERIAL] = self._serial
        for name, served in self._pools.items():
            records[_POOL + name] = _POOL_CODEC.encode(served.held())
            for waiting in served.unfinished():
                records[_event_key(served.pool, waiting)] = _encode(waiting)
        return records

    def descriptors(self) -> Mapping[str, int]:
        """Return nothing: the pipes are the executor's."""
        return {}

    def restore(self, left: Inheritance, groups: Iterable[GroupConfig]) -> None:
        """Go on with the pools of an earlier daemon.

        Raises:
            HandoverError: What was left does not fit.
        """
        for group in groups:
            self.add(group)
        newest = -1
        for name, served in self._pools.items():
            plain = left.records.get(_POOL + name)
            if plain is None:
                continue
            held = _POOL_CODEC.decode(plain, _POOL + name, left.notes)
            events = _events(left, f"{_EVENT}{name}/")
            newest = max([newest, *(each.serial for each in events.values())])
            served.restore(held, events)
        known = left.records.get(_SERIAL)
        self._serial = max(newest, known if isinstance(known, int) else -1)
        _pass_over(self._serial)
        self._deliver_soon()

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
        self._tick_timer = eventloop.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._tick_timer = None
        if self._ticker is not None:
            for event in self._ticker.due(self._now().wall):
                self.publish(event)
        self._arm_ticks()
