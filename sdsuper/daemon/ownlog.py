"""The daemon's own log: Supervisor's lines to the file."""

from __future__ import annotations

import contextlib
import time

from sdsuper.daemon.ownjournal import OwnJournal
from sdsuper.logs.files import OPEN_FILES
from sdsuper.logs.journal import JOURNAL
from sdsuper.logs.sinks import Sink
from sdsuper.logs.sinks.file import FileSink
from sdsuper.logs.sinks.syslog import SyslogSink
from sdsuper.values import Level

_CODES = {
    Level.CRITICAL: "CRIT",
    Level.ERROR: "ERRO",
    Level.WARN: "WARN",
    Level.INFO: "INFO",
    Level.DEBUG: "DEBG",
    Level.TRACE: "TRAC",
    Level.BLATHER: "BLAT",
}
_NS_PER_SECOND = 1_000_000_000
_NS_PER_MS = 1_000_000
_FINISH_S = 0.5


class OwnLog:
    """Writes `YYYY-MM-DD HH:MM:SS,mmm LEVL message` to the file (rotated), stdout or syslog.

    Source: Supervisor's format; times are local, milliseconds truncated.

    Args:
        level: The least severe level that is written.
        path: The file; None for none.
        maxbytes: Rotate the file when it is as long as this; 0 never.
        backups: Old files to keep; 0 truncates instead.
        echo: Also write to stdout.
        syslog: Also send to syslog.
        journal: Also send to the journal, as entries with a priority; None: not there.

    Attributes:
        level: The least severe level that is written.
        path: The file's path, None where the log is not a file.
        dropped: Bytes that could not be written somewhere.
        journal: Takes entries for the journal, None where the log does not go there.
    """

    level: Level
    path: str | None

    def __init__(
        self,
        *,
        level: Level,
        path: str | None,
        maxbytes: int,
        backups: int,
        echo: bool,
        syslog: bool,
        journal: OwnJournal | None = None,
    ) -> None:
        self.level = level
        self.path = path
        self.dropped = 0
        self.journal = journal
        self._second = -1
        self._stamp = ""
        self._file: FileSink | None = None
        self._sinks: list[Sink] = []
        if echo:
            self._sinks.append(FileSink("/dev/stdout", maxbytes=0, backups=0))
        if path is not None:
            self._file = FileSink(path, maxbytes=maxbytes, backups=backups)
            self._sinks.append(self._file)
        if syslog:
            self._sinks.append(SyslogSink())

    def open(self) -> None:
        """Open the log.

        Raises:
            OSError: The file cannot be opened for writing. A closed stdout is no error.
        """
        for sink in self._sinks:
            try:
                sink.open()
            except OSError:
                if sink is self._file:
                    raise

    def log(self, level: Level, message: str) -> None:
        """Write one message. Never raises: a log that cannot be written must harm nothing."""
        if level < self.level:
            return
        now = time.time_ns()
        line = f"{self._time(now)},{now // _NS_PER_MS % 1000:03d} {_CODES[level]} {message}\n"
        record = _encode(line)
        for sink in self._sinks:
            trouble = sink.write(record)
            if trouble is not None:
                self.dropped += trouble.lost
        if self.journal is not None:
            self.journal.log(level, message)

    def _time(self, now: int) -> str:
        second = now // _NS_PER_SECOND
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._second = second
        return self._stamp

    def reopen(self) -> None:
        """Close and open the file again (after outside rotation). Never raises."""
        for sink in self._sinks:
            with contextlib.suppress(OSError):  # the old file stays in use
                sink.reopen()

    def clear(self) -> None:
        """Delete the file and open it anew.

        Raises:
            OSError: It cannot be deleted or opened.
        """
        if self._file is not None:
            self._file.delete()

    def close(self) -> None:
        """Close it; what a full pipe has not taken yet, of any log, gets a moment's time."""
        for sink in self._sinks:
            trouble = sink.close()
            if trouble is not None:
                self.dropped += trouble.lost
        self.dropped += OPEN_FILES.finish(_FINISH_S)
        self.dropped += JOURNAL.finish(_FINISH_S)


def _encode(line: str) -> bytes:
    try:
        return line.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return line.encode("utf-8", "backslashreplace")
