"""Where one output channel of a process goes, for as long as the process is configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from sdsuper.config.model import ChannelConfig
from sdsuper.logs.held import HeldChannel, HeldSink
from sdsuper.logs.origin import Origin
from sdsuper.logs.sinks import NOTHING_SHARED, SINKS, Shared, Sink, SinkFactory
from sdsuper.logs.stage import STAGE, Stage
from sdsuper.logs.trouble import Data, Trouble
from sdsuper.values import Level

ChannelName = Literal["stdout", "stderr"]


class Channel:
    """The sinks of one channel; the readers of one invocation after another feed it.

    A sink that fails is reported once, and once more when it works again; what it could not take
    is dropped and counted, the other sinks get everything, and the child is read on.

    Args:
        process: The process's name.
        channel: "stdout" or "stderr".
        config: What is configured for it.
        path: The log file, the generated one of AUTO included; None for none.
        strip_ansi: Whether readers remove ANSI sequences.
        report: Takes a line for the daemon's own log.
        sinks: What to make sinks with.
        group: The group it is in.
        program: The program it is a process of.
        shared: What it shares with the other channel.
        stage: The way there from the pipe.

    Attributes:
        dropped: Bytes that a sink could not take, since the process was configured.
        keeps: Whether something may be held in memory after a write.
        on_held: Called when what it holds has changed for another reason than a write.
    """

    __slots__ = (
        "_failing",
        "_kinds",
        "_origin",
        "_report",
        "_sinks",
        "_stage",
        "channel",
        "config",
        "dropped",
        "keeps",
        "on_held",
        "path",
        "process",
        "strip_ansi",
    )

    def __init__(
        self,
        *,
        process: str,
        channel: ChannelName,
        config: ChannelConfig,
        path: str | None,
        strip_ansi: bool,
        report: Callable[[Level, str], None],
        sinks: Mapping[str, SinkFactory] = SINKS,
        group: str = "",
        program: str = "",
        shared: Shared = NOTHING_SHARED,
        stage: Stage = STAGE,
    ) -> None:
        self.process = process
        self.channel = channel
        self.config = config
        self.path = path
        self.strip_ansi = strip_ansi
        self.dropped = 0
        self._report = report
        self._stage = stage
        origin = Origin(process, channel, group, program)
        self._kinds: tuple[str, ...] = ()
        self._sinks: tuple[Sink, ...] = ()
        self._origin: Origin | None = None
        for kind, make in sinks.items():
            sink = make(origin, config, path, shared)
            if sink is not None:
                self._kinds += (kind,)
                self._sinks += (sink,)
                # No other sink says whose a record is, or has anything that waits to be sent.
                if sink.keeps:
                    self._origin = origin
                    sink.on_sent = self._changed
        self.keeps = self._origin is not None
        self.on_held: Callable[[], None] | None = None
        self._failing: dict[str, int] | None = None  # target -> bytes lost since it fails

    def reconfigure(self, config: ChannelConfig, shared: Shared) -> None:
        """Go on with other settings, but for where the output goes.

        Args:
            config: What is configured for it.
            shared: What it shares with the other channel.
        """
        self.config = config
        for sink in self._sinks:
            sink.reconfigure(config, shared.pattern, shared.rate)

    def attribute(self, pid: int, invocation: str) -> None:
        """Say whose output comes from now on.

        Args:
            pid: The child's pid.
            invocation: The identity of the invocation.
        """
        if self._origin is not None:
            self._origin.pid = pid
            self._origin.invocation = invocation

    def open(self) -> None:
        """Open all sinks for the next invocation; files that were moved away are made anew.

        Raises:
            OSError: A log file cannot be opened for writing.
        """
        for sink in self._sinks:
            sink.open()

    def write(self, data: Data) -> None:
        """Give one record to all sinks. Never raises."""
        for sink in self._sinks:
            trouble = sink.write(data)
            if trouble is not None:
                self._failed(sink, trouble)
            elif self._failing and sink.target in self._failing:
                self._works_again(sink, self._failing)

    def write_staged(self, data: Data) -> None:
        """As `write`, for a record of the chunk that is in the stage. Never raises."""
        stage = self._stage
        for sink in self._sinks:
            trouble = (
                self._replay(sink, data) if stage.replaying else sink.write_staged(data, stage)
            )
            if trouble is not None:
                self._failed(sink, trouble)
            elif self._failing and sink.target in self._failing:
                self._works_again(sink, self._failing)

    def _changed(self) -> None:
        if self.on_held is not None:
            self.on_held()

    def _replay(self, sink: Sink, data: Data) -> Trouble | None:
        if not self._stage.step_was_done():
            return sink.write_rest(data, self._stage)
        # What a sink has in memory is what was held before this chunk.
        return sink.write(data) if sink.keeps else sink.settle()

    @property
    def holding(self) -> int:
        """Bytes that sinks hold, more than 0 where what comes depends on what came."""
        return sum(sink.holding for sink in self._sinks if sink.keeps)

    def held(self) -> HeldChannel:
        """Return what a successor has to know."""
        kinds = zip(self._kinds, self._sinks, strict=True)
        sinks = {kind: sink.held() for kind, sink in kinds if sink.keeps}
        held = {kind: each for kind, each in sinks.items() if each != HeldSink()}
        return HeldChannel(self.path, self.dropped, dict(self._failing or {}), held)

    def restore(self, held: HeldChannel) -> None:
        """Go on from what an earlier daemon held. The path is given when a channel is made."""
        self.dropped = held.dropped
        self._failing = dict(held.failing) or None
        for kind, sink in zip(self._kinds, self._sinks, strict=True):
            if kind in held.sinks:
                sink.restore(held.sinks[kind])

    def _failed(self, sink: Sink, trouble: Trouble) -> None:
        self.dropped += trouble.lost
        failing = self._failing = self._failing or {}
        if sink.target not in failing:
            self._tell(Level.CRITICAL, f"cannot {trouble.doing} {sink.target}: {trouble.error}")
        failing[sink.target] = failing.get(sink.target, 0) + trouble.lost
        self._changed()

    def _works_again(self, sink: Sink, failing: dict[str, int]) -> None:
        lost = failing.pop(sink.target)
        self._changed()
        self._tell(Level.WARN, f"{sink.target} works again, {lost} bytes were dropped")

    def _tell(self, level: Level, text: str) -> None:
        self._report(level, f"'{self.process}' {self.channel}: {text}")

    @property
    def position(self) -> int:
        """Bytes in its log file, 0 where it has none."""
        for sink in self._sinks:
            if sink.position:
                return sink.position
        return 0

    @property
    def shared(self) -> bool:
        """Whether another channel writes to its log file, too."""
        for sink in self._sinks:  # noqa: SIM110  for each chunk: any() takes twice as long
            if sink.shared:
                return True
        return False

    @property
    def stalled(self) -> bool:
        """Whether a sink is behind: leave the child's pipe unread until `catch_up` helps."""
        for sink in self._sinks:  # noqa: SIM110  for each chunk: any() takes twice as long
            if sink.stalled:
                return True
        return False

    def catch_up(self) -> bool:
        """Send on what keeps readers waiting; return whether they may read again."""
        for sink in self._sinks:
            if sink.stalled:
                sink.catch_up()
        return not self.stalled

    def flush(self) -> None:
        """Send on all that sinks hold, an unfinished line too: a stream has ended."""
        for sink in self._sinks:
            sink.flush()

    def reopen(self) -> None:
        """Open the files again, after outside rotation; a failure is reported. Never raises."""
        for sink in self._sinks:
            try:
                sink.reopen()
            except OSError as error:
                self._tell(Level.CRITICAL, f"cannot reopen {sink.target}: {error}")

    def clear(self) -> None:
        """Truncate the log file, open or not; its backups stay.

        Raises:
            OSError: It cannot be truncated.
        """
        for sink in self._sinks:
            sink.clear()

    def close(self) -> None:
        """Close all sinks until the next `open`. Never raises.

        While a generated log is open, other daemons know that it is in use: close it last.
        """
        for sink in self._sinks:
            trouble = sink.close()
            if trouble is not None:
                self._failed(sink, trouble)
