"""The channels of a process, handed on to another daemon."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdsuper import eventloop
from sdsuper.config.model import ChannelConfig, DaemonConfig, Location, ProcessConfig, Rate
from sdsuper.core.events import Event, ProcessCommunicationStdout, ProcessLogStdout
from sdsuper.daemon.outlets import Outlets, pipe_key
from sdsuper.daemon.pacing import Pacer
from sdsuper.logs.auto import clean_auto_logs
from sdsuper.logs.held import HeldOutlets
from sdsuper.logs.lines import CAPTURE_BEGIN, CAPTURE_END
from sdsuper.logs.stage import STAGE
from sdsuper.values import Level, Namespec

NAME = Namespec("g", "p")
NUMBER = 4


class Plane:
    """What makes the outlets of one process, again and again.

    Attributes:
        told: What was said in the daemon's log, debugging left out.
        events: What was published.
    """

    def __init__(self, folder: Path, **stdout: object) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.events: list[Event] = []
        self.config = ProcessConfig(
            name="p",
            group="g",
            program="p",
            location=Location("test.ini", 1),
            command="true",
            stdout=ChannelConfig(**stdout),  # type: ignore[arg-type]
            stderr=ChannelConfig(),
        )
        self.settings = DaemonConfig(
            logfile=None, childlogdir=str(folder), strip_ansi=True, identifier="unit"
        )

    def report(self, level: Level, text: str) -> None:
        if level > Level.DEBUG:
            self.told.append(text)

    def outlets(self, held: HeldOutlets | None = None) -> Outlets:
        return Outlets(
            NAME,
            self.config,
            self.settings,
            self.report,
            self.events.append,
            Pacer(),
            echo=False,
            held=None if held is None else pickle.loads(pickle.dumps(held)),
        )


@pytest.fixture(autouse=True)
def stage() -> Iterator[None]:
    STAGE.open()
    yield
    STAGE.before_commit = None
    STAGE.close()


def go_on_with_stage(fed: int = 0) -> None:
    """Become the successor, as far as the stage is concerned."""
    fds = {name: os.dup(fd) for name, fd in STAGE.fds().items()}
    STAGE.close()
    STAGE.resume(fds, fed)


def in_loop(work: Callable[[], Coroutine[None, None, None]]) -> None:
    eventloop.run(work())


def abandoned(outlets: Outlets) -> None:
    """Let go as a process that is killed does: nothing is taken, nothing is written."""
    for pipe in outlets._pipes:
        eventloop.get_running_loop().remove_reader(pipe.fd)


def test_a_successor_goes_on_in_the_middle_of_a_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plane = Plane(tmp_path, logfile=str(log), capture_maxbytes=100)
    changes: list[int] = []

    async def work() -> None:
        first = plane.outlets()
        first.on_held = lambda _: changes.append(STAGE.sequence)
        first.open()
        stdout, end = os.pipe()
        stderr, other_end = os.pipe()
        pipes = first.connect(stdout, stderr, 7, "mark", number=NUMBER)
        assert [pipe.key for pipe in pipes] == [8, 9]
        os.write(end, b"whole\n")
        pipes[0].drain()
        assert changes == []
        os.write(end, b"red \x1b[3" + b"1m" + CAPTURE_BEGIN + b"mess")
        pipes[0].drain()
        assert len(changes) == 1
        held = first.held()
        abandoned(first)
        go_on_with_stage()
        second = plane.outlets(held)
        pipes = second.resume(stdout, stderr, 7, "mark", number=NUMBER)
        assert STAGE.abandon() is None
        assert second.held() == held
        os.write(end, b"age" + CAPTURE_END + b"end\n")
        os.close(end)
        os.close(other_end)
        for pipe in pipes:
            second.drain(pipe)
        assert second.idle
        assert second.held() == HeldOutlets(
            {name: replace(each, sinks={}) for name, each in held.channels.items()}
        )

    in_loop(work)
    assert log.read_bytes() == b"whole\nred end\n"
    assert plane.events == [ProcessCommunicationStdout(NAME, 7, b"message")]


def test_what_was_on_its_way_comes_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plane = Plane(tmp_path, logfile=str(log))

    async def work() -> None:
        first = plane.outlets()
        first.open()
        stdout, end = os.pipe()
        os.set_blocking(stdout, False)
        os.write(end, b"taken, ")
        STAGE.take(stdout, pipe_key(NUMBER, "stdout"))
        os.write(end, b"in the pipe")
        held = first.held()
        go_on_with_stage()
        assert not STAGE.ready
        second = plane.outlets(held)
        (pipe,) = second.resume(stdout, None, 7, "mark", number=NUMBER, left=True)
        assert log.read_bytes() == b"taken, "
        assert STAGE.ready
        assert pipe.left
        os.close(end)
        second.drain(pipe)

    in_loop(work)
    assert log.read_bytes() == b"taken, in the pipe"


def test_another_ones_chunk_is_left_alone(tmp_path: Path) -> None:
    plane = Plane(tmp_path, logfile=str(tmp_path / "log"))

    async def work() -> None:
        stdout, end = os.pipe()
        os.set_blocking(stdout, False)
        os.write(end, b"another's")
        STAGE.take(stdout, pipe_key(NUMBER + 1, "stdout"))
        go_on_with_stage()
        outlets = plane.outlets()
        outlets.resume(stdout, None, 7, "mark", number=NUMBER)
        left = STAGE.abandon()
        assert left is not None
        assert (left.key, left.data) == (pipe_key(NUMBER + 1, "stdout"), b"another's")
        os.close(end)
        outlets.close(0.0)

    in_loop(work)
    assert (tmp_path / "log").read_bytes() == b""


def test_generated_logs_keep_their_names(tmp_path: Path) -> None:
    plane = Plane(tmp_path, auto=True)

    async def work() -> None:
        first = plane.outlets()
        path = first.path("stdout")
        assert path is not None
        stdout, end = os.pipe()
        first.open()
        first.connect(stdout, None, 7, "mark", number=NUMBER)
        held = first.held()
        assert held.channels["stdout"].path == path
        abandoned(first)
        second = plane.outlets(held)
        assert second.path("stdout") == path
        (pipe,) = second.resume(stdout, None, 7, "mark", number=NUMBER)
        os.write(end, b"more")
        os.close(end)
        second.drain(pipe)
        second.release()
        first.release()

    in_loop(work)
    (log,) = tmp_path.iterdir()
    assert log.read_bytes() == b"more"


def test_generated_logs_that_are_handed_on_are_not_cleaned_up(tmp_path: Path) -> None:
    plane = Plane(tmp_path, auto=True)
    outlets = plane.outlets()
    held = outlets.held()
    outlets.release()
    (path,) = held.paths
    clean_auto_logs(str(tmp_path), "unit", report=plane.report, keep=held.paths)
    assert Path(path).exists()
    clean_auto_logs(str(tmp_path), "unit", report=plane.report)
    assert not Path(path).exists()


def test_a_log_that_cannot_be_opened_costs_the_output_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "no" / "log"
    plane = Plane(tmp_path, logfile=str(log))

    async def work() -> None:
        outlets = plane.outlets()
        stdout, end = os.pipe()
        (pipe,) = outlets.resume(stdout, None, 7, "mark", number=NUMBER)
        os.write(end, b"12345")
        os.close(end)
        outlets.drain(pipe)
        assert pipe.channel.dropped == 5

    in_loop(work)
    assert plane.told[0].startswith(f"cannot go on with {log}: ")


def test_nothing_stays_open_where_no_pipe_is_left(tmp_path: Path) -> None:
    plane = Plane(tmp_path, logfile=str(tmp_path / "log"))
    before = os.listdir("/proc/self/fd")
    outlets = plane.outlets()
    assert outlets.resume(None, None, 7, "mark", number=NUMBER) == []
    assert outlets.idle
    assert os.listdir("/proc/self/fd") == before


def test_other_settings_take_effect_in_the_midst_of_everything(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plane = Plane(tmp_path, logfile=str(log), capture_maxbytes=100)

    def settings(**stdout: object) -> ProcessConfig:
        return replace(plane.config, stdout=ChannelConfig(logfile=str(log), **stdout))  # type: ignore[arg-type]

    async def work() -> None:
        outlets = plane.outlets()
        outlets.open()
        stdout, end = os.pipe()
        (pipe,) = outlets.connect(stdout, None, 7, "mark", number=NUMBER)

        def say(data: bytes) -> None:
            os.write(end, data)
            outlets.drain(pipe)

        say(b"a" + CAPTURE_BEGIN + b"12345")
        outlets.reconfigure(settings(capture_maxbytes=4, events_enabled=True))
        say(b"67" + CAPTURE_END + b"b")
        assert plane.events == [
            ProcessLogStdout(NAME, 7, b"67"),
            ProcessCommunicationStdout(NAME, 7, b"4567"),
            ProcessLogStdout(NAME, 7, b"b"),
        ]
        say(CAPTURE_BEGIN + b"lost" + CAPTURE_END[:9])
        outlets.reconfigure(settings())
        events = len(plane.events)
        say(CAPTURE_BEGIN[:5])
        assert len(plane.events) == events
        outlets.reconfigure(settings(capture_maxbytes=9, logfile_maxbytes=12, logfile_backups=1))
        assert outlets.config.stdout.logfile_maxbytes == 12
        say(b"c" + CAPTURE_BEGIN + b"new" + CAPTURE_END)
        say(CAPTURE_BEGIN[:3])
        outlets.reconfigure(settings(logfile_maxbytes=12, logfile_backups=1))
        say(b"d" * 12)
        os.close(end)
        outlets.drain(pipe)
        outlets.close(0.0)
        assert outlets.held().readers == ()

    in_loop(work)
    said = b"ab" + CAPTURE_BEGIN[:5] + b"c" + CAPTURE_BEGIN[:3]
    whole = b"".join(each.read_bytes() for each in (tmp_path / "log.1", log))
    assert whole == said + b"d" * 12
    assert log.read_bytes() == b""
    assert plane.events[-1] == ProcessCommunicationStdout(NAME, 7, b"new")


def test_other_limits_of_the_journal_are_for_both_channels(tmp_path: Path) -> None:
    plane = Plane(tmp_path)
    outlets = plane.outlets()
    assert outlets.held().rate is None
    outlets.reconfigure(replace(plane.config, log_rate=Rate(5, 10)))
    first = outlets._shared.rate
    assert first is not None
    outlets.reconfigure(replace(outlets.config, stopwaitsecs=1))
    assert outlets._shared.rate is first
    outlets.reconfigure(replace(outlets.config, log_rate=Rate(6, 10)))
    assert outlets._shared.rate not in (None, first)
    outlets.reconfigure(plane.config)
    assert outlets._shared.rate is None
    outlets.close(0.0)
