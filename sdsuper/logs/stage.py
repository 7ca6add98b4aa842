"""No byte lost or doubled between a pipe and a file, wherever the daemon is killed.

Theory of operation
-------------------
Who reads a pipe and is killed before it wrote what it read has lost that. So what is on its way is
kept where it outlives us: in a *staging pipe* and in a *memory file* (memfd), whose descriptors a
successor is handed. One chunk is on its way at a time:

1. *take*: the header says whose pipe it is (KEY) and gets a new number (SEQUENCE). `splice` moves
   bytes from that pipe to the staging pipe; the kernel does it whole or not at all, as far as a
   signal that kills is concerned. Their number is noted (LENGTH), then they are read from there
   into the buffer, which is in the memory file, too.
2. *write*: each record that the chunk becomes goes to each sink of its channel; these steps are
   numbered, and the last one that is done is noted (DONE). Before a step that appends to a regular
   file its device, inode and size are noted, and last, for which step that is (NOTED), which makes
   the note valid. Numbers of steps begin with that of the chunk: what an earlier one left is void.
3. *commit*: LENGTH becomes 0. Whatever is kept in memory after the chunk (`held`), and whoever was
   told of it, is put on record before that, by `before_commit`.

A successor finds one of these:

- LENGTH is 0, the staging pipe empty: nothing is on its way.
- LENGTH is 0, bytes in the staging pipe: killed within step 1, nothing is in the buffer yet.
- LENGTH is n, m bytes in the staging pipe: the first n - m are in the buffer, the rest follows.
- In the buffer, and SEQUENCE is not beyond what is on record: killed within step 3, all is done.
- Otherwise the chunk is fed again (`Reader.replay`), from what was held before it, and so it
  becomes the same records. The steps up to DONE are left out, but for sinks that keep something
  in memory. If the next one is NOTED, the file behind its noted size is compared with the record:
  what is there already is not written again.

A stream that ends while something of it is held is a chunk without bytes (LENGTH is `_END`).

The stores of one thread are seen in their order by whoever maps the memory after its death; a word
of 64 bits is stored at once.

*Not exact* is what cannot be looked at afterwards: a record that was on its way to the journal, to
syslog, to a FIFO or a terminal at that moment may come twice, never not at all. Where others append
to the same file, the record is looked for among what they wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import stat
import sys
import termios
from collections.abc import Callable, Mapping

from sdsuper.dataclass import dataclass
from sdsuper.logs.trouble import Data

STAGE_BYTES = 256 * 1024
"""The longest chunk."""

NAMES = ("stage-memory", "stage-out", "stage-in")
"""Of the descriptors: the memory file, the read end and the write end of the staging pipe."""

_MAGIC = int.from_bytes(b"sdstage1", "little")
_HEADER_BYTES = 4096
_FOREIGN_BYTES = 1024 * 1024  # how much of what others appended is searched

_CHANCE_BYTES = 16

_FORMAT, _SEQUENCE, _KEY, _LENGTH, _DONE, _NOTED, _DEV, _INO, _SIZE = range(9)
_END = 1 << 63
_STEP_BITS = 24  # a chunk has fewer bytes than that, and sinks are few


class StageError(Exception):
    """What was handed over is no stage of ours."""


@dataclass(frozen=True)
class Pending:
    """A chunk that was on its way when an earlier daemon was killed.

    Attributes:
        key: Whose it is.
        sequence: Its number.
        data: What was read; empty with `end`.
        end: The stream had ended, and what was held of it was being written.
    """

    key: int
    sequence: int
    data: bytes
    end: bool


class Stage:
    """The way of one chunk after another. Closed at first: then it has no part in anything.

    Attributes:
        ready: Whether `take` may be called: it is open, and nothing is on its way.
        sequence: The number of the latest chunk; it grows over all pipes and daemons.
        fed: The number of the latest chunk whose records, events and held text all are where they
            belong. Put it on record together with them, and give it to `resume`.
        before_commit: Called after a chunk that may have left something in memory, or told
            somebody something: put it on record.
        view: The buffer.
    """

    def __init__(self) -> None:
        self.ready = False
        self.sequence = 0
        self.fed = 0
        self.before_commit: Callable[[], None] | None = None
        self.replaying = False
        self._step = 0  # the last one that is done
        self._done = 0  # with `replaying`: the last one that an earlier daemon had done
        self._file = (0, 0)
        self._fds: tuple[int, int, int] | None = None
        self._pending: Pending | None = None
        self._map(None)

    def _map(self, memory: mmap.mmap | None) -> None:
        whole = memoryview(bytearray(_HEADER_BYTES) if memory is None else memory)
        self._header = whole[:_HEADER_BYTES].cast("Q")
        self.view = whole[_HEADER_BYTES:]
        self._buffers = (self.view,)

    @property
    def active(self) -> bool:
        """Whether it is open."""
        return self._fds is not None

    # --- descriptors ----------------------------------------------------------------------------

    def open(self) -> None:
        """Open a new one.

        Raises:
            OSError: There are no descriptors, or no memory.
        """
        memory = os.memfd_create("sdsuper-stage", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, _HEADER_BYTES + STAGE_BYTES)
            out, into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            os.close(memory)
            raise
        with contextlib.suppress(OSError):  # beyond the user's limit: chunks are shorter
            fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, STAGE_BYTES)
        self._use((memory, out, into))
        self._header[_FORMAT] = _MAGIC
        self.ready = True

    def _use(self, fds: tuple[int, int, int]) -> None:
        self._map(mmap.mmap(fds[0], _HEADER_BYTES + STAGE_BYTES))
        self._fds = fds
        self._file = (0, 0)
        _, self._out, self._into = fds

    def fds(self) -> dict[str, int]:
        """Return the descriptors that a successor needs, by name; empty while closed."""
        return {} if self._fds is None else dict(zip(NAMES, self._fds, strict=True))

    def resume(self, fds: Mapping[str, int], fed: int) -> None:
        """Go on with the stage of an earlier daemon.

        If a chunk was on its way, nothing can be taken until it is fed again, or abandoned.

        Args:
            fds: What `fds` returned there; they belong to the stage from now on.
            fed: What `fed` was when the store was last written.

        Raises:
            StageError: They are something else.
        """
        try:
            memory, out, into = (fds[name] for name in NAMES)
            if os.fstat(memory).st_size != _HEADER_BYTES + STAGE_BYTES:
                raise StageError("the memory of the stage has another size")
            if not all(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (out, into)):
                raise StageError("the staging pipe is none")
            self._use((memory, out, into))
            if self._header[_FORMAT] != _MAGIC:
                raise StageError("the memory of the stage has another format")
            self._find_pending(fed)
        except (KeyError, OSError, ValueError) as error:
            raise StageError(f"cannot go on with the stage: {error!r}") from None

    def _find_pending(self, fed: int) -> None:
        header = self._header
        in_pipe = _held_by(self._out)
        if header[_LENGTH] == 0 and in_pipe:
            header[_LENGTH] = in_pipe
        self.sequence = header[_SEQUENCE]
        self.fed = max(fed, self.sequence - 1)
        length = header[_LENGTH]
        end = length == _END
        if length and not end:
            self._fill(length - in_pipe, length)
        if length == 0 or self.sequence <= fed:
            self.fed = self.sequence
            self.commit()
            return
        data = b"" if end else bytes(self.view[:length])
        self._pending = Pending(header[_KEY], self.sequence, data, end)

    def close(self) -> None:
        """Close it; what is on its way is lost, unless another holds the descriptors."""
        self.ready = False
        self._pending = None
        self._map(None)
        for fd in self._fds or ():
            os.close(fd)
        self._fds = None

    # --- a chunk --------------------------------------------------------------------------------

    def take(self, fd: int, key: int, most: int = STAGE_BYTES) -> int:
        """Bring the next chunk of a pipe into `view`; return its length, 0 at the pipe's end.

        With bytes, `commit` must follow. The stage must be `ready`.

        Args:
            fd: The pipe, non-blocking.
            key: Says whose it is, to a successor.
            most: Bytes to take at most, up to STAGE_BYTES.

        Raises:
            BlockingIOError: There is nothing to take.
            OSError: It is no pipe, or an end that is gone.
        """
        header = self._header
        self.sequence = header[_SEQUENCE] = sequence = self.sequence + 1
        self._step = sequence << _STEP_BITS
        header[_KEY] = key
        count = os.splice(fd, self._into, most, None, None, os.SPLICE_F_NONBLOCK)
        if count:
            header[_LENGTH] = count
            self.ready = False
            if os.readv(self._out, self._buffers) != count:
                self._fill(count - _held_by(self._out), count)
        return count

    def _fill(self, start: int, end: int) -> None:
        # A pipe in packet mode gives one packet at a time.
        while start < end:
            start += os.readv(self._out, (self.view[start:end],))

    def begin_end(self, key: int) -> None:
        """Begin a chunk without bytes: a stream has ended. `commit` must follow."""
        header = self._header
        self.sequence = header[_SEQUENCE] = sequence = self.sequence + 1
        self._step = sequence << _STEP_BITS
        header[_KEY] = key
        header[_LENGTH] = _END
        self.ready = False

    def note(self, file: tuple[int, int], size: int) -> None:
        """The next step appends to a file.

        Args:
            file: Its device and inode.
            size: Bytes in it now.
        """
        header = self._header
        if file is not self._file:
            header[_DEV], header[_INO] = self._file = file
        header[_SIZE] = size
        header[_NOTED] = self._step + 1

    def wrote(self) -> None:
        """A step is done, well or not."""
        self._header[_DONE] = self._step = self._step + 1

    def commit(self) -> None:
        """The chunk is where it belongs."""
        self._header[_LENGTH] = 0
        self.ready = True

    def settle(self) -> None:
        """Let what the chunk left in memory be put on record."""
        self.fed = self.sequence
        if self.before_commit is not None:
            self.before_commit()

    # --- a chunk of an earlier daemon -----------------------------------------------------------

    def pending(self) -> Pending | None:
        """Return the chunk that was on its way, None when there is none."""
        return self._pending

    def begin_replay(self) -> Pending:
        """Begin to feed the pending chunk again. `commit` must follow."""
        pending, self._pending = self._pending, None
        assert pending is not None
        self._step = pending.sequence << _STEP_BITS
        self._done = self._header[_DONE]
        self.replaying = True
        return pending

    def end_replay(self) -> None:
        """All its records were given out."""
        self.replaying = False

    def abandon(self) -> Pending | None:
        """Give up the chunk that was on its way, if there is one; return it."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self.fed = self.sequence
            self.commit()
        return pending

    def step_was_done(self) -> bool:
        """While `replaying`, tell whether the next step was done before; if so, it is now."""
        if self._step < self._done:
            self._step += 1
            return True
        self.replaying = False
        return False

    def rest(self, data: Data, path: str) -> tuple[Data, str | None]:
        """Return what of a record is not in its file yet, and where that file is.

        Args:
            data: The record, whose step was not done.
            path: The file's name when the step began; it may have been renamed in its folder.

        Returns:
            The rest, and the path; None where the step was not begun, or the file is gone.
        """
        header = self._header
        if header[_NOTED] != self._step + 1:
            return data, None
        found = _find(path, header[_DEV], header[_INO])
        if found is None:
            return data, None
        return _missing(bytes(data), found, header[_SIZE]), found


def _held_by(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _find(path: str, dev: int, ino: int) -> str | None:
    """Return the path of a file that had a path, and may have been renamed."""
    path = os.path.realpath(path)
    with contextlib.suppress(OSError):
        info = os.stat(path)
        if (info.st_dev, info.st_ino) == (dev, ino):
            return path
    with contextlib.suppress(OSError), os.scandir(os.path.dirname(path)) as entries:
        for entry in entries:
            if entry.inode() == ino and entry.stat(follow_symlinks=False).st_dev == dev:
                return entry.path
    return None


def _missing(data: bytes, path: str, size: int) -> bytes:
    """Return what of a record is not in a file whose size was noted before it was appended."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return data
    with open(fd, "rb") as file:
        file.seek(size)
        behind = file.read(len(data) + _FOREIGN_BYTES)
    if data.startswith(behind):
        return data[len(behind) :]
    return data[_written(data, behind, size) :]


def _written(data: bytes, behind: bytes, size: int) -> int:
    """Return how much of a record is in a file that others append to as well.

    A write that a signal cuts off ends with a page. So few bytes that they may be there by chance
    count as not written: better twice than never.

    Args:
        data: The record.
        behind: What was appended since.
        size: Where that begins in the file.
    """
    borders = _borders(data)
    matched = longest = 0
    for position, byte in enumerate(behind, size + 1):
        while matched and byte != data[matched]:
            matched = borders[matched - 1]
        matched += byte == data[matched]
        if matched == len(data):
            return matched
        if position % mmap.PAGESIZE == 0 or position == size + len(behind):
            longest = max(longest, matched)
    return longest if longest >= _CHANCE_BYTES else 0


def _borders(data: bytes) -> list[int]:
    """Return the lengths of what each beginning of a text both begins and ends with.

    Source: Knuth, Morris and Pratt's way to search.
    """
    borders = [0] * len(data)
    matched = 0
    for position in range(1, len(data)):
        while matched and data[position] != data[matched]:
            matched = borders[matched - 1]
        matched += data[position] == data[matched]
        borders[position] = matched
    return borders


STAGE = Stage()
"""The stage of this process: one thread reads all pipes. It is closed where nobody would hold its
descriptors when we are killed."""
