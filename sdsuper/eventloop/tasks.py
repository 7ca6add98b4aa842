"""Coroutines on the event loop: what they wait for, and what interrupts them.

A task drives a coroutine. To wait, that yields a future, or None to let one turn pass. Who waits is
woken in the loop, never within `set_result`: whoever sets a result goes on undisturbed.

To interrupt a task raises an exception where it waits. What it waits for is left alone: others may
wait for the same, and may get what comes of it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from sdsuper.eventloop.loop import Loop, get_running_loop, running

_T = TypeVar("_T")


class CancelledError(BaseException):
    """The task that is to end is at work here."""


class Future(Generic[_T]):
    """A result that comes later."""

    __slots__ = ("_callbacks", "_done", "_error", "_result")

    def __init__(self) -> None:
        self._done = False
        self._result: _T
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Any], object]] = []

    def done(self) -> bool:
        """Whether there is a result, or an error."""
        return self._done

    def result(self) -> _T:
        """Return the result.

        Raises:
            RuntimeError: There is none yet.
            BaseException: The error that came instead.
        """
        error = self.exception()
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback would hold this frame, and this frame would hold it
        return self._result

    def exception(self) -> BaseException | None:
        """Return the error that came instead of a result, None where there is a result.

        Raises:
            RuntimeError: There is neither yet.
        """
        if not self._done:
            raise RuntimeError("there is no result yet")
        return self._error

    def set_result(self, result: _T) -> None:
        """Let this be the result.

        Raises:
            RuntimeError: There is one.
        """
        self._settle(result, None)

    def set_exception(self, error: BaseException) -> None:
        """Let this come instead of a result.

        Raises:
            RuntimeError: There is a result.
        """
        self._settle(None, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self._done:
            raise RuntimeError("there is a result already")
        self._done, self._result, self._error = True, result, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call something with this future as soon as it is done; at once if it is. No raising."""
        if self._done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def remove_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Take back `add_done_callback`, if there was one."""
        with contextlib.suppress(ValueError):
            self._callbacks.remove(callback)

    def __await__(self) -> Generator[Any, None, _T]:
        """Wait for the result, and return it."""
        if not self._done:
            yield self
        return self.result()

    async def settled(self) -> None:
        """Wait until there is a result or an error, whichever it is."""
        if not self._done:
            waiter: Future[None] = Future()
            self.add_done_callback(lambda _: waiter.set_result(None))
            await waiter


class Task(Future[_T]):
    """A coroutine at work. It begins in the loop, not here.

    Its context variables are copies: what it sets is its own. An error that nobody has asked for
    is told to the loop when the task is forgotten, which may be long after its end: the traceback
    holds it until garbage is collected.
    """

    __slots__ = ("_context", "_coroutine", "_interruption", "_loop", "_unseen", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        super().__init__()
        self._unseen = False
        self._loop: Loop = get_running_loop()
        self._coroutine = coroutine
        self._context = copy_context()
        self._interruption: BaseException | None = None
        self._waits_for: Future[Any] | None = None
        self._loop.tasks.add(self)
        self._step_soon()

    def cancel(self) -> None:
        """Raise CancelledError where it waits, or where it waits next."""
        self.interrupt(CancelledError())

    def interrupt(self, error: BaseException) -> None:
        """Raise something where it waits, or where it waits next; of several the last."""
        if self._done:
            return
        self._interruption = error
        if self._waits_for is not None:
            self._waits_for.remove_done_callback(self._wake)
            self._waits_for = None
            self._step_soon()

    @property
    def interruption(self) -> BaseException | None:
        """What is about to be raised in it."""
        return self._interruption

    def cancelled(self) -> bool:
        """Whether CancelledError has ended it."""
        return isinstance(self._error, CancelledError)

    def exception(self) -> BaseException | None:
        """Return the error that has ended it, None where there is a result.

        Raises:
            RuntimeError: It has not ended.
        """
        self._unseen = False
        return super().exception()

    def _step_soon(self) -> None:
        self._loop.call_soon(self._context.run, self._step)

    def _wake(self, _future: Future[Any]) -> None:
        self._waits_for = None
        self._step_soon()

    def _step(self) -> None:
        """Let the coroutine go on to where it waits next, or to its end."""
        error, self._interruption = self._interruption, None
        self._loop.current = self
        try:
            if error is None:
                awaited = self._coroutine.send(None)
            else:
                awaited = self._coroutine.throw(error)
        except StopIteration as stop:
            self._end(stop.value, None)
        except (SystemExit, KeyboardInterrupt) as raised:
            self._end(None, raised)
            raise
        except BaseException as raised:  # noqa: BLE001  whoever waits for the task is told
            self._unseen = not isinstance(raised, CancelledError)
            self._end(None, raised)
        else:
            if isinstance(awaited, Future) and self._interruption is None:
                self._waits_for = awaited
                awaited.add_done_callback(self._wake)
            else:
                if awaited is not None and not isinstance(awaited, Future):
                    self._interruption = TypeError(f"nothing to wait for here: {awaited!r}")
                self._step_soon()
        finally:
            self._loop.current = None
            del error  # its traceback holds this frame

    def _end(self, result: Any, error: BaseException | None) -> None:
        self._loop.tasks.discard(self)
        self._settle(result, error)

    def __del__(self) -> None:
        """Tell of an error that nobody has asked for."""
        if self._unseen:
            name = getattr(self._coroutine, "__qualname__", "a coroutine")
            self._loop.tell(f"unexpected error in {name}", self._error)


def current_task() -> Task[Any]:
    """Return the task that is at work.

    Raises:
        RuntimeError: None is.
    """
    task = get_running_loop().current
    if task is None:
        raise RuntimeError("no task is at work")
    return task


class _Turn:
    """Waits for one turn of the loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def sleep(seconds: float) -> None:
    """Wait; 0 seconds are one turn of the loop."""
    if seconds <= 0:
        await _Turn()
        return
    over: Future[None] = Future()
    timer = get_running_loop().call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()


@contextlib.contextmanager
def timeout(seconds: float) -> Iterator[None]:
    """Interrupt the present task if what is inside takes longer.

    Raises:
        TimeoutError: It has.
    """
    task, passed = current_task(), CancelledError()

    def interrupt() -> None:
        if task.interruption is None:  # it is being cancelled anyway
            task.interrupt(passed)

    timer = get_running_loop().call_later(seconds, interrupt)
    try:
        yield
    except CancelledError as error:
        if error is passed:
            passed.__traceback__ = None  # it holds this frame, and this frame holds it
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


async def gather(coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Do several things at once; return the results in the same order.

    Where one fails, or the caller is interrupted, the others are cancelled.

    Raises:
        BaseException: The error of the first, in this order, that failed.
    """
    tasks = [Task(each) for each in coroutines]
    try:
        return [await each for each in tasks]
    except BaseException:
        for each in tasks:
            each.cancel()
        raise


class Semaphore:
    """So many at a time; who comes first has the first turn.

    Args:
        value: How many.
    """

    def __init__(self, value: int) -> None:
        self._value = value
        self._waiters: deque[Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a turn."""
        if self._value:
            self._value -= 1
            return
        waiter: Future[None] = Future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done():  # too late: it is the next one's turn
                self.release()
            else:
                self._waiters.remove(waiter)
            raise

    def release(self) -> None:
        """End a turn; it goes to who waits, whatever else comes before that wakes up."""
        if self._waiters:
            self._waiters.popleft().set_result(None)
        else:
            self._value += 1

    async def __aenter__(self) -> None:
        """Wait for a turn."""
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        self.release()


class Lock(Semaphore):
    """One at a time."""

    def __init__(self) -> None:
        super().__init__(1)


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a loop until a coroutine has ended; then cancel what still is at work.

    Returns:
        What the coroutine returns.

    Raises:
        BaseException: What it raises.
        RuntimeError: A loop is running.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(main.close)
        loop = stack.enter_context(running())
        task = Task(main)
        try:
            loop.run_until(task.done)
        finally:
            for each in tuple(loop.tasks):
                each.cancel()
            loop.finish()
        return task.result()
