"""Runs what was chosen: in each round every peer has its turn at the same, one after the other."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import guard
from benchmarks.metrics import METRICS, Again, Effort, Metric, Scope, Turn
from benchmarks.metrics.fleet import Fleet, prepared
from benchmarks.noise import Noise
from benchmarks.peers import PEERS, Peer
from benchmarks.peers.ini import MOST_FILES
from benchmarks.peers.units import Units
from benchmarks.results import Results, Skip
from benchmarks.worker import NotMeasuredError, WrongResultError, compile_worker

_BOOT_SECONDS = 300.0
FLEETS = "fleets"
"""The name by which start and stop are chosen; they are measured wherever a fleet is made."""


@dataclass(frozen=True)
class Choice:
    """What to run.

    Attributes:
        effort: How much.
        peers: Names of PEERS.
        metrics: Names of METRICS, and FLEETS.
        say: Told what is going on.
    """

    effort: Effort
    peers: Sequence[str]
    metrics: Sequence[str]
    say: Callable[[str], None]


def run(choice: Choice) -> Results:
    """Run it all; what cannot be measured is told in the results."""
    _allow_files()
    with guard.cleaned(), contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        folder.chmod(0o755)
        return _Run(choice, folder, stack).run()


def _allow_files() -> None:
    """Raise the limit of open files, for us and for the peers: as far as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (max(hard, MOST_FILES), hard):
        with contextlib.suppress(ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            return


class _Run:
    def __init__(self, choice: Choice, folder: Path, stack: contextlib.ExitStack) -> None:
        self._choice = choice
        self._folder = folder
        self._worker = compile_worker(folder)
        self._noise = Noise(self._worker)
        self._results = Results()
        self._last_turn = 0.0
        self._peers: list[type[Peer]] = []
        for peer in map(PEERS.__getitem__, choice.peers):
            if reason := peer.missing() or self._boot(peer, stack):
                choice.say(f"{peer.name} is left out: {reason}")
                self._results.skip(Skip("everything", 0, peer.name, reason, wrong=False))
            else:
                self._peers.append(peer)

    @staticmethod
    def _boot(peer: type[Peer], stack: contextlib.ExitStack) -> str:
        """Make what a peer needs, a machine perhaps; return why there is none."""
        try:
            with guard.limit(_BOOT_SECONDS):
                peer.prepare()
                if peer is Units:
                    stack.enter_context(Units.booted())
        except Exception as error:  # noqa: BLE001 # whatever it is, the others are measured
            return " ".join(f"it cannot be made ready: {error}".split())
        return ""

    def run(self) -> Results:
        begun = time.monotonic()
        effort = self._choice.effort
        self._last_turn = begun + effort.minutes * 60
        stopped = ""
        try:
            for number in range(effort.rounds):
                self._choice.say(f"round {number + 1} of {effort.rounds}")
                self._round(effort.again if number else None)
                self._peers = self._peers[1:] + self._peers[:1]  # nobody is always the first
        except KeyboardInterrupt:
            stopped = ", cut short by a signal"
        self._noise.probe()
        self._results.noise = self._noise.summary()
        self._results.titles = {peer.name: peer.title for peer in self._ordered()}
        self._results.about = {
            "kernel": platform.release(),
            "Python": platform.python_version(),
            "cores": str(os.cpu_count()),
            "seconds": f"{time.monotonic() - begun:.0f}{stopped}",
            "rounds": str(effort.rounds),
            "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        }
        return self._results

    def _ordered(self) -> list[type[Peer]]:
        return [peer for peer in PEERS.values() if peer in self._peers]

    def _chosen(self, scope: Scope, again: Again | None) -> list[Metric]:
        return [
            metric
            for metric in METRICS.values()
            if metric.scope is scope
            and metric.name in self._choice.metrics
            and not (again and metric.once)
        ]

    def _round(self, again: Again | None) -> None:
        """Give everybody a turn at everything, or at what is to be measured again."""
        peers = [peer for peer in self._peers if not again or peer.name in again.peers]
        for metric in self._chosen(Scope.TOGETHER, again):
            self._together(metric, peers)
        metrics = self._chosen(Scope.FLEET, again)
        if metrics or FLEETS in self._choice.metrics:
            for size in self._choice.effort.sizes:
                if not again or size <= again.most:
                    for peer in peers:
                        self._fleet(peer, size, metrics)
        for metric in self._chosen(Scope.PEER, again):
            for peer in peers:
                if not metric.peers or peer.name in metric.peers:
                    self._alone(metric, peer)

    @contextlib.contextmanager
    def _turn(self, peer: type[Peer], metric: str, size: int = 0) -> Iterator[Turn]:
        """Give a turn, with a folder that is gone after it; keep why it has failed."""
        self._noise.probe()
        folder = Path(tempfile.mkdtemp(prefix=f"{peer.name}-", dir=self._folder))
        turn = Turn(self._choice.effort, peer, folder, self._worker, size, metric, self._results)
        begun = time.monotonic()
        try:
            if begun > self._last_turn:
                raise NotMeasuredError(f"{self._choice.effort.minutes:g} minutes were over")
            yield turn
        except NotMeasuredError as error:
            turn.skip(error)
            self._choice.say(f"    {peer.name}: {error}")
        except Exception as error:  # noqa: BLE001 # it costs this turn, and no other
            turn.fail(f"{type(error).__name__}: {error}", wrong=True)
            self._choice.say(traceback.format_exc())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        said = f"{metric}, {size}" if size else metric
        self._choice.say(f"  {said}: {peer.name} in {time.monotonic() - begun:.1f} s")

    @contextlib.contextmanager
    def _bounded(self) -> Iterator[None]:
        """Bound a turn in time; nothing that it started is left after it."""
        kept = guard.own_children()
        try:
            with guard.limit(self._choice.effort.turn):
                yield
        finally:
            if left := guard.sweep(kept):
                self._choice.say(f"    {left} processes were left behind, and killed")

    def _fleet(self, peer: type[Peer], size: int, chosen: Sequence[Metric]) -> None:
        """Start a fleet, measure on it, stop it."""
        with self._turn(peer, FLEETS, size) as turn, self._bounded():
            if size > peer.most:
                raise NotMeasuredError(f"more than {peer.most} are too many for it")
            metrics = [metric for metric in chosen if metric.is_for(size)]
            flooder = any(metric.name == "flood" for metric in metrics)
            with prepared(peer, turn.folder, self._worker) as (made, stamps):
                fleet = Fleet(made, stamps, size, flooder=flooder)
                self._start(fleet)
                turn.add("start", "ms", fleet.start_seconds * 1000)
                fleet.settle()
                for metric in metrics:
                    turn.metric = metric.name
                    try:
                        metric.run(turn, fleet)
                    except NotMeasuredError as error:
                        turn.skip(error)
                turn.metric = FLEETS
                fleet.settle()
                turn.add("stop", "ms", fleet.stop() * 1000)

    @staticmethod
    def _start(fleet: Fleet) -> None:
        try:
            fleet.start()
        except NotMeasuredError as error:
            raise WrongResultError(f"{error}: {fleet.peer.console()}") from None

    def _alone(self, metric: Metric, peer: type[Peer]) -> None:
        with self._turn(peer, metric.name) as turn, self._bounded():
            metric.run(turn)

    def _together(self, metric: Metric, peers: Sequence[type[Peer]]) -> None:
        """Run a metric on fleets of one program of each peer, all up at once."""
        with self._bounded(), contextlib.ExitStack() as stack:
            turns = []
            for peer in peers:
                turn = stack.enter_context(self._turn(peer, metric.name))
                made, stamps = stack.enter_context(prepared(peer, turn.folder, self._worker))
                fleet = Fleet(made, stamps, 1, flooder=False)
                try:
                    self._start(fleet)
                except NotMeasuredError as error:
                    turn.skip(error)
                else:
                    turns.append((turn, fleet))
            if turns:
                metric.run(turns)
