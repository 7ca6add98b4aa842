"""Processes -> what the page shows of them, as plain values."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sdsuper.core.process import Process
from sdsuper.core.states import ManagerState, ProcessState
from sdsuper.daemon.usage import Usage
from sdsuper.dataclass import dataclass, field
from sdsuper.values import Namespec

TONES = {
    ProcessState.STOPPED: "off",
    ProcessState.STARTING: "busy",
    ProcessState.RUNNING: "ok",
    ProcessState.BACKOFF: "warn",
    ProcessState.STOPPING: "busy",
    ProcessState.EXITED: "off",
    ProcessState.FATAL: "bad",
    ProcessState.UNKNOWN: "bad",
}
"""How a state looks: fine, under way, in trouble, failed, at rest."""

BY_URGENCY = (
    ProcessState.FATAL,
    ProcessState.UNKNOWN,
    ProcessState.BACKOFF,
    ProcessState.EXITED,
    ProcessState.STOPPING,
    ProcessState.STARTING,
    ProcessState.STOPPED,
    ProcessState.RUNNING,
)
"""The order in which states are counted up."""

OPEN_ROWS_MAX = 60
"""With more processes than this, groups without trouble are shown folded."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Row:
    """One process.

    Attributes:
        since: Monotonic second of its start while a child lives, else None.
        pid: Of its child; 0 for none.
        cpu: As shown; "" where it is not known.
        memory: As shown; "" where it is not known.
        note: What it says of itself.
        end: Its last end, and what was made of it.
    """

    name: Namespec
    state: ProcessState
    tone: str
    since: float | None
    pid: int
    restarts: int
    cpu: str
    memory: str
    note: str
    end: str

    @property
    def spec(self) -> str:
        """Its name as clients write it."""
        return str(self.name)


@dataclass(frozen=True, slots=True)
class Section:
    """A group, or (key "") all programs that are their own group.

    Attributes:
        key: Name of the group.
    """

    key: str
    rows: tuple[Row, ...]

    @property
    def is_quiet(self) -> bool:
        """Whether nothing in it asks for attention."""
        return not any(row.tone in {"warn", "bad"} for row in self.rows)


@dataclass(frozen=True, slots=True)
class Filter:
    """What the visitor wants to see.

    Attributes:
        text: Part of the name; "" for all.
        state: A state's name in lower case; "" for all.
    """

    text: str = ""
    state: str = ""

    def admits(self, row: Row) -> bool:
        """Whether a row is to be shown."""
        if self.state and row.state.name.lower() != self.state:
            return False
        return self.text.lower() in row.spec.lower()


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole page.

    Attributes:
        generation: Names the daemon among those that were here before and after it.
        now: Monotonic seconds.
        shown: The sections, as far as the filter admits them.
        counts: How many processes are in which state, whatever the filter says.
        message: What became of an action; "" for nothing to tell.
        token: What a form must carry.
    """

    identifier: str
    host: str
    generation: str
    state: ManagerState
    now: float
    shown: tuple[Section, ...]
    counts: tuple[tuple[ProcessState, int], ...]
    message: str
    token: str
    filter: Filter = field(default_factory=Filter)

    @property
    def total(self) -> int:
        """How many processes there are."""
        return sum(number for _, number in self.counts)

    def is_open(self, section: Section) -> bool:
        """Whether the rows of a section are shown at first."""
        filtered = bool(self.filter.text or self.filter.state)
        return filtered or self.total <= OPEN_ROWS_MAX or not section.is_quiet


def row_of(process: Process, usage: Usage | None) -> Row:
    """Return what is shown of one process."""
    alive = process.pid != 0 and process.started is not None
    tone = TONES[process.state]
    if process.state is ProcessState.EXITED and _ended_badly(process):
        tone = "warn"
    return Row(
        name=process.name,
        state=process.state,
        tone=tone,
        since=round(process.started.mono, 1) if alive and process.started else None,
        pid=process.pid,
        restarts=process.restarts,
        cpu="" if usage is None or usage.cpu is None else f"{usage.cpu:.1f} %",
        memory="" if usage is None else size(usage.memory),
        note=_note(process),
        end=last_end(process),
    )


def _ended_badly(process: Process) -> bool:
    return process.last_exit is not None and not process.last_exit.expected


def _note(process: Process) -> str:
    if process.state is ProcessState.UNKNOWN:
        return process.trouble or ""
    if process.held:
        return "waits for the end of what it left behind"
    return process.told.status if process.pid else ""


def last_end(process: Process) -> str:
    """Return how and when a process ended last, or failed to start, and why it is as it is."""
    record, reason = process.last_exit, process.reason
    failed = process.state in {ProcessState.BACKOFF, ProcessState.FATAL}
    if record is None or (failed and record.invocation != process.invocation):
        return (reason or process.spawnerr or "") if failed else ""
    how = record.status.describe()
    # The reason is that of the last end without a request: it belongs to this one where it
    # tells of the same status, or where the process is down because of it.
    if reason is not None and how in reason:
        how = reason
    elif reason is not None and failed:
        how = f"{how}: {reason}"
    return f"{moment(record.at.wall)}: {how}"


def sections(rows: Iterable[Row]) -> tuple[Section, ...]:
    """Return the rows by group and name; programs that are their own group come first."""
    solo: list[Row] = []
    groups: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.name):
        groups.setdefault(row.name.group, []).append(row)
    found = []
    for key, members in groups.items():
        if len(members) == 1 and members[0].name.process == key:
            solo += members
        else:
            found.append(Section(key, tuple(members)))
    return (Section("", tuple(solo)), *found) if solo else tuple(found)


def narrowed(all_sections: Sequence[Section], wanted: Filter) -> tuple[Section, ...]:
    """Return what a filter leaves of the sections; none is empty."""
    found = []
    for section in all_sections:
        rows = tuple(row for row in section.rows if wanted.admits(row))
        if rows:
            found.append(Section(section.key, rows))
    return tuple(found)


def count(rows: Iterable[Row]) -> tuple[tuple[ProcessState, int], ...]:
    """Return how many rows are in which state, what is urgent first."""
    numbers: Mapping[ProcessState, int] = Counter(row.state for row in rows)
    return tuple((state, numbers[state]) for state in BY_URGENCY if numbers[state])


def size(amount: int) -> str:
    """Write a number of bytes."""
    value, unit = float(amount), 0
    while value >= 1000 and unit < len(_UNITS) - 1:  # so that there are never four digits
        value, unit = value / 1024, unit + 1
    digits = 1 if unit > 0 and value < 10 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Write how long something has lasted, in its two largest units."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d {hours % 24}h"
    if hours:
        return f"{hours}h {minutes % 60:02}m"
    if minutes:
        return f"{minutes}m {whole % 60:02}s"
    return f"{whole}s"


def moment(wall: float) -> str:
    """Write Unix time in the daemon's time zone."""
    return time.strftime("%b %d %H:%M:%S", time.localtime(wall))


def uptime(row: Row, now: float) -> str:
    """Return how long the child of a row has lived at a monotonic second; "" for no child."""
    return "" if row.since is None else duration(now - row.since)
