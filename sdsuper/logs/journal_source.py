"""The entries of one channel in the journal, by systemd-python's Reader.

Only the helper imports this. Which entries are ours is told by fields that nobody can forge: the
user id and the service of who sent them, as the journal took them from the kernel.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

from systemd import journal

from sdsuper.logs.journal import encoded
from sdsuper.logs.readback import (
    CLEARED_ID,
    LINE_BREAK_FIELD,
    NO_JOURNAL,
    Query,
    ReadbackError,
    text_of,
    unit_of,
)

_STREAM = "SDSUPER_STREAM"
_NOTHING = "there is no journal here, or none that this user may read"


class JournalSource(journal.Reader):  # type: ignore[misc]
    """What one channel of one process wrote since it was cleared.

    It has one place at a time: of several iterators only the one that was made last goes on.

    Raises:
        ReadbackError: There is no journal.
        OSError: It cannot be read.

    Attributes:
        origin: Cursor of the clearing, "" for none.
    """

    def __init__(self, query: Query) -> None:
        if query.directory:
            super().__init__(path=query.directory)
            here = any(name.endswith(".journal") for name in os.listdir(query.directory))
        else:
            super().__init__(flags=_flags(os.geteuid()))
            here = self.has_runtime_files() or self.has_persistent_files()
        if not here:
            raise ReadbackError(NO_JOURNAL, _NOTHING)
        common = _common_fields(query)
        clearings = (*common, b"MESSAGE_ID=" + CLEARED_ID.encode())
        self._match(clearings)
        self.origin = self._find_latest()
        self.flush_matches()
        self._match((*common, f"{_STREAM}={query.channel}".encode()))
        self.add_disjunction()  # so that the way back ends at the clearing
        self._match(clearings)

    def _match(self, wanted: tuple[bytes, ...]) -> None:
        for each in wanted:
            self.add_match(each)

    def _find_latest(self) -> str:
        self.seek_tail()
        return self.cursor() if super()._previous() else ""

    def cursor(self) -> str:
        """Return the name of the entry that was yielded last."""
        return str(super()._get_cursor())

    def oldest(self) -> Iterator[bytes]:
        """Yield from the oldest on."""
        if self.origin:
            yield from self.after(self.origin)
            return
        self.seek_head()
        yield from self.more()

    def newest(self) -> Iterator[bytes]:
        """Yield from the newest back."""
        self.seek_tail()
        yield from self._back()

    def after(self, cursor: str) -> Iterator[bytes]:
        """Yield what is newer than an entry, which may be gone."""
        self.seek_cursor(cursor)
        if super()._next():
            if not self.test_cursor(cursor) and (text := self._text()) is not None:
                yield text
            yield from self.more()

    def before(self, cursor: str) -> Iterator[bytes]:
        """Yield an entry, and what is older."""
        self.seek_cursor(cursor)
        if not super()._next():
            self.seek_tail()
        elif self.test_cursor(cursor):
            if (text := self._text()) is None:
                return
            yield text
        yield from self._back()

    def more(self) -> Iterator[bytes]:
        """Yield what came since the last one that was yielded."""
        while super()._next():
            if (text := self._text()) is not None:
                yield text

    def _back(self) -> Iterator[bytes]:
        while super()._previous() and (text := self._text()) is not None:
            yield text

    def wait(self, lifeline: int) -> bool:
        """Wait until the journal has changed; return whether the other end of a pipe is there.

        Args:
            lifeline: Our end of the pipe, which nobody writes to.
        """
        poll = select.poll()
        poll.register(self.fileno(), self.get_events())
        poll.register(lifeline, select.POLLIN)
        ready = poll.poll(self.get_timeout_ms())
        self.process()  # its files may have come or gone
        return all(fd != lifeline for fd, _ in ready)

    def _text(self) -> bytes | None:
        """Return the text of the entry, None where it is a clearing."""
        if not self._has(_STREAM):
            return None
        try:
            message: bytes = super()._get("MESSAGE")
        except KeyError:
            return b""
        return text_of(message, line_break=self._has(LINE_BREAK_FIELD))

    def _has(self, name: str) -> bool:
        try:
            super()._get(name)
        except KeyError:
            return False
        return True


def _flags(uid: int) -> int:
    """Return where to look: entries of a user who is no system user are in a file of their own."""
    flags = journal.LOCAL_ONLY | journal.SYSTEM
    return int(flags if uid == 0 else flags | journal.CURRENT_USER)


def _common_fields(query: Query) -> tuple[bytes, ...]:
    wanted = [
        f"_UID={os.geteuid()}",
        f"SDSUPER_PROCESS={query.process}",
        f"SDSUPER_GROUP={query.group}",
    ]
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        unit = unit_of(file.read())
    if unit is not None:
        wanted.append(f"_SYSTEMD_UNIT={unit}")
    return tuple(map(encoded, wanted))
