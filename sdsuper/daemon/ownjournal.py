"""What the daemon itself says in the journal."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping

from sdsuper.logs.journal import JOURNAL, Journal, fields
from sdsuper.logs.sinks.syslog import program_name
from sdsuper.values import Level

WAITING_MAX_BYTES = 1024 * 1024
"""With so much waiting, further entries are dropped and counted."""

_STDERR = 2
_PRIORITIES = {
    Level.CRITICAL: 2,
    Level.ERROR: 3,
    Level.WARN: 4,
    Level.INFO: 6,
    Level.DEBUG: 7,
    Level.TRACE: 7,
    Level.BLATHER: 7,
}
"""syslog(3)."""


def is_on_stderr(environ: Mapping[str, str]) -> bool:
    """Return whether our stderr is the journal's own stream: systemd started us.

    Source: JOURNAL_STREAM in systemd.exec(5).
    """
    try:
        found = os.fstat(_STDERR)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class OwnJournal:
    """Sends entries of the daemon; those that are not taken wait, up to a bound.

    Args:
        journal: The way there.

    Attributes:
        dropped: Entries that found no room to wait in.
    """

    def __init__(self, journal: Journal = JOURNAL) -> None:
        self.dropped = 0
        self._journal = journal
        self._identifier = program_name()
        self._untold = 0
        self._bytes = 0
        self._waiting: deque[bytes] = deque()

    def log(self, level: Level, message: str) -> None:
        """Send one message of the daemon's log. Never raises."""
        self.send((("MESSAGE", message), ("PRIORITY", _PRIORITIES[level])))

    def send(self, pairs: Iterable[tuple[str, str | int]]) -> None:
        """Send one entry, in the daemon's name. Never raises.

        Args:
            pairs: Its fields, MESSAGE among them.
        """
        entry = fields(
            (("SYSLOG_IDENTIFIER", self._identifier), ("SYSLOG_PID", os.getpid()), *pairs)
        )
        if self._waiting:
            self._keep(entry)
        elif not self._journal.send(entry):
            self._keep(entry)
            self._journal.await_turn(self)

    def _keep(self, entry: bytes) -> None:
        if self._bytes + len(entry) > WAITING_MAX_BYTES:
            self.dropped += 1
            self._untold += 1
            return
        self._waiting.append(entry)
        self._count(len(entry))

    def _count(self, size: int) -> None:
        self._bytes += size
        self._journal.waiting += size

    def send_waiting(self, limit: int) -> bool:
        """Send at most `limit` entries; return whether none waits any longer."""
        for _ in range(limit):
            if not self._waiting:
                break
            if not self._journal.send(self._waiting[0]):
                return False
            self._count(-len(self._waiting.popleft()))
        if self._waiting:
            return False
        untold, self._untold = self._untold, 0
        if untold:
            self.log(Level.WARN, f"{untold} messages for the journal were dropped")
        return not self._waiting
