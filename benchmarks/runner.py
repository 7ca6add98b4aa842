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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.metrics import METRICS, Effort, Metric, Scope, Turn
from benchmarks.metrics.fleet import Fleet, prepared
from benchmarks.noise import Noise
from benchmarks.peers import PEERS, Peer
from benchmarks.peers.units import Units
from benchmarks.results import Results
from benchmarks.worker import NotMeasuredError, WrongResultError, compile_worker

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
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        folder.chmod(0o755)
        return _Run(choice, folder, stack).run()


class _Run:
    def __init__(self, choice: Choice, folder: Path, stack: contextlib.ExitStack) -> None:
        self._choice = choice
        self._folder = folder
        self._worker = compile_worker(folder)
        self._noise = Noise(self._worker)
        self._results = Results()
        self._peers: list[type[Peer]] = []
        for peer in map(PEERS.__getitem__, choice.peers):
            if reason := peer.missing():
                choice.say(f"{peer.name} is left out: {reason}")
                continue
            if peer is Units:
                stack.enter_context(Units.booted())
            self._peers.append(peer)

    def run(self) -> Results:
        begun = time.monotonic()
        rounds = self._choice.effort.rounds
        for number in range(rounds):
            self._choice.say(f"round {number + 1} of {rounds}")
            self._round()
            self._peers = self._peers[1:] + self._peers[:1]  # nobody is always the first
        self._results.noise = self._noise.summary()
        self._results.titles = {peer.name: peer.title for peer in self._ordered()}
        self._results.about = {
            "kernel": platform.release(),
            "Python": platform.python_version(),
            "cores": str(os.cpu_count()),
            "seconds": f"{time.monotonic() - begun:.0f}",
            "rounds": str(rounds),
            "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        }
        return self._results

    def _ordered(self) -> list[type[Peer]]:
        return [peer for peer in PEERS.values() if peer in self._peers]

    def _chosen(self, scope: Scope) -> list[Metric]:
        return [
            metric
            for metric in METRICS.values()
            if metric.scope is scope and metric.name in self._choice.metrics
        ]

    def _round(self) -> None:
        for metric in self._chosen(Scope.TOGETHER):
            self._together(metric)
        if self._chosen(Scope.FLEET) or FLEETS in self._choice.metrics:
            for size in self._choice.effort.sizes:
                for peer in self._peers:
                    self._fleet(peer, size)
        for metric in self._chosen(Scope.PEER):
            for peer in self._peers:
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
            yield turn
        except NotMeasuredError as error:
            turn.skip(error)
            self._choice.say(f"    {peer.name}: {error}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        said = f"{metric}, {size}" if size else metric
        self._choice.say(f"  {said}: {peer.name} in {time.monotonic() - begun:.1f} s")

    def _fleet(self, peer: type[Peer], size: int) -> None:
        """Start a fleet, measure on it, stop it."""
        with self._turn(peer, FLEETS, size) as turn:
            if size > peer.most:
                raise NotMeasuredError(f"more than {peer.most} are too many for {peer.name}")
            metrics = [it for it in self._chosen(Scope.FLEET) if not it.sizes or size in it.sizes]
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
        with self._turn(peer, metric.name) as turn:
            metric.run(turn)

    def _together(self, metric: Metric) -> None:
        """Run a metric on fleets of one program of each peer, all up at once."""
        with contextlib.ExitStack() as stack:
            turns = []
            for peer in self._peers:
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
