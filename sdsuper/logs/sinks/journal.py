"""systemd's journal: one entry per line, with fields that say whose line it is."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

from sdsuper.config.model import LEVEL_GROUP, LEVELS, ChannelConfig, JournalFull
from sdsuper.logs.held import HeldSink, HeldStretch
from sdsuper.logs.journal import FIELD_MAX_BYTES, JOURNAL, TOTAL_MAX_BYTES, Journal, field, fields
from sdsuper.logs.origin import Origin
from sdsuper.logs.rate import LineFilter, LogRate
from sdsuper.logs.stage import Stage
from sdsuper.logs.trouble import Data, Trouble

WAITING_MAX_BYTES = 4 * 1024 * 1024
"""With so much of one channel waiting, further records are dropped."""

STALLED_BYTES = 64 * 1024
"""With so much waiting for a journal that is slow, the child's pipe is left unread: there it is as
safe, and need not be put on record."""

LINE_BREAK_FIELD = b"SDSUPER_LINE_BREAK"
"""Why a message ends where no line does: eof, line-max, pid-change, as journald's _LINE_BREAK."""

PATTERN_BYTES = 512
"""How much of a line `priority_pattern` sees: what it costs must not depend on the line."""

_PRIORITY_FIELDS = tuple(b"PRIORITY=%d\n" % number for number in range(8))
_PRIORITY_PREFIX = re.compile(rb"<0{0,2}([0-7])>")  # sd-daemon(3)
_SLOW_S = 0.02  # a pattern that takes so long for one line has some thousand times the usual
_WRITE_ENTRIES = 500  # some 2 ms; what is more waits for its turn
_STRETCH_BYTES = 512  # what a stretch of its own costs

_AT_END = b"eof"
_OTHER_WRITER = b"pid-change"
_TOO_LONG = b"line-max"


class JournalSink:
    """Sends each line as an entry of its own, under the name of the process.

    As systemd does with the output of units: `<N>` at the start of a line is its priority and not
    part of the message, empty lines are left out, a line longer than 48 KiB becomes several
    entries, and a last line without a newline is sent when the stream ends.

    What the journal does not take waits, as bytes, with the child that wrote it.

    Args:
        origin: Whose output it is, at the moment of each write.
        config: The priority of lines that do not say, and what to do when the journal is full.
        pattern: Finds the level of a line.
        rate: How many lines may go out; it is shared by both channels.
        journal: The way there.

    Attributes:
        on_sent: Called when what waited is sent.
    """

    target = "the journal"
    keeps = True
    position = 0
    shared = False

    def __init__(
        self,
        origin: Origin,
        config: ChannelConfig,
        *,
        pattern: re.Pattern[bytes] | None = None,
        rate: LogRate | None = None,
        journal: Journal = JOURNAL,
    ) -> None:
        self._origin = origin
        self._journal = journal
        self._pattern = pattern
        self._levels = _Levels(config.priority, pattern, self._pattern_is_slow)
        self._waits = config.journal_full is JournalFull.WAIT
        self._rate = rate
        self._filter = None if rate is None else LineFilter(lambda: rate.admit(origin))
        self._invocation: str | None = None  # of the last stretch; None: it takes no more
        self._stretches: deque[_Stretch] = deque()
        self._waiting = 0
        self._behind = False
        self._torn = False
        self.on_sent: Callable[[], None] | None = None

    def reconfigure(
        self, config: ChannelConfig, pattern: re.Pattern[bytes] | None, rate: LogRate | None
    ) -> None:
        """Go on with other settings: lines that are not sent yet get their priority by them.

        A rate counts lines that begin from now on. A pattern that was too slow stays out of use
        until there is another.
        """
        self._levels.default = _PRIORITY_FIELDS[config.priority]
        if pattern != self._pattern:
            self._pattern = self._levels.pattern = pattern
        self._waits = config.journal_full is JournalFull.WAIT
        if rate is self._rate:
            return
        self._rate = rate
        passes = self._begun_line_passes()
        self._filter = None
        if rate is not None or passes is False:
            self._filter = LineFilter(lambda: rate is None or rate.admit(self._origin))
            self._filter.passes = passes

    def _begun_line_passes(self) -> bool | None:
        """Whether the line that has begun is sent, None where none has."""
        if self._filter is not None:
            return self._filter.passes
        last = self._stretches[-1] if self._stretches else None
        if last is None or last.ended is not None:
            return None
        begun = last.data and not last.data.endswith(b"\n")
        return True if begun or last.line_priority is not None else None

    def open(self) -> None:
        """Do nothing: the socket is connected when there is a line; nobody has to listen."""

    def write(self, data: Data) -> Trouble | None:
        """Send the lines that are complete now, or keep them; return what went wrong."""
        if self._filter is not None:
            data = self._filter.feed(bytes(data))
            if not data:
                return None
        size = len(data)
        journal = self._journal
        # What drops does so until there is room again for more than the next few bytes.
        share = 2 if self._torn else 1
        if (
            self._waiting + size > WAITING_MAX_BYTES // share
            or journal.waiting + size > TOTAL_MAX_BYTES // share
        ):
            self._torn = True
            return Trouble(journal.error, size)
        if self._invocation != self._origin.invocation:
            self._end_stretch(_OTHER_WRITER)
            self._begin_stretch()
        stretch = self._stretches[-1]
        if self._torn:
            self._torn = False
            self._count(stretch.tear())
        stretch.data += data
        self._count(size)
        if not self._behind:
            self._send(_WRITE_ENTRIES)
        return None

    def write_staged(self, data: Data, stage: Stage) -> Trouble | None:
        """As `write`; it cannot be told afterwards what was sent."""
        trouble = self.write(data)
        stage.wrote()
        return trouble

    write_rest = write_staged

    def settle(self) -> None:
        """Do nothing: there is nothing to rotate."""

    @property
    def holding(self) -> int:
        """Bytes that wait, or 1 where a line has begun of which none do."""
        last = self._stretches[-1] if self._stretches else None
        if last is None or len(self._stretches) > 1:
            return self._waiting
        passes = None if self._filter is None else self._filter.passes
        return len(last.data) or int(last.line_priority is not None or passes is not None)

    def held(self) -> HeldSink:
        """Return what waits, and how far the last line has come."""
        if not self.holding:
            return HeldSink(torn=self._torn)
        return HeldSink(
            stretches=tuple(stretch.held() for stretch in self._stretches),
            invocation=self._invocation,
            torn=self._torn,
            passes=None if self._filter is None else self._filter.passes,
        )

    def restore(self, held: HeldSink) -> None:
        """Go on from there; complete lines are sent with the next turn."""
        self._invocation = held.invocation
        self._torn = held.torn
        if self._filter is not None:
            self._filter.passes = held.passes
        for each in held.stretches:
            stretch = _Stretch(each.fields, self._levels)
            stretch.restore(each)
            self._stretches.append(stretch)
            self._count(_STRETCH_BYTES + len(stretch.data))
        if self._stretches and not self._behind:
            self._behind = True
            self._journal.await_turn(self)

    def _pattern_is_slow(self) -> None:
        self._journal.report(
            f"'{self._origin.process}' {self._origin.channel}: priority_pattern is left alone from "
            "now on, everything had to wait for it"
        )

    def _count(self, size: int) -> None:
        self._waiting += size
        self._journal.waiting += size

    def _begin_stretch(self) -> None:
        origin = self._origin
        self._invocation = origin.invocation
        self._stretches.append(_Stretch(_head(origin), self._levels))
        self._count(_STRETCH_BYTES)

    def _end_stretch(self, reason: bytes) -> None:
        self._invocation = None
        if self._stretches and self._stretches[-1].ended is None:
            self._stretches[-1].ended = reason

    def _send(self, limit: int) -> None:
        if not self.send_waiting(limit):
            self._behind = True
            self._journal.await_turn(self)

    def send_waiting(self, limit: int) -> bool:
        """Send at most about `limit` entries; return whether no complete line waits any longer."""
        while self._stretches:
            stretch = self._stretches[0]
            before = len(stretch.data)
            done = stretch.send(self._journal.send, limit)
            self._count(len(stretch.data) - before)
            if not done:
                return False
            if stretch.ended is None:
                break
            self._stretches.popleft()
            self._count(-_STRETCH_BYTES)
        if self._behind:
            self._behind = False
            if self.on_sent is not None:
                self.on_sent()
        return True

    @property
    def stalled(self) -> bool:
        """Whether so much waits that no more should be read.

        For a slow journal everybody waits; for one that is stuck or away, who asked for it.
        """
        journal = self._journal
        return (self._waiting >= STALLED_BYTES or journal.crowded) and (
            self._waits or journal.responsive
        )

    def catch_up(self) -> None:
        """Do nothing: what waits has its turn as soon as the journal takes more."""

    def flush(self) -> bool:
        """Send a line that has no end yet; return whether nothing waits any longer."""
        self._end_stretch(_AT_END)
        if self._filter is not None and self._rate is not None:
            self._filter.flush()
            self._rate.tell()
        if not self._behind:
            self._send(_WRITE_ENTRIES)
        return not self._behind

    def reopen(self) -> None:
        """Do nothing: there is nothing to rotate."""

    def clear(self) -> None:
        """Do nothing: what was sent is not ours any longer."""

    def close(self) -> None:
        """Send a line that has no end yet; what waits goes out later."""
        self.flush()


class _Levels:
    """Lines -> the field that says their priority.

    A pattern that turns out to be slow is not used any more: the whole daemon waits for it.

    Args:
        default: The priority of lines that do not say.
        pattern: Finds the level of a line.
        on_slow: Called when it is used no more.

    Attributes:
        default: The field that says that priority.
        pattern: The pattern in use, None for none.
    """

    __slots__ = ("_on_slow", "default", "pattern")

    def __init__(
        self, default: int, pattern: re.Pattern[bytes] | None, on_slow: Callable[[], None]
    ) -> None:
        self.default = _PRIORITY_FIELDS[default]
        self.pattern = pattern
        self._on_slow = on_slow

    def split(self, line: bytes) -> tuple[bytes, bytes]:
        """Return the field, and the line without the prefix that may have said it."""
        if line.startswith(b"<") and (prefix := _PRIORITY_PREFIX.match(line)):
            return _PRIORITY_FIELDS[int(prefix[1])], line[prefix.end() :]
        if self.pattern is None:
            return self.default, line
        begun = time.monotonic()
        found = self.pattern.search(line, 0, PATTERN_BYTES)
        if time.monotonic() - begun > _SLOW_S:
            self._try_again(self.pattern, line)
        number = None if found is None else LEVELS.get((found[LEVEL_GROUP] or b"").lower())
        return self.default if number is None else _PRIORITY_FIELDS[number], line

    def _try_again(self, pattern: re.Pattern[bytes], line: bytes) -> None:
        """Find out whether a pattern was slow, and not the machine busy with something else."""
        begun = time.thread_time()
        pattern.search(line, 0, PATTERN_BYTES)
        if time.thread_time() - begun > _SLOW_S:
            self.pattern = None
            self._on_slow()


class _Stretch:
    """Output of one invocation that is not sent yet, and how far its last line has come.

    Attributes:
        data: What is not sent.
        ended: Why no more comes, None while it may: a last line without an end is sent, too.
        line_priority: Of a line whose first part is sent.
    """

    __slots__ = ("_fields", "_levels", "data", "ended", "line_priority")

    def __init__(self, own_fields: bytes, levels: _Levels) -> None:
        self.data = bytearray()
        self.ended: bytes | None = None
        self._fields = own_fields
        self._levels = levels
        self.line_priority: bytes | None = None

    def held(self) -> HeldStretch:
        """Return it as plain values."""
        return HeldStretch(self._fields, bytes(self.data), self.ended, self.line_priority)

    def restore(self, held: HeldStretch) -> None:
        """Become what another was."""
        self.data += held.data
        self.ended = held.ended
        self.line_priority = held.line_priority

    def tear(self) -> int:
        """End a line whose rest was dropped; return the bytes that takes."""
        if not self.data or self.data.endswith(b"\n"):
            return 0
        self.data += b"\n"
        return 1

    def send(self, send: Callable[[bytes], bool], limit: int) -> bool:
        """Send lines; return whether all are sent, but for one that may go on."""
        data = self.data
        position = 0
        try:
            for _ in range(limit):
                end = data.find(b"\n", position, position + FIELD_MAX_BYTES + 1)
                if end >= 0:
                    following, reason = end + 1, None
                elif len(data) - position > FIELD_MAX_BYTES:
                    end = following = position + FIELD_MAX_BYTES
                    reason = _TOO_LONG
                elif self.ended is not None and position < len(data):
                    end = following = len(data)
                    reason = self.ended
                else:
                    return True
                if not self._send_line(bytes(data[position:end]), reason, send):
                    return False
                position = following
        finally:
            del data[:position]
        return False

    def _send_line(self, line: bytes, reason: bytes | None, send: Callable[[bytes], bool]) -> bool:
        priority = self.line_priority
        if priority is None:
            priority, line = self._levels.split(line)
        if line and not send(self._entry(priority, line, reason)):
            return False
        self.line_priority = priority if reason is _TOO_LONG else None
        return True

    def _entry(self, priority: bytes, line: bytes, reason: bytes | None) -> bytes:
        if reason is None and line.isascii():  # nearly always
            return b"%b%bMESSAGE=%b\n" % (self._fields, priority, line)
        message = field(b"MESSAGE", line)
        if reason is None:
            return self._fields + priority + message
        return self._fields + priority + field(LINE_BREAK_FIELD, reason) + message


def _head(origin: Origin) -> bytes:
    """Return the fields that all lines of an invocation share."""
    return fields(
        (
            ("SYSLOG_IDENTIFIER", origin.process),
            ("SYSLOG_PID", origin.pid),
            ("SDSUPER_PROGRAM", origin.program),
            ("SDSUPER_GROUP", origin.group),
            ("SDSUPER_PROCESS", origin.process),
            ("SDSUPER_STREAM", origin.channel),
            ("SDSUPER_INVOCATION", origin.invocation),
        )
    )
