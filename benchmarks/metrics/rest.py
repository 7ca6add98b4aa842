"""What a supervisor costs while nothing happens."""

from __future__ import annotations

import time

from benchmarks import processes
from benchmarks.metrics.fleet import Fleet
from benchmarks.metrics.registry import Scope, Turn, metric


@metric("memory", Scope.FLEET, most=5000, once=True)
def memory(turn: Turn, fleet: Fleet) -> None:
    """Memory of all processes that are the supervisor's own: resident, and in shares."""
    pids = fleet.peer.pids()
    turn.add("resident", "MiB", processes.memory(pids, "Rss"))
    turn.add("proportional", "MiB", processes.memory(pids, "Pss"))


@metric("idle", Scope.FLEET, once=True)
def idle(turn: Turn, fleet: Fleet) -> None:
    """CPU time and context switches in a window in which nobody wants anything, for 30 s each."""
    pids = fleet.peer.pids()
    before = processes.usage(pids)
    time.sleep(turn.effort.idle)
    used = processes.usage(pids).since(before)
    share = 30 / turn.effort.idle
    turn.add("idle for 30 s: CPU", "ms", used.cpu * 1000 * share)
    turn.add("idle for 30 s: context switches", "", used.switches * share)
