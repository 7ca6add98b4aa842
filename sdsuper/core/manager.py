"""All processes and groups: ordering, deadlines, adding and removing, shutdown."""

from __future__ import annotations

from dataclasses import dataclass

from sdsuper.config.model import GroupConfig
from sdsuper.core.actions import Action
from sdsuper.core.facts import Fact
from sdsuper.core.process import Process
from sdsuper.core.states import ManagerState
from sdsuper.values import Instant, Namespec


@dataclass(frozen=True, slots=True)
class Group:
    """An active group: its configuration and the names of its processes, by priority."""

    config: GroupConfig
    names: tuple[Namespec, ...]


class Manager:
    """The whole: facts in, actions out. It never looks at a clock and does no I/O.

    Attributes:
        state: State of the daemon.
        groups: Active groups by name, ascending by priority.
        processes: Every process of the active groups.
    """

    state: ManagerState
    groups: dict[str, Group]
    processes: dict[Namespec, Process]

    def handle(self, fact: Fact, now: Instant) -> list[Action]:
        """Take one fact into account; return what to do, in order."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        """Return the monotonic second at which `DeadlinePassed` is due, None for never."""
        raise NotImplementedError
