"""Programs that end and come back; the runner itself takes the starts and stops of fleets."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.metrics.fleet import Fleet, prepared
from benchmarks.metrics.registry import Scope, Turn, metric
from benchmarks.worker import Kind, NotMeasuredError, Stamp

REPLACED = "killed to replaced"
BURST = 100
_UPDATED = "u"
_UPDATE_FLEET = 100
_UPDATE_SECONDS = 120.0


@metric("alone", Scope.TOGETHER)
def alone(turns: Sequence[tuple[Turn, Fleet]]) -> None:
    """From the kill of the only program to the exec of the next one.

    Each is killed in turn: runit and s6 put off what ended within a second of its start, and so
    the waiting is shared. Who takes long has fewer turns.
    """
    seconds = {turn.peer.name: turn.effort.seconds for turn, _ in turns}
    for _ in range(turns[0][0].effort.samples // 2):
        for turn, fleet in turns:
            if seconds[turn.peer.name] <= 0:
                continue
            try:
                took = fleet.replace()
            except NotMeasuredError as error:
                seconds[turn.peer.name] = 0
                turn.skip(error)
            else:
                seconds[turn.peer.name] -= took
                turn.add(f"{REPLACED}, alone", "ms", took * 1000)


@metric("restart", Scope.FLEET)
def restart(turn: Turn, fleet: Fleet) -> None:
    """From a kill to the exec of the next one, others being up."""
    if fleet.count > 1:  # else see `alone`
        for seconds in fleet.replacements(turn.effort.samples, turn.effort.seconds):
            turn.add(f"{REPLACED}, among", "ms", seconds * 1000)


@metric("flood", Scope.FLEET, sizes=(100,))
def flood(turn: Turn, fleet: Fleet) -> None:
    """The same while another program pours lines into its log as fast as it can."""
    with fleet.flood():
        for seconds in fleet.replacements(turn.effort.samples, turn.effort.seconds):
            turn.add(f"{REPLACED} under a log flood, among", "ms", seconds * 1000)


@metric("burst", Scope.FLEET)
def burst(turn: Turn, fleet: Fleet) -> None:
    """From the kill of 100 at once to the exec of the last that replaces one."""
    if fleet.count >= BURST:
        turn.add(f"{BURST} killed at once, all back, of", "ms", fleet.replace(BURST) * 1000)


@metric("update", Scope.PEER, once=True)
def update(turn: Turn) -> None:
    """How long programs are without a replacement while many are added, and how long that takes."""
    added = turn.effort.update
    with prepared(turn.peer, turn.folder, turn.worker) as (peer, stamps):
        fleet = Fleet(peer, stamps, _UPDATE_FLEET, flooder=False)
        fleet.start()
        fleet.settle()
        more = [peer.program(f"{_UPDATED}_{number:05d}", "sleep") for number in range(added)]
        peer.write([*fleet.programs, *more])
        watch = _Update(added)
        stamps.watch = watch.see
        begun = time.monotonic()
        command = peer.update()
        for seconds in fleet.replacements(_UPDATE_FLEET, _UPDATE_SECONDS, _UPDATE_SECONDS):
            turn.add(f"{REPLACED} while {added} are added, among", "ms", seconds * 1000, 100)
            if watch.is_over:
                break
        if not watch.is_over:
            stamps.take(added - watch.count, _UPDATE_SECONDS, watch.is_added)
        turn.add("update that adds", "ms", (watch.last - begun) * 1000, added)
        if command is not None:
            command.wait(_UPDATE_SECONDS)


class _Update:
    """Counts what an update starts."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self.count = 0
        self.last = 0.0

    def see(self, stamp: Stamp) -> None:
        """Count a stamp, if it is of an added program."""
        if self.is_added(stamp):
            self.count += 1
            self.last = max(self.last, stamp.time)

    @staticmethod
    def is_added(stamp: Stamp) -> bool:
        """Tell what was added."""
        return stamp.kind == Kind.STARTED and stamp.program == _UPDATED

    @property
    def is_over(self) -> bool:
        """Whether all have started."""
        return self.count >= self._wanted
