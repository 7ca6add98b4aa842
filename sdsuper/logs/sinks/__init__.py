"""Where output goes: the protocol of a sink, and one row per sink."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sdsuper.config.model import ChannelConfig
from sdsuper.logs.origin import Origin
from sdsuper.logs.rate import LogRate
from sdsuper.logs.sinks.file import FileSink
from sdsuper.logs.sinks.journal import JournalSink
from sdsuper.logs.sinks.syslog import SyslogSink
from sdsuper.logs.trouble import Data, Trouble


class Sink(Protocol):
    """One place that records go to. It never blocks, and its failure costs only its own records.

    Attributes:
        target: What to call it in messages.
    """

    target: str

    @property
    def stalled(self) -> bool:
        """Whether so much waits to be taken that no more should be read for now."""

    def open(self) -> None:
        """Make ready for writing; when it is, check that it still is. Raises OSError."""

    def write(self, data: Data) -> Trouble | None:
        """Take one record, which is only lent; return what went wrong, None when nothing did."""

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


@dataclass(frozen=True)
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
