"""A peer that keeps some programs running, and what is done to them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from benchmarks import guard, processes
from benchmarks.peers import Peer
from benchmarks.peers.base import Log
from benchmarks.worker import Stamp, Stamps

SLEEPER, FLOODER = "w", "f"
SETTLED = 1.2
"""Seconds after a start in which runit and s6 would put off the next one of the same service."""

_FLOOD_LOG = Log(max_bytes=50 << 20, backups=1)


class Fleet:
    """Sleeping processes of one peer, and perhaps a process that floods its log when told.

    Attributes:
        peer: Their supervisor.
        count: How many sleepers.
        programs: What is configured.
        start_seconds: From the command that starts the supervisor to the last sleeper's exec.
    """

    def __init__(self, peer: Peer, stamps: Stamps, count: int, *, flooder: bool) -> None:
        self.peer = peer
        self.count = count
        self.programs = [peer.program(SLEEPER, "sleep", count=count)]
        if flooder:
            self.programs.append(peer.program(FLOODER, "flood", log=_FLOOD_LOG))
        self.stamps = stamps
        self.start_seconds = 0.0
        self._alive: deque[Stamp] = deque()

    def start(self) -> None:
        """Start the supervisor; wait until all processes run.

        Raises:
            NotMeasuredError: They do not within a time in which it is of no interest any more.
        """
        timeout = 20 + self.count * 0.06
        flooders: list[Stamp] = []

        def wanted(stamp: Stamp) -> bool:
            if stamp.program == FLOODER:
                flooders.append(stamp)
            return stamp.program == SLEEPER

        self.peer.write(self.programs)
        begun = time.monotonic()
        self.peer.start()
        self.stamps.check = self.peer.check
        started = self.stamps.take(self.count, timeout, wanted)
        self.start_seconds = max(stamp.time for stamp in started) - begun
        self._alive.extend(started)
        if len(self.programs) > 1 and not flooders:
            flooders += self.stamps.started(FLOODER)
        self._flooder = self.peer.pids_here([stamp.pid for stamp in flooders])

    def settle(self) -> None:
        """Wait until all that follows a start is over."""
        time.sleep(max(0.0, self._alive[-1].time + SETTLED - time.monotonic()))

    def pids(self) -> list[int]:
        """Return the pids of the sleepers."""
        return self.peer.pids_here([stamp.pid for stamp in self._alive])

    def replace(self, count: int = 1, timeout: float = 30) -> float:
        """Kill the sleepers that run longest; return the seconds until all run again."""
        victims = [self._alive.popleft() for _ in range(count)]
        pids = self.peer.pids_here([stamp.pid for stamp in victims])
        time.sleep(max(0.0, victims[-1].time + SETTLED - time.monotonic()))
        begun = time.monotonic()
        processes.kill(pids)
        started = self.stamps.started(SLEEPER, count, timeout)
        self._alive.extend(started)
        return max(stamp.time for stamp in started) - begun

    def replacements(self, samples: int, seconds: float, timeout: float = 30) -> Iterator[float]:
        """Yield what `replace` returns, so often, but for no longer than so many seconds."""
        deadline = time.monotonic() + seconds
        for number in range(samples):
            if number and time.monotonic() > deadline:
                return
            yield self.replace(timeout=timeout)

    @contextlib.contextmanager
    def flood(self) -> Iterator[None]:
        """Let lines pour into a log for the time of a block."""
        (pid,) = self._flooder
        os.kill(pid, signal.SIGUSR1)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGUSR2)

    def stop(self, timeout: float = 120) -> float:
        """Stop all; return the seconds until the last sleeper had ended."""
        with processes.Ends(self.pids()) as ends:
            begun = time.monotonic()
            self.peer.stop()
            return ends.wait(timeout) - begun


@contextlib.contextmanager
def prepared(peer: type[Peer], folder: Path, worker: Path) -> Iterator[tuple[Peer, Stamps]]:
    """Make a peer in a folder, and be rid of all of it at the end."""
    made = peer(folder, worker)
    stamps = Stamps(made.fifo)
    try:
        yield made, stamps
    finally:
        guard.lift()
        made.end()
        stamps.close()
