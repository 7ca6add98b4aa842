"""Callbacks, deadlines and descriptors: in turn, each once, and only its own."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from sdsuper.eventloop import loop as module
from sdsuper.eventloop.loop import Loop, get_running_loop, running

TURNS_MAX = 1000


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = os.listdir("/proc/self/fd")
    with running() as loop:
        yield loop
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def pipes() -> Iterator[Callable[[], tuple[int, int]]]:
    """Makes pipes, non-blocking, and closes what is open of them in the end."""
    with contextlib.ExitStack() as stack:

        def make() -> tuple[int, int]:
            pipe = os.pipe2(os.O_NONBLOCK)
            for fd in pipe:
                stack.callback(_close, fd)
            return pipe

        yield make


def _close(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)


def turn(loop: Loop, turns: int = 1) -> None:
    """Take turns that do not wait."""
    for _ in range(turns):
        loop.call_soon(int)
        loop._turn()


def errors_of(loop: Loop) -> list[tuple[str, BaseException | None]]:
    told: list[tuple[str, BaseException | None]] = []
    loop.on_error = lambda message, error: told.append((message, error))
    return told


# -- callbacks -------------------------------------------------------------------------------------


def test_callbacks_come_in_order_and_once(loop: Loop) -> None:
    called: list[int] = []
    handles = [loop.call_soon(called.append, number) for number in range(4)]
    handles[2].cancel()
    turn(loop)
    assert called == [0, 1, 3]
    assert not any(handle.active for handle in handles)
    turn(loop)
    assert called == [0, 1, 3]


def test_what_a_callback_asks_for_comes_in_the_next_turn(loop: Loop) -> None:
    called: list[int] = []

    def again() -> None:
        called.append(len(called))
        loop.call_soon(again)

    loop.call_soon(again)
    for turns in range(1, 4):
        loop._turn()
        assert len(called) == turns


def test_a_callback_that_raises_costs_only_itself_and_is_told(
    loop: Loop, pipes: Callable[[], tuple[int, int]]
) -> None:
    told, called = errors_of(loop), []
    _, writing = pipes()

    def fail(kind: type[BaseException]) -> None:
        raise kind

    class Odd(BaseException):
        pass

    loop.call_soon(fail, RuntimeError)
    loop.call_at(0, fail, Odd)
    loop.add_writer(writing, fail, OSError)
    for add in (loop.call_soon, lambda *ask: loop.call_at(0, *ask)):
        add(called.append, add)
    turn(loop)
    assert len(called) == 2
    assert [type(error) for _, error in told] == [OSError, Odd, RuntimeError]
    assert all("fail" in message for message, _ in told)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_program_ends_the_loop(loop: Loop, kind: type[BaseException]) -> None:
    def end() -> None:
        raise kind

    loop.call_soon(end)
    with pytest.raises(kind):
        loop.run_until(lambda: False)


def test_who_cannot_be_told_costs_nothing(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    loop.on_error = lambda message, error: 1 / 0  # type: ignore[func-returns-value]
    loop.call_soon(os.close, -1)
    turn(loop)
    told = capsys.readouterr().err
    assert "unexpected error in close: OSError" in told
    assert "ZeroDivisionError" in told


def test_without_anybody_to_tell_stderr_is(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    loop.call_soon(os.close, -1)
    turn(loop)
    told = capsys.readouterr().err
    assert "unexpected error in close" in told
    assert "Bad file descriptor" in told


# -- deadlines -------------------------------------------------------------------------------------


def test_deadlines_that_have_passed_come_in_their_order(loop: Loop) -> None:
    called: list[str] = []
    now = loop.time()
    loop.call_at(now - 1, called.append, "second")
    loop.call_at(now - 2, called.append, "first")
    loop.call_at(now - 1, called.append, "third")
    later = loop.call_at(now + 1000, called.append, "later")
    turn(loop)
    assert called == ["first", "second", "third"]
    assert (later.active, later.when) == (True, now + 1000)


def test_a_deadline_is_never_early(loop: Loop) -> None:
    came: list[float] = []
    deadlines = [loop.time() + each / 3000 for each in range(1, 20)]
    for deadline in deadlines:
        loop.call_at(deadline, lambda deadline=deadline: came.append(loop.time() - deadline))
    loop.run_until(lambda: len(came) == len(deadlines))
    assert min(came) >= 0


def test_a_deadline_that_is_set_again_in_the_past_holds_up_nobody(loop: Loop) -> None:
    called: list[str] = []

    def again() -> None:
        called.append("again")
        loop.call_at(0, again)

    again()
    loop.call_soon(called.append, "other")
    turn(loop)
    assert called == ["again", "again", "other"]


def test_one_that_is_cancelled_by_another_of_the_same_turn_does_not_come(loop: Loop) -> None:
    called: list[str] = []
    second = loop.call_at(1, called.append, "second")
    loop.call_at(0, second.cancel)
    turn(loop)
    assert called == []
    assert not second.active


def test_cancelled_deadlines_take_no_room_for_long(loop: Loop) -> None:
    kept = [loop.call_later(1000 + number, int) for number in range(10)]
    for number in range(10_000):
        loop.call_later(10 + number, int).cancel()
        assert len(loop._timers) <= 2 * module._CANCELLED_MAX
    assert {handle for _, _, handle in loop._timers} >= set(kept)
    assert loop._timers_cancelled == len(loop._timers) - len(kept)


def test_a_deadline_that_was_cancelled_wakes_nobody(loop: Loop) -> None:
    loop.call_later(0.001, int).cancel()
    far = loop.call_later(1000, int)
    assert 999 < (loop._patience() or 0) <= 1000
    far.cancel()
    assert loop._patience() is None
    assert loop._timers_cancelled == 0


def test_a_deadline_in_the_far_future_is_waited_for_in_parts(loop: Loop) -> None:
    loop.call_later(1e12, int)
    patience = loop._patience()
    assert patience is not None
    assert patience * 1000 < 2**31


def test_random_deadlines_against_a_plain_list(loop: Loop) -> None:
    dice = random.Random(7)
    expected: dict[int, float] = {}
    called: list[int] = []
    handles = {}
    for number in range(3000):
        when = dice.choice([-1.0, -2.0, -3.0, 1e9]) + number * 1e-6
        handles[number] = loop.call_at(when, called.append, number)
        expected[number] = when
        if dice.random() < 0.6:
            other = dice.choice(list(handles))
            handles.pop(other).cancel()
            del expected[other]
    turn(loop)
    assert called == sorted((each for each in expected if expected[each] < 1e6), key=expected.get)


# -- descriptors -----------------------------------------------------------------------------------


def test_a_reader_is_called_as_long_as_there_is_something(
    loop: Loop, pipes: Callable[[], tuple[int, int]]
) -> None:
    reading, writing = pipes()
    called: list[str] = []
    loop.add_reader(reading, called.append, "read")
    turn(loop)
    assert called == []
    os.write(writing, b"x")
    turn(loop, 2)
    assert called == ["read"] * 2
    os.read(reading, 1)
    turn(loop)
    assert called == ["read"] * 2
    os.close(writing)
    turn(loop)
    assert called == ["read"] * 3
    loop.remove_reader(reading)
    loop.remove_reader(reading)
    turn(loop)
    assert called == ["read"] * 3


def test_reader_and_writer_of_one_descriptor_come_and_go_alone(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        called: list[str] = []
        loop.add_reader(ours.fileno(), called.append, "read")
        loop.add_writer(ours.fileno(), called.append, "write")
        theirs.send(b"x")
        turn(loop)
        assert called == ["read", "write"]
        loop.remove_reader(ours.fileno())
        turn(loop)
        assert called == ["read", "write", "write"]
        loop.add_reader(ours.fileno(), called.append, "new")
        loop.remove_writer(ours.fileno())
        turn(loop)
        assert called == ["read", "write", "write", "new"]
        loop.add_reader(ours.fileno(), called.append, "newer")
        turn(loop)
        assert called[-1] == "newer"
        loop.remove_reader(ours.fileno())


def test_the_other_end_of_a_writer_that_is_gone_is_told(
    loop: Loop, pipes: Callable[[], tuple[int, int]]
) -> None:
    reading, writing = pipes()
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(65536))
    called: list[str] = []
    loop.add_writer(writing, called.append, "write")
    turn(loop)
    assert called == []
    os.close(reading)
    turn(loop)
    assert called == ["write"]


def test_a_hangup_is_told_to_who_neither_reads_nor_writes(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        called: list[str] = []
        loop.add_hangup(ours.fileno(), called.append, "gone")
        theirs.send(b"x")
        theirs.shutdown(socket.SHUT_WR)
        turn(loop)
        assert called == []
        theirs.close()
        turn(loop)
        assert called == ["gone"]
        loop.remove_hangup(ours.fileno())
        turn(loop)
        assert called == ["gone"]


def test_a_removed_descriptor_is_told_nothing_more_in_the_same_turn(
    loop: Loop, pipes: Callable[[], tuple[int, int]]
) -> None:
    """Two are ready; whichever is told first removes the other, and gives its number away."""
    (one, in_one), (two, in_two), (three, in_three) = pipes(), pipes(), pipes()
    for fd in (in_one, in_two):
        os.write(fd, b"x")
    called: list[int] = []

    def take_over(this: int, other: int) -> None:
        called.append(this)
        loop.remove_reader(this)
        loop.remove_reader(other)
        os.dup2(three, other)
        loop.add_reader(other, called.append, -1)

    loop.add_reader(one, take_over, one, two)
    loop.add_reader(two, take_over, two, one)
    turn(loop)
    assert called in ([one], [two])
    os.write(in_three, b"x")
    turn(loop)
    assert called[1:] == [-1]


def test_one_that_is_closed_before_it_was_removed_is_in_nobodys_way(
    loop: Loop, pipes: Callable[[], tuple[int, int]]
) -> None:
    reading, _ = pipes()
    loop.add_reader(reading, int)
    os.close(reading)
    loop.remove_reader(reading)
    again = os.pipe()
    try:
        assert reading in again
        called: list[str] = []
        loop.add_reader(reading, called.append, "new")
        os.close(again[1])
        turn(loop)
        assert called == ["new"]
        loop.remove_reader(reading)
    finally:
        os.close(again[0])


def test_a_file_cannot_be_waited_for(loop: Loop, tmp_path: os.PathLike[str]) -> None:
    fd = os.open(os.path.join(tmp_path, "file"), os.O_CREAT | os.O_RDWR)
    with pytest.raises(PermissionError):
        loop.add_reader(fd, int)
    os.close(fd)
    turn(loop)
    assert fd not in loop._watches


def test_more_that_are_ready_than_a_turn_takes_up_all_have_their_turn(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, pipes: Callable[[], tuple[int, int]]
) -> None:
    monkeypatch.setattr(module, "READY_MAX", 3)
    called: dict[int, int] = {}
    for _ in range(8):
        reading, writing = pipes()
        os.write(writing, b"x")
        called[reading] = 0

        def count(fd: int) -> None:
            called[fd] += 1

        loop.add_reader(reading, count, reading)
    turn(loop, 3)
    assert min(called.values()) >= 1
    turn(loop, 5)
    assert max(called.values()) - min(called.values()) <= 1


def test_a_busy_descriptor_holds_up_neither_deadlines_nor_callbacks(
    loop: Loop, pipes: Callable[[], tuple[int, int]]
) -> None:
    reading, writing = pipes()
    os.write(writing, b"x")
    called: list[str] = []
    loop.add_reader(reading, called.append, "reader")
    loop.call_soon(called.append, "soon")
    loop.call_at(0, called.append, "deadline")
    loop._turn()
    assert called == ["reader", "deadline", "soon"]


# -- what wakes it ---------------------------------------------------------------------------------


def test_an_idle_loop_sleeps(loop: Loop) -> None:
    loop.call_later(0.2, int)
    turns = 0

    def done() -> bool:
        nonlocal turns
        turns += 1
        return not loop._timers

    cpu = time.process_time()
    loop.run_until(done)
    assert turns == 2
    assert time.process_time() - cpu < 0.1


def test_another_thread_wakes_it(loop: Loop) -> None:
    called: list[int] = []

    def call() -> None:
        for number in range(100):
            assert not loop.runs_here
            loop.call_soon_threadsafe(called.append, number)

    thread = threading.Thread(target=call)
    thread.start()
    loop.run_until(lambda: len(called) == 100)
    thread.join()
    assert called == list(range(100))
    assert loop.runs_here


def test_more_wake_ups_than_a_pipe_takes_are_lost_on_nobody(loop: Loop) -> None:
    called: list[int] = []
    for number in range(70_000):
        loop.call_soon_threadsafe(called.append, number)
    loop.run_until(lambda: len(called) == 70_000)
    assert loop._epoll.poll(0) == []


def test_a_signal_wakes_it(loop: Loop) -> None:
    called: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: loop.call_soon(called.append, number))
    signal.set_wakeup_fd(loop.waker, warn_on_full_buffer=False)
    here = threading.get_ident()
    thread = threading.Timer(0.05, signal.pthread_kill, (here, signal.SIGUSR1))
    try:
        thread.start()
        loop.run_until(lambda: bool(called))
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
        thread.join()
    assert called == [signal.SIGUSR1]


# -- its life --------------------------------------------------------------------------------------


def test_there_is_one_at_a_time() -> None:
    with pytest.raises(RuntimeError, match="no event loop"):
        get_running_loop()
    with running() as loop:
        assert get_running_loop() is loop
        with pytest.raises(RuntimeError, match="already"), running():
            pass
        assert get_running_loop() is loop
    with pytest.raises(RuntimeError, match="no event loop"):
        get_running_loop()


def test_after_the_end_another_thread_is_refused() -> None:
    with running() as loop:
        pass
    taken = os.pipe()  # has the numbers that were the loop's
    with pytest.raises(RuntimeError, match="ended"):
        loop.call_soon_threadsafe(int)
    os.set_blocking(taken[0], False)
    with pytest.raises(BlockingIOError):
        os.read(taken[0], 1)
    for fd in taken:
        os.close(fd)


def test_what_is_due_at_the_end_is_done_but_not_for_ever(loop: Loop) -> None:
    called: list[int] = []

    def again() -> None:
        called.append(1)
        loop.call_soon(again)

    loop.call_soon(lambda: loop.call_soon(called.append, 0))
    loop.finish()
    assert called == [0]
    again()
    loop.finish()
    assert len(called) < TURNS_MAX


def test_nothing_is_held_in_cycles(loop: Loop) -> None:
    class Kept:
        pass

    gc.collect()
    gc.disable()
    try:
        gone: list[Kept] = []
        for add in (loop.call_soon, lambda *ask: loop.call_at(0, *ask)):
            kept = Kept()
            weakref.finalize(kept, gone.append, add)
            add(id, kept)
            del kept
        turn(loop)
        assert len(gone) == 2
    finally:
        gc.enable()
