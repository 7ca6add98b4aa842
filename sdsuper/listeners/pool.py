"""The events that wait for one pool of listeners. Pure: whoever owns it sends them.

An event that a pool wants goes through its buffer, whatever the listeners are doing. A full buffer
makes room by forgetting the oldest event: that is what Supervisor does, and what the newest events
are for. How many were forgotten is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from sdsuper.config.model import ListenerPoolConfig
from sdsuper.core.events import Event, event_types
from sdsuper.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event on its way to one pool.

    Attributes:
        serial: Its number among all events that any pool took.
        poolserial: Its number within the pool.
    """

    event: Event
    serial: int
    poolserial: int


class Pool:
    """What one [eventlistener:x] waits for.

    Args:
        name: The group's name.
        config: Which events it wants, and how many may wait.

    Attributes:
        dropped: Events forgotten because too many waited.
    """

    def __init__(self, name: str, config: ListenerPoolConfig) -> None:
        self.name = name
        self.config = config
        self.dropped = 0
        self._kinds = _kinds(config.events)
        self._waiting: deque[Waiting] = deque()
        self._poolserial = 0

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self._waiting)

    @property
    def poolserial(self) -> int:
        """The number that the next event gets."""
        return self._poolserial

    @property
    def newest(self) -> Waiting:
        """The event that was added last; there must be one."""
        return self._waiting[-1]

    def all(self) -> list[Waiting]:
        """Return the events that wait, the next one first."""
        return list(self._waiting)

    def restore(self, waiting: Iterable[Waiting], poolserial: int, dropped: int) -> None:
        """Go on with what waited in an earlier daemon."""
        self._waiting = deque(waiting)
        self._poolserial = poolserial
        self.dropped = dropped

    def wants(self, kind: type[Event]) -> bool:
        """Whether it subscribed to a type of event, or to one above it."""
        return issubclass(kind, self._kinds)

    def add(self, event: Event, serial: int) -> Waiting | None:
        """Let an event wait; return what had to make room for it, None mostly."""
        forgotten = self._make_room()
        self._waiting.append(Waiting(event, serial, self._poolserial))
        self._poolserial += 1
        return forgotten

    def put_back(self, event: Waiting) -> Waiting | None:
        """Let an event that was rejected be the next; return what had to make room for it."""
        forgotten = self._make_room()
        self._waiting.appendleft(event)
        return forgotten

    def _make_room(self) -> Waiting | None:
        if len(self._waiting) < max(1, self.config.buffer_size):
            return None
        self.dropped += 1
        return self._waiting.popleft()

    def take(self) -> Waiting | None:
        """Return the event that has waited longest, None where none waits."""
        return self._waiting.popleft() if self._waiting else None


def _kinds(names: Iterable[str]) -> tuple[type[Event], ...]:
    known = event_types()
    return tuple(known[name] for name in names if name in known)


def envelope(waiting: Waiting, pool: Pool, identifier: str) -> bytes:
    """Return an event as it goes to the stdin of a listener.

    `len` counts characters where `payload_length` does not say bytes: text-mode listeners, the only
    ones that Supervisor's Python helpers know, read so many.
    """
    payload = waiting.event.payload()
    body = payload.encode("utf-8", "surrogateescape")
    length = len(body) if pool.config.payload_length == "bytes" else len(payload)
    header = (
        f"ver:3.0 server:{identifier} serial:{waiting.serial} pool:{pool.name} "
        f"poolserial:{waiting.poolserial} eventname:{waiting.event.eventname} len:{length}\n"
    )
    return header.encode("utf-8", "surrogateescape") + body
