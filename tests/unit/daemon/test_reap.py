"""Ended children are collected, each once, and never at the cost of the loop's other business."""

from __future__ import annotations

import os
import signal

import pytest

from sdsuper import eventloop
from sdsuper.daemon.reap import Reaper
from sdsuper.values import ExitStatus, Level

TURNS = 10
BIRTHS_MAX = 500  # more than any turn should see: a loop that does not end fails by this


def dead_child(code: int = 0) -> int:
    """Return a child that has ended, and is not reaped yet."""
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


class Edge:
    """What a reaper tells, and perhaps a successor for each that ended."""

    def __init__(self, *, use_pidfds: bool, endless: bool = False) -> None:
        self.endless = endless
        self.ended: list[tuple[int, ExitStatus]] = []
        self.told: list[tuple[Level, str]] = []
        self.reaper = Reaper(
            self._ended,
            lambda: None,
            lambda level, text: self.told.append((level, text)),
            use_pidfds=use_pidfds,
        )

    def _ended(self, pid: int, status: ExitStatus) -> None:
        self.ended.append((pid, status))
        assert len(self.ended) < BIRTHS_MAX
        if self.endless:
            self.reaper.watch(dead_child())


async def turns_with(use_pidfds: bool, signals: int) -> int:
    edge = Edge(use_pidfds=use_pidfds, endless=True)
    edge.reaper.watch(dead_child())
    for _ in range(TURNS):
        for _ in range(signals):
            edge.reaper.child_ended()
        await eventloop.sleep(0)
    edge.endless = False
    edge.reaper.child_ended()
    await eventloop.sleep(0)
    edge.reaper.close()
    return len(edge.ended)


@pytest.mark.parametrize("use_pidfds", [True, False])
@pytest.mark.parametrize("signals", [1, 5])
def test_who_ends_again_and_again_gets_a_turn_as_others_do(use_pidfds: bool, signals: int) -> None:
    # Twice at most: one may be collected by its pidfd and its successor by SIGCHLD.
    assert 0 < eventloop.run(turns_with(use_pidfds, signals)) <= 2 * (TURNS + 1)


def test_a_status_that_somebody_else_took_is_unknown_and_told() -> None:
    async def scenario() -> Edge:
        edge = Edge(use_pidfds=True)
        pid = dead_child()
        edge.reaper.watch(pid)
        os.waitpid(pid, 0)  # noqa: ASYNC222  it has ended
        while not edge.ended:
            await eventloop.sleep(0)
        return edge

    edge = eventloop.run(scenario())
    assert [status for _, status in edge.ended] == [ExitStatus(None)]
    assert edge.told == [
        (Level.CRITICAL, "waitpid error 10; a process may not be cleaned up properly")
    ]


def test_a_child_that_nobody_watches_is_reaped_and_told() -> None:
    async def scenario() -> tuple[Edge, int]:
        edge = Edge(use_pidfds=True)
        pid = dead_child(3)
        edge.reaper.child_ended()
        while not edge.told:
            await eventloop.sleep(0)
        return edge, pid

    edge, pid = eventloop.run(scenario())
    assert edge.told == [(Level.INFO, f"reaped unknown pid {pid} (exit status 3)")]
    assert not edge.ended


@pytest.mark.parametrize("use_pidfds", [True, False])
def test_the_end_of_one_whose_parent_never_waits_is_noticed(use_pidfds: bool) -> None:
    ours, theirs = os.pipe()
    parent = os.fork()
    if parent == 0:
        os.write(theirs, b"%d" % dead_child())
        signal.pause()
    pid = int(os.read(ours, 20))

    async def scenario() -> Edge:
        edge = Edge(use_pidfds=use_pidfds)
        edge.reaper.watch_other(pid)
        edge.reaper.child_ended()
        for _ in range(TURNS):
            await eventloop.sleep(0)
        edge.reaper.close()
        return edge

    try:
        edge = eventloop.run(scenario())
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        os.close(ours)
        os.close(theirs)
    assert edge.ended == [(pid, ExitStatus(None))]
    assert not edge.told


@pytest.mark.parametrize("use_pidfds", [True, False])
def test_a_later_process_of_the_same_pid_is_not_adopted(*, use_pidfds: bool) -> None:
    async def scenario() -> Edge:
        edge = Edge(use_pidfds=use_pidfds)
        edge.reaper.adopt(os.getpid(), None, 1)  # we did not start with the machine
        for _ in range(TURNS):
            await eventloop.sleep(0)
        assert not edge.reaper.watches(os.getpid())
        edge.reaper.close()
        return edge

    edge = eventloop.run(scenario())
    assert edge.ended == [(os.getpid(), ExitStatus(None))]
