"""Spawn a program that runs away at once, again and again; say whether any got away.

    racer.py ROUNDS DELAY FORK

It runs in a cgroup that was delegated to it. DELAY seconds pass between the spawn and the move,
as if the daemon had been interrupted; FORK=1 takes the way of a child that moves itself. Told is
one line: how many were found outside of their cgroup before the move, and after it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import replace

from sdsuper.config.model import Account
from sdsuper.daemon import setup
from sdsuper.daemon.command import Command
from sdsuper.daemon.containment import Containment, Entry
from sdsuper.daemon.leftovers import Watch, kill
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.spawn import spawn
from sdsuper.values import Level, Namespec
from tests.unit.core.builders import process_config

RUNAWAY = """
(setsid sh -c '(exec env -i setsid sleep 7777) & (setsid sleep 7777 &) exit' &)
exec env -i setsid sleep 7777 &
exit 0
"""
"""Ends at once; what it started is an orphan, in sessions of its own, partly without variables."""


def main(rounds: int, delay: float, by_fork: bool) -> None:
    """Run the rounds and tell what was seen."""
    problems: list[str] = []

    def report(level: Level, message: str) -> None:
        problems.append(message)

    setup.become_subreaper()
    containment = Containment.settle(report)
    assert containment is not None, problems
    name = Namespec("racer", "racer")
    config = process_config("racer")
    if by_fork:
        config = replace(config, user=Account("nobody", 65534, 65534))
    born_outside = left_outside = 0

    class Late(Entry):
        def __init__(self, entry: Entry) -> None:
            vars(self).update(vars(entry))

        def bring(self, pid: int) -> None:
            nonlocal born_outside
            time.sleep(delay)
            born_outside += len(outside() - {pid})
            super().bring(pid)

    daemon = containment.daemon

    def outside() -> set[int]:
        return set(daemon.pids()) - {os.getpid()}

    for _ in range(rounds):
        cgroup = containment.prepare(name)
        child = spawn(
            config,
            Command("/bin/sh", ["sh", "-c", RUNAWAY]),
            {"PATH": os.environ["PATH"]},
            DescriptorLimit(),
            entry=Late(containment.entry(cgroup)),
        )
        if by_fork:
            os.waitpid(child.pid, 0)
        left_outside += len(outside() - {child.pid})
        with contextlib.closing(Watch(cgroup)) as watch:
            kill(cgroup)
            assert watch.wait(30)
        left_outside += len(outside())
        for fd in (child.stdin, child.stdout, child.stderr, child.failure_fd):
            if fd is not None:
                os.close(fd)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    containment.close()
    print(born_outside, left_outside, *problems)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1")
