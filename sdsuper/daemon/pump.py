"""Send on what waits for the journal when it takes entries again."""

from __future__ import annotations

from collections.abc import Callable

from sdsuper import eventloop
from sdsuper.logs.journal import Journal
from sdsuper.values import Level

_GATHER_S = 0.001
"""Seconds between "it takes entries" and sending: room for one would wake us for each."""

_RETRY_S = 0.5
"""Seconds between two attempts to connect while something waits."""


class JournalPump:
    """Watches the socket while something waits, and does nothing otherwise.

    Args:
        journal: Whose queues are sent on.
        report: Writes to the daemon's log.
    """

    def __init__(self, journal: Journal, report: Callable[[Level, str], None]) -> None:
        self._journal = journal
        self._report = report
        self._watched: int | None = None
        self._timer: eventloop.TimerHandle | None = None
        self._away = False

    def start(self) -> None:
        """Begin; what waits from before counts too."""
        self._journal.on_waiting = self._wait
        self._journal.on_reminder = eventloop.get_running_loop().call_at
        self._journal.on_trouble = lambda text: self._report(Level.WARN, text)
        if not self._journal.idle:
            self._wait()

    def stop(self) -> None:
        """Let go of the loop."""
        self._journal.on_waiting = self._journal.on_reminder = self._journal.on_trouble = None
        self._unwatch()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        if self._watched is not None or self._timer is not None:
            return
        loop = eventloop.get_running_loop()
        fd = self._journal.fd
        if fd is None:
            self._tell_away(True)
            self._timer = loop.call_later(_RETRY_S, self._flush)
        else:
            self._watched = fd
            loop.add_writer(fd, self._writable)

    def _writable(self) -> None:
        self._unwatch()
        self._timer = eventloop.get_running_loop().call_later(_GATHER_S, self._flush)

    def _unwatch(self) -> None:
        if self._watched is not None:
            eventloop.get_running_loop().remove_writer(self._watched)
            self._watched = None

    def _flush(self) -> None:
        self._timer = None
        done = self._journal.flush()
        if self._journal.fd is not None:
            self._tell_away(False)
        if not done:
            self._wait()

    def _tell_away(self, away: bool) -> None:
        if away is self._away:
            return
        self._away = away
        address = self._journal.address
        if away:
            error = self._journal.error
            self._report(Level.WARN, f"no journal at {address}, output for it waits: {error}")
        else:
            self._report(Level.INFO, f"the journal at {address} takes output again")
