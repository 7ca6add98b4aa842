"""How fast output gets into files, and what that costs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import processes
from benchmarks.metrics.fleet import prepared
from benchmarks.metrics.registry import Scope, Turn, metric
from benchmarks.peers import Peer
from benchmarks.peers.base import Log
from benchmarks.worker import (
    FLOOD_LINE_BYTES,
    Kind,
    NotMeasuredError,
    WrongResultError,
    check_lines,
)

_SECONDS = 120.0
_ROTATIONS = 20
_PROGRAM = "s"


class Work(NamedTuple):
    """A way to write lines of 128 bytes.

    Attributes:
        lines: How many go out in one write.
        writers: How many programs write at once.
        rotations: How many files the output is to be cut into; 0 for one that grows.
    """

    lines: int
    writers: int = 1
    rotations: int = 0


WORKS = {
    "big writes": Work(512),
    "a write per line": Work(1),
    "20 writers": Work(1, writers=20),
    "rotation": Work(512, rotations=_ROTATIONS),
}


@metric("log-big", Scope.PEER)
def big(turn: Turn) -> None:
    """Writes of 64 KiB: bytes in a second, CPU seconds for a gigabyte."""
    _measure(turn, "big writes")


@metric("log-lines", Scope.PEER)
def lines(turn: Turn) -> None:
    """A write for each line of 128 bytes: the same figures."""
    _measure(turn, "a write per line")


@metric("log-writers", Scope.PEER, once=True)
def writers(turn: Turn) -> None:
    """20 programs at once, a write for each line: the same figures."""
    _measure(turn, "20 writers")


@metric("log-rotation", Scope.PEER, once=True)
def rotation(turn: Turn) -> None:
    """Writes of 64 KiB into 20 files, one after the other: the same figures."""
    _measure(turn, "rotation")


def _measure(turn: Turn, name: str) -> None:
    if not turn.peer.writes_files:
        raise NotMeasuredError("it has no part in what programs write to files")
    work = WORKS[name]
    count = turn.effort.log_bytes // FLOOD_LINE_BYTES // work.writers
    total = count * work.writers * FLOOD_LINE_BYTES
    log = Log()
    if work.rotations:
        log = Log(total // work.rotations, work.rotations + 2)
    with prepared(turn.peer, turn.folder, turn.worker) as (peer, stamps):
        words = count, FLOOD_LINE_BYTES, work.lines
        peer.write([peer.program(_PROGRAM, "spew", *words, count=work.writers, log=log)])
        peer.start()
        started = stamps.started(_PROGRAM, work.writers)
        time.sleep(min(1.0, turn.effort.idle))  # what follows a start is not the log's
        own = peer.log_pids()
        before = processes.usage(own)
        begun = time.monotonic()
        for pid in peer.pids_here([stamp.pid for stamp in started]):
            os.kill(pid, signal.SIGUSR1)
        stamps.take(work.writers, _SECONDS, lambda stamp: stamp.kind == Kind.WRITTEN)
        names = [stamp.name for stamp in started]
        _wait_for_size(peer, names, total)
        elapsed = time.monotonic() - begun
        used = processes.usage(own).since(before)
        turn.add(f"log, {name}", "MB/s", total / 1e6 / elapsed)
        turn.add(f"log, {name}: CPU", "s/GB", used.cpu / (total / 1e9))
        for each in names:
            found = check_lines(turn.worker, peer.log_files(each), FLOOD_LINE_BYTES)
            if found != count:
                raise WrongResultError(f"{found} of {count} lines are in the log of {each}")


def _wait_for_size(peer: Peer, names: list[str], total: int) -> None:
    """Wait until files hold so many bytes, all in all."""
    deadline = time.monotonic() + _SECONDS
    while (size := sum(_size(path) for name in names for path in peer.log_files(name))) < total:
        if time.monotonic() > deadline:
            raise WrongResultError(f"{size} of {total} bytes are in the logs")
        time.sleep(0.002)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # just renamed
        return 0
