"""Groups brought to the configuration read last, with no more disturbance than that asks for."""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sdsuper import eventloop
from sdsuper.config.diff import GroupChange, compare_group, diff
from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.core.manager import Group
from sdsuper.core.states import STOPPED_STATES, ManagerState, ProcessState, Wanted
from sdsuper.daemon.loop import Daemon
from sdsuper.dataclass import dataclass
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.caller import requester
from sdsuper.server.methods import process
from sdsuper.server.registry import method
from sdsuper.values import Level, Namespec


@method("sdsuper.updateGroups", faults=(FaultCode.BAD_NAME,))
async def update_groups(daemon: Daemon, names: list[object], keep: bool = True) -> list[object]:
    """Bring groups to the configuration read last, and disturb no process without need.

    Options that can change while a process runs do. Only what is gone, and what differs in more
    than that, stops, all of it together; then groups and processes are taken out, changed and
    taken in, and started. A group of which all has to stop is made anew.

    Args:
        names: names of groups, others are left alone; none: all
        keep: whether what was up or down by hand stays so; else what had to stop, and what is
            FATAL, starts if it is to start by itself, and so does what is to from now on

    Returns:
        an array of structs with the keys name, change (removed, added, changed for a group all of
        which has stopped, updated where some of it has or is new, live, or kept for one that could
        not be stopped), restarted, removed, added and live (each an array of names of
        processes), restart_options and live_options (what it is that differs)
    """
    async with daemon.updates:
        if not keep:  # a client can ask a successor for the same
            return await _update(daemon, _plan(daemon, names), keep=False)
        async with daemon.updating:
            return await _update(daemon, _plan(daemon, names), keep=True)


@method("sdsuper.planUpdate")
def plan_update(daemon: Daemon, names: list[object]) -> list[object]:
    """Tell what updateGroups would do now. Nothing is done.

    Args:
        names: names of groups, others are left alone; none: all

    Returns:
        an array of structs as that returns it
    """
    return [each.told(each.kind) for each in _plan(daemon, names)]


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is to become of one group.

    Attributes:
        name: The group's.
        before: The active group, None where there is none.
        after: Its configuration, None where it is to go.
        change: What differs; everything comes or goes where one of those is None.
    """

    name: str
    before: Group | None
    after: GroupConfig | None
    change: GroupChange

    @property
    def stops(self) -> tuple[str, ...]:
        """The processes that must be down for it."""
        if self.before is None:
            return ()
        if self.after is None or self.change.group:
            return tuple(name.process for name in self.before.names)
        affected = {*self.change.removed, *self.change.restart}
        return tuple(name.process for name in self.before.names if name.process in affected)

    @property
    def kind(self) -> str:
        """What happens to it, in a word."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if self.change.only_live:
            return "live"
        stops = self.stops
        return "changed" if stops and len(stops) == len(self.before.names) else "updated"

    def told(self, change: str) -> dict[str, object]:
        """Return what a client is told; `change` is what has become of it."""
        difference = self.change
        return {
            "name": self.name,
            "change": change,
            "restarted": list(self.stops if difference.group else difference.restart),
            "removed": list(difference.removed),
            "added": list(difference.added),
            "live": [] if difference.group else list(difference.live),
            "restart_options": list(difference.restart_options),
            "live_options": list(difference.live_options),
        }


def _plan(daemon: Daemon, names: Iterable[object]) -> list[_Planned]:
    """Compare the active groups with what was read last; of all groups where none is named."""
    wanted = {str(name) for name in names}
    active = daemon.manager.groups
    changes = diff([group.config for group in active.values()], daemon.config.groups)
    read = {group.name: group for group in daemon.config.groups}
    planned = []
    for name in (*changes.removed, *changes.changed, *changes.added):
        if not wanted or name in wanted:
            before, after = active.get(name), read.get(name)
            planned.append(_Planned(name, before, after, _difference(before, after)))
    return planned


def _difference(before: Group | None, after: GroupConfig | None) -> GroupChange:
    if before is None:
        return GroupChange(added=() if after is None else _names(after))
    if after is None:
        return GroupChange(removed=_names(before.config))
    return compare_group(before.config, after)


def _names(group: GroupConfig) -> tuple[str, ...]:
    return tuple(each.name for each in group.processes)


async def _update(daemon: Daemon, plan: Collection[_Planned], *, keep: bool) -> list[object]:
    processes = daemon.manager.processes
    up = {name for name in processes if processes[name].wanted is Wanted.UP} if keep else None
    kept = await _stop_together(daemon, plan)
    if daemon.manager.state is not ManagerState.RUNNING:
        raise Fault(FaultCode.SHUTDOWN_STATE)
    return [
        each.told("kept" if each.name in kept else _carry_out(daemon, each, up))
        for each in plan
        if each.before is not None or each.name not in daemon.manager.groups
    ]


def _carry_out(daemon: Daemon, planned: _Planned, up: Collection[Namespec] | None) -> str:
    """Bring one group to its new configuration; what must be down for it is.

    Args:
        daemon: The daemon.
        planned: The group.
        up: What is to be up again of what had to stop; None: what starts by itself.
    """
    name, before, after = planned.name, planned.before, planned.after
    if before is None or after is None or planned.change.group or planned.kind == "changed":
        if before is not None:
            daemon.remove_group(name)
        if after is not None:
            start = None if before is None or up is None else _to_start(daemon, planned, after, up)
            daemon.add_group(after, start, requester())
        return planned.kind
    if planned.change.live_options:
        options = ", ".join(planned.change.live_options)
        daemon.log.log(Level.INFO, f"{name}: changed in place ({options})")
    daemon.change_group(after, _to_start(daemon, planned, after, up), requester())
    return planned.kind


def _to_start(
    daemon: Daemon, planned: _Planned, after: GroupConfig, up: Collection[Namespec] | None
) -> frozenset[str]:
    assert planned.before is not None
    before = {each.name: each for each in planned.before.config.processes}
    stopped = planned.stops

    def starts(each: ProcessConfig) -> bool:
        name = Namespec(after.name, each.name)
        if each.name not in before:
            return each.autostart
        if each.name in stopped:
            return each.autostart if up is None else name in up
        state = daemon.manager.processes[name].state
        tries = state is ProcessState.FATAL or not before[each.name].autostart
        changed = each.name in planned.change.live
        return up is None and changed and each.autostart and state in STOPPED_STATES and tries

    return frozenset(each.name for each in after.processes if starts(each))


async def _stop_together(daemon: Daemon, plan: Iterable[_Planned]) -> set[str]:
    """Stop all that must be down, high priorities first; return the groups to leave alone.

    Those are the groups of which something could not be stopped, and those that somebody else has
    started again, changed or taken away.
    """
    active = [(each, each.before) for each in plan if each.before is not None]
    active.sort(key=lambda item: item[1].config.priority, reverse=True)
    names = {
        each.name: tuple(Namespec(each.name, process) for process in each.stops)
        for each, _ in active
    }
    stops = (process.stop_all(daemon, of_group, True) for of_group in names.values() if of_group)
    results: list[list[Any]] = await eventloop.gather(stops)
    failed = {
        each["group"] for one in results for each in one if each["status"] == FaultCode.FAILED
    }
    processes = daemon.manager.processes

    def has_stopped(name: Namespec) -> bool:
        return name not in processes or processes[name].state is not ProcessState.STOPPING

    affected = [name for of_group in names.values() for name in of_group]
    await daemon.until(lambda: all(map(has_stopped, affected)), affected)  # some had been before
    return {
        each.name
        for each, before in active
        if each.name in failed
        or daemon.manager.groups.get(each.name) is not before
        or any(processes[name].state not in STOPPED_STATES for name in names[each.name])
    }
