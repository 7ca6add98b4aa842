"""Groups brought to the configuration read last, all at once, with each process as it was."""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sdsuper import eventloop
from sdsuper.config.diff import Changes, diff
from sdsuper.config.model import GroupConfig
from sdsuper.core.manager import Group
from sdsuper.core.states import STOPPED_STATES, ManagerState, ProcessState, Wanted
from sdsuper.daemon.loop import Daemon
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.caller import requester
from sdsuper.server.methods import process
from sdsuper.server.registry import method
from sdsuper.values import Namespec


@method("sdsuper.updateGroups", faults=(FaultCode.BAD_NAME,))
async def update_groups(daemon: Daemon, names: list[object]) -> list[object]:
    """Bring groups to the configuration read last: all at once, and each process as it was.

    Groups that are gone or have changed stop together. Of one that has changed, what was up (by
    itself or by hand) is started again and what was stopped stays down; what is new in it starts
    if it is to start by itself.

    Args:
        names: names of groups, others are left alone; none: all

    Returns:
        an array of structs with the keys name and change: removed, changed, added, or kept for a
        group that could not be stopped
    """
    async with daemon.updating:
        return await _update(daemon, {str(name) for name in names})


async def _update(daemon: Daemon, wanted: Collection[str]) -> list[object]:
    changes = _changes(daemon, wanted)
    old = [daemon.manager.groups[name] for name in (*changes.removed, *changes.changed)]
    up = _wanted_up(daemon, old)
    kept = await _stop_together(daemon, old)
    if daemon.manager.state is not ManagerState.RUNNING:
        raise Fault(FaultCode.SHUTDOWN_STATE)
    new = {group.name: group for group in daemon.config.groups}
    told: dict[str, str] = {}
    for group in old:
        name = group.config.name
        told[name] = "kept" if name in kept else "removed"
        if name not in kept:
            daemon.remove_group(name)
            if name in new:
                daemon.add_group(new[name], _to_start(group, new[name], up), requester())
                told[name] = "changed"
    for name in changes.added:
        if name in new and name not in daemon.manager.groups:
            daemon.add_group(new[name], by=requester())
            told[name] = "added"
    return [{"name": name, "change": change} for name, change in told.items()]


def _changes(daemon: Daemon, wanted: Collection[str]) -> Changes:
    """Compare the active groups with what was read last; of all groups where none is wanted."""
    active = [group.config for group in daemon.manager.groups.values()]
    found = diff(active, daemon.config.groups)

    def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if not wanted or name in wanted)

    return Changes(chosen(found.added), chosen(found.changed), chosen(found.removed))


def _wanted_up(daemon: Daemon, groups: Collection[Group]) -> set[Namespec]:
    """Return the processes that were started, and that nobody has stopped since."""
    processes = daemon.manager.processes
    names = (name for group in groups for name in group.names)
    return {name for name in names if processes[name].wanted is Wanted.UP}


def _to_start(old: Group, new: GroupConfig, up: Collection[Namespec]) -> frozenset[str]:
    return frozenset(
        each.name
        for each in new.processes
        if Namespec(new.name, each.name) in up
        or (each.autostart and Namespec(new.name, each.name) not in old.names)
    )


async def _stop_together(daemon: Daemon, groups: Collection[Group]) -> set[str]:
    """Stop all processes of groups, high priorities first; return the groups to leave alone.

    Those are the groups that could not be stopped, and those that somebody else has started again
    or taken away.
    """
    ordered = sorted(groups, key=lambda group: group.config.priority, reverse=True)
    stops = (process.stop_process_group.function(daemon, group.config.name) for group in ordered)
    results: list[list[dict[str, Any]]] = await eventloop.gather(stops)
    failed = {
        each["group"] for one in results for each in one if each["status"] == FaultCode.FAILED
    }
    processes, active = daemon.manager.processes, daemon.manager.groups

    def has_stopped(name: Namespec) -> bool:
        return name not in processes or processes[name].state is not ProcessState.STOPPING

    names = [name for group in ordered for name in group.names]
    await daemon.until(lambda: all(map(has_stopped, names)), names)  # some had been at it before
    return {
        group.config.name
        for group in ordered
        if group.config.name in failed
        or active.get(group.config.name) is not group
        or any(processes[name].state not in STOPPED_STATES for name in group.names)
    }
