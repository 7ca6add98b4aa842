"""Read the output of programs back from the journal, by helpers that are started when asked.

A search takes from 50 milliseconds to seconds, and libsystemd takes memory; the daemon has
neither to spare. So each query is a process: a few at a time, the others wait for their turn. It
ends with its answer, is killed when nobody waits for that any longer or when it takes too long,
and a stream's helper lives as long as its watcher.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from sdsuper import eventloop
from sdsuper.daemon.environment import inherited
from sdsuper.logs.readback import (
    CLEARED_ID,
    FAILED,
    READ_MAX_BYTES,
    SEARCH_SECONDS,
    Answer,
    Mark,
    Query,
    QueryError,
    ReadbackError,
    What,
)
from sdsuper.values import ExitStatus, Level, Namespec

READERS_MAX = 4
"""Searches at a time; what is more waits."""

WAITING_MAX = 64
"""Searches that wait; what is more is refused at once."""

FOLLOWERS_MAX = 32
"""Streams at a time: each holds a process of some 10 MiB."""

_TOLD_MAX = 20
_PRIORITY_INFO = 6  # syslog(3)
_PART_BYTES = 256 * 1024
_HEAD_BYTES_MAX = 4096
_END_SECONDS = 1.0
"""How long the end of the daemon waits for helpers that were killed."""

_BUSY = "too many others are reading the journal"
_TOO_LONG = f"the search in the journal took more than {SEARCH_SECONDS} seconds"

# The launcher's search path is its own, and nothing of the caller's environment may matter.
_FLAGS = ("-I", "-S", "-B")
_START = (
    "import sys; n = int(sys.argv[1]); sys.path[:] = sys.argv[2:n + 2]; "
    "from sdsuper.logs.journal_helper import main; main(sys.argv[n + 2:])"
)

Watch = Callable[[int, Callable[[ExitStatus], None]], None]
"""Calls back once, when a child of a pid has ended and was reaped."""


def helper_command(query: Query) -> list[str]:
    """Return the command line that answers a query."""
    return [
        sys.executable, *_FLAGS, "-c", _START, str(len(sys.path)), *sys.path, *query.to_words()
    ]  # fmt: skip


class Channel(NamedTuple):
    """One channel of one process."""

    process: Namespec
    channel: str


class _Position:
    """What is known of a channel: the latest mark. One query at a time may change it."""

    def __init__(self) -> None:
        self.mark: Mark | None = None
        self.lock = eventloop.Lock()


class Helper:
    """One helper at work, started now.

    Raises:
        OSError: It cannot be started.
        ValueError: A NUL byte in a name.

    Attributes:
        pid: Its pid.
        fd: What it writes; non-blocking.
        ended: Whether it was reaped.
    """

    def __init__(self, query: Query) -> None:
        import subprocess

        process = subprocess.Popen(
            helper_command(query),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=inherited(os.environ),
            bufsize=0,
            process_group=0,
        )
        process.returncode = 0  # whoever reaps it is not this object
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self.ended = False
        self._lifeline = process.stdin
        self._output = process.stdout
        self.fd = self._output.fileno()
        os.set_blocking(self.fd, False)

    async def output(self, enough: Callable[[bytearray], bool]) -> bytearray:
        """Return what it writes, up to its end or until that is enough."""
        loop = eventloop.get_running_loop()
        done: eventloop.Future[None] = eventloop.Future()
        written = bytearray()

        def readable() -> None:
            try:
                part = os.read(self.fd, _PART_BYTES)
            except BlockingIOError:
                return
            written.extend(part)
            if (not part or enough(written)) and not done.done():
                done.set_result(None)

        loop.add_reader(self.fd, readable)
        try:
            await done
        finally:
            loop.remove_reader(self.fd)
        return written

    def close(self) -> None:
        """End it, whatever it is doing."""
        if self._output.closed:
            return
        self._output.close()
        self._lifeline.close()
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)


class Following:
    """What a channel gains, as it comes.

    Attributes:
        first: What there is already.
        fd: Where the rest comes, until its end; non-blocking.
    """

    def __init__(self, helper: Helper, first: bytes) -> None:
        self._helper = helper
        self.first = first
        self.fd = helper.fd

    def close(self) -> None:
        """Follow no longer."""
        self._helper.close()


class Readback:
    """Asks helpers.

    Args:
        watch: Tells the end of a child that is no program's.
        report: Writes to the daemon's log.
        directory: Where the journal is, "" for systemd's own places.
    """

    def __init__(
        self, watch: Watch, report: Callable[[Level, str], None], directory: str = ""
    ) -> None:
        self._watch = watch
        self._report = report
        self._directory = directory
        self._positions: dict[Channel, _Position] = {}
        self._helpers: dict[int, Helper] = {}
        self._slots = eventloop.Semaphore(READERS_MAX)
        self._waiting = 0
        self._followers = 0
        self._told: set[str] = set()

    def forget(self, name: Namespec) -> None:
        """A process is configured no longer, or was cleared: its numbers mean nothing now."""
        for channel in ("stdout", "stderr"):
            self._positions.pop(Channel(name, channel), None)

    def close(self) -> None:
        """Kill all helpers, and reap those that end soon."""
        for helper in self._helpers.values():
            helper.close()
        deadline = time.monotonic() + _END_SECONDS
        while self._helpers and time.monotonic() < deadline:
            for pid in list(self._helpers):
                with contextlib.suppress(ChildProcessError):
                    if os.waitpid(pid, os.WNOHANG)[0] == 0:
                        continue
                del self._helpers[pid]
            time.sleep(0.001)

    # --- queries --------------------------------------------------------------------------------

    async def read(self, channel: Channel, offset: int, length: int) -> bytes:
        """Return what the read functions of the RPC show.

        Raises:
            ReadbackError: It cannot be read.
        """
        return (await self._ask("read", channel, offset, length)).data

    async def tail(self, channel: Channel, offset: int, length: int) -> Answer:
        """Return what the tail functions of the RPC show.

        Raises:
            ReadbackError: It cannot be read.
        """
        return await self._ask("tail", channel, offset, length)

    async def _ask(self, what: What, channel: Channel, offset: int, length: int) -> Answer:
        if self._waiting >= READERS_MAX + WAITING_MAX:
            raise self._trouble(ReadbackError(FAILED, _BUSY))
        # The last bytes have no number, so who asks for them waits for nobody who counts.
        counts = what == "tail" or offset >= 0
        position = self._positions.setdefault(channel, _Position()) if counts else _Position()
        self._waiting += 1
        try:
            with eventloop.timeout(SEARCH_SECONDS):
                async with position.lock:
                    query = self._query(what, channel, offset, length, position.mark)
                    answer = await self._answer(query)
        except TimeoutError:
            raise self._trouble(ReadbackError(FAILED, _TOO_LONG)) from None
        except ReadbackError as error:
            raise self._trouble(error) from None
        finally:
            self._waiting -= 1
        position.mark = answer.mark or position.mark
        return answer

    def _query(
        self, what: What, channel: Channel, offset: int, length: int, mark: Mark | None
    ) -> Query:
        process, group = channel.process.process, channel.process.group
        return Query(what, process, group, channel.channel, offset, length, mark, self._directory)

    async def _answer(self, query: Query) -> Answer:
        await self._slots.acquire()
        helper = self._start(query, self._slots.release)
        try:
            written = await helper.output(
                lambda written: len(written) > READ_MAX_BYTES + _HEAD_BYTES_MAX
            )
        finally:
            helper.close()
        return _parse(written)

    async def follow(self, channel: Channel) -> Following:
        """Begin to follow what a channel gains, from its last bytes on.

        Raises:
            ReadbackError: It cannot be read.
        """
        try:
            return await self._follow(self._query("follow", channel, 0, 0, None))
        except TimeoutError:
            raise self._trouble(ReadbackError(FAILED, _TOO_LONG)) from None
        except ReadbackError as error:
            raise self._trouble(error) from None

    async def _follow(self, query: Query) -> Following:
        if self._followers >= FOLLOWERS_MAX:
            raise ReadbackError(FAILED, _BUSY)
        self._followers += 1
        helper = self._start(query, self._stopped_following)
        try:
            with eventloop.timeout(SEARCH_SECONDS):
                written = await helper.output(lambda written: b"\n" in written)
            answer = _parse(written)
        except BaseException:
            helper.close()
            raise
        return Following(helper, answer.data)

    def _stopped_following(self) -> None:
        self._followers -= 1

    # --- helpers --------------------------------------------------------------------------------

    def _start(self, query: Query, gone: Callable[[], None]) -> Helper:
        """Start a helper; `gone` is called when there is none any more."""
        try:
            helper = Helper(query)
        except (OSError, ValueError) as error:
            gone()
            raise ReadbackError(FAILED, f"cannot start what reads the journal: {error}") from None
        self._helpers[helper.pid] = helper

        def ended(status: ExitStatus) -> None:
            helper.ended = True
            del self._helpers[helper.pid]
            gone()

        self._watch(helper.pid, ended)
        return helper

    def _trouble(self, error: ReadbackError) -> ReadbackError:
        """Tell the log what is wrong, each thing once: clients may ask again and again."""
        if str(error) not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(str(error))
            self._report(Level.WARN, f"output cannot be read back from the journal: {error}")
        return error


def clearing(name: Namespec) -> tuple[tuple[str, str | int], ...]:
    """Return the fields of the entry behind which the output of a process begins anew."""
    return (
        ("MESSAGE", f"cleared the output of {name}: what is older is not shown by tail"),
        ("MESSAGE_ID", CLEARED_ID),
        ("PRIORITY", _PRIORITY_INFO),
        ("SDSUPER_GROUP", name.group),
        ("SDSUPER_PROCESS", name.process),
    )


def _parse(written: bytearray) -> Answer:
    try:
        return Answer.from_bytes(bytes(written))
    except QueryError as error:
        raise ReadbackError(FAILED, str(error)) from None
