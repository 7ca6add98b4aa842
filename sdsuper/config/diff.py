"""(old, new) -> what was added, changed, removed; and how little a change must disturb."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.config.option import LIVE, Option, options_of
from sdsuper.dataclass import dataclass, fields, replace


@dataclass(frozen=True)
class Changes:
    """Group names by what happened to them; added and changed in new order, removed in old."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupChange:
    """What differs between two configurations of one group; process names in new order.

    Attributes:
        added: Processes that are new.
        removed: Processes that are gone.
        restart: Processes with a difference that needs a restart.
        live: Processes whose differences can all be applied while they run.
        restart_options: The options that need one, of all those processes.
        live_options: The options in which the others differ, or the group.
        group: Whether the group as such differs so that all of it must be made anew: its kind,
            its pool or its sockets.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    restart_options: tuple[str, ...] = ()
    live_options: tuple[str, ...] = ()
    group: bool = False

    @property
    def only_live(self) -> bool:
        """Whether nothing has to be stopped or started."""
        return not (self.added or self.removed or self.restart or self.group)


def diff(old: Iterable[GroupConfig], new: Iterable[GroupConfig]) -> Changes:
    """Compare the active groups with those read.

    The rules are Supervisor's, but a log that turns from a file to AUTO, and another owner, mode
    or backlog of an fcgi socket, count as changes too.
    """
    before = {group.name: group for group in old}
    after = {group.name: group for group in new}
    return Changes(
        added=tuple(name for name in after if name not in before),
        changed=tuple(
            name
            for name, group in after.items()
            if name in before and not same_group(before[name], group)
        ),
        removed=tuple(name for name in before if name not in after),
    )


def same_group(old: GroupConfig, new: GroupConfig) -> bool:
    """Tell whether two configurations of a group are the same, but for where they are written."""
    return _comparable(old) == _comparable(new)


def _comparable(group: GroupConfig) -> GroupConfig:
    processes = tuple(map(_without_generated_logs, group.processes))
    pool = group.pool
    if pool is not None:  # events are a set, however they are listed
        pool = replace(pool, events=tuple(sorted(set(pool.events))))
    return replace(group, processes=processes, pool=pool)


def _without_generated_logs(process: ProcessConfig) -> ProcessConfig:
    """Return a process as it was read: the daemon fills in the file of an AUTO log."""
    stdout, stderr = (
        replace(channel, logfile=None) if channel.auto else channel
        for channel in (process.stdout, process.stderr)
    )
    if stdout is process.stdout and stderr is process.stderr:
        return process
    return replace(process, stdout=stdout, stderr=stderr)


def differences(old: ProcessConfig, new: ProcessConfig) -> tuple[Option, ...]:
    """Return the options in which two configurations of a process differ."""
    old, new = _without_generated_logs(old), _without_generated_logs(new)
    compared = {item.name for item in fields(ProcessConfig) if item.compare}
    return tuple(
        option
        for option in options_of(ProcessConfig)
        if option.path[0] in compared and _differs(option, old, new)
    )


def _differs(option: Option, old: ProcessConfig, new: ProcessConfig) -> bool:
    if option.value_in(old) != option.value_in(new):
        return True
    return option.path[-1] == "logfile" and _is_auto(option, old) != _is_auto(option, new)


def _is_auto(option: Option, process: ProcessConfig) -> bool:
    return bool(getattr(process, option.path[0]).auto)


def compare_group(old: GroupConfig, new: GroupConfig) -> GroupChange:
    """Tell which processes of a group differ, and whether they must be restarted for it."""
    before = {process.name: process for process in old.processes}
    after = {process.name: process for process in new.processes}
    restart, live = [], []
    keys: dict[str, None] = {}
    live_keys = {} if old.priority == new.priority else {"priority": None}
    for name, process in after.items():
        known = before.get(name)
        if known is None or known == process:
            continue
        changed = differences(known, process)
        if _is_another(known, process) or not _all_live(changed):
            restart.append(name)
            keys |= dict.fromkeys(each.key for each in changed if each.on_change is not LIVE)
        elif changed:
            live.append(name)
            live_keys |= dict.fromkeys(each.key for each in changed)
    return GroupChange(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        restart=tuple(restart),
        live=tuple(live),
        restart_options=tuple(keys),
        live_options=tuple(live_keys),
        group=_frame(old) != _frame(new),
    )


def needs_restart(old: ProcessConfig, new: ProcessConfig) -> bool:
    """Tell whether two configurations differ in what a process that runs cannot take."""
    return _is_another(old, new) or not _all_live(differences(old, new))


def _is_another(old: ProcessConfig, new: ProcessConfig) -> bool:
    return (old.kind, old.group, old.program) != (new.kind, new.group, new.program)


def _all_live(changed: Iterable[Option]) -> bool:
    return all(option.on_change is LIVE for option in changed)


def _frame(group: GroupConfig) -> tuple[Any, ...]:
    comparable = _comparable(group)
    return comparable.name, comparable.kind, comparable.pool, comparable.sockets
