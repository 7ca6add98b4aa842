"""Where output goes: the protocol of a sink, and one row per sink."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from sdsuper.config.model import ChannelConfig
from sdsuper.dataclass import dataclass
from sdsuper.logs.held import HeldSink
from sdsuper.logs.origin import Origin
from sdsuper.logs.rate import LogRate
from sdsuper.logs.sinks.file import FileSink
from sdsuper.logs.sinks.journal import JournalSink
from sdsuper.logs.sinks.syslog import SyslogSink
from sdsuper.logs.stage import Stage
from sdsuper.logs.trouble import Data, Trouble


class Sink(Protocol):
    """One place that records go to. It never blocks, and its failure costs only its own records.

    Attributes:
        target: What to call it in messages.
        keeps: Whether it may hold something after a write, but for what a full pipe leaves.
        on_sent: Called when what waited is sent.
    """

    target: str
    keeps: bool
    on_sent: Callable[[], None] | None

    def reconfigure(
        self, config: ChannelConfig, pattern: re.Pattern[bytes] | None, rate: LogRate | None
    ) -> None:
        """Go on with other settings; see `Shared` for those of both channels."""

    @property
    def position(self) -> int:
        """Bytes in the file that it appends to, 0 where there is none."""

    @property
    def shared(self) -> bool:
        """Whether others write to the same file: what was one write must stay in one piece."""

    @property
    def holding(self) -> int:
        """Bytes that it holds, or 1 where what comes depends on what came."""

    def held(self) -> HeldSink:
        """Return what it holds."""

    def restore(self, held: HeldSink) -> None:
        """Go on from what another held."""

    @property
    def stalled(self) -> bool:
        """Whether so much waits to be taken that no more should be read for now."""

    def open(self) -> None:
        """Make ready for writing; when it is, check that it still is. Raises OSError."""

    def write(self, data: Data) -> Trouble | None:
        """Take one record, which is only lent; return what went wrong, None when nothing did."""

    def write_staged(self, data: Data, stage: Stage) -> Trouble | None:
        """As `write`, and let the stage know how far it is: it is one step."""

    def write_rest(self, data: Data, stage: Stage) -> Trouble | None:
        """As `write_staged`, in the place of a daemon that was killed within that step."""

    def settle(self) -> Trouble | None:
        """Do what is due after a write that was done by a daemon that was killed then."""

    def flush(self) -> bool:
        """The stream has ended: send on what is held; return whether nothing waits any longer."""

    def catch_up(self) -> None:
        """Send on what makes it stall, as far as that is possible now."""

    def reopen(self) -> None:
        """Follow an outside rotation; nothing happens while closed. Raises OSError."""

    def clear(self) -> None:
        """Forget what was recorded, open or not, as far as that is possible. Raises OSError."""

    def close(self) -> Trouble | None:
        """Let go until the next open; return what that lost."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What both channels of a process share.

    Attributes:
        pattern: Finds the level of a line.
        rate: How many lines the journal may get.
    """

    pattern: re.Pattern[bytes] | None = None
    rate: LogRate | None = None


NOTHING_SHARED = Shared()


def _file(origin: Origin, config: ChannelConfig, path: str | None, shared: Shared) -> Sink | None:
    if path is None:
        return None
    return FileSink(
        path,
        maxbytes=config.logfile_maxbytes,
        backups=config.logfile_backups,
        private=config.auto,
    )


def _syslog(origin: Origin, config: ChannelConfig, path: str | None, shared: Shared) -> Sink | None:
    return SyslogSink(process=origin.process) if config.syslog else None


def _journal(
    origin: Origin, config: ChannelConfig, path: str | None, shared: Shared
) -> Sink | None:
    if not config.journal:
        return None
    return JournalSink(origin, config, pattern=shared.pattern, rate=shared.rate)


SinkFactory = Callable[[Origin, ChannelConfig, str | None, Shared], Sink | None]
"""Makes a sink of (whose output, settings, path, what both channels share), or None where none is
wanted."""

SINKS: Mapping[str, SinkFactory] = {"file": _file, "syslog": _syslog, "journal": _journal}
