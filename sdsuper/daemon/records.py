"""What is handed on of the core and of each invocation, and how the core is made of it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from sdsuper.config.model import Config, GroupConfig, ProcessConfig
from sdsuper.core.history import PastInvocation
from sdsuper.core.manager import Manager, Whole
from sdsuper.core.process import Process
from sdsuper.core.states import ManagerState
from sdsuper.daemon.handover import Inheritance, Keeper
from sdsuper.daemon.outofmemory import Kills
from sdsuper.dataclass import dataclass, field, replace
from sdsuper.errors import HandoverError
from sdsuper.handover.codec import Plain, codec_of, decode_with
from sdsuper.handover.text import text_of
from sdsuper.logs.held import HeldOutlets
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.values import Namespec

_WHOLE, _GROUP, _PROCESS, _GHOST, _PAST = "manager", "group/", "process/", "ghost/", "past/"

_GIVEN = ("config", "past")
"""What is on record elsewhere: the latest of what is over is the last of the history."""

_GHOST_CODEC = codec_of(Process)
_GROUP_CODEC = codec_of(GroupConfig)
_WHOLE_CODEC = codec_of(Whole)


@dataclass(frozen=True, slots=True)
class Past:
    """An invocation that is over, and of which process it was."""

    name: Namespec
    past: PastInvocation


_PAST_CODEC = codec_of(Past)


def key_of(name: Namespec) -> str:
    """Return a process's name as a part of a key; neither half has a colon in it."""
    return f"{name.group}:{name.process}"


class CoreRecords:
    """What is on record of a manager.

    Args:
        keeper: Takes the records.
        manager: The core.
    """

    def __init__(self, keeper: Keeper, manager: Manager) -> None:
        self._keeper = keeper
        self._manager = manager
        self._groups: dict[str, GroupConfig] = {}
        self._histories: dict[Namespec, tuple[PastInvocation, ...]] = {}
        self._ghosts: set[Namespec] = set()
        self._revision = -1

    def tell(self) -> None:
        """Tell the keeper of all that changed in the core since."""
        manager, keeper = self._manager, self._keeper
        if not keeper.recording:
            return
        if manager.revision != self._revision or manager.state is not ManagerState.RUNNING:
            self._revision = manager.revision
            keeper.changed(_WHOLE, lambda: _WHOLE_CODEC.encode(manager.whole()))
            self._tell_groups()
        for name in manager.touched:
            self._tell_process(name)
        manager.touched.clear()

    def _tell_groups(self) -> None:
        active = {name: group.config for name, group in self._manager.groups.items()}
        for name in self._groups.keys() - active.keys():
            self._keeper.gone(_GROUP + name)
        for name, config in active.items():
            if self._groups.get(name) is not config:
                self._keeper.changed(_GROUP + name, partial(_GROUP_CODEC.encode, config))
        self._groups = active

    def _tell_process(self, name: Namespec) -> None:
        keeper, key = self._keeper, key_of(name)
        process, ghost = self._manager.processes.get(name), self._manager.ghosts.get(name)
        if process is None:
            keeper.gone(_PROCESS + key)
        else:
            keeper.changed(_PROCESS + key, partial(text_of(Process, _GIVEN), process))
        if ghost is None:
            if name in self._ghosts:
                self._ghosts.discard(name)
                keeper.gone(_GHOST + key)
        else:
            self._ghosts.add(name)
            keeper.changed(_GHOST + key, partial(_GHOST_CODEC.encode, ghost))
        self._tell_history(name)

    def _tell_history(self, name: Namespec) -> None:
        history = self._manager.histories.get(name, ())
        before = self._histories.get(name, ())
        if history is before:
            return
        if history:
            self._histories[name] = history
        else:
            self._histories.pop(name, None)
        if before and len(history) > 1 and history[-2] is before[-1]:  # one has ended
            before, history = before[: len(before) + 1 - len(history)], history[-1:]
        self._tell_changes(name, before, history)

    def _tell_changes(
        self,
        name: Namespec,
        before: tuple[PastInvocation, ...],
        history: tuple[PastInvocation, ...],
    ) -> None:
        known_by = {id(past) for past in before}  # values that have not changed are the same
        numbers = {past.number for past in history}
        for past in before:
            if past.number not in numbers:
                self._keeper.gone(f"{_PAST}{past.number}")
        for past in history:
            if id(past) not in known_by:
                known = Past(name, past)
                self._keeper.changed(f"{_PAST}{past.number}", partial(text_of(Past), known))

    def export(self) -> Mapping[str, Plain]:
        """Return all there is to know of the core."""
        manager = self._manager
        records: dict[str, Plain] = {_WHOLE: _WHOLE_CODEC.encode(manager.whole())}
        for name, group in manager.groups.items():
            records[_GROUP + name] = _GROUP_CODEC.encode(group.config)
        for each, process in manager.processes.items():
            records[_PROCESS + key_of(each)] = text_of(Process, _GIVEN)(process)
        for each, ghost in manager.ghosts.items():
            records[_GHOST + key_of(each)] = _GHOST_CODEC.encode(ghost)
        for each, history in manager.histories.items():
            for past in history:
                records[f"{_PAST}{past.number}"] = text_of(Past)(Past(each, past))
        self._groups = {name: group.config for name, group in manager.groups.items()}
        self._histories = dict(manager.histories)
        self._ghosts = set(manager.ghosts)
        self._revision = manager.revision
        manager.touched.clear()
        return records

    def descriptors(self) -> Mapping[str, int]:
        """Return nothing: the core has none."""
        return {}


def restored_manager(left: Inheritance) -> Manager:
    """Return the core that an earlier daemon had.

    Raises:
        HandoverError: It is not all there, or does not fit.
    """
    notes = left.notes
    whole: Whole = _WHOLE_CODEC.decode(left.records.get(_WHOLE), _WHOLE, notes)
    groups = [_group(left, _GROUP + name, plain) for name, plain in left.table(_GROUP).items()]
    histories = left.once(_PAST, lambda: _histories(left))
    processes = {}
    for group in groups:
        for config in group.processes:
            name = Namespec(group.name, config.name)
            key = _PROCESS + key_of(name)
            if key in left.records:
                process = left.once(key, partial(_process, left, key, config))
                processes[name] = _with_past(process, histories.get(name, ()))
    ghosts = [
        _GHOST_CODEC.decode(plain, _GHOST + key, notes) for key, plain in left.table(_GHOST).items()
    ]
    return Manager.restored(
        whole, groups, processes, {ghost.name: ghost for ghost in ghosts}, histories
    )


def _group(left: Inheritance, key: str, plain: Plain) -> GroupConfig:
    """Return a group that is on record."""
    group: GroupConfig = left.once(key, lambda: _GROUP_CODEC.decode(plain, key, left.notes))
    return group


def _process(left: Inheritance, key: str, config: ProcessConfig) -> Process:
    given = {"config": config, "past": None}
    return decode_with(Process, given, left.records[key], key, left.notes)


def _with_past(process: Process, history: tuple[PastInvocation, ...]) -> Process:
    """Return a process with the latest of its invocations that is over."""
    if not history or history[-1].number > process.invocation:
        return process
    return replace(process, past=history[-1])


def _histories(left: Inheritance) -> dict[Namespec, tuple[PastInvocation, ...]]:
    known = [
        _PAST_CODEC.decode(plain, _PAST + key, left.notes)
        for key, plain in left.table(_PAST).items()
    ]
    histories: dict[Namespec, tuple[PastInvocation, ...]] = {}
    for each in sorted(known, key=lambda each: each.past.number):
        histories[each.name] = (*histories.get(each.name, ()), each.past)
    return histories


# --- configuration --------------------------------------------------------------------------------

_CONFIG, _READ = "config", "read/"
_CONFIG_CODEC = codec_of(Config)


class _Known(NamedTuple):
    """A group that was read last, beside the active one of its name.

    Attributes:
        apart: They differ: it is on record itself.
    """

    active: GroupConfig | None
    read: GroupConfig
    apart: bool


class ConfigRecords:
    """What is on record of the configuration: what is in force, and the groups as read last.

    Groups that were read last are on record only where they are not the active ones. Each has a
    record of its own: an update makes one after another active.

    Args:
        keeper: Takes the records.
        manager: Has the active groups.
        config: Returns what was read last; at first, what is in force.
    """

    def __init__(self, keeper: Keeper, manager: Manager, config: Callable[[], Config]) -> None:
        self._keeper = keeper
        self._manager = manager
        self._config = config
        self._in_force = replace(config(), groups=(), notes=())
        self._told: tuple[Config, int] | None = None
        self._known: dict[str, _Known] = {}

    def tell(self) -> None:
        """Tell the keeper what changed."""
        config, revision = self._config(), self._manager.revision
        told, self._told = self._told, (config, revision)
        if told is not None and config is told[0] and revision == told[1]:
            return
        if told is None or config is not told[0]:
            self._keeper.changed(_CONFIG, self._encode)
        for name, group in self._compare().items():
            if group is None:
                self._keeper.gone(_READ + name)
            else:
                self._keeper.changed(_READ + name, partial(_GROUP_CODEC.encode, group))

    def _compare(self) -> dict[str, GroupConfig | None]:
        """Return the groups whose records change: what they are now, None for gone."""
        changed: dict[str, GroupConfig | None] = {}
        before, self._known = self._known, {}
        for group in self._config().groups:
            there = self._manager.groups.get(group.name)
            active = None if there is None else there.config
            known = before.pop(group.name, None)
            if known is None or known.active is not active or known.read is not group:
                was_apart = known is not None and known.apart
                known = _Known(active, group, active is not group and active != group)
                if known.apart or was_apart:
                    changed[group.name] = group if known.apart else None
            self._known[group.name] = known
        changed |= {name: None for name, known in before.items() if known.apart}
        return changed

    def _encode(self) -> Plain:
        names = [group.name for group in self._config().groups]
        return {"in_force": _CONFIG_CODEC.encode(self._in_force), "groups": names}

    def export(self) -> Mapping[str, Plain]:
        """Return all of it."""
        self._told = self._config(), self._manager.revision
        self._known = {}
        apart = self._compare().items()
        groups = {_READ + name: _GROUP_CODEC.encode(group) for name, group in apart if group}
        return {_CONFIG: self._encode(), **groups}

    def descriptors(self) -> Mapping[str, int]:
        """Return nothing: a configuration has none."""
        return {}


def restored_config(left: Inheritance) -> Config:
    """Return the configuration that was in force, with the groups that were read last.

    Raises:
        HandoverError: It is not all there, or does not fit.
    """
    plain = left.records.get(_CONFIG)
    if not isinstance(plain, dict) or not isinstance(plain.get("groups"), list):
        raise HandoverError(f"{_CONFIG}: is missing")
    in_force = plain.get("in_force")
    config: Config = left.once(_CONFIG, lambda: _CONFIG_CODEC.decode(in_force, _CONFIG, left.notes))
    groups: list[GroupConfig] = []
    for name in plain["groups"]:
        read = f"{_READ}{name}"
        key = read if read in left.records else f"{_GROUP}{name}"
        groups.append(_group(left, key, left.records.get(key)))
    return replace(config, groups=tuple(groups))


# --- invocations ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationRecord:
    """The edge's side of one spawn, as values.

    Attributes:
        pid: Its main process, 0 = the intent is on record and nothing more: where the process's
            record has a pid that is it, else there is none yet.
        started: Start time of that in clock ticks since boot, None = unknown.
        cgroup: The directory where all of it lives, None = it has none of its own.
        stdin: What waits to be read by it.
        channels: The pipes that are open.
        left: Nobody writes to them any more.
        memory: The kills for want of memory that are known, None = nobody counts.
        config: Of a process that is forgotten; then `held` is what its channels hold.
    """

    name: Namespec
    number: int
    mark: str
    pid: int = 0
    leader: int = 0
    started: int | None = None
    cgroup: str | None = None
    stdin: bytes = b""
    channels: tuple[str, ...] = ()
    left: bool = False
    seen: dict[int, int] = field(default_factory=dict)
    killed: bool = False
    adopted: bool = False
    notices: str | None = None
    memory: Kills | None = None
    config: ProcessConfig | None = None
    held: HeldOutlets | None = None


INVOCATION = "invocation/"
INVOCATION_CODEC = codec_of(InvocationRecord)
HELD = "held/"
HELD_CODEC = codec_of(HeldOutlets)


def cgroups_of(left: Inheritance) -> list[Cgroup]:
    """Return the cgroups of the invocations that an earlier daemon left: they are ours now."""
    paths = [plain.get("cgroup") for plain in left.table(INVOCATION).values()]
    return [Cgroup(path) for path in paths if path is not None]


# --- which daemon it is ---------------------------------------------------------------------------

_INCARNATION = "incarnation"


@dataclass(frozen=True, slots=True)
class Incarnation:
    """Which daemon this is of all that had the same programs, one after another.

    Attributes:
        number: 1 is the one that started them.
        how: How it came to be: "start", "re-exec", or "adoption" after a crash.
    """

    number: int = 1
    how: str = "start"

    def export(self) -> Mapping[str, Plain]:
        """Return the record of it."""
        return {_INCARNATION: self.number}

    def descriptors(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}


def succeeding(left: Inheritance) -> Incarnation:
    """Return which daemon it is that goes on with what another has left."""
    before = left.records.get(_INCARNATION)
    number = before if isinstance(before, int) else 1
    return Incarnation(number + 1, "re-exec" if left.in_place else "adoption")
