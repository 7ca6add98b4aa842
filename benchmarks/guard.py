"""Nothing lasts for ever and nothing is left behind: time limits, signals, and what others left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from benchmarks import processes
from benchmarks.worker import NotMeasuredError
from sdsuper.daemon.prctl import SET_CHILD_SUBREAPER, prctl

_SWEEP_SECONDS = 10.0


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Bound a block in time, whatever it waits for.

    Raises:
        NotMeasuredError: It was not over in time.
    """

    def ring(*_: object) -> None:
        raise NotMeasuredError(f"it was not over within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        lift()
        signal.signal(signal.SIGALRM, before)


def lift() -> None:
    """Take the limit off: what cleans up has bounds of its own, and must not be cut short."""
    signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def cleaned() -> Iterator[None]:
    """Let nothing that a block started outlive it, nor us if we are asked to end.

    What loses its parent becomes our child; the signals that ask us to end are exceptions, so that
    whoever has something to clean up does it.
    """
    prctl(SET_CHILD_SUBREAPER, 1)
    asked = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in asked]
    kept = own_children()
    try:
        yield
    finally:
        sweep(kept)
        for number, handler in zip(asked, before, strict=True):
            signal.signal(number, handler)


def own_children() -> set[int]:
    """Return the pids of our children."""
    return set(processes.children(os.getpid()))


def sweep(kept: set[int]) -> int:
    """Kill our children, and what they leave to us, but for those that are kept.

    Returns:
        How many of them were alive.
    """
    found: set[int] = set()
    deadline = time.monotonic() + _SWEEP_SECONDS
    while (left := own_children() - kept) and time.monotonic() < deadline:
        alive = {pid for pid in left if not _is_reaped(pid)}
        found |= alive
        processes.kill(alive)
        if alive:
            time.sleep(0.01)
    return len(found)


def _is_reaped(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return True
