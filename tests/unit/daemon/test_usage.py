"""CPU and memory: the sums, and a look at real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from sdsuper.daemon import proctable
from sdsuper.daemon.usage import Meter, cpu_percent
from sdsuper.values import Namespec

TICKS = os.sysconf("SC_CLK_TCK")
NAME = Namespec("g", "p")


@pytest.mark.parametrize(
    ("before", "after", "seconds", "percent"),
    [
        ({(1, 9): 0}, {(1, 9): TICKS}, 1.0, 100.0),
        ({(1, 9): 5}, {(1, 9): 5 + TICKS}, 2.0, 50.0),
        ({(1, 9): TICKS, (2, 9): 0}, {(1, 9): TICKS, (2, 9): 2 * TICKS}, 1.0, 200.0),
        ({(1, 9): TICKS}, {(1, 8): TICKS}, 1.0, 100.0),  # another process with its pid
        ({(1, 9): 0, (2, 9): 500}, {(1, 9): 0}, 1.0, 0.0),  # one has gone
        ({(1, 9): 7}, {(1, 9): 7}, 1.0, 0.0),
    ],
)
def test_cpu_between_two_looks(
    before: dict[tuple[int, int], int],
    after: dict[tuple[int, int], int],
    seconds: float,
    percent: float,
) -> None:
    assert cpu_percent(before, after, seconds) == pytest.approx(percent)


def is_sleep(pid: str) -> bool:
    """Whether a child is what it is to be: before, its memory is its parent's, or none."""
    entry = proctable.look_up(int(pid)) if pid else None
    if entry is None or entry.comm != "sleep":
        return False
    found = proctable.consumption(int(pid))
    return found is not None and found.resident > 0


def test_children_count_for_their_program() -> None:
    code = "import subprocess; subprocess.run(['sleep', '1000'])"
    with subprocess.Popen([sys.executable, "-S", "-c", code], process_group=0) as parent:
        try:
            deadline = time.monotonic() + 30
            child = ""
            while not is_sleep(child) and time.monotonic() < deadline:
                child = "".join(map(str, proctable.children(parent.pid)))
            meter = Meter()
            alone = meter.look(Namespec("c", "c"), int(child), 0.0)
            both = meter.look(NAME, parent.pid, 0.0)
            assert alone is not None
            assert both is not None
            assert both.memory > alone.memory > 0
            assert both.cpu is None
        finally:
            os.killpg(parent.pid, 9)


def test_looks_in_a_row() -> None:
    meter = Meter()
    first = meter.look(NAME, os.getpid(), 0.0)
    assert meter.look(NAME, os.getpid(), 0.1) is first  # too soon to tell
    second = meter.look(NAME, os.getpid(), 10.0)
    assert second is not None
    assert second.cpu is not None
    assert second.cpu >= 0.0
    meter.keep(())
    again = meter.look(NAME, os.getpid(), 20.0)
    assert again is not None
    assert again.cpu is None


def test_what_is_gone() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    meter = Meter()
    meter.look(NAME, os.getpid(), 0.0)
    assert meter.look(NAME, gone.pid, 10.0) is None
