"""Turns of busy pipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine

from sdsuper import eventloop
from sdsuper.daemon.pacing import Pacer


def in_loop(work: Callable[[], Coroutine[None, None, None]]) -> None:
    eventloop.run(work())


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_each_is_called_once_when_its_pause_is_over() -> None:
    called: list[str] = []

    async def work() -> None:
        pacer = Pacer()
        over: eventloop.Future[None] = eventloop.Future()
        begun = time.monotonic()
        pacer.put(lambda: (called.append("last"), over.set_result(None))[0], 0.02)
        pacer.put(lambda: called.append("second"), 0.002)
        pacer.put(lambda: called.append("third"), 0.0021)
        pacer.put(lambda: called.append("first"), 0.0)
        assert called == []
        await over
        assert time.monotonic() - begun >= 0.0195
        await eventloop.sleep(0.01)

    in_loop(work)
    assert called == ["first", "second", "third", "last"]


def test_who_puts_itself_again_does_not_keep_the_loop() -> None:
    turns = 0

    async def work() -> None:
        nonlocal turns
        pacer = Pacer()

        def turn() -> None:
            nonlocal turns
            turns += 1
            pacer.put(turn, 0.0)

        pacer.put(turn, 0.0)
        for _ in range(10):
            before = turns
            await eventloop.sleep(0)
            assert turns <= before + 1
        pacer.close()
        stopped = turns
        await eventloop.sleep(0)
        assert turns == stopped

    in_loop(work)
    assert turns >= 9


def test_many_that_take_long_share_several_turns_of_the_loop() -> None:
    called: list[int] = []

    async def work() -> None:
        pacer = Pacer()

        def turn(number: int) -> None:
            busy(0.002)
            called.append(number)

        for number in range(4):
            pacer.put(lambda number=number: turn(number), 0.0)  # type: ignore[misc]
        for count in range(1, 5):
            await eventloop.sleep(0)
            assert called == list(range(count))

    in_loop(work)


def test_an_error_of_one_is_not_that_of_the_others() -> None:
    called: list[str] = []

    async def work() -> None:
        pacer = Pacer()
        told: list[object] = []
        eventloop.get_running_loop().on_error = lambda message, error: told.append(error)
        error = ValueError("as it happens")

        def fail() -> None:
            raise error

        pacer.put(fail, 0.0)
        over: eventloop.Future[None] = eventloop.Future()
        pacer.put(lambda: (called.append("other"), over.set_result(None))[0], 0.0)
        await over
        assert told == [error]

    in_loop(work)
