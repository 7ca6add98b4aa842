"""The event loop, and what waits on it: all of it that the rest of the daemon knows.

It is our own: what the standard library has for this takes 4 MiB of a daemon and 30 ms of each
start, and is made for far more than a daemon needs that has one thread, and sockets and pipes only.
"""

from __future__ import annotations

from sdsuper.eventloop.loop import Handle, Loop, TimerHandle, get_running_loop
from sdsuper.eventloop.tasks import (
    CancelledError,
    Future,
    Lock,
    Semaphore,
    Task,
    current_task,
    gather,
    run,
    sleep,
    timeout,
)
from sdsuper.eventloop.transport import Acceptor, Transport

__all__ = [
    "Acceptor",
    "CancelledError",
    "Future",
    "Handle",
    "Lock",
    "Loop",
    "Semaphore",
    "Task",
    "TimerHandle",
    "Transport",
    "current_task",
    "gather",
    "get_running_loop",
    "run",
    "sleep",
    "timeout",
]
