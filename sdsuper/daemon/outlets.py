"""Where the output of a process goes: its two channels, and the pipes that feed them.

Channels live as long as the process is configured; their files are open only while some pipe
feeds them, so that every start opens the path anew, as Supervisor does. A pipe is read until
its end even after the main process is gone: strays may have last words.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Literal

from sdsuper import eventloop
from sdsuper.config.model import ChannelConfig, DaemonConfig, ProcessConfig
from sdsuper.core.events import (
    Event,
    ProcessCommunicationStderr,
    ProcessCommunicationStdout,
    ProcessLogStderr,
    ProcessLogStdout,
)
from sdsuper.daemon.pacing import Pacer
from sdsuper.dataclass import dataclass
from sdsuper.logs.auto import create_auto_log
from sdsuper.logs.channel import Channel
from sdsuper.logs.files import OPEN_FILES
from sdsuper.logs.held import HeldChannel, HeldOutlets, HeldReader, Threshold
from sdsuper.logs.journal import JOURNAL
from sdsuper.logs.origin import Origin
from sdsuper.logs.rate import LogRate
from sdsuper.logs.reader import Reader
from sdsuper.logs.sinks import NOTHING_SHARED, Shared
from sdsuper.logs.stage import STAGE
from sdsuper.values import Level, Namespec

_FINISH_STEP = 0.05
"""Seconds that a slow reader of our output gets between two looks at whether it keeps up."""

_LEFT_MAX = 16
"""Pipes of earlier invocations that may wait for a sink: each is a descriptor and some memory."""

ChannelName = Literal["stdout", "stderr"]

_NOTHING_HELD = HeldOutlets()

_EVENTS = {
    "stdout": (ProcessLogStdout, ProcessCommunicationStdout),
    "stderr": (ProcessLogStderr, ProcessCommunicationStderr),
}


@dataclass(slots=True)
class Pipe:
    """One pipe of one invocation on its way to a channel.

    Attributes:
        key: Says which pipe it is, to a successor (see `pipe_key`).
        left: Nobody writes to it any more: it runs dry as its sinks take what is in it.
        paced: It is busy, and read in its turns, whatever is there then; else it is watched.
    """

    fd: int
    reader: Reader
    channel: Channel
    pid: int
    invocation: str
    key: int = 0
    closed: bool = False
    left: bool = False
    paced: bool = False

    @property
    def key_name(self) -> ChannelName:
        """The channel it feeds."""
        return "stderr" if self.key % 2 else "stdout"

    def read_ready(self) -> bool:
        """Take what is there, up to a bound. Returns False at the end of the stream."""
        self.channel.attribute(self.pid, self.invocation)
        return self.reader.read_ready()

    def drain(self) -> bool:
        """Take what the pipe holds now. Returns False at the end of the stream."""
        self.channel.attribute(self.pid, self.invocation)
        return self.reader.drain()

    def close(self) -> None:
        """Take what the pipe holds now, and close it."""
        self.drain()
        self.reader.close()


def pipe_key(number: int, channel: ChannelName) -> int:
    """Return what tells the pipes of all invocations apart.

    Args:
        number: Of the invocation.
        channel: Which of its pipes.
    """
    return number * 2 + (channel == "stderr")


class Outlets:
    """Both channels of one process.

    For a successor, `held` is all there is, but for the pipes themselves: it is given to the
    constructor, and `resume` connects the pipes.

    Args:
        name: The process.
        config: Its configuration.
        settings: [supervisord]: where AUTO logs go, whether ANSI sequences are stripped.
        report: Writes to the daemon's log.
        publish: Tells an event to listeners.
        pacer: Gives busy pipes their turns.
        echo: Whether output is copied to the daemon's log (loglevel debug or lower).
        held: What the same process held in an earlier daemon, None for a new one.

    Attributes:
        name: The process.
        config: The configuration.
        on_held: Called with these outlets when what `held` returns has changed and must be put on
            record: by the next `STAGE.before_commit`, or the end of the turn.
        on_closed: Called when a pipe was read to its end and closed.
    """

    __slots__ = (
        "_channels",
        "_echo",
        "_held",
        "_pacer",
        "_pipes",
        "_publish",
        "_recorded",
        "_released",
        "_report",
        "_settings",
        "_shared",
        "config",
        "name",
        "on_closed",
        "on_held",
    )

    def __init__(
        self,
        name: Namespec,
        config: ProcessConfig,
        settings: DaemonConfig,
        report: Callable[[Level, str], None],
        publish: Callable[[Event], None],
        pacer: Pacer,
        *,
        echo: bool,
        held: HeldOutlets | None = None,
    ) -> None:
        self.config = config
        self.on_held: Callable[[Outlets], None] | None = None
        self.on_closed: Callable[[Pipe], None] | None = None
        self._held = _NOTHING_HELD if held is None else held
        self._recorded = Threshold()
        self.name = name
        self._report = report
        self._publish = publish
        self._pacer = pacer
        self._echo = echo
        self._released = False
        self._pipes: list[Pipe] = []
        self._shared = _shared(name, config)
        self._settings = settings
        self._channels: tuple[Channel, ...] = ()
        if self._shared.rate is not None and self._held.rate is not None:
            self._shared.rate.restore(self._held.rate)
        # Whoever looks for a generated log finds it before the first start. What goes wrong is
        # told by that start, which tries again.
        with contextlib.suppress(OSError):
            self._make_channels()
            for channel in self._generated():
                channel.open()

    @property
    def _configs(self) -> dict[ChannelName, ChannelConfig]:
        if self.config.redirect_stderr:
            return {"stdout": self.config.stdout}
        return {"stdout": self.config.stdout, "stderr": self.config.stderr}

    def _channel(self, name: ChannelName) -> Channel | None:
        return next((each for each in self._channels if each.channel == name), None)

    def reconfigure(self, config: ProcessConfig) -> None:
        """Go on with a configuration whose differences a running process can take.

        A rate that is another begins anew; what the old one has suppressed is told.
        """
        before, self.config = self.config, config
        if (before.log_rate, before.priority_pattern) != (config.log_rate, config.priority_pattern):
            if self._shared.rate is not None:
                self._shared.rate.tell()
            self._shared = _shared(self.name, config)
        configs = self._configs
        for channel in self._channels:
            channel.reconfigure(configs[channel.channel], self._shared)
        for pipe in self._pipes:
            pipe.reader.reconfigure(*self._hooks(pipe.channel, pipe.pid, raw=pipe.reader.raw))
        self._tell_held()

    def _make_channels(self) -> None:
        holds = self._holds  # one for all
        for channel, config in self._configs.items():
            if self._channel(channel) is None:
                made = Channel(
                    process=self.name.process,
                    channel=channel,
                    config=config,
                    path=self._path(channel, config),
                    strip_ansi=self._settings.strip_ansi,
                    report=self._report,
                    group=self.name.group,
                    program=self.config.program,
                    shared=self._shared,
                )
                if channel in self._held.channels:
                    made.restore(self._held.channels[channel])
                made.on_held = holds
                self._channels += (made,)
                self._tell_held()

    def _tell_held(self) -> None:
        if self.on_held is not None:
            self.on_held(self)

    def _holds(self) -> None:
        size = sum(channel.holding for channel in self._channels)
        size += sum(pipe.reader.holding for pipe in self._pipes)
        if self._recorded.passed(size):
            self._tell_held()

    def held(self) -> HeldOutlets:
        """Return what is in memory, and which files are in use."""
        readers = tuple(pipe.reader.held() for pipe in self._pipes if pipe.reader.holding)
        rate = None if self._shared.rate is None else self._shared.rate.held()
        channels: dict[str, HeldChannel] = {each.channel: each.held() for each in self._channels}
        return HeldOutlets(channels, readers, rate)

    def _path(self, channel: ChannelName, config: ChannelConfig) -> str | None:
        if not config.auto:
            return config.logfile
        known = self._held.channels.get(channel)
        if known is not None and known.path is not None:
            return known.path
        settings = self._settings
        return create_auto_log(
            self.name.process, channel, settings.identifier, settings.childlogdir
        )

    def _generated(self) -> list[Channel]:
        """Return the channels whose files must stay open.

        An open file of a generated name is locked, which is how other daemons that clean up
        know that its owner is alive.
        """
        return [] if self._released else [each for each in self._channels if each.config.auto]

    def path(self, channel: ChannelName) -> str | None:
        """Return the file of a channel, None where it has none."""
        found = self._channel(channel)
        return None if found is None else found.path

    def paths(self) -> dict[str, str]:
        """Return the files by channel, of the channels that have one."""
        return {each.channel: each.path for each in self._channels if each.path}

    def is_in_journal_alone(self, channel: ChannelName) -> bool:
        """Whether the journal is where a channel can be read back, and no file is."""
        config = self._configs.get(channel)
        return config is not None and config.journal and not config.auto and not config.logfile

    def open(self) -> None:
        """Open the files for a new invocation.

        Raises:
            OSError: One cannot be opened; none stays open on its account.
        """
        try:
            self._make_channels()
            for channel in self._channels:
                channel.open()
        except OSError:
            self.close_idle()
            raise

    def connect(
        self,
        stdout: int,
        stderr: int | None,
        pid: int,
        invocation: str,
        on_stdout: Callable[[bytes], None] | None = None,
        *,
        number: int = 0,
    ) -> list[Pipe]:
        """Read the pipes of a new child into the channels.

        Args:
            stdout: Our end of that pipe.
            stderr: Our end of that pipe, None where it is the same.
            pid: The child's.
            invocation: The identity of the invocation.
            on_stdout: Gets what comes through the first as it comes.
            number: The invocation's number.
        """
        left = [pipe for pipe in self._pipes if pipe.left]
        for pipe in left[: max(0, len(left) - _LEFT_MAX)]:
            self.disconnect(pipe)
        pipes = [self._connect(stdout, "stdout", pid, invocation, number, on_stdout)]
        if stderr is not None:
            pipes.append(self._connect(stderr, "stderr", pid, invocation, number))
        return pipes

    def resume(
        self,
        stdout: int | None,
        stderr: int | None,
        pid: int,
        invocation: str,
        on_stdout: Callable[[bytes], None] | None = None,
        *,
        number: int,
        left: bool = False,
    ) -> list[Pipe]:
        """Go on reading the pipes of a child of an earlier daemon.

        What that had on its way from one of them is brought to its end first. Files are opened
        where they are, and appended to; where that fails, output is dropped, counted and told, as
        with any sink that fails: the child lives on.

        Args:
            stdout: Our end of that pipe, None where it was closed.
            stderr: Our end of that pipe, None where it was closed or is the same.
            pid: The child's.
            invocation: The identity of the invocation.
            on_stdout: Gets what comes through the first as it comes.
            number: The invocation's number.
            left: Nobody writes any more, as far as we are concerned (`Pipe.left`).

        Raises:
            OSError: A generated log that nobody knows of could not be created. The pipes are still
                the caller's.
        """
        self._make_channels()
        for channel in self._channels:
            try:
                channel.open()
            except OSError as error:
                self._report(Level.CRITICAL, f"cannot go on with {channel.path}: {error}")
        pipes = []
        if stdout is not None:
            pipes.append(self._connect(stdout, "stdout", pid, invocation, number, on_stdout))
        if stderr is not None:
            pipes.append(self._connect(stderr, "stderr", pid, invocation, number))
        held = {reader.key: reader for reader in self._held.readers}
        for pipe in pipes:
            pipe.left = left
            self._go_on(pipe, held.get(pipe.key))
        self.close_idle()
        return pipes

    def _go_on(self, pipe: Pipe, held: HeldReader | None) -> None:
        if held is not None:
            pipe.reader.restore(held)
        pending = STAGE.pending()
        if pending is not None and pending.key == pipe.key:
            pipe.channel.attribute(pipe.pid, pipe.invocation)
            pipe.reader.replay()

    def _connect(
        self,
        fd: int,
        channel: ChannelName,
        pid: int,
        invocation: str,
        number: int,
        on_raw: Callable[[bytes], None] | None = None,
    ) -> Pipe:
        fed = self._channel(channel)
        assert fed is not None
        on_log, on_capture = self._hooks(fed, pid, raw=on_raw is not None)
        key = pipe_key(number, channel)
        reader = Reader(
            fd,
            fed,
            on_log=on_log,
            on_capture=on_capture,
            on_raw=on_raw,
            key=key,
            on_held=fed.on_held,
        )
        pipe = Pipe(fd, reader, fed, pid, invocation, key)
        self._pipes.append(pipe)
        self._watch(pipe)
        return pipe

    def _watch(self, pipe: Pipe) -> None:
        # Not `self._readable`: each program would have some more of them for as long as it lives.
        eventloop.get_running_loop().add_reader(pipe.fd, Outlets._readable, self, pipe)

    def _hooks(
        self, channel: Channel, pid: int, *, raw: bool
    ) -> tuple[Callable[[bytes], None] | None, Callable[[bytes], None] | None]:
        """Return who is told of what a pipe of this channel brings, and of what is captured."""
        name, config = channel.channel, channel.config
        tells = config.events_enabled or self._echo
        captures = config.capture_maxbytes > 0 and not raw
        return (
            self._on_log(name, pid, raw=raw) if tells else None,
            self._on_capture(name, pid) if captures else None,
        )

    def _on_log(self, channel: ChannelName, pid: int, *, raw: bool) -> Callable[[bytes], None]:
        config, (log_event, _) = self._configs[channel], _EVENTS[channel]

        def on_log(data: bytes) -> None:
            if config.events_enabled:
                self._publish(log_event(self.name, pid, data))
            if self._echo:
                text = repr(data) if raw else _text(data)
                echoed = f"'{self.name.process}' {channel} output:\n{text}"
                self._report(Level.DEBUG, echoed)

        return on_log

    def _on_capture(self, channel: ChannelName, pid: int) -> Callable[[bytes], None]:
        _, capture_event = _EVENTS[channel]

        def on_capture(data: bytes) -> None:
            self._publish(capture_event(self.name, pid, data))
            self._report(Level.DEBUG, f"'{self.name.process}' {channel} emitted a comm event")

        return on_capture

    def _readable(self, pipe: Pipe) -> None:
        if pipe.closed:
            return
        try:
            goes_on = pipe.read_ready()
        finally:
            self._pace(pipe)
        if not goes_on:
            self.disconnect(pipe)

    def _pace(self, pipe: Pipe) -> None:
        pause = pipe.reader.pause
        if pause is not None:
            self._pacer.put(functools.partial(self._readable, pipe), pause)
            if not pipe.paced:
                eventloop.get_running_loop().remove_reader(pipe.fd)
        elif pipe.paced:
            self._watch(pipe)
        pipe.paced = pause is not None

    def drain(self, pipe: Pipe) -> None:
        """Take what is in the pipe now; at its end, disconnect it.

        Where a sink is behind, the bytes stay in the pipe, and go on as the sink takes them.
        """
        if not pipe.closed and not pipe.channel.stalled and not pipe.drain():
            self.disconnect(pipe)

    def finish(self, pipe: Pipe) -> None:
        """Disconnect a pipe that nobody writes to any more, or let it run dry first."""
        pipe.left = True
        if not pipe.channel.stalled:
            self.disconnect(pipe)

    def disconnect(self, pipe: Pipe) -> None:
        """Take what is in the pipe and close it; the last one closes the files too."""
        if pipe.closed:
            return
        pipe.closed = True
        if not pipe.paced:
            eventloop.get_running_loop().remove_reader(pipe.fd)
        pipe.close()
        self._pipes.remove(pipe)
        if self.on_closed is not None:
            self.on_closed(pipe)
        self._report(Level.DEBUG, f"fd {pipe.fd} closed, stopped monitoring {self.name}")
        self.close_idle()

    def close_idle(self) -> None:
        """Close the files if no pipe feeds them."""
        if not self._pipes:
            kept = self._generated()
            for channel in self._channels:
                if channel not in kept:
                    channel.close()

    @property
    def idle(self) -> bool:
        """Whether no pipe feeds the channels."""
        return not self._pipes

    def reopen(self) -> None:
        """Open the files anew where they are open (after outside rotation)."""
        for channel in self._channels if self._pipes else self._generated():
            channel.reopen()

    def clear(self) -> None:
        """Truncate both files.

        Raises:
            OSError: One could not be truncated.
        """
        for channel in self._channels:
            channel.clear()

    def release(self) -> None:
        """Close the files as soon as no pipe feeds them; no invocation will come any more."""
        self._released = True
        self.close_idle()

    def close(self, deadline: float) -> None:
        """Disconnect every pipe and close the files.

        Args:
            deadline: Monotonic second until which slow readers of our own output are waited for.
        """
        for pipe in list(self._pipes):
            while not pipe.closed and pipe.channel.stalled:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                step = min(left, _FINISH_STEP)
                OPEN_FILES.finish(step)
                JOURNAL.finish(step)
                if pipe.channel.stalled and not (JOURNAL.idle or JOURNAL.responsive):
                    time.sleep(step)  # it is away, and this program asked to wait for it
                self.drain(pipe)
            self.disconnect(pipe)
        self.release()


def _shared(name: Namespec, config: ProcessConfig) -> Shared:
    if config.log_rate is None:
        return Shared(config.priority_pattern) if config.priority_pattern else NOTHING_SHARED
    origin = Origin(name.process, group=name.group, program=config.program)
    return Shared(config.priority_pattern, LogRate(config.log_rate, origin))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"Undecodable: {data!r}"
