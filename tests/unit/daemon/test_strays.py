"""What cannot be ended holds nothing up; the rest is tested on real daemons."""

import contextlib
import functools
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdsuper import eventloop
from sdsuper.daemon import proctable
from sdsuper.daemon.strays import Strays
from sdsuper.values import Level
from tests.unit import waiting


def test_a_stray_out_of_reach_is_told_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pidfd: int, number: int) -> None:
        raise PermissionError

    told: list[tuple[Level, str]] = []
    with subprocess.Popen(["sleep", "60"], process_group=0) as stray:

        async def sweep() -> None:
            cleared = waiting.Event()

            def ended(count: int) -> None:
                assert count == 0  # it lives on
                cleared.set()

            strays = Strays((), lambda level, text: told.append((level, text)))
            strays.end("p", "no-such-mark", stray.pid, {}, 60.0, ended)
            assert not cleared.is_set()
            await cleared.wait()
            assert not strays.busy

        try:
            with monkeypatch.context() as patched:
                patched.setattr(signal, "pidfd_send_signal", refuse)
                eventloop.run(sweep())
        finally:
            stray.kill()
    assert told[-1] == (
        Level.WARN,
        f"not permitted to end what 'p' left behind: sleep (pid {stray.pid})",
    )


@pytest.mark.parametrize("adopted", [False, True])
def test_many_that_end_at_once_are_looked_for_at_once(
    adopted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    looks_until_most: list[int] = []
    others: set[int] = set()  # of whoever runs these tests

    def count(real: Callable[..., list[int]], *args: int) -> list[int]:
        nonlocal looks
        looks += args in ((), (os.getpid(),))
        return [pid for pid in real(*args) if pid not in others]

    strays = [
        subprocess.Popen(["sleep", "60"], process_group=0, env={"SDSUPER_INVOCATION": mark})
        for mark in ("m-5", "m-9" if adopted else "elsewhere", "m-7")
    ]
    deadline = time.monotonic() + 20
    for each in strays:  # on a busy machine a look may come before exec has put it there
        while not Path(f"/proc/{each.pid}/environ").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.001)
    others = set(proctable.pids()).difference(each.pid for each in strays)
    for name in ("children", "pids"):
        monkeypatch.setattr(proctable, name, functools.partial(count, getattr(proctable, name)))

    async def sweep() -> dict[int, int]:
        ended: dict[int, int] = {}
        most_ended, all_ended = waiting.Event(), waiting.Event()

        def end(number: int, count: int) -> None:
            ended[number] = count
            if len(ended) == 47:
                most_ended.set()
                looks_until_most.append(looks)
            if len(ended) == 50:
                all_ended.set()

        found = Strays((), lambda level, text: None)
        group = strays[1].pid
        for number in range(50):
            found.end(
                "p",
                f"m-{number}",
                group if number == 9 else 0,
                {},
                60.0,
                functools.partial(end, number),
                adopted=adopted,
            )
        assert set(ended) == {0}  # the first is not kept waiting
        await most_ended.wait()
        for each in strays:
            while each.poll() is None:
                await eventloop.sleep(0.01)
        found.look_again()
        await all_ended.wait()
        assert not found.busy
        return ended

    try:
        ended = eventloop.run(sweep())
    finally:
        for each in strays:
            each.kill()
            each.wait()
    assert looks_until_most[0] <= 8
    assert {number for number, count in ended.items() if count} == {5, 7, 9}


ADOPTED = """
env -i sleep 7777 &
echo $!
env -i SDSUPER_INVOCATION=m-1 setsid sleep 7777 &
echo $!
env -i SDSUPER_INVOCATION=m-1 setsid sh -c 'trap "" TERM; while :; do read x; done' <fifo &
echo $!
env -i SDSUPER_INVOCATION=m-2 setsid sleep 7777 &
echo $!
"""
"""Orphans of two invocations: known by the group, by the mark (one is deaf), and another's."""


def test_strays_of_an_adopted_invocation_are_found_among_the_children_of_others(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "fifo")
    held = os.open(tmp_path / "fifo", os.O_RDWR)
    try:
        with subprocess.Popen(
            ["/bin/sh", "-c", ADOPTED],
            process_group=0,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        ) as leader:
            assert leader.stdout is not None
            pids = [int(leader.stdout.readline()) for _ in range(4)]
        deadline = time.monotonic() + 20
        while {comm_of(pid) for pid in pids} != {"sleep", "sh"} and time.monotonic() < deadline:
            time.sleep(0.01)
        pidfds = [os.pidfd_open(pid) for pid in pids]

        async def sweep() -> None:
            cleared = waiting.Event()
            strays = Strays((), lambda level, text: None)
            strays.end("p", "m-1", leader.pid, {}, 0.2, lambda ended: cleared.set(), adopted=True)
            assert not cleared.is_set()
            await cleared.wait()
            assert not strays.busy

        try:
            eventloop.run(sweep())
            ended = [bool(select.select([pidfd], [], [], 0)[0]) for pidfd in pidfds]
        finally:
            for pidfd in pidfds:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                os.close(pidfd)
        assert ended == [True, True, True, False]
    finally:
        os.close(held)


def comm_of(pid: int) -> str:
    entry = proctable.look_up(pid)
    return "" if entry is None else entry.comm
