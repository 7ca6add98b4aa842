"""Kill, again and again, what reads a pipe into its sinks; let the next one go on; compare.

Run as `python -m tests.unit.logs.killing SCENARIO FOLDER ROUNDS SEED`: a small process, which is
cheap to fork. It writes lines into a pipe. Each of its children goes on where the last one
was killed, and lives for a random time: within the work on a chunk or within going on, wherever
that happens to be. What is to be recorded goes to a file in memory, as whole frames.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import random
import select
import signal
import socket
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sdsuper.config.model import ChannelConfig
from sdsuper.logs.channel import Channel
from sdsuper.logs.held import HeldChannel, HeldReader
from sdsuper.logs.journal import Journal
from sdsuper.logs.lines import CAPTURE_BEGIN, CAPTURE_END, AnsiStripper, CaptureSplitter, Part
from sdsuper.logs.reader import Reader
from sdsuper.logs.sinks import SINKS, SinkFactory
from sdsuper.logs.sinks.journal import STALLED_BYTES, JournalSink
from sdsuper.logs.stage import _LENGTH, _SEQUENCE, STAGE

KEYS = (2, 3)
PIPE_BYTES = 8192  # of those whose lines go to the journal
LETTERS = (b"abcdefghij", b"KLMNOPQRST")  # of each pipe: what is mixed is soon told apart


@dataclass(frozen=True)
class Scenario:
    """What is special about the way.

    Attributes:
        pipes: How many programs write, all to the same file.
        foreign: Somebody else appends to the file as well.
    """

    pipes: int = 1
    strip_ansi: bool = False
    capture: bool = False
    journal: bool = False
    rotate_at: int = 0
    foreign: bool = False
    line_bytes: int = 60


SCENARIOS = {
    "file": Scenario(),
    "long": Scenario(line_bytes=30000),
    "rotated": Scenario(rotate_at=20_000),
    "shared": Scenario(pipes=2, rotate_at=30_000),
    "foreign": Scenario(foreign=True),
    "stripped": Scenario(strip_ansi=True),
    "captured": Scenario(strip_ansi=True, capture=True, rotate_at=50_000),
    "journal": Scenario(journal=True, line_bytes=600),
    "everything": Scenario(
        pipes=2, strip_ansi=True, capture=True, journal=True, rotate_at=50_000, line_bytes=600
    ),
}


# --- what is recorded ---------------------------------------------------------------------------


@dataclass
class Recorded:
    """The latest of everything."""

    fed: int = 0
    channels: dict[int, HeldChannel] = field(default_factory=dict)
    readers: dict[int, HeldReader] = field(default_factory=dict)
    captured: dict[int, list[bytes]] = field(default_factory=dict)


class Store:
    """Frames in memory; one that is not whole is not there."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("store")

    def append(self, value: object) -> None:
        data = pickle.dumps(value)
        frame = len(data).to_bytes(4, "little") + zlib.crc32(data).to_bytes(4, "little") + data
        os.write(self.fd, frame)

    def read(self) -> Recorded:
        """Return what is recorded; what follows goes behind the last whole frame."""
        size = os.fstat(self.fd).st_size
        data = os.pread(self.fd, size, 0)
        recorded = Recorded()
        at = 0
        while at + 8 <= len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            body = data[at + 8 : at + 8 + length]
            if len(body) < length or zlib.crc32(body) != int.from_bytes(
                data[at + 4 : at + 8], "little"
            ):
                break
            at += 8 + length
            fed, channels, readers, captured = pickle.loads(body)
            recorded.fed = fed
            recorded.channels |= channels
            recorded.readers |= readers
            for key, messages in captured.items():
                recorded.captured.setdefault(key, []).extend(messages)
        os.ftruncate(self.fd, at)
        os.lseek(self.fd, at, os.SEEK_SET)
        return recorded

    def compact(self) -> dict[int, list[bytes]]:
        """Begin anew with what counts; return what was captured, which does no longer."""
        recorded = self.read()
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        self.append((recorded.fed, recorded.channels, recorded.readers, {}))
        return recorded.captured


# --- the victim ---------------------------------------------------------------------------------


class Victim:
    """Goes on where another was killed, and reads until it is, or until the end."""

    def __init__(
        self, scenario: Scenario, folder: Path, store: Store, pipes: list[int], fds: dict[str, int]
    ) -> None:
        recorded = store.read()
        self.store = store
        self.dirty: set[int] = set()
        self.captured: dict[int, list[bytes]] = {}
        self.readers: dict[int, Reader] = {}
        self.channels: dict[int, Channel] = {}
        self.journal = Journal(str(folder / "journal"))
        STAGE.close()
        STAGE.resume(fds, recorded.fed)
        STAGE.before_commit = self.flush
        for key, fd in zip(KEYS, pipes, strict=False):
            self.readers[key] = self.connect(key, fd, scenario, folder, recorded)
        assert STAGE.abandon() is None

    def connect(
        self, key: int, fd: int, scenario: Scenario, folder: Path, recorded: Recorded
    ) -> Reader:
        channel = self.channels[key] = Channel(
            process=f"p{key}",
            channel="stdout",
            config=ChannelConfig(
                capture_maxbytes=10000 if scenario.capture else 0,
                logfile_maxbytes=scenario.rotate_at,
                logfile_backups=5000,
                journal=scenario.journal,
            ),
            path=str(folder / "log"),
            strip_ansi=scenario.strip_ansi,
            report=lambda level, text: None,
            sinks=self.sinks(),
        )
        if key in recorded.channels:
            channel.restore(recorded.channels[key])
        channel.on_held = lambda: self.dirty.add(key)
        channel.open()

        def on_capture(data: bytes) -> None:
            self.captured.setdefault(key, []).append(data)
            self.dirty.add(key)

        reader = Reader(
            fd,
            channel,
            on_capture=on_capture,
            key=key,
            on_held=lambda: self.dirty.add(key),
        )
        self.readers[key] = reader
        if key in recorded.readers:
            reader.restore(recorded.readers[key])
        channel.attribute(100 + key, f"mark{key}")
        pending = STAGE.pending()
        if pending is not None and pending.key == key:
            reader.replay()
        return reader

    def sinks(self) -> dict[str, SinkFactory]:
        return {
            "file": SINKS["file"],
            "journal": lambda origin, config, path, shared: (
                JournalSink(origin, config, journal=self.journal) if config.journal else None
            ),
        }

    def flush(self) -> None:
        if not self.dirty:
            return
        channels = {key: self.channels[key].held() for key in self.dirty}
        readers = {key: self.readers[key].held() for key in self.dirty}
        captured, self.captured = self.captured, {}
        self.dirty.clear()
        self.store.append((STAGE.fed, channels, readers, captured))

    def run(self) -> None:
        """Read until the end of all pipes."""
        poll = select.poll()
        by_fd = {reader.fd: reader for reader in self.readers.values()}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        while by_fd:
            for fd, _ in poll.poll(1000):
                if not by_fd[fd].read_ready():
                    poll.unregister(fd)
                    by_fd.pop(fd).close()
            self.journal.flush()
            self.flush()
        deadline = time.monotonic() + 60
        while not self.journal.flush() and time.monotonic() < deadline:
            time.sleep(0.001)  # however slow whoever plays the journal is


# --- the torturer -------------------------------------------------------------------------------


class Torturer:
    """Writes, kills, compares."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.scenario = SCENARIOS[name]
        self.folder = folder
        self.random = random.Random(seed)
        self.store = Store()
        self.pipes = [os.pipe() for _ in range(self.scenario.pipes)]
        self.written = [bytearray() for _ in self.pipes]
        self.queued = [bytearray() for _ in self.pipes]
        self.numbers = [0 for _ in self.pipes]
        self.foreign = 0
        self.hits = 0
        self.captured: dict[int, list[bytes]] = {}
        self.sent: list[bytes] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "journal"))
        self.socket.setblocking(False)
        for reading, writing in self.pipes:
            os.set_blocking(reading, False)
            os.set_blocking(writing, False)
            if self.scenario.journal:  # the kernel holds ten entries for it: more only waits
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.pieces = 5 if self.scenario.journal else 100
        STAGE.open()
        self.fds = STAGE.fds()

    def line(self, pipe: int) -> bytes:
        self.numbers[pipe] += 1
        chance = self.random
        text = b"%d:%07d " % (pipe, self.numbers[pipe])
        text += LETTERS[pipe][: chance.randrange(10)] * chance.randrange(
            self.scenario.line_bytes // 5
        )
        if self.scenario.strip_ansi and chance.random() < 0.5:
            text += b"\x1b[31mred\x1b[0m"
        if self.scenario.capture and chance.random() < 0.2:
            text += CAPTURE_BEGIN + b"message %d" % self.numbers[pipe] + CAPTURE_END
        return text + b"\n"

    def feed(self, seconds: float) -> None:
        """Write for so long, in pieces that do not end where lines do."""
        deadline = time.monotonic() + seconds
        longest = 2 * self.scenario.line_bytes
        sizes = [self.random.randrange(1, longest) for _ in range(self.pieces)]
        while time.monotonic() < deadline:
            for size in sizes:
                pipe = size % len(self.pipes)
                if not self.push(pipe, self.queued[pipe][:size]):
                    break
            if self.scenario.foreign and self.random.random() < 0.5:
                self.append_foreign()
            self.take_entries()

    def prepare(self) -> None:
        """Have enough to write."""
        for pipe, queued in enumerate(self.queued):
            missing = 400 * self.scenario.line_bytes - len(queued)
            while missing > 0:
                line = self.line(pipe)
                queued += line
                missing -= len(line)

    def push(self, pipe: int, piece: bytearray) -> bool:
        """Write something; return whether there was room for it."""
        try:
            count = os.write(self.pipes[pipe][1], piece)
        except BlockingIOError:
            return False
        self.written[pipe] += piece[:count]
        del self.queued[pipe][:count]
        return True

    def append_foreign(self) -> None:
        self.foreign += 1
        fd = os.open(self.folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, b"[foreign %d]" % self.foreign)
        os.close(fd)

    def take_entries(self) -> None:
        while True:
            try:
                self.sent.append(self.socket.recv(65536))
            except BlockingIOError:
                return

    def round(self) -> None:
        self.prepare()
        pid = self.fork()
        before = STAGE._header[_SEQUENCE]
        if self.random.random() < 0.8:  # otherwise it is killed while it goes on
            for _ in range(100):
                self.feed(0.0005)
                if STAGE._header[_SEQUENCE] > before:
                    break
        self.feed(self.random.random() ** 2 * 0.002)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.collect()

    def collect(self) -> None:
        """Note what is on record, and whether something was on its way."""
        for key, messages in self.store.compact().items():
            self.captured.setdefault(key, []).extend(messages)
        for channel in self.store.read().channels.values():
            for sink in channel.sinks.values():
                waiting = sum(len(stretch.data) for stretch in sink.stretches)
                # A chunk more for each kill between what was sent and what is recorded of that.
                bound = STALLED_BYTES + 4 * PIPE_BYTES
                assert waiting < bound, f"{waiting} bytes wait, and the pipe is read on"
        poll = select.poll()
        poll.register(self.fds["stage-out"], select.POLLIN)
        self.hits += bool(STAGE._header[_LENGTH] or poll.poll(0))

    def fork(self) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            for _, writing in self.pipes:
                os.close(writing)
            reading = [pipe[0] for pipe in self.pipes]
            fds = {name: os.dup(fd) for name, fd in self.fds.items()}
            Victim(self.scenario, self.folder, self.store, reading, fds).run()
            os._exit(0)
        except BaseException:  # noqa: BLE001
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def finish(self) -> None:
        """Let the last one read to the end."""
        pid = self.fork()
        for pipe, (_, writing) in enumerate(self.pipes):
            while self.queued[pipe]:
                self.push(pipe, self.queued[pipe][:1000])
                self.take_entries()
            os.close(writing)
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            self.take_entries()
            time.sleep(0.001)
        assert ended == (pid, 0), "the last one failed"
        self.take_entries()
        self.collect()

    # --- comparing ------------------------------------------------------------------------------

    def check(self) -> None:
        for channel in self.store.read().channels.values():
            assert channel.dropped == 0, f"{channel.dropped} bytes dropped"
        names = [self.folder / "log"]
        while (following := self.folder / f"log.{len(names)}").exists():
            names.append(following)
        logged = b"".join(path.read_bytes() for path in reversed(names))
        for number in range(1, self.foreign + 1):
            assert logged.count(b"[foreign %d]" % number) == 1, "what others wrote"
            logged = logged.replace(b"[foreign %d]" % number, b"")
        expected = [expect(self.scenario, bytes(written)) for written in self.written]
        if len(self.pipes) == 1:
            same(logged, expected[0][0], "the file")
        else:
            check_mixed(logged, [text for text, _ in expected])
        for key, (_, messages) in zip(KEYS, expected, strict=False):
            found = self.captured.get(key, [])
            assert found == messages, f"captured {len(found)} of {len(messages)} messages"
        if self.scenario.journal:
            for key, (text, _) in zip(KEYS, expected, strict=False):
                self.check_journal(key, text)

    def check_journal(self, key: int, text: bytes) -> None:
        lines = [
            entry.rpartition(b"MESSAGE=")[2][:-1]
            for entry in self.sent
            if b"SDSUPER_PROCESS=p%d\n" % key in entry
        ]
        wanted = [line for line in text.split(b"\n") if line]
        assert at_least_once(lines, wanted), f"journal of p{key}"


def expect(scenario: Scenario, data: bytes) -> tuple[bytes, list[bytes]]:
    """Return what is to be in the file, and the messages that are to be captured."""
    stripper = AnsiStripper()

    def strip(piece: bytes) -> bytes:
        return stripper.feed(piece) + stripper.flush() if scenario.strip_ansi else piece

    if not scenario.capture:
        return strip(data), []
    logged, captured, messages = b"", b"", []
    splitter = CaptureSplitter()
    for part, piece in (*splitter.feed(data), *splitter.flush()):
        match part:
            case Part.LOGGED:
                logged += strip(piece)
            case Part.CAPTURED:
                captured += strip(piece)
            case Part.END:
                messages.append(captured)
                captured = b""
    return logged, messages


def same(found: bytes, expected: bytes, what: str) -> None:
    if found == expected:
        return
    pairs = enumerate(zip(found, expected, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(found), len(expected)))
    raise AssertionError(
        f"{what} differs at {at} of {len(expected)} (has {len(found)}): "
        f"{found[max(0, at - 100) : at + 100]!r} instead of "
        f"{expected[max(0, at - 100) : at + 100]!r}"
    )


def check_mixed(logged: bytes, texts: list[bytes]) -> None:
    """Take a file apart that two programs wrote to: each byte is the next of one of them."""
    one, other = texts
    assert len(logged) == len(one) + len(other), (
        f"{len(logged)} bytes instead of {len(one)} and {len(other)}"
    )
    ways = {0}  # how many bytes of the first may have come
    for at, byte in enumerate(logged):
        if len(ways) == 1:  # nearly always: that takes a fifth of the time
            (way,) = ways
            is_one = way < len(one) and one[way] == byte
            is_other = at - way < len(other) and other[at - way] == byte
            if is_one is not is_other:
                ways = {way + is_one}
                continue
        further = {way + 1 for way in ways if one[way : way + 1] == bytes((byte,))}
        further |= {way for way in ways if other[at - way : at - way + 1] == bytes((byte,))}
        ways = further
        assert ways, f"the shared file differs at {at}: {logged[max(0, at - 100) : at + 50]!r}"
    assert len(one) in ways, "the shared file is not whole"


def at_least_once(found: list[bytes], wanted: list[bytes]) -> bool:
    """Tell whether each line came, in order, and what came twice did so right behind."""
    position = 0
    known = {line: number for number, line in enumerate(wanted)}
    for line in found:
        number = known.get(line)
        assert number is not None, f"{line!r} after {wanted[max(0, position - 3) : position]}"
        assert number <= position, f"{wanted[position:number]} missing"
        position = max(position, number + 1)
    return position == len(wanted)


def main(words: list[str], tell: Callable[[str], object] = print) -> None:
    name, folder, rounds, seed = words
    torturer = Torturer(name, Path(folder), int(seed))
    for _ in range(int(rounds)):
        torturer.round()
    torturer.finish()
    torturer.check()
    sizes = [len(written) for written in torturer.written]
    tell(f"{name}: {rounds} kills, {torturer.hits} of them within a chunk, {sizes} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
