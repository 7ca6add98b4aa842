"""However many signals come while the loop is busy, each kind is acted on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from sdsuper import eventloop
from sdsuper.core.history import Requester
from sdsuper.core.states import ManagerState
from sdsuper.daemon import signals
from sdsuper.values import Level
from tests.unit import waiting

MORE_THAN_A_PIPE_TAKES = 70_000


class Target:
    """Notes what is asked of it."""

    state = ManagerState.RUNNING

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended = waiting.Event()

    def report(self, level: Level, message: str) -> None:
        pass

    def request_shutdown(self, by: Requester) -> None:
        self.asked.append(by.what)
        self.ended.set()

    def restart_if_valid(self, by: Requester) -> None:
        raise RuntimeError("it must not take the others along")

    def reopen_logs(self) -> None:
        self.asked.append("reopen")

    def reexec_if_possible(self) -> None:
        self.asked.append("reexec")

    def child_ended(self) -> None:
        self.asked.append("child")


@pytest.fixture(autouse=True)
def held_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)
    handlers = {number: signal.getsignal(number) for number in signals.SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send(number: int) -> None:
    """Send a signal to this thread: another may not hold it, and would end all tests."""
    signal.pthread_kill(threading.get_ident(), number)


def test_a_storm_of_one_signal_takes_the_place_of_no_other(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def live() -> list[str]:
        loop = eventloop.get_running_loop()
        loop.on_error = lambda _message, _error: None
        target = Target()
        signals.install(target)
        try:
            for _ in range(MORE_THAN_A_PIPE_TAKES):
                send(signal.SIGCHLD)
            for number in (signal.SIGHUP, signal.SIGUSR2, signals.SIGREEXEC, signal.SIGTERM):
                send(number)
            await target.ended.wait()
            assert target.asked == ["child", "reopen", "reexec", "SIGTERM"]
            loop.call_soon(send, signal.SIGCHLD)
            with eventloop.timeout(20):
                while "child" not in target.asked[1:]:
                    await eventloop.sleep(0.001)
        finally:
            signals.uninstall()
        return target.asked

    assert eventloop.run(live())[4:] == ["child"]
    assert capfd.readouterr().err == ""


def test_a_signal_wakes_a_loop_that_sleeps() -> None:
    async def live() -> None:
        target = Target()
        signals.install(target)
        here = threading.get_ident()
        try:
            for _ in range(100):
                target.ended.clear()
                thread = threading.Thread(
                    target=signal.pthread_kill, args=(here, signal.SIGTERM), daemon=True
                )
                thread.start()
                await target.ended.wait()
                thread.join()
        finally:
            signals.uninstall()

    eventloop.run(live())


def test_nothing_is_left_open() -> None:
    async def live() -> None:
        before = os.listdir("/proc/self/fd")
        signals.install(Target())
        signals.uninstall()
        assert os.listdir("/proc/self/fd") == before
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    eventloop.run(live())
