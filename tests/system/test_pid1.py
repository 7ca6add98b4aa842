"""sdsuperd as PID 1 of a PID namespace of its own, as in a container."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Daemon

pytestmark = pytest.mark.namespaces

PROGRAMS = """
[program:polite]
command=sh -c "trap 'echo bye >> %(here)s/bye; exit 0' TERM; while :; do sleep 0.05; done"

[program:orphaner]
command=sh -c "while :; do (sleep 0.05 &); sleep 0.05; done"
containment=none
"""


def children(pid: int) -> list[int]:
    """Return the pids of a process's children, zombies too, as this namespace numbers them."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def process_state(pid: int) -> str:
    """Return the letter of a process's state, "" when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return text.rpartition(")")[2].split()[0]


class Init(Daemon):
    """A daemon that is PID 1: what we start is unshare, which waits for it and is no target."""

    def __init__(self, programs: str):
        super().__init__(programs, prefix=["unshare", "--pid", "--fork", "--mount-proc"])

    @property
    def init(self) -> int:
        """The daemon's pid as we see it from outside."""
        (child,) = children(self.pid)
        return child

    def signal(self, number: int) -> None:
        """Send a signal to the daemon, not to unshare."""
        os.kill(self.init, number)


@pytest.fixture
def init() -> Iterator[Init]:
    """A daemon that is PID 1 and runs the programs above."""
    with Init(PROGRAMS) as daemon:
        daemon.wait_state("polite", "RUNNING")
        daemon.wait_state("orphaner", "RUNNING")
        yield daemon


def test_it_is_pid_1_and_works(init: Init) -> None:
    assert init.ctl("pid") == ("1\n", 0)
    assert init.ctl("restart", "polite") == ("polite: stopped\npolite: started\n", 0)


def test_it_reaps_orphans_that_it_never_started(init: Init) -> None:
    seen: set[int] = set()

    def orphans_come() -> bool:
        seen.update(children(init.init))
        return len(seen) >= 10

    init.wait(orphans_come, what="orphans became its children")
    assert init.ctl("stop", "orphaner") == ("orphaner: stopped\n", 0)
    init.wait(
        lambda: len(children(init.init)) == 1, what="only polite is left, reaped are the rest"
    )
    (polite,) = children(init.init)
    assert process_state(polite) in {"S", "R"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_stops_its_programs_in_order_and_ends(init: Init, number: int) -> None:
    init.signal(number)
    assert init.wait_end() == 0
    assert (init.dir / "bye").read_text(encoding="utf-8") == "bye\n"
    assert init.processes() == []
    assert "stopped: polite (exit status 0)" in init.log()
