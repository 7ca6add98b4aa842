"""One thread, one epoll: callbacks in turn, descriptors by readiness, deadlines in a heap.

Theory of operation
-------------------
A turn waits until a descriptor is ready, a deadline has passed or a callback is due; then it calls
what is due: readers and writers, then deadlines that have passed, then the callbacks that were due
by then. Whatever these ask for at once is for the next turn, which looks at all descriptors again:
nobody who always has more to do holds up others. More descriptors than READY_MAX have to share
several turns; the kernel tells of each before it tells of one twice.

What a turn found is bound to the registration, not to the number: a descriptor that is removed by a
callback is told nothing more in that turn, and neither is one that has got its number meanwhile.

A callback that raises costs nobody else anything: `on_error` is told, the loop goes on.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from _thread import allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdsuper.eventloop.tasks import Task

READY_MAX = 512
"""Descriptors that one turn takes up; they take 6 KiB while it waits."""

_WAIT_MAX = 1e6
"""Seconds of one wait at most: epoll_wait(2) counts milliseconds in 31 bits."""

_CANCELLED_MAX = 100
"""Cancelled deadlines that are left where they are, as long as they are the fewer."""

_LAST_TURNS = 100

_WAKE_BYTES = 64 * 1024

_READ, _WRITE, _ENDED = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR
# Who waits to read or to write learns of the end by trying to.
_READABLE, _WRITABLE = _READ | _ENDED, _WRITE | _ENDED


class Handle:
    """A callback that is due, or waits for a descriptor.

    Attributes:
        active: Whether it is still going to be called.
    """

    __slots__ = ("args", "callback")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args

    @property
    def active(self) -> bool:
        """Whether it is still going to be called."""
        return self.callback is not None

    def cancel(self) -> None:
        """Do not call it."""
        self.callback = None
        self.args = ()


class TimerHandle(Handle):
    """A callback that waits for a moment.

    Attributes:
        when: That moment, monotonic seconds.
    """

    __slots__ = ("_loop", "when")

    def __init__(
        self, loop: Loop, when: float, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        super().__init__(callback, args)
        self._loop = loop
        self.when = when

    def cancel(self) -> None:
        """Do not call it."""
        if self.callback is not None:
            super().cancel()
            self._loop.forget_timer()


class _Watch:
    """A descriptor that is registered: what to call when it is ready."""

    __slots__ = ("hangup", "mask", "reader", "writer")

    def __init__(self) -> None:
        self.mask = 0
        self.reader: Handle | None = None
        self.writer: Handle | None = None
        self.hangup: Handle | None = None


class Loop:
    """The event loop. All of it but `call_soon_threadsafe` is for the thread that runs it.

    Attributes:
        on_error: Told what a callback, or a task that nobody waits for, has raised.
        current: The task that is at work, None where none is.
        tasks: Those that have not ended.
    """

    def __init__(self) -> None:
        self.on_error: Callable[[str, BaseException | None], None] = _write_error
        self.current: Task[Any] | None = None
        self.tasks: set[Task[Any]] = set()
        self._thread = get_ident()
        self._epoll = select.epoll()
        self._watches: dict[int, _Watch] = {}
        self._soon: deque[Handle] = deque()
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._timers_made = 0
        self._timers_cancelled = 0
        self._closing = allocate_lock()
        self._waking, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.add_reader(self._waking, self._woken)

    # --- callbacks ----------------------------------------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: Any) -> Handle:
        """Call something in the next turn, or in this one if its callbacks are still to come.

        It may be called by a signal handler.
        """
        handle = Handle(callback, args)
        self._soon.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        """Call something soon; another thread asks for it.

        Raises:
            RuntimeError: The loop has ended.
        """
        with self._closing:  # its number may be another descriptor's later
            if self._waker < 0:
                raise RuntimeError("the event loop has ended")
            self.call_soon(callback, *args)
            with contextlib.suppress(BlockingIOError):  # full: it wakes anyway
                os.write(self._waker, b"\0")

    @property
    def runs_here(self) -> bool:
        """Whether the present thread is the one that runs it."""
        return get_ident() == self._thread

    @property
    def waker(self) -> int:
        """The descriptor that wakes the loop when something is written to it; non-blocking."""
        return self._waker

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._waking, _WAKE_BYTES)

    # --- deadlines ----------------------------------------------------------------------------

    time = staticmethod(time.monotonic)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> TimerHandle:
        """Call something at a moment, monotonic seconds."""
        handle = TimerHandle(self, when, callback, args)
        self._timers_made = number = self._timers_made + 1
        heappush(self._timers, (when, number, handle))
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> TimerHandle:
        """Call something after so many seconds."""
        return self.call_at(time.monotonic() + delay, callback, *args)

    def forget_timer(self) -> None:
        """Count a deadline that was cancelled; with too many of them the heap is made anew."""
        self._timers_cancelled += 1
        if self._timers_cancelled > max(_CANCELLED_MAX, len(self._timers) // 2):
            self._timers = [each for each in self._timers if each[2].callback is not None]
            heapify(self._timers)
            self._timers_cancelled = 0

    def _patience(self) -> float | None:
        """Return how many seconds to wait for a descriptor, None for as long as it takes."""
        if self._soon:
            return 0
        timers = self._timers
        while timers:
            when, _, handle = timers[0]
            if handle.callback is not None:
                return min(max(when - time.monotonic(), 0), _WAIT_MAX)
            heappop(timers)
            self._timers_cancelled -= 1
        return None

    def _passed(self) -> list[TimerHandle]:
        """Take the deadlines that have passed from the heap."""
        timers, now = self._timers, time.monotonic()
        passed = []
        while timers and timers[0][0] <= now:
            handle = heappop(timers)[2]
            if handle.callback is None:
                self._timers_cancelled -= 1
            else:
                passed.append(handle)
        return passed

    # --- descriptors --------------------------------------------------------------------------

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call something whenever a descriptor can be read, or has ended, until it is removed.

        It must be removed before it is closed.

        Raises:
            OSError: It cannot be waited for (EPERM: a file).
        """
        watch = self._watch(fd, _READ)
        watch.reader = Handle(callback, args)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """The same where it can be written to."""
        watch = self._watch(fd, _WRITE)
        watch.writer = Handle(callback, args)

    def add_hangup(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call something when the other end is gone, though nobody reads or writes."""
        watch = self._watch(fd, 0)
        watch.hangup = Handle(callback, args)

    def remove_reader(self, fd: int) -> None:
        """Take back `add_reader`, if there was one."""
        watch = self._watches.get(fd)
        if watch is not None and watch.reader is not None:
            watch.reader = None
            self._unwatch(fd, watch, _READ)

    def remove_writer(self, fd: int) -> None:
        """Take back `add_writer`, if there was one."""
        watch = self._watches.get(fd)
        if watch is not None and watch.writer is not None:
            watch.writer = None
            self._unwatch(fd, watch, _WRITE)

    def remove_hangup(self, fd: int) -> None:
        """Take back `add_hangup`, if there was one."""
        watch = self._watches.get(fd)
        if watch is not None and watch.hangup is not None:
            watch.hangup = None
            self._unwatch(fd, watch, 0)

    def _watch(self, fd: int, event: int) -> _Watch:
        watch = self._watches.get(fd)
        if watch is None:
            watch = _Watch()
            self._epoll.register(fd, event)
            self._watches[fd] = watch
        elif watch.mask & event != event:
            self._epoll.modify(fd, watch.mask | event)
        watch.mask |= event
        return watch

    def _unwatch(self, fd: int, watch: _Watch, event: int) -> None:
        watch.mask &= ~event
        if watch.reader is watch.writer is watch.hangup is None:
            del self._watches[fd]
            try:  # noqa: SIM105  for each chunk of output; `suppress` takes as long as the call
                self._epoll.unregister(fd)
            except OSError:  # closed already
                pass
        elif event:
            self._epoll.modify(fd, watch.mask)

    # --- turns --------------------------------------------------------------------------------

    def run_until(self, done: Callable[[], bool]) -> None:
        """Take turns until something is so; it is asked after each of them."""
        while not done():
            self._turn()

    def finish(self) -> None:
        """Take turns while callbacks are due, but not for ever."""
        for _ in range(_LAST_TURNS):
            if not self._soon:
                break
            self._turn()

    def _turn(self) -> None:
        watches, soon = self._watches, self._soon
        found = self._epoll.poll(self._patience(), READY_MAX)
        for watch, events in [(watches.get(fd), events) for fd, events in found]:
            if watch is None:  # closed before it was removed, and open elsewhere
                continue
            if events & _READABLE and watch.reader is not None:
                self._call(watch.reader)
            if events & _WRITABLE and watch.writer is not None:
                self._call(watch.writer)
            if events & _ENDED and watch.hangup is not None:
                self._call(watch.hangup)
        if self._timers:
            for timer in self._passed():
                self._call_once(timer)
        for _ in range(len(soon)):
            self._call_once(soon.popleft())

    def _call(self, handle: Handle) -> None:
        assert handle.callback is not None
        try:
            handle.callback(*handle.args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  it costs nobody else anything
            self.tell(f"unexpected error in {_name(handle.callback)}", error)

    def _call_once(self, handle: Handle) -> None:
        callback, args = handle.callback, handle.args
        if callback is None:
            return
        handle.callback = None
        try:
            callback(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  it costs nobody else anything
            self.tell(f"unexpected error in {_name(callback)}", error)

    def tell(self, message: str, error: BaseException | None = None) -> None:
        """Tell `on_error` what is wrong."""
        try:
            self.on_error(message, error)
        except Exception as again:  # noqa: BLE001  there is nobody else to tell
            _write_error(f"{message}: {error!r}", again)

    def close(self) -> None:
        """Let go of everything."""
        with self._closing:
            os.close(self._waker)
            self._waker = -1
        os.close(self._waking)
        self._epoll.close()
        self._watches.clear()
        self._timers.clear()
        self._soon.clear()


def _name(callback: Callable[..., object]) -> str:
    name: str = getattr(callback, "__qualname__", "") or repr(callback)
    return name


def _write_error(message: str, error: BaseException | None) -> None:
    """Write to stderr, where nobody wants to be told otherwise."""
    print(message, file=sys.stderr)
    if error is not None:
        sys.__excepthook__(type(error), error, error.__traceback__)


_running: Loop | None = None


def get_running_loop() -> Loop:
    """Return the loop that runs.

    Raises:
        RuntimeError: None does.
    """
    if _running is None:
        raise RuntimeError("no event loop is running")
    return _running


@contextlib.contextmanager
def running() -> Iterator[Loop]:
    """Make a loop, let it be the one that runs while inside, and close it.

    Raises:
        RuntimeError: Another one runs.
    """
    global _running
    if _running is not None:
        raise RuntimeError("an event loop is running already")
    _running = loop = Loop()
    try:
        yield loop
    finally:
        _running = None
        loop.close()
