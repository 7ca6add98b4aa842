"""Log files as the daemon holds them: one descriptor per path, however many channels name it.

Two programs may share one log file. Were it open twice, a rotation through one descriptor would
leave the other writing to the renamed file; so a path is opened once and counted (`OpenFiles`).

The position is counted, not asked for: `fstat` only when a file is opened and when it is due for
rotation, which also notices that somebody else truncated or moved it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import time
from collections.abc import Callable, Iterable

from sdsuper.logs.held import HeldFile, Threshold
from sdsuper.logs.outlet import Outlet, open_outlet
from sdsuper.logs.stage import Stage
from sdsuper.logs.trouble import Data, Trouble

STALLED_BYTES = 256 * 1024
"""With so much waiting for a full pipe, children's pipes are left unread: they slow down."""

WAITING_MAX_BYTES = 4 * 1024 * 1024
"""With so much waiting, further records are dropped: programs that ended left full pipes."""

_FINISH_STEP_S = 0.05

_EMPTY = bytearray()  # what waits for most; never written to


class LogFile:
    """One open file, FIFO or terminal. Made by `OpenFiles`.

    What a pipe has no room for waits in memory, up to a bound, and goes out with `flush` or with
    the next write. Regular files never have anything waiting.

    Attributes:
        path: Absolute path.
        position: Bytes in the file, as far as we know.
        users: How many sinks hold it.
    """

    __slots__ = (
        "_fd",
        "_files",
        "_late",
        "_outlet",
        "_private",
        "_send",
        "_waiting",
        "path",
        "position",
        "users",
    )

    def __init__(self, path: str, files: OpenFiles, *, private: bool) -> None:
        self.path = path
        self._files = files
        self.users = 0
        self._private = private
        self._waiting = _EMPTY
        self._late: Trouble | None = None  # of a flush: told with the next write
        self._use(self._open())

    def _open(self, mode: int = 0o666) -> Outlet:
        # A generated name lies in a folder like /tmp, where others may plant links.
        if self._private:
            return open_outlet(self.path, mode=0o600, follow=False)
        return open_outlet(self.path, mode=mode)

    def _use(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._fd = outlet.fd
        self._send = outlet.send
        self.position = outlet.size
        if self._private and outlet.regular:
            _mark_as_ours(outlet.fd)

    @property
    def rotatable(self) -> bool:
        """Whether it is a regular file with a name of its own."""
        return self._outlet.regular

    @property
    def waiting(self) -> int:
        """Bytes that wait for room in a pipe."""
        return len(self._waiting)

    def note(self, stage: Stage) -> None:
        """Let the stage know what the next write appends to, where that can be looked at again."""
        outlet = self._outlet
        if outlet.regular:
            # Asked for: a size that others changed meanwhile would be worse than none.
            stage.note(outlet.identity, os.lseek(outlet.fd, 0, os.SEEK_END))

    def write_to(self, path: str, data: Data) -> Trouble | None:
        """Append to this file by another name, or to one that was this until it was renamed."""
        if self._outlet.is_at(path):
            return self.write(data)
        try:
            outlet = open_outlet(path, follow=False)
        except OSError as error:
            return Trouble(error, len(data))
        try:
            written = outlet.send(outlet.fd, data)
        except OSError as error:
            return Trouble(error, len(data))
        finally:
            outlet.close()
        if written == len(data):
            return None
        return Trouble(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), len(data) - written)

    def write(self, data: Data) -> Trouble | None:
        """Append one record; return what went wrong, None when nothing did."""
        if self._waiting or self._late is not None:
            return self._write_behind(data)
        try:
            written = self._send(self._fd, data)
        except BlockingIOError:
            return self._wait(data)
        except OSError as error:
            return Trouble(error, len(data))
        self.position += written
        if written == len(data):
            return None
        return self._write_rest(memoryview(data)[written:])

    def _write_rest(self, rest: memoryview) -> Trouble | None:
        while rest:
            try:
                written = self._send(self._fd, rest)
            except BlockingIOError:
                return self._wait(rest)
            except OSError as error:
                return Trouble(error, len(rest))
            self.position += written
            rest = rest[written:]
        return None

    def _write_behind(self, data: Data) -> Trouble | None:
        if not self.flush():
            return self._wait(data)
        late, self._late = self._late, None
        trouble = self.write(data)
        if late is None or trouble is None:
            return trouble or late
        return Trouble(trouble.error, late.lost + trouble.lost)

    def _wait(self, data: Data) -> Trouble | None:
        if len(self._waiting) >= WAITING_MAX_BYTES:
            return Trouble(OSError(errno.EAGAIN, "nobody reads the other end"), len(data))
        if not self._waiting:
            self._files.begins_to_wait()
            self._waiting = bytearray()
        self._waiting += data
        self._files.holds()
        return None

    def held(self) -> HeldFile:
        """Return what waits for room in a pipe."""
        return HeldFile(self.path, bytes(self._waiting), self._private)

    def restore(self, held: HeldFile) -> None:
        """Let that wait."""
        self._waiting = self._waiting + held.waiting
        if self._waiting:
            self._files.begins_to_wait()

    def flush(self) -> bool:
        """Write what waits; return whether nothing waits any longer."""
        if not self._waiting:
            return True
        while self._waiting:
            try:
                written = self._send(self._fd, self._waiting)
            except BlockingIOError:
                return False
            except OSError as error:
                self._late = Trouble(error, len(self._waiting))
                self._waiting = _EMPTY
                break
            del self._waiting[:written]
        self._files.holds()
        return True

    def rotate(self, maxbytes: int, backups: int) -> Trouble | None:
        """Make room: shift the numbered backups, or truncate where there are to be none.

        Nothing is done where the file turns out to be short, because somebody truncated it. A file
        that was moved or deleted is opened anew. Source: Supervisor's behaviour.

        Args:
            maxbytes: The size that makes it due.
            backups: How many old files to keep.
        """
        if not self._outlet.regular:
            return None
        try:
            self.position = os.fstat(self._fd).st_size
            if not self._outlet.is_at(self.path):
                self.reopen()
            elif self.position < maxbytes:
                return None
            elif backups <= 0:
                os.ftruncate(self._fd, 0)
                self.position = 0
            else:
                self._shift(backups)
        except OSError as error:
            return Trouble(error, 0, "rotate")
        return None

    def _shift(self, backups: int) -> None:
        names = [self.path, *(f"{self.path}.{number}" for number in range(1, backups + 1))]
        # The first free number ends the shift: nothing beyond it has to move.
        last = next((n for n in range(1, backups) if not os.path.lexists(names[n])), backups)
        for number in range(last, 0, -1):
            try:
                os.rename(names[number - 1], names[number])
            except FileNotFoundError:
                continue  # somebody else was faster
        self._replace(self._open(self._outlet.mode))

    def refresh(self) -> None:
        """Open the file again if its path names another one by now, or none.

        Raises:
            OSError: It cannot be opened; the old file stays in use.
        """
        if self._outlet.regular and not self._outlet.is_at(self.path):
            self.reopen()

    def reopen(self) -> None:
        """Open the path again.

        Raises:
            OSError: It cannot be opened; the old file stays in use.
        """
        self._replace(self._open())

    def _replace(self, outlet: Outlet) -> None:
        old = self._outlet
        self._use(outlet)
        old.close()

    def truncate(self) -> None:
        """Empty the file that the path names now; what is not a regular file is left alone.

        Raises:
            OSError: It cannot be truncated.
        """
        if not self._outlet.regular:
            return
        truncate_at(self.path)
        self.position = os.fstat(self._fd).st_size

    def delete(self) -> None:
        """Delete the file and open it anew; what is not a regular file is left alone.

        Raises:
            OSError: It cannot be deleted or opened.
        """
        if not self._outlet.regular:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.reopen()

    def await_room(self, seconds: float) -> None:
        """Return when a full pipe may have room again, or after some time."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll(int(seconds * 1000))

    def close(self) -> None:
        """Close it; what still waits is lost."""
        self._outlet.close()


class OpenFiles:
    """All log files that are open, by path, with the number of their users.

    Attributes:
        on_waiting: Called when something begins to wait for a full pipe: let the loop call
            `flush` every few milliseconds until it returns True.
        on_held: Called when what `held` returns is no longer what it was, by much: put it on
            record.
    """

    def __init__(self) -> None:
        self._files: dict[str, LogFile] = {}
        self.on_waiting: Callable[[], None] | None = None
        self.on_held: Callable[[], None] | None = None
        self._recorded = Threshold()

    def begins_to_wait(self) -> None:
        """Something waits for a full pipe from now on."""
        if self.on_waiting is not None:
            self.on_waiting()

    def acquire(self, path: str, *, private: bool = False) -> LogFile:
        """Return the open file at `path`; give it back with `release`.

        Args:
            path: What to open; relative names are relative to the working directory of now.
            private: It is ours alone: mode 0600, and marked as in use (see `auto`).

        Raises:
            OSError: It cannot be opened.
        """
        absolute = os.path.abspath(path)
        path = path if path == absolute else absolute  # mostly the same: one object for both
        file = self._files.get(path)
        if file is None:
            file = self._add(path, private)
        else:
            file.refresh()
        file.users += 1
        return file

    def _add(self, path: str, private: bool) -> LogFile:
        file = self._files[path] = LogFile(path, self, private=private)
        return file

    def holds(self) -> None:
        """What waits has changed."""
        size = sum(file.waiting for file in self._files.values())
        if self.on_held is not None and self._recorded.passed(size):
            self.on_held()

    def held(self) -> tuple[HeldFile, ...]:
        """Return what waits for full pipes."""
        return tuple(file.held() for file in self._waiting())

    def restore(self, held: Iterable[HeldFile]) -> int:
        """Let that wait again; return how many bytes cannot, because they have nowhere to go."""
        lost = 0
        for each in held:
            try:
                file = self._files.get(each.path) or self._add(each.path, each.private)
            except OSError:
                lost += len(each.waiting)
            else:
                file.restore(each)
        return lost

    def release(self, file: LogFile) -> None:
        """Give a file back; it is closed when nobody uses it and nothing waits any longer."""
        file.users -= 1
        self._close_unused(file)

    def _close_unused(self, file: LogFile) -> None:
        if file.users == 0 and file.flush():
            del self._files[file.path]
            file.close()

    def flush(self) -> bool:
        """Write what waits for full pipes; return whether nothing waits any longer."""
        for file in self._waiting():
            file.flush()
            self._close_unused(file)
        return not self._waiting()

    def _waiting(self) -> list[LogFile]:
        return [file for file in self._files.values() if file.waiting]

    def finish(self, seconds: float) -> int:
        """Write what waits before the daemon ends; return how many bytes are lost.

        Args:
            seconds: The longest time to spend, whatever the readers of the pipes do.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self.flush():
            for file in self._waiting():
                file.await_room(min(left, _FINISH_STEP_S))
        return sum(file.waiting for file in self._waiting())


OPEN_FILES = OpenFiles()
"""The open log files of this process: two channels that name one file must meet somewhere."""


def truncate_at(path: str) -> None:
    """Empty the regular file at `path`; a file that is missing or of another kind is left alone.

    Raises:
        OSError: It cannot be truncated.
    """
    if not os.path.isfile(path):
        return
    os.truncate(path, 0)


def _mark_as_ours(fd: int) -> None:
    # The kernel drops the lock with the process: a daemon that cleans up can tell whose owner died.
    # On a file system without locks its logs look abandoned.
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
