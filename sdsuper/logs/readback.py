"""What the daemon asks of the helper that reads the journal, and what it gets back.

The helper is a process of its own: a search in a large journal takes seconds. Its query comes as
words of its command line; its answer is a line of words, then bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

READ_MAX_BYTES = 16 * 1024 * 1024
"""The most that one call reads; more is had by asking again from where it ended."""

SEARCH_SECONDS = 15
"""How long a search may take."""

CLEARED_ID = "5b1f0a3ac2c24b5dae1d0b64ed0d0b29"
"""MESSAGE_ID of the entry that `clear` leaves: what is older than the last one is not shown."""

_VERSION = "1"
"""Changed with everything below: an upgrade replaces the helper's code under a running daemon."""

_NONE = "-"

What = Literal["read", "tail", "follow"]
_WHATS: Mapping[str, What] = MappingProxyType({"read": "read", "tail": "tail", "follow": "follow"})


class QueryError(ValueError):
    """The words of a query or of an answer make no sense: they are another version's."""


class Mark(NamedTuple):
    """An entry of which it is known how many bytes of text the journal has up to it.

    Attributes:
        cursor: The entry, as the journal names it.
        number: Bytes of text up to its end.
        origin: Cursor of the clearing that the numbers begin behind, "" for none.
    """

    cursor: str
    number: int
    origin: str


class Query(NamedTuple):
    """What to read of one channel of one process.

    Attributes:
        what: `read` and `tail` as the RPC functions of these names, `follow` for all that comes.
        mark: What a former answer told, None at first.
        directory: Where the journal is, "" for systemd's own places.
    """

    what: What
    process: str
    group: str
    channel: str
    offset: int = 0
    length: int = 0
    mark: Mark | None = None
    directory: str = ""

    def to_words(self) -> list[str]:
        """Return the query as words of a command line."""
        mark = self.mark or Mark(_NONE, 0, "")
        return [
            _VERSION,
            self.what,
            self.process,
            self.group,
            self.channel,
            str(self.offset),
            str(self.length),
            *map(str, mark),
            self.directory,
        ]

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Query:
        """Return the query that `to_words` wrote.

        Raises:
            QueryError: These words are of another version.
        """
        try:
            version, what, process, group, channel, offset, length, *mark, directory = words
            if version != _VERSION:
                raise QueryError
            known = None if mark[0] == _NONE else Mark(mark[0], int(mark[1]), mark[2])
            return cls(
                _WHATS[what], process, group, channel, int(offset), int(length), known, directory
            )
        except (ValueError, LookupError):
            raise QueryError("the helper is of another version than the daemon") from None


class Answer(NamedTuple):
    """What was found.

    Attributes:
        data: The text.
        number: Where it ends: the offset to ask from next.
        overflow: Whether there was more than was asked for.
        mark: What to hand in with the next query, None for what was handed in.
    """

    data: bytes
    number: int = 0
    overflow: bool = False
    mark: Mark | None = None

    def to_bytes(self) -> bytes:
        """Return the answer as the helper writes it."""
        cursor, number, origin = self.mark or Mark(_NONE, 0, "")
        words = ["ok", str(self.number), str(int(self.overflow))]
        words += [cursor, str(number), origin or _NONE]
        return " ".join(words).encode() + b"\n" + self.data

    @classmethod
    def from_bytes(cls, written: bytes) -> Answer:
        """Return the answer that `to_bytes` wrote.

        Raises:
            ReadbackError: The helper told why there is none.
            QueryError: It makes no sense.
        """
        head, newline, data = written.partition(b"\n")
        words = head.decode("utf-8", "replace").split(" ")
        if newline and words[0] in KINDS:
            raise ReadbackError(words[0], " ".join(words[1:]))
        try:
            told, number, overflow, cursor, known, origin = words
            if not newline or told != "ok":
                raise QueryError("the helper that reads the journal ended without an answer")
            mark = Mark(cursor, int(known), "" if origin == _NONE else origin)
            return cls(data, int(number), overflow == "1", None if cursor == _NONE else mark)
        except ValueError:
            raise QueryError("the helper that reads the journal made no sense") from None


NO_JOURNAL = "no-journal"
FAILED = "failed"
KINDS = (NO_JOURNAL, FAILED)
"""Why there is no answer: there is nothing to read from, or it went wrong."""


class ReadbackError(Exception):
    """The journal could not be read; the text says why.

    Attributes:
        kind: One of KINDS.
    """

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(text)

    def to_bytes(self) -> bytes:
        """Return the error as the helper writes it."""
        text = " ".join(str(self).split())
        return f"{self.kind} {text}\n".encode("utf-8", "replace")


LINE_BREAK_FIELD = "SDSUPER_LINE_BREAK"
"""As the sink sends it, whose module the helper has no time to import."""


def text_of(message: bytes, *, line_break: bool) -> bytes:
    """Return what a log file would hold for an entry.

    Args:
        message: Its MESSAGE.
        line_break: Whether it has a LINE_BREAK_FIELD: it ends where no line does.
    """
    return message if line_break else message + b"\n"


def unit_of(cgroups: str) -> str | None:
    """Return the service that a process belongs to, None where it is in none.

    The journal knows the same by itself, so nobody else can claim it.

    Args:
        cgroups: The text of /proc/PID/cgroup.
    """
    for line in cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd"):
            for part in path.split("/"):
                if part and not part.endswith(".slice"):
                    return part.removeprefix("_") if part.endswith(".service") else None
    return None
