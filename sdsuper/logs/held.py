"""What the log plane keeps in memory, as plain values: a successor goes on with it.

Between two chunks these values, and the bytes in the pipes, are all there is (`stage` has what is
on its way within one).
"""

from __future__ import annotations

from sdsuper.dataclass import dataclass, field
from sdsuper.logs.lines import Part

_LITTLE_BYTES = 512 * 1024  # what stalls a channel, and a chunk


@dataclass(frozen=True, slots=True)
class HeldStretch:
    """Output of one invocation that waits for the journal.

    Attributes:
        fields: What its entries begin with, as they are sent.
        data: What is not sent.
        ended: Why no more comes, None while it may.
        line_priority: Of a line whose first part is sent.
    """

    fields: bytes
    data: bytes
    ended: bytes | None = None
    line_priority: bytes | None = None


@dataclass(frozen=True, slots=True)
class HeldSink:
    """What a sink holds: each uses what it has.

    Attributes:
        partial: A line that is not complete.
        stretches: What waits, an incomplete line at the end included.
        invocation: Whose the last stretch is, None where it takes no more.
        torn: Something was dropped since.
        passes: Whether a line that has begun may go out, None where none has begun.
    """

    partial: bytes = b""
    stretches: tuple[HeldStretch, ...] = ()
    invocation: str | None = None
    torn: bool = False
    passes: bool | None = None


@dataclass(frozen=True, slots=True)
class HeldChannel:
    """One channel of a process.

    Attributes:
        path: Its log file, the generated one of AUTO included; None for none.
        dropped: Bytes that a sink could not take.
        failing: Sinks that fail, by what they are called, with the bytes they have lost.
        sinks: What sinks hold, by the kind of sink; no kind that holds nothing.
    """

    path: str | None
    dropped: int = 0
    failing: dict[str, int] = field(default_factory=dict)
    sinks: dict[str, HeldSink] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeldReader:
    """What the reader of one pipe holds.

    Attributes:
        key: Which pipe.
        inside: It is within an ANSI sequence.
        escape: Bytes that may begin one.
        capturing: It is within captured text.
        token: Bytes that may begin a token.
        captured: What is captured of a message that has not ended.
        last: What the latest piece was.
    """

    key: int
    inside: bool = False
    escape: bytes = b""
    capturing: bool = False
    token: bytes = b""
    captured: bytes = b""
    last: Part = Part.LOGGED


@dataclass(frozen=True, slots=True)
class HeldRate:
    """How far the lines of a process have used up what they may send (`log_rate`).

    Attributes:
        ends: The monotonic second at which the interval is over.
        left: Lines that may go out until then.
        suppressed: Lines that were not sent, and are not told.
        pid: Of the latest writer.
        invocation: Of the latest writer.
    """

    ends: float
    left: int
    suppressed: int
    pid: int
    invocation: str


@dataclass(frozen=True, slots=True)
class HeldOutlets:
    """Both channels of one process, and the readers of its pipes that hold something."""

    channels: dict[str, HeldChannel] = field(default_factory=dict)
    readers: tuple[HeldReader, ...] = ()
    rate: HeldRate | None = None

    @property
    def paths(self) -> list[str]:
        """The log files; generated ones among them must not be cleaned up."""
        return [channel.path for channel in self.channels.values() if channel.path is not None]


@dataclass(frozen=True, slots=True)
class HeldFile:
    """What waits for a FIFO or a terminal to take more.

    Attributes:
        path: What it is called.
        private: It is ours alone (see `files`).
        waiting: The bytes.
    """

    path: str
    waiting: bytes
    private: bool = False


class Threshold:
    """Decides when what is held is to be put on record again.

    At once, as long as it is little; what grows on and on because nobody takes it costs too much
    for that, and is recorded each time a quarter more has come, or half has gone.
    """

    __slots__ = ("_recorded",)

    def __init__(self) -> None:
        self._recorded = 0

    def passed(self, size: int) -> bool:
        """Return whether so many bytes are to be recorded; then they count as recorded."""
        before = self._recorded
        if size > _LITTLE_BYTES and before // 2 < size < before + before // 4:
            return False
        self._recorded = size
        return True
