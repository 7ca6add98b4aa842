"""Readers and channels: from a pipe to the file, to listeners, and through trouble."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.logs.channel import Channel
from sdsuper.logs.lines import CAPTURE_BEGIN, CAPTURE_END
from sdsuper.logs.reader import READ_BYTES, ROUNDS_MAX, Reader
from sdsuper.logs.trouble import Data, Trouble
from sdsuper.values import Level
from tests.unit.logs.pipes import Bench


def test_a_chunk_is_in_the_file_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.says(b"Password: ")
    assert bench.log.read_bytes() == b"Password: "
    bench.ends()


def test_nothing_to_read_is_not_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.reader.read_ready()
    assert bench.reader.drain()
    bench.ends()


def test_the_end_is_told_when_all_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    os.write(bench.end, b"last words")
    os.close(bench.end)
    assert bench.reader.read_ready()
    assert not bench.reader.read_ready()
    assert bench.log.read_bytes() == b"last words"
    bench.reader.close()


def test_without_a_file_listeners_still_hear(tmp_path: Path) -> None:
    bench = Bench(tmp_path, path=None, listens=True)
    bench.says(b"x")
    bench.ends()
    assert bench.logged == [b"x"]
    assert bench.channel.path is None
    assert os.listdir(tmp_path) == []


def test_readers_of_one_channel_keep_their_states_apart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, strip_ansi=True)
    fd, end = os.pipe()
    other = Reader(fd, bench.channel)
    bench.says(b"a\x1b[")
    os.write(end, b"b")
    other.read_ready()
    bench.says(b"31mc")
    assert bench.log.read_bytes() == b"abc"
    os.close(end)
    other.close()
    bench.ends()


def test_close_gives_out_what_was_held_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, strip_ansi=True, capture_maxbytes=10, listens=True)
    bench.says(b"x<!--XSUPER")
    assert bench.log.read_bytes() == b"x"
    bench.ends()
    assert bench.log.read_bytes() == b"x<!--XSUPER"
    bench = Bench(tmp_path, strip_ansi=True, listens=True)
    bench.says(b"y\x1b")
    bench.ends()
    assert bench.log.read_bytes() == b"x<!--XSUPERy\x1b"
    assert b"".join(bench.logged) == b"y\x1b"


def test_capture(tmp_path: Path) -> None:
    bench = Bench(tmp_path, strip_ansi=True, capture_maxbytes=10, listens=True)
    bench.says(b"log " + CAPTURE_BEGIN + b"\x1b[1m0123456")
    bench.says(b"789abcdef" + CAPTURE_END + b"more" + CAPTURE_BEGIN + CAPTURE_END)
    bench.says(CAPTURE_BEGIN + b"without end")
    bench.ends()
    assert bench.log.read_bytes() == b"log more"
    assert bench.captured == [b"6789abcdef", b""]
    assert b"".join(bench.logged) == b"log 0123456789abcdefmorewithout end"


def test_tokens_mean_nothing_without_capture(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.says(CAPTURE_BEGIN + b"x" + CAPTURE_END)
    bench.ends()
    assert bench.log.read_bytes() == CAPTURE_BEGIN + b"x" + CAPTURE_END
    assert bench.captured == []


@given(st.lists(st.sampled_from([b"\x1b", b"[", b"3m", b"a", CAPTURE_BEGIN, CAPTURE_END])))
def test_the_whole_way_does_not_depend_on_the_chunks(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("way")
    results = []
    for chunks in ([b"".join(pieces)], pieces):
        bench = Bench(folder, strip_ansi=True, capture_maxbytes=5, listens=True)
        for chunk in chunks:
            bench.says(chunk)
        bench.ends()
        results.append((bench.log.read_bytes(), bench.captured, b"".join(bench.logged)))
        bench.log.unlink()
    assert results[0] == results[1]


# --- bounds -----------------------------------------------------------------------------------


class Endless(Channel):
    """A channel behind which somebody writes on, each time something was read."""

    __slots__ = ()
    end = -1
    more = b"more"

    def write(self, data: Data) -> None:
        super().write(data)
        os.write(self.end, self.more)


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    bench.channel.__class__ = Endless
    monkeypatch.setattr(Endless, "end", bench.end)
    return bench


def test_drain_ends_while_somebody_writes_on(endless: Bench) -> None:
    os.write(endless.end, b"before")
    assert endless.reader.drain()
    assert endless.log.read_bytes() == b"beforemore"


def test_one_call_reads_a_bounded_amount(endless: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl.fcntl(endless.end, fcntl.F_SETPIPE_SZ, 1 << 20)
    monkeypatch.setattr(Endless, "more", bytes(READ_BYTES))
    os.write(endless.end, bytes(1 << 20))
    assert endless.reader.read_ready()
    assert endless.log.stat().st_size == READ_BYTES * ROUNDS_MAX


class Clock:
    """The time as readers see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("sdsuper.logs.reader.time.monotonic", lambda: self.now)

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_reads_that_follow_closely_ask_for_a_pause(tmp_path: Path, clock: Clock) -> None:
    bench = Bench(tmp_path)
    bench.says(b"lone line\n")
    assert bench.reader.pause is None
    clock.passes(0.0005)
    bench.says(b"another\n")
    assert bench.reader.pause == 0.002
    clock.passes(0.0025)
    bench.says(b"x" * 20_000)
    assert bench.reader.pause == 0.002
    clock.passes(0.0025)
    assert bench.reader.read_ready()
    assert bench.reader.pause is None  # nothing came: it is watched again
    clock.passes(1.0)
    bench.says(b"lone again\n")
    assert bench.reader.pause is None
    bench.ends()


def test_a_full_pipe_is_made_larger_and_read_on(tmp_path: Path, clock: Clock) -> None:
    bench = Bench(tmp_path)
    bench.says(b"line\n")
    clock.passes(0.0005)
    bench.says(b"x" * 40_000)  # a small pipe is left alone even so: full, it tells more
    assert bench.reader.pause == 0.001
    clock.passes(0.0015)
    bench.says(b"x" * 60_000)
    assert bench.reader.pause == 0.0
    assert fcntl.fcntl(bench.end, fcntl.F_GETPIPE_SZ) == 1 << 20
    clock.passes(0.0001)
    bench.says(b"x" * 60_000)  # 600 MB/s
    assert bench.reader.pause == 0.001
    clock.passes(0.0001)
    bench.says(b"x" * 200_000)
    assert bench.reader.pause == 0.0
    bench.ends()


def test_a_pipe_is_made_larger_however_long_its_reader_was_away(
    tmp_path: Path, clock: Clock
) -> None:
    bench = Bench(tmp_path)
    clock.passes(1.0)
    bench.says(b"x" * 60_000)
    assert bench.reader.pause == 0.0
    assert fcntl.fcntl(bench.end, fcntl.F_GETPIPE_SZ) == 1 << 20
    clock.passes(0.0001)
    assert bench.reader.read_ready()
    assert bench.reader.pause is None
    bench.ends()


def test_few_pipes_are_made_larger(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reader, "_large_pipes", 0)
    sizes = []
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            for number in range(40):
                bench = Bench(tmp_path, path=str(tmp_path / str(number)))
                stack.callback(bench.ends)
                bench.says(b"line\n")
                bench.says(b"x" * 60_000)
                sizes.append(fcntl.fcntl(bench.end, fcntl.F_GETPIPE_SZ))
                assert bench.reader.pause == 0.0
    assert sizes == 2 * (32 * [1 << 20] + 8 * [1 << 16])


def test_what_has_gathered_is_written_in_whole_blocks(tmp_path: Path, clock: Clock) -> None:
    bench = Bench(tmp_path)
    fcntl.fcntl(bench.end, fcntl.F_SETPIPE_SZ, 1 << 20)
    bench.says(b"x" * 1000)
    assert bench.log.stat().st_size == 1000
    bench.says(b"x" * 300_000)
    assert bench.log.stat().st_size == READ_BYTES
    assert bench.reader.read_ready()  # what is left is no reason to wait for more
    assert bench.log.stat().st_size == 301_000
    bench.says(b"x" * 200_000)
    assert bench.log.stat().st_size == 501_000
    bench.says(b"x" * 800_000)
    assert bench.log.stat().st_size == 501_000 // 65536 * 65536 + 3 * READ_BYTES
    assert bench.reader.drain()
    assert bench.log.stat().st_size == 1_301_000
    bench.ends()


def test_where_others_write_to_the_same_file_lines_stay_whole(tmp_path: Path, clock: Clock) -> None:
    one, two = Bench(tmp_path), Bench(tmp_path)
    for _ in range(50):
        for bench in (one, two):
            bench.says(b"".join(b"%07d\n" % number for number in range(8_000)))
            assert fcntl.fcntl(bench.end, fcntl.F_GETPIPE_SZ) == 1 << 16
            assert bench.log.stat().st_size % 64_000 == 0
    two.ends()
    one.says(b"x" * 60_000)
    assert fcntl.fcntl(one.end, fcntl.F_GETPIPE_SZ) == 1 << 20  # it is alone now
    one.ends()


def test_a_pipe_that_is_left_alone_is_asked_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    stalled = True
    monkeypatch.setattr(Channel, "stalled", property(lambda self: stalled))
    bench = Bench(tmp_path)
    pauses: list[float] = []
    for _ in range(200):
        assert bench.says(b"x")
        assert bench.reader.pause is not None
        pauses.append(bench.reader.pause)
        clock.passes(bench.reader.pause)
    assert pauses == sorted(pauses)
    assert 0 < pauses[0] < pauses[-1] == pauses[-2] < 1
    stalled = False
    assert bench.says(b"x")
    stalled = True
    assert bench.says(b"x")
    assert bench.reader.pause == pauses[0]
    stalled = False
    bench.ends()
    assert bench.log.read_bytes() == b"x" * 202


def test_a_terminal_ends_when_its_other_side_is_gone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ours, theirs = os.openpty()
    reader = Reader(ours, bench.channel)
    os.write(theirs, b"hello")
    assert reader.read_ready()
    os.close(theirs)
    assert not reader.read_ready()
    reader.close()
    bench.ends()
    assert bench.log.read_bytes() == b"hello"


# --- trouble ----------------------------------------------------------------------------------


class Flaky:
    """A sink that fails when told to."""

    target = "flaky"
    position = 0
    shared = False
    stalled = False
    failing = False

    def __init__(self) -> None:
        self.got = b""

    def open(self) -> None: ...

    def write(self, data: Data) -> Trouble | None:
        if self.failing:
            return Trouble(OSError(errno.ENOSPC, "No space left on device"), len(data))
        self.got += data
        return None

    def flush(self) -> bool:
        return True

    def reopen(self) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    def clear(self) -> None: ...

    def close(self) -> None: ...


def test_a_failing_sink_is_told_once_until_it_works_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    flaky = Flaky()
    bench.channel._sinks = (flaky, *bench.channel._sinks)
    flaky.failing = True
    bench.says(b"one ")
    bench.says(b"two ")
    assert bench.channel.dropped == 8
    text = "'cat' stdout: cannot write flaky: [Errno 28] No space left on device"
    assert bench.reports == [(Level.CRITICAL, text)]
    flaky.failing = False
    bench.says(b"three")
    assert bench.reports[1:] == [
        (Level.WARN, "'cat' stdout: flaky works again, 8 bytes were dropped")
    ]
    bench.says(b"!")
    assert len(bench.reports) == 2
    bench.ends()
    assert bench.log.read_bytes() == b"one two three!"
    assert flaky.got == b"three!"


def test_a_full_disk_does_not_stop_the_reading(tmp_path: Path) -> None:
    bench = Bench(tmp_path, path="/dev/full")
    for _ in range(3):
        assert bench.says(b"x" * 1000)
    bench.ends()
    assert bench.channel.dropped == 3000
    assert len(bench.reports) == 1


def test_a_failed_reopen_is_reported(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.channel._sinks = (Flaky(), *bench.channel._sinks)
    bench.channel.reopen()
    text = "'cat' stdout: cannot reopen flaky: [Errno 13] Permission denied"
    assert bench.reports == [(Level.CRITICAL, text)]
    bench.ends()


def test_open_raises_and_works_later(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.ends()
    bench.log.unlink()
    bench.log.mkdir()
    with pytest.raises(IsADirectoryError):
        bench.channel.open()
    bench.log.rmdir()
    bench.channel.open()
    bench.channel.write(b"x")
    assert bench.log.read_bytes() == b"x"
    bench.channel.close()


def test_a_stalled_pipe_slows_the_child_down_and_loses_nothing(tmp_path: Path) -> None:
    target = tmp_path / "fifo"
    os.mkfifo(target)
    bench = Bench(tmp_path, path=str(target))
    watcher = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
    line = b"0123456789abcdef" * 4096
    written = 0
    os.set_blocking(bench.end, False)
    while True:
        try:
            written += os.write(bench.end, line)
        except BlockingIOError:
            break
        assert bench.reader.read_ready()
        assert written < 16 * 1024 * 1024
    assert bench.channel.stalled
    assert bench.reader.pause
    received = 0
    while bench.channel.stalled:
        received += len(os.read(watcher, 1 << 20))
        assert bench.reader.read_ready()
    bench.ends()
    while received < written:
        received += len(os.read(watcher, 1 << 20))
        bench.channel.open()  # gives the file to a user again, and flushes
        bench.channel.flush()
        bench.channel.close()
    os.close(watcher)
    assert (received, bench.channel.dropped) == (written, 0)
