"""What the log plane holds, handed on: the result is as if nothing had happened."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.model import ChannelConfig, Rate
from sdsuper.logs.channel import Channel
from sdsuper.logs.files import OpenFiles
from sdsuper.logs.held import HeldChannel, HeldFile, HeldSink, Threshold
from sdsuper.logs.journal import Journal
from sdsuper.logs.lines import CAPTURE_BEGIN, CAPTURE_END
from sdsuper.logs.origin import Origin
from sdsuper.logs.rate import LogRate
from sdsuper.logs.reader import Reader
from sdsuper.logs.sinks import SINKS
from sdsuper.logs.sinks.file import FileSink
from sdsuper.logs.sinks.journal import JournalSink
from sdsuper.logs.sinks.syslog import SyslogSink
from sdsuper.logs.trouble import Data, Trouble

PIECES = [b"\x1b", b"[", b"3m", b"a", b"\n", b"<3>b", CAPTURE_BEGIN, CAPTURE_END, b"<!--XSUPER"]


class Sent(Journal):
    """A journal that takes an entry or not, as it is told to."""

    def __init__(self) -> None:
        super().__init__("/nonexistent")
        self.entries: list[bytes] = []
        self.takes = True

    def send(self, entry: bytes) -> bool:
        if self.takes:
            self.entries.append(entry)
        return self.takes


class Plane:
    """Reads one pipe into one channel; `hand_on` makes another one go on."""

    def __init__(self, folder: str) -> None:
        self.log = os.path.join(folder, "log")
        self.fd, self.end = os.pipe()
        self.journal = Sent()
        self.logged: list[bytes] = []
        self.captured: list[bytes] = []
        self._make()

    def _make(self) -> None:
        self.channel = Channel(
            process="cat",
            channel="stdout",
            config=ChannelConfig(capture_maxbytes=6, journal=True),
            path=self.log,
            strip_ansi=True,
            report=lambda level, text: None,
            sinks={
                "file": SINKS["file"],
                "journal": lambda origin, config, path, shared: JournalSink(
                    origin, config, journal=self.journal
                ),
            },
        )
        self.channel.attribute(7, "mark")
        self.channel.open()
        self.reader = Reader(
            self.fd,
            self.channel,
            on_log=self.logged.append,
            on_capture=self.captured.append,
        )

    def says(self, data: bytes) -> None:
        if data:
            os.write(self.end, data)
            self.reader.read_ready()

    def hand_on(self) -> None:
        held = pickle.loads(pickle.dumps((self.channel.held(), self.reader.held())))
        assert bool(self.channel.holding) == bool(held[0].sinks)
        sent = self.journal.entries
        self.journal.close()
        self.journal = Sent()
        self.journal.entries = sent
        self._make()
        self.channel.restore(held[0])
        self.reader.restore(held[1])
        assert (self.channel.held(), self.reader.held()) == held

    def finish(self) -> tuple[bytes, list[bytes], bytes, list[bytes]]:
        os.close(self.end)
        self.reader.close()
        self.journal.flush()
        self.channel.close()
        self.journal.close()
        with open(self.log, "rb") as file:
            return file.read(), self.captured, b"".join(self.logged), self.journal.entries


@given(st.lists(st.sampled_from(PIECES), max_size=30), st.lists(st.booleans(), max_size=30))
def test_it_does_not_matter_when_it_is_handed_on(pieces: list[bytes], when: list[bool]) -> None:
    results = []
    for hands_on in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            plane = Plane(folder)
            for piece, now in zip(pieces, when, strict=False):
                plane.says(piece)
                if hands_on and now:
                    plane.hand_on()
            results.append(plane.finish())
    assert results[0] == results[1]


def test_lines_that_wait_for_the_journal_go_on_waiting(tmp_path: Path) -> None:
    plane = Plane(str(tmp_path))
    plane.journal.takes = False
    plane.says(b"<3>one\ntwo\nthr")
    changes: list[int] = []
    plane.hand_on()
    plane.channel.on_held = lambda: changes.append(plane.channel.holding)
    assert not plane.journal.idle
    plane.journal.flush()
    assert [entry.rpartition(b"MESSAGE=")[2] for entry in plane.journal.entries] == [
        b"one\n",
        b"two\n",
    ]
    assert changes == [3]
    plane.says(b"ee\n")
    assert plane.journal.entries[-1].endswith(b"MESSAGE=three\n")
    assert plane.channel.holding == 0
    assert plane.channel.held() == HeldChannel(plane.log)
    plane.finish()


def test_a_refused_line_is_refused_to_its_end() -> None:
    journal, origin = Sent(), Origin("web")
    rate = LogRate(Rate(1, 60), origin, journal, lambda: 5.0)
    sink = JournalSink(origin, ChannelConfig(), rate=rate, journal=journal)
    sink.write(b"one\ntw")
    successor_rate = LogRate(Rate(1, 60), Origin("web"), journal, lambda: 9.0)
    held = rate.held()
    assert held is not None
    assert (held.ends, held.left, held.suppressed) == (65.0, 0, 1)
    successor_rate.restore(held)
    assert successor_rate.held() == held
    successor = JournalSink(origin, ChannelConfig(), rate=successor_rate, journal=journal)
    assert sink.holding == 1
    successor.restore(sink.held())
    successor.write(b"o\nthree\n")
    assert [entry.rpartition(b"MESSAGE=")[2] for entry in journal.entries] == [b"one\n"]
    successor_rate.tell()
    assert b"Suppressed 2 messages" in journal.entries[-1]
    assert LogRate(Rate(1, 60), origin, journal).held() is None
    journal.close()


def test_syslog_goes_on_within_a_line() -> None:
    sink = SyslogSink(process="web", address="/nonexistent")
    sink.write(b"half a li")
    assert sink.holding == 9
    successor = SyslogSink(process="web", address="/nonexistent")
    successor.restore(sink.held())
    trouble = successor.write(b"ne\n")
    assert trouble is not None
    assert trouble.lost == len(b"half a line")
    assert successor.held() == HeldSink()


class Failing(FileSink):
    works = False

    def write(self, data: Data) -> Trouble | None:
        return None if self.works else Trouble(OSError("full"), len(data))


def test_what_was_lost_is_still_known(tmp_path: Path) -> None:
    told: list[str] = []
    changes: list[int] = []

    def channel() -> Channel:
        made = Channel(
            process="cat",
            channel="stdout",
            config=ChannelConfig(),
            path="log",
            strip_ansi=False,
            report=lambda level, text: told.append(text),
            sinks={"file": lambda *_: Failing("log", maxbytes=0, backups=0)},
        )
        made.on_held = lambda: changes.append(made.dropped)
        return made

    first = channel()
    first.write(b"12345")
    assert changes == [5]
    second = channel()
    second.restore(pickle.loads(pickle.dumps(first.held())))
    second.write(b"678")
    assert second.dropped == 8
    assert len(told) == 1
    monkey = second._sinks[0]
    assert isinstance(monkey, Failing)
    monkey.works = True
    second.write(b"x")
    assert told[1].endswith("works again, 8 bytes were dropped")
    assert second.held() == HeldChannel("log", 8)


# --- files that have no room --------------------------------------------------------------------


def test_what_a_full_fifo_has_no_room_for_waits_on(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    files, successors = OpenFiles(), OpenFiles()
    changes: list[int] = []
    files.on_held = lambda: changes.append(sum(len(each.waiting) for each in files.held()))
    sink = FileSink(str(path), maxbytes=0, backups=0, files=files)
    sink.open()
    block = b"x" * 65536
    sink.write(block)
    assert files.held() == ()
    sink.write(b"waits")
    sink.write(b" too")
    assert changes == [5, 9]
    held = files.held()
    assert held == (HeldFile(str(path), b"waits too"),)
    waits: list[bool] = []
    successors.on_waiting = lambda: waits.append(True)
    assert successors.restore(held) == 0
    assert waits == [True]
    successor = FileSink(str(path), maxbytes=0, backups=0, files=successors)
    successor.open()
    assert os.read(reading, 65536) == block
    assert successor.write(b", and more") is None
    assert os.read(reading, 65536) == b"waits too, and more"
    successor.close()
    os.close(reading)


def test_what_waits_goes_out_though_nobody_writes_any_more(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    files = OpenFiles()
    changes: list[int] = []
    assert files.restore([HeldFile(str(path), b"last words")]) == 0
    files.on_held = lambda: changes.append(len(files.held()))
    assert files.flush()
    assert changes == [0]
    assert os.read(reading, 100) == b"last words"
    os.close(reading)
    assert files.restore([HeldFile(str(tmp_path / "no" / "fifo"), b"1234")]) == 4


# --- how often it is recorded -------------------------------------------------------------------


def test_what_is_little_is_recorded_each_time() -> None:
    threshold = Threshold()
    assert all(threshold.passed(size) for size in (1, 2, 2, 300, 0, 0, 400_000, 400_001))


@pytest.mark.parametrize("step", [100, 60_000])
def test_what_grows_on_and_on_is_recorded_seldom(step: int) -> None:
    threshold = Threshold()
    sizes = range(512 * 1024, 4 * 1024 * 1024, step)
    recorded = [size for size in sizes if threshold.passed(size)]
    assert len(recorded) <= 11
    assert threshold.passed(recorded[-1] // 2)
    assert threshold.passed(10)
