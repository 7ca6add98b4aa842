"""A regular file with rotation by size; also FIFOs, terminals and /dev/stdout, without it."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

from sdsuper.config.model import ChannelConfig
from sdsuper.logs.files import OPEN_FILES, STALLED_BYTES, LogFile, OpenFiles, truncate_at
from sdsuper.logs.held import HeldSink
from sdsuper.logs.outlet import names_descriptor
from sdsuper.logs.rate import LogRate
from sdsuper.logs.stage import Stage
from sdsuper.logs.trouble import Data, Trouble


class FileSink:
    """Appends records to a file, and rotates it after the record that made it too long.

    A record is never split, so a file may exceed `maxbytes` by one record. Source: Supervisor.

    Args:
        path: The file.
        maxbytes: Rotate when it is as long as this; 0 never.
        backups: Old files to keep, as `path.1` (the newest) and on; 0 truncates instead.
        private: Create it with mode 0600 and mark it as in use (a generated name).
        files: Where open files are shared.
    """

    __slots__ = ("_backups", "_file", "_files", "_maxbytes", "_private", "target")

    keeps = False  # what waits for a full pipe is the file's, which others may share
    holding = 0
    on_sent: Callable[[], None] | None = None  # never called

    def __init__(
        self,
        path: str,
        *,
        maxbytes: int,
        backups: int,
        private: bool = False,
        files: OpenFiles = OPEN_FILES,
    ) -> None:
        self.target = path
        self._maxbytes = maxbytes
        self._backups = backups
        self._private = private
        self._files = files
        self._file: LogFile | None = None

    def reconfigure(
        self, config: ChannelConfig, pattern: re.Pattern[bytes] | None, rate: LogRate | None
    ) -> None:
        """Rotate by other numbers, from the next record on."""
        self._maxbytes = config.logfile_maxbytes
        self._backups = config.logfile_backups

    def open(self) -> None:
        """Open it; when it is open, make sure that it is still the file of that name.

        Raises:
            OSError: It cannot be opened for writing.
        """
        if self._file is None:
            self._file = self._files.acquire(self.target, private=self._private)
        else:
            self._file.refresh()

    def write(self, data: Data) -> Trouble | None:
        """Append one record; return what went wrong, None when nothing did."""
        file = self._file
        if file is None:
            return _closed(data)
        trouble = file.write(data)
        if self._maxbytes and file.position >= self._maxbytes and file.rotatable:
            return trouble or file.rotate(self._maxbytes, self._backups)
        return trouble

    def write_staged(self, data: Data, stage: Stage) -> Trouble | None:
        """Append one record, noting in the stage where it begins, and that it is done."""
        file = self._file
        if file is None:
            stage.wrote()
            return _closed(data)
        file.note(stage)
        trouble = file.write(data)
        stage.wrote()  # whoever rotates is killed without harm
        if self._maxbytes and file.position >= self._maxbytes and file.rotatable:
            return trouble or file.rotate(self._maxbytes, self._backups)
        return trouble

    def write_rest(self, data: Data, stage: Stage) -> Trouble | None:
        """Append what is missing of a record, to the file where its beginning is."""
        rest, path = stage.rest(data, self.target)
        file = self._file
        if file is None or path is None:
            return self.write_staged(data, stage)
        trouble = file.write_to(path, rest) if rest else None
        stage.wrote()
        return trouble or self.settle()

    def settle(self) -> Trouble | None:
        """Rotate the file, if that is due."""
        file = self._file
        if file is None or not self._maxbytes or file.position < self._maxbytes:
            return None
        return file.rotate(self._maxbytes, self._backups)

    def held(self) -> HeldSink:
        """Return nothing."""
        return HeldSink()

    def restore(self, held: HeldSink) -> None:
        """Do nothing."""

    @property
    def position(self) -> int:
        """Bytes in the file."""
        return 0 if self._file is None else self._file.position

    @property
    def shared(self) -> bool:
        """Whether another channel has opened the file, too."""
        return self._file is not None and self._file.users > 1

    @property
    def stalled(self) -> bool:
        """Whether so much waits for a full pipe that no more should be read."""
        return self._file is not None and self._file.waiting >= STALLED_BYTES

    def flush(self) -> bool:
        """Write what waits for a full pipe; return whether nothing waits any longer."""
        return self._file is None or self._file.flush()

    def catch_up(self) -> None:
        """Write what waits for a full pipe."""
        self.flush()

    def reopen(self) -> None:
        """Open the path again, after outside rotation. Nothing happens while it is closed.

        Raises:
            OSError: It cannot be opened; the old file stays in use.
        """
        if self._file is not None:
            self._file.reopen()

    def clear(self) -> None:
        """Truncate the file, open or not; backups stay.

        Raises:
            OSError: It cannot be truncated.
        """
        if self._file is not None:
            self._file.truncate()
        elif not names_descriptor(self.target):
            truncate_at(self.target)

    def delete(self) -> None:
        """Delete the file and open it anew. Nothing happens while it is closed.

        Raises:
            OSError: It cannot be deleted or opened.
        """
        if self._file is not None:
            self._file.delete()

    def close(self) -> None:
        """Close it; what waits for a full pipe goes out later."""
        file, self._file = self._file, None
        if file is not None:
            self._files.release(file)


def _closed(data: Data) -> Trouble:
    return Trouble(OSError(errno.EBADF, "it is not open"), len(data))
