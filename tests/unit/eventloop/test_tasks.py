"""Coroutines: what they wait for, what interrupts them, what is told of their errors."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from sdsuper import eventloop
from sdsuper.eventloop import CancelledError, Future, Lock, Semaphore, Task

PATIENCE = 20.0


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a test with a bound on its time; nothing of it is told as an error."""
    told: list[object] = []

    async def bounded() -> Any:
        eventloop.get_running_loop().on_error = lambda *error: told.append(error)
        with eventloop.timeout(PATIENCE):
            return await test()

    result = eventloop.run(bounded())
    gc.collect()
    assert told == []
    return result


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await eventloop.sleep(0)


async def fail(error: BaseException, after: Awaitable[Any] | None = None) -> None:
    if after is not None:
        await after
    raise error


# -- futures ---------------------------------------------------------------------------------------


def test_a_future_has_one_result() -> None:
    future: Future[int] = Future()
    told: list[object] = []
    future.add_done_callback(told.append)
    future.add_done_callback(never := lambda _: told.append("never"))
    future.remove_done_callback(never)
    future.remove_done_callback(never)
    assert not future.done()
    for ask in (future.result, future.exception):
        with pytest.raises(RuntimeError, match="no result"):
            ask()
    future.set_result(7)
    assert (future.done(), future.result(), future.exception()) == (True, 7, None)
    future.add_done_callback(told.append)
    assert told == [future, future]
    for again in (lambda: future.set_result(8), lambda: future.set_exception(ValueError())):
        with pytest.raises(RuntimeError, match="already"):
            again()
    assert future.result() == 7


def test_a_future_may_have_an_error_instead() -> None:
    future: Future[int] = Future()
    error = ValueError("no")
    future.set_exception(error)
    assert future.exception() is error
    with pytest.raises(ValueError, match="no"):
        future.result()


def test_all_who_wait_get_the_result_and_whoever_sets_it_goes_on_first() -> None:
    async def test() -> None:
        future: Future[int] = Future()
        order: list[object] = []

        async def wait(name: str) -> None:
            order.append((name, await future))

        tasks = [Task(wait(name)) for name in "abc"]
        await turns(1)
        future.set_result(1)
        order.append("set")
        for each in tasks:
            await each
        assert order == ["set", ("a", 1), ("b", 1), ("c", 1)]
        assert await future == 1

    run(test)


def test_waiting_for_the_end_whatever_it_is() -> None:
    async def test() -> None:
        good, bad = Task(eventloop.sleep(0)), Task(fail(ValueError()))
        for task in (good, bad, good, bad):
            await task.settled()
            assert task.done()
        assert isinstance(bad.exception(), ValueError)

    run(test)


# -- tasks -----------------------------------------------------------------------------------------


def test_a_task_begins_in_the_loop_and_gives_its_result() -> None:
    async def test() -> str:
        begun: list[object] = []

        async def work() -> str:
            begun.append(eventloop.current_task())
            return "done"

        task = Task(work())
        assert begun == []
        assert await task == "done"
        assert begun == [task]
        assert eventloop.current_task() is not task
        assert eventloop.get_running_loop().tasks == {eventloop.current_task()}
        return await task

    assert run(test) == "done"


def test_outside_a_task_there_is_none() -> None:
    async def test() -> None:
        found: list[object] = []

        def look() -> None:
            with pytest.raises(RuntimeError, match="no task"):
                eventloop.current_task()
            found.append(None)

        eventloop.get_running_loop().call_soon(look)
        await turns()
        assert found

    run(test)


def test_without_a_loop_there_is_no_task() -> None:
    work = turns()
    with pytest.raises(RuntimeError, match="no event loop"):
        Task(work)
    work.close()
    gc.collect()


def test_context_variables_are_the_tasks_own() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def test() -> None:
        variable.set("outer")
        seen: list[str] = []

        async def work(name: str) -> None:
            seen.append(variable.get())
            variable.set(name)
            await turns()
            seen.append(variable.get())

        await eventloop.gather(work(name) for name in "ab")
        assert seen == ["outer", "outer", "a", "b"]
        assert variable.get() == "outer"

    run(test)


def test_what_a_task_raises_is_raised_where_it_is_waited_for() -> None:
    async def test() -> None:
        task = Task(fail(ValueError("no")))
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                await task
        assert not task.cancelled()

    run(test)


def test_an_error_that_nobody_asks_for_is_told() -> None:
    told: list[tuple[str, BaseException | None]] = []

    async def test() -> None:
        eventloop.get_running_loop().on_error = lambda *error: told.append(error)
        Task(fail(ValueError("unseen")))
        seen = Task(fail(ValueError("seen")))
        cancelled = Task(turns(1000))
        await turns()
        seen.exception()
        cancelled.cancel()
        await turns()
        del seen, cancelled
        gc.collect()

    eventloop.run(test())
    ((message, error),) = told
    assert message == "unexpected error in fail"
    assert str(error) == "unseen"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_program_is_not_kept_in_a_task(kind: type[BaseException]) -> None:
    async def test() -> None:
        Task(fail(kind()))
        await Future()

    with pytest.raises(kind):
        eventloop.run(test())


def test_a_task_is_kept_while_it_waits_for_what_nobody_else_keeps() -> None:
    async def test() -> None:
        ended: list[int] = []

        async def work() -> None:
            future: Future[None] = Future()
            eventloop.get_running_loop().call_later(0.01, future.set_result, None)
            await future
            ended.append(1)

        Task(work())
        await turns()
        gc.collect()
        while not ended:
            await eventloop.sleep(0.001)

    run(test)


def test_what_ended_is_not_held_in_cycles() -> None:
    async def test() -> None:
        gone: list[int] = []

        class Kept:
            def __del__(self) -> None:
                gone.append(1)

        async def work(kept: Kept) -> None:
            await turns(1)

        async def interrupted(kept: Kept) -> None:
            with contextlib.suppress(TimeoutError), eventloop.timeout(0):
                await Future()

        gc.disable()
        try:
            await Task(work(Kept()))
            await Task(interrupted(Kept()))
            assert gone == [1, 1]
        finally:
            gc.enable()

    run(test)


# -- interruptions ---------------------------------------------------------------------------------


def test_to_cancel_raises_where_the_task_waits_and_leaves_alone_what_it_waits_for() -> None:
    async def test() -> None:
        future: Future[str] = Future()
        ended: list[str] = []

        async def work(name: str) -> str:
            try:
                return await future
            finally:
                ended.append(name)

        one, two = Task(work("one")), Task(work("two"))
        await turns()
        one.cancel()
        one.cancel()
        assert not one.done()
        await one.settled()
        assert (one.cancelled(), ended) == (True, ["one"])
        with pytest.raises(CancelledError):
            await one
        future.set_result("late")
        assert await two == "late"
        one.cancel()
        assert ended == ["one", "two"]

    run(test)


def test_who_waits_for_a_task_may_be_cancelled_alone() -> None:
    async def test() -> None:
        go: Future[int] = Future()

        async def wait(awaitable: Awaitable[int]) -> int:
            return await awaitable

        work = Task(wait(go))
        waiting = [Task(wait(work)) for _ in range(2)]
        await turns()
        waiting[0].cancel()
        await turns()
        assert not work.done()
        go.set_result(5)
        assert await waiting[1] == 5

    run(test)


def test_a_task_that_has_not_begun_can_be_cancelled() -> None:
    async def test() -> None:
        begun: list[int] = []

        async def work() -> None:
            begun.append(1)

        task = Task(work())
        task.cancel()
        await task.settled()
        assert (task.cancelled(), begun) == (True, [])

    run(test)


def test_a_task_that_is_to_be_woken_is_interrupted_all_the_same() -> None:
    async def test() -> None:
        future: Future[None] = Future()

        async def work() -> None:
            await future

        task = Task(work())
        await turns()
        future.set_result(None)
        task.cancel()
        await task.settled()
        assert task.cancelled()

    run(test)


def test_a_task_that_cancels_itself_ends_where_it_waits_next() -> None:
    async def test() -> None:
        reached: list[int] = []

        async def work() -> None:
            eventloop.current_task().cancel()
            reached.append(1)
            await Future()
            reached.append(2)

        task = Task(work())
        await task.settled()
        assert (task.cancelled(), reached) == (True, [1])

    run(test)


def test_a_task_may_go_on_after_an_interruption() -> None:
    async def test() -> None:
        async def work() -> str:
            try:
                await Future()
            except CancelledError:
                await turns()
            return "cleaned up"

        task = Task(work())
        await turns()
        task.cancel()
        assert await task == "cleaned up"
        assert not task.cancelled()

    run(test)


def test_what_is_not_of_this_loop_cannot_be_waited_for() -> None:
    class Foreign:
        def __await__(self) -> Iterator[object]:
            yield 7

    async def test() -> None:
        async def work() -> None:
            await Foreign()

        with pytest.raises(TypeError, match="nothing to wait for here: 7"):
            await Task(work())

    run(test)


# -- time ------------------------------------------------------------------------------------------


def test_sleeping() -> None:
    async def test() -> None:
        loop = eventloop.get_running_loop()
        before = loop.time()
        await eventloop.sleep(0.02)
        assert loop.time() - before >= 0.02
        await eventloop.sleep(-1)
        task = Task(eventloop.sleep(1000))
        await turns()
        task.cancel()
        await task.settled()
        assert not any(handle.active for _, _, handle in loop._timers if handle.when > before + 999)

    run(test)


def test_what_takes_too_long_is_interrupted() -> None:
    async def test() -> None:
        ended: list[str] = []

        async def work() -> None:
            with eventloop.timeout(0.01):
                try:
                    await Future()
                finally:
                    await turns()
                    ended.append("cleaned up")

        with pytest.raises(TimeoutError):
            await work()
        assert ended == ["cleaned up"]
        with eventloop.timeout(0.01):
            await turns()
        await eventloop.sleep(0.02)

    run(test)


def test_of_two_bounds_the_one_that_has_passed_is_told() -> None:
    async def test() -> None:
        for outer, inner in ((0.01, 1000), (1000, 0.01)):
            told: list[str] = []
            try:
                with eventloop.timeout(outer):
                    try:
                        with eventloop.timeout(inner):
                            await Future()
                    except TimeoutError:
                        told.append("inner")
            except TimeoutError:
                told.append("outer")
            assert told == ["inner" if inner < outer else "outer"]

    run(test)


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_who_is_cancelled_as_its_time_passes_is_cancelled(cancelled_first: bool) -> None:
    async def test() -> None:
        async def work() -> None:
            with eventloop.timeout(0):
                await Future()

        task = Task(work())
        await turns(1)
        loop = eventloop.get_running_loop()
        (timer,) = [each for _, _, each in loop._timers if each.active and each.when <= loop.time()]
        assert timer.callback is not None
        acts = [task.cancel, timer.callback]
        for act in acts if cancelled_first else reversed(acts):
            act()
        await task.settled()
        assert task.cancelled()

    run(test)


# -- several at once -------------------------------------------------------------------------------


def test_several_at_once_give_their_results_in_order() -> None:
    async def test() -> None:
        ended: list[int] = []

        async def work(number: int) -> int:
            await turns(10 - number)
            ended.append(number)
            return number

        assert await eventloop.gather(work(number) for number in range(5)) == [0, 1, 2, 3, 4]
        assert ended == [4, 3, 2, 1, 0]
        assert await eventloop.gather([]) == []

    run(test)


def test_where_one_fails_the_others_are_cancelled() -> None:
    async def test() -> None:
        ended: list[str] = []

        async def work() -> None:
            try:
                await Future()
            finally:
                ended.append("cancelled")

        with pytest.raises(ValueError, match="no"):
            await eventloop.gather([turns(), fail(ValueError("no")), work(), work()])
        await turns()
        assert ended == ["cancelled"] * 2

    run(test)


def test_who_waits_for_several_is_cancelled_with_them() -> None:
    async def test() -> None:
        ended: list[str] = []

        async def work() -> None:
            try:
                await Future()
            finally:
                ended.append("cancelled")

        task = Task(eventloop.gather([work(), work()]))
        await turns()
        task.cancel()
        await turns()
        assert (task.cancelled(), ended) == (True, ["cancelled"] * 2)

    run(test)


# -- one after the other ---------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "together"), [(Lock, 1), (lambda: Semaphore(3), 3)])
def test_so_many_at_a_time_in_the_order_of_coming(
    make: Callable[[], Semaphore], together: int
) -> None:
    async def test() -> None:
        semaphore = make()
        inside: list[int] = []
        most = 0
        order: list[int] = []

        async def work(number: int) -> None:
            nonlocal most
            async with semaphore:
                inside.append(number)
                order.append(number)
                most = max(most, len(inside))
                await turns(2)
                inside.remove(number)

        await eventloop.gather(work(number) for number in range(10))
        assert (most, order) == (together, list(range(10)))
        await eventloop.gather(semaphore.acquire() for _ in range(together))

    run(test)


@pytest.mark.parametrize("late", [False, True])
def test_who_gives_up_waiting_takes_nobodys_turn(late: bool) -> None:
    async def test() -> None:
        lock = Lock()
        await lock.acquire()
        first, second = Task(lock.acquire()), Task(lock.acquire())
        await turns()
        if late:
            lock.release()  # it is the first one's turn, which does not know yet
            first.cancel()
        else:
            first.cancel()
            await turns()
            lock.release()
        with eventloop.timeout(PATIENCE):
            await second
        assert first.cancelled()
        lock.release()
        await lock.acquire()

    run(test)


def test_what_is_given_back_goes_to_who_has_waited_not_to_who_comes() -> None:
    async def test() -> None:
        lock = Lock()
        await lock.acquire()
        waiting = Task(lock.acquire())
        await turns()
        lock.release()
        late = Task(lock.acquire())
        await waiting
        await turns()
        assert not late.done()
        lock.release()
        await late

    run(test)


# -- the whole -------------------------------------------------------------------------------------


def test_what_is_at_work_at_the_end_is_cancelled() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await Future()
        finally:
            await turns()
            ended.append(name)

    async def main() -> str:
        Task(work("a"))
        Task(work("b"))
        await turns()
        return "result"

    assert eventloop.run(main()) == "result"
    assert sorted(ended) == ["a", "b"]


def test_what_the_main_coroutine_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="no"):
        eventloop.run(fail(ValueError("no")))


def test_a_loop_within_a_loop_is_refused() -> None:
    async def test() -> None:
        with pytest.raises(RuntimeError, match="already"):
            eventloop.run(turns())

    run(test)
