"""What it costs that programs outlive the daemon, and that nothing they start outlives them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from benchmarks import processes
from benchmarks.metrics.fleet import Fleet, prepared
from benchmarks.metrics.life import REPLACED
from benchmarks.metrics.registry import Scope, Turn, metric
from benchmarks.peers import OURS
from benchmarks.peers.ini import Sdsuper
from benchmarks.worker import NotMeasuredError, WrongResultError
from tests import cgroups
from tests.integration.unit import FAKE

_MOST = 1000


class _Guarded(Sdsuper):
    """Ours, in a cgroup that is delegated to it, or with somebody who keeps its descriptors."""

    cgroup: ClassVar[Path | None] = None
    kept: ClassVar[bool] = False

    def launch(self) -> list[str]:
        keeper = []
        if self.kept:
            self._store.mkdir()
            keeper = [sys.executable, str(FAKE), str(self._store), "--"]
        inside = [] if self.cgroup is None else cgroups.inside(self.cgroup)
        return [*keeper, *inside, *super().launch()]

    @property
    def _store(self) -> Path:
        return self.folder / "store"

    @property
    def daemon(self) -> int:
        """The pid of the daemon itself."""
        return int((self.folder / "pid").read_text())

    def check_guards(self) -> None:
        """Raises WrongResultError where it does not do what is measured."""
        if self.kept and "\nstored " not in (self._store / "notify.log").read_text():
            raise WrongResultError("nothing is in the store of descriptors")
        if self.cgroup is not None and not any(self.cgroup.glob("programs/*")):
            raise WrongResultError("its programs have no cgroups of their own")


@metric("survival", Scope.PEER, peers=(OURS,))
def survival(turn: Turn) -> None:
    """Start, restart, memory: plainly, with cgroups, with descriptors kept, and with both."""
    if not cgroups.can_delegate():
        raise NotMeasuredError("it takes cgroups of version 2, and root")
    for what, contained, kept in (
        ("plain", False, False),
        ("with cgroups", True, False),
        ("with a store", False, True),
        ("with both", True, True),
    ):
        with _variant(contained=contained, kept=kept) as peer:
            _measure(turn, peer, what)


@contextlib.contextmanager
def _variant(*, contained: bool, kept: bool) -> Iterator[type[_Guarded]]:
    with cgroups.delegated() if contained else contextlib.nullcontext() as path:
        yield type("_Variant", (_Guarded,), {"cgroup": path, "kept": kept})


def _measure(turn: Turn, peer: type[_Guarded], what: str) -> None:
    count = min(turn.effort.sizes[-1], _MOST)
    folder = turn.folder / what.replace(" ", "-")
    folder.mkdir()
    with prepared(peer, folder, turn.worker) as (made, stamps):
        assert isinstance(made, _Guarded)
        fleet = Fleet(made, stamps, count, flooder=False)
        fleet.start()
        turn.add(f"start {what}", "ms", fleet.start_seconds * 1000, count)
        fleet.settle()
        made.check_guards()
        turn.add(f"resident {what}", "MiB", processes.memory([made.daemon], "Rss"), count)
        for seconds in fleet.replacements(turn.effort.samples, turn.effort.seconds):
            turn.add(f"{REPLACED} {what}, among", "ms", seconds * 1000, count)
        turn.add(f"stop {what}", "ms", fleet.stop() * 1000, count)
