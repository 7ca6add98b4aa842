"""The way between a pipe and its file: whatever happens on it, each byte arrives once."""

from __future__ import annotations

import fcntl
import os
import pickle
import pty
import subprocess
import sys
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sdsuper.config.model import ChannelConfig
from sdsuper.logs import stage as stage_module
from sdsuper.logs.channel import Channel
from sdsuper.logs.held import HeldChannel, HeldReader
from sdsuper.logs.lines import CAPTURE_BEGIN, CAPTURE_END
from sdsuper.logs.reader import Reader
from sdsuper.logs.stage import NAMES, Pending, Stage, StageError

ROOT = Path(__file__).parents[3]
KEY = 6


# The others are parts of these: run them to find out where something fails.
@pytest.mark.parametrize("name", ["long", "shared", "foreign", "captured", "journal", "everything"])
def test_killed_again_and_again(name: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.unit.logs.killing", name, str(tmp_path), "40", "7"],
        cwd=ROOT,
        check=True,
        timeout=300,
    )


# --- killed before each step --------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nothing that it would have done is done."""


class Fate:
    """Lets a number of steps be done, and none after them.

    A step is whatever somebody else may see: a system call, a store into the header.

    Args:
        steps: How many.
        torn: The last one is begun, where it is a read or a write, and cut off in the middle.
        within_write: The first write is cut off in the middle.
    """

    def __init__(self, steps: int, *, torn: bool = False, within_write: bool = False) -> None:
        self.left = steps
        self.torn = torn
        self.within_write = within_write

    def step(self) -> bool:
        """Begin a step; return whether it will be cut off."""
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.torn and self.left == 0

    def die(self) -> None:
        self.left = -1
        raise Killed


class Header:
    """The header of a stage, each store into which is a step."""

    def __init__(self, words: Any, fate: Callable[[], Fate]) -> None:
        self._words = words
        self._fate = fate

    def __getitem__(self, index: int) -> Any:
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        self._fate().step()
        self._words[index] = value


class FatedStage(Stage):
    """A stage whose stores are steps."""

    def __init__(self, fate: Callable[[], Fate]) -> None:
        self._fate = fate
        super().__init__()

    def _map(self, memory: Any) -> None:
        super()._map(memory)
        self._header: Any = Header(self._header, self._fate)


class World:
    """A stage, a pipe and a folder, which outlive whoever works with them.

    Attributes:
        recorded: What is on record.
        events: What was captured, as far as that is on record.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **config: Any) -> None:
        self.folder = folder
        self.strip_ansi = config.pop("strip_ansi", False)
        self.config = ChannelConfig(**config)
        self.log = folder / "log"
        self.recorded: tuple[int, HeldReader | None, HeldChannel | None] = (0, None, None)
        self.events: list[bytes] = []
        self.fate = Fate(10**9)
        first = Stage()
        first.open()
        self.fds = first.fds()
        self.pipe, self.end = os.pipe()
        self._patch(monkeypatch)

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        readv, write, splice = os.readv, os.write, os.splice
        rename, ftruncate = os.rename, os.ftruncate

        def fated_readv(fd: int, buffers: Any) -> int:
            if self.fate.step():
                half = int.from_bytes(fcntl.ioctl(fd, 0x541B, bytes(4)), "little") // 2
                readv(fd, [buffers[0][:half]])
                self.fate.die()
            return readv(fd, buffers)

        def fated_write(fd: int, data: Any) -> int:
            if self.fate.step() or self.fate.within_write:
                write(fd, data[: len(data) // 2])
                self.fate.die()
            return write(fd, data)

        def fated_splice(*args: Any) -> int:
            self.fate.step()
            return splice(*args)

        def fated_rename(*args: Any) -> None:
            self.fate.step()
            rename(*args)

        def fated_ftruncate(*args: Any) -> None:
            self.fate.step()
            ftruncate(*args)

        monkeypatch.setattr(os, "readv", fated_readv)
        monkeypatch.setattr(os, "write", fated_write)
        monkeypatch.setattr(os, "splice", fated_splice)
        monkeypatch.setattr(os, "rename", fated_rename)
        monkeypatch.setattr(os, "ftruncate", fated_ftruncate)

    def says(self, data: bytes) -> None:
        """Let the child write, unharmed."""
        fate, self.fate = self.fate, Fate(10**9)
        os.write(self.end, data)
        self.fate = fate

    def works(
        self,
        steps: int = 10**9,
        *,
        torn: bool = False,
        within_write: bool = False,
        ends: bool = False,
    ) -> bool:
        """Let a daemon go on, for so many steps; return whether it came to an end by itself."""
        self.fate = Fate(10**9)
        stage = FatedStage(lambda: self.fate)
        channel = Channel(
            process="cat",
            channel="stdout",
            config=self.config,
            path=str(self.log),
            strip_ansi=self.strip_ansi,
            report=lambda level, text: None,
            stage=stage,
        )
        captured: list[bytes] = []
        reader = None

        def flush() -> None:
            self.fate.step()
            assert reader is not None
            self.recorded = pickle.loads(pickle.dumps((stage.fed, reader.held(), channel.held())))
            self.events += captured
            captured.clear()

        fed, held_reader, held_channel = self.recorded
        if held_channel is not None:
            channel.restore(held_channel)
        channel.open()
        fd = os.dup(self.pipe)
        self.fate = Fate(steps, torn=torn, within_write=within_write)
        try:
            stage.resume({name: os.dup(fd) for name, fd in self.fds.items()}, fed)
            stage.before_commit = flush
            reader = Reader(
                fd,
                channel,
                on_capture=captured.append if self.config.capture_maxbytes else None,
                key=KEY,
                stage=stage,
            )
            if held_reader is not None:
                reader.restore(held_reader)
            if stage.pending() is not None:
                reader.replay()
            while reader.drain() and not ends:
                if not reader._held_by_pipe():
                    return True
            reader.close()
        except Killed:
            return False
        finally:
            self.fate = Fate(10**9)
            channel.close()
            stage.close()
            if not (reader is not None and ends):
                os.close(fd)
        return True

    def result(self) -> tuple[list[bytes], list[bytes]]:
        """Return what is in the log and its backups, the newest first, and what was captured."""
        names = sorted(self.folder.glob("log.*"), key=lambda path: int(path.suffix[1:]))
        return [path.read_bytes() for path in (self.log, *names)], self.events

    def close(self) -> None:
        os.close(self.pipe)
        for fd in self.fds.values():
            os.close(fd)


TEXT = b"first \x1b[1mline\x1b[0m\n" + CAPTURE_BEGIN + b"message" + CAPTURE_END + b"second\n\x1b"
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rotated": {"logfile_maxbytes": 5, "logfile_backups": 50},
    "truncated": {"logfile_maxbytes": 150, "logfile_backups": 0},
    "captured": {"capture_maxbytes": 100, "strip_ansi": True},
    "all": {
        "capture_maxbytes": 100,
        "strip_ansi": True,
        "logfile_maxbytes": 5,
        "logfile_backups": 50,
    },
}


@pytest.fixture
def world_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**config: Any) -> World:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        world = World(folder, monkeypatch, **config)
        made.append(world)
        return world

    yield make
    for world in made:
        world.close()


def undisturbed(world: World) -> tuple[list[bytes], list[bytes]]:
    for _ in range(3):
        world.says(TEXT)
        world.works()
    os.close(world.end)
    assert world.works(ends=True)
    return world.result()


@pytest.mark.parametrize("torn", [False, True], ids=["between", "within"])
@pytest.mark.parametrize("victim", [0, 1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_each_step_and_at_each_step_of_going_on(
    world_in: Callable[..., World], way: str, victim: int, torn: bool
) -> None:
    expected = undisturbed(world_in(**WAYS[way]))
    for steps in range(1000):
        more = steps % 13
        world = world_in(**WAYS[way])
        for number in range(3):
            world.says(TEXT)
            if number == victim:
                survived = world.works(steps, torn=torn)
                world.works(more, torn=torn)
            world.works()
        os.close(world.end)
        assert world.works(ends=True)
        assert world.result() == expected, f"{steps} steps, then {more}"
        if survived:
            break
    assert survived
    assert steps > 10


def test_killed_at_each_step_of_the_end(world_in: Callable[..., World]) -> None:
    expected = undisturbed(world_in(**WAYS["all"]))
    for steps in range(1000):
        world = world_in(**WAYS["all"])
        for _ in range(3):
            world.says(TEXT)
            world.works()
        os.close(world.end)
        survived = world.works(steps, ends=True)
        if not survived:
            assert world.works(ends=True)
        assert world.result() == expected, f"{steps} steps"
        if survived:
            break
    assert survived
    assert steps > 3


# --- what else may have happened meanwhile ------------------------------------------------------


def killed_within_write(world: World) -> None:
    """Be killed when half of a record is written."""
    world.works(within_write=True)
    assert 0 < world.log.stat().st_size < len(TEXT)


@pytest.fixture
def half(world_in: Callable[..., World]) -> World:
    world = world_in()
    world.says(TEXT)
    killed_within_write(world)
    return world


def test_a_file_that_was_renamed_is_found(half: World) -> None:
    moved = half.folder / "log-20260101"
    half.log.rename(moved)
    half.works()
    assert moved.read_bytes() == TEXT
    assert half.log.read_bytes() == b""


def test_a_file_behind_a_link_is_found(world_in: Callable[..., World]) -> None:
    world = world_in()
    (world.folder / "elsewhere").mkdir()
    world.log.symlink_to(world.folder / "elsewhere" / "file")
    world.says(TEXT)
    killed_within_write(world)
    world.works()
    assert world.log.read_bytes() == TEXT


def test_a_file_that_is_gone_is_written_anew(half: World) -> None:
    half.log.unlink()
    half.works()
    assert half.log.read_bytes() == TEXT


def test_a_file_that_was_truncated_gets_it_all(half: World) -> None:
    os.truncate(half.log, 0)
    half.works()
    assert half.log.read_bytes() == TEXT


def test_what_others_append_is_told_from_what_is_ours(tmp_path: Path) -> None:
    log = tmp_path / "log"
    data = bytes(range(256)) * 40
    page = os.sysconf("SC_PAGESIZE")

    def missing(before: bytes, behind: bytes) -> bytes:
        log.write_bytes(before + behind)
        return stage_module._missing(data, str(log), len(before))

    assert missing(b"old", b"") == data
    assert missing(b"old", data) == b""
    assert missing(b"old", data[:5000]) == data[5000:]
    assert missing(b"old", b"foreign" + data + b"foreign") == b""
    assert missing(b"old", b"foreign" + data[:100]) == data[100:]
    assert missing(b"old", b"foreign" + data[:3]) == data, "that may be chance"
    cut = data[: page - 10]
    assert missing(b"." * 10, cut + b"foreign") == data[len(cut) :]
    assert missing(b"old", data[:100] + b"foreign") == data, "no write ends like that"


def test_a_chunk_that_belongs_to_nobody_is_given_up(half: World) -> None:
    stage = Stage()
    stage.resume({name: os.dup(fd) for name, fd in half.fds.items()}, 0)
    assert not stage.ready
    assert stage.pending() == Pending(KEY, 1, TEXT, end=False)
    assert stage.abandon() == Pending(KEY, 1, TEXT, end=False)
    assert stage.ready
    assert stage.abandon() is None
    stage.close()
    half.says(b"next")
    half.works()
    assert half.log.read_bytes().endswith(b"next")


def test_what_is_on_record_is_not_fed_again(half: World) -> None:
    stage = Stage()
    stage.resume({name: os.dup(fd) for name, fd in half.fds.items()}, 1)
    assert stage.pending() is None
    assert (stage.ready, stage.sequence, stage.fed) == (True, 1, 1)
    stage.close()


def test_numbers_go_on(world_in: Callable[..., World]) -> None:
    world = world_in()
    world.says(b"x")
    world.works()
    stage = Stage()
    stage.resume({name: os.dup(fd) for name, fd in world.fds.items()}, 0)
    before = stage.sequence
    assert before >= 1
    world.says(b"y")
    assert stage.take(world.pipe, KEY) == 1
    assert stage.sequence == before + 1
    stage.commit()
    stage.close()


def test_what_is_no_stage_is_refused(half: World) -> None:
    other = os.memfd_create("other")
    for fds in (
        {},
        half.fds | {NAMES[0]: other},
        half.fds | {NAMES[0]: half.pipe},
        half.fds | {NAMES[1]: other},
    ):
        with pytest.raises(StageError):
            Stage().resume({name: os.dup(fd) for name, fd in fds.items()}, 0)
    os.ftruncate(other, os.fstat(half.fds[NAMES[0]]).st_size)
    with pytest.raises(StageError, match="format"):
        Stage().resume(half.fds | {NAMES[0]: other}, 0)
    os.close(other)


# --- which way is taken -------------------------------------------------------------------------


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    assert (made.active, made.fds()) == (False, {})
    made.open()
    yield made
    made.close()
    assert (made.active, made.ready) == (False, False)


def channel_into(path: Path, stage: Stage) -> Channel:
    channel = Channel(
        process="cat",
        channel="stdout",
        config=ChannelConfig(),
        path=str(path),
        strip_ansi=False,
        report=lambda level, text: None,
        stage=stage,
    )
    channel.open()
    return channel


def test_a_packet_at_a_time(tmp_path: Path, stage: Stage) -> None:
    fd, end = os.pipe2(os.O_DIRECT)
    channel = channel_into(tmp_path / "log", stage)
    reader = Reader(fd, channel, stage=stage)
    os.write(end, b"one ")
    os.write(end, b"two")
    assert reader.read_ready()
    assert (tmp_path / "log").read_bytes() == b"one two"
    assert stage.sequence == 1
    os.close(end)
    reader.close()
    channel.close()


def test_what_is_no_pipe_is_read_directly(tmp_path: Path, stage: Stage) -> None:
    main, end = pty.openpty()
    tty.setraw(end)
    channel = channel_into(tmp_path / "log", stage)
    reader = Reader(main, channel, stage=stage)
    os.write(end, b"prompt: ")
    assert reader.read_ready()
    assert (tmp_path / "log").read_bytes() == b"prompt: "
    os.close(end)
    assert not reader.read_ready()
    reader.close()
    channel.close()


def test_who_hears_of_a_chunk_may_let_another_pipe_be_read(tmp_path: Path, stage: Stage) -> None:
    fd, end = os.pipe()
    inner = Reader(fd, channel_into(tmp_path / "inner", stage), stage=stage)
    os.write(end, b"inner")
    fd, outer_end = os.pipe()
    outer = Reader(
        fd,
        channel_into(tmp_path / "outer", stage),
        stage=stage,
        on_raw=lambda _: inner.read_ready() and None,
    )
    os.write(outer_end, b"outer")
    outer.read_ready()
    assert (tmp_path / "inner").read_bytes() == b"inner"
    assert (tmp_path / "outer").read_bytes() == b"outer"
    assert stage.ready
    for each in (end, outer_end):
        os.close(each)
    inner.close()
    outer.close()


def test_a_listener_that_fails_does_not_hold_up_the_next_chunk(
    tmp_path: Path, stage: Stage
) -> None:
    fd, end = os.pipe()

    def fail(data: bytes) -> None:
        raise ValueError(data)

    reader = Reader(fd, channel_into(tmp_path / "log", stage), stage=stage, on_raw=fail)
    os.write(end, b"x")
    with pytest.raises(ValueError, match="x"):
        reader.read_ready()
    assert stage.ready
    os.close(end)
    reader.close()


def test_told_and_held_is_on_record_before_the_next_chunk(tmp_path: Path, stage: Stage) -> None:
    told: list[tuple[int, int]] = []
    fd, end = os.pipe()
    held: list[HeldReader] = []
    reader = Reader(
        fd,
        channel_into(tmp_path / "log", stage),
        stage=stage,
        on_capture=lambda _: None,
        on_raw=lambda data: told.append((stage.sequence, stage.fed)),
        on_held=lambda: held.append(reader.held()),
    )
    recorded: list[tuple[int, int]] = []
    stage.before_commit = lambda: recorded.append((stage.fed, len(told)))
    for piece in (b"a", b"b"):
        os.write(end, piece)
        reader.read_ready()
    assert told == [(1, 0), (2, 1)]
    assert recorded == [(1, 1), (2, 2)]
    assert held == []
    os.close(end)
    reader.close()
