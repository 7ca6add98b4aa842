"""What changes, told to the pages that are open: server-sent events (text/event-stream).

Nothing runs here while nobody watches. While somebody does, one timer looks at all processes for
all watchers, and CPU and memory are measured now and then, a few processes per turn of the loop.

A watcher has no queue. What was sent to it is remembered by reference, and whenever it takes
more, it gets the rows that are others by then: a slow browser misses what lies between, and one
that takes nothing for SLOW_SECONDS is dropped. It connects again when it can.
"""

from __future__ import annotations

from sdsuper import eventloop
from sdsuper.core.events import Event, ProcessStateChange, SupervisorStopping
from sdsuper.core.process import Process
from sdsuper.core.states import ManagerState
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.usage import Meter, Usage
from sdsuper.dataclass import dataclass
from sdsuper.server.http import Connection, Spawn, Stream
from sdsuper.server.page.view import Row, row_of
from sdsuper.values import Namespec

WATCHERS_MAX = 32
"""Pages that may watch at a time; the next one is told to come again later."""

LOOK_SECONDS = 1.0
"""How often all processes are looked at: what they say of themselves is no event."""

HASTE_SECONDS = 0.05
"""How soon after a change of state it is told; what else changes meanwhile goes with it."""

MEASURE_SECONDS = 2.0
"""How often CPU and memory are measured."""

MEASURED_PER_TURN = 20
"""How many programs are measured before others have their turn: about a millisecond."""

SLOW_SECONDS = 10.0
"""How long a watcher may take nothing."""

RETRY_MILLISECONDS = 2000
"""When a browser whose connection has ended connects again."""


@dataclass(slots=True)
class _Shown:
    """A process as it was told last.

    Attributes:
        process: The value that it was made of.
        usage: The same.
        text: It as JSON, without what encloses it; shared by all watchers.
    """

    process: Process
    usage: Usage | None
    row: Row
    text: str


def row_text(row: Row) -> str:
    """Return one row as the member of a JSON object."""
    from json import dumps  # only where somebody watches

    name = dumps(row.spec)
    value = dumps(
        {
            "state": row.state.name.lower(),
            "tone": row.tone,
            "since": row.since,
            "pid": row.pid,
            "restarts": row.restarts,
            "cpu": row.cpu,
            "memory": row.memory,
            "note": row.note,
            "end": row.end,
        },
        separators=(",", ":"),
    )
    return f"{name}:{value}"


class Board:
    """All rows, up to date while somebody looks.

    Args:
        daemon: Whose processes they are.
        spawn: Lets work go on by itself.
    """

    def __init__(self, daemon: Daemon, spawn: Spawn) -> None:
        self._daemon = daemon
        self._spawn = spawn
        self._meter = Meter()
        self._usages: dict[Namespec, Usage] = {}
        self._shown: dict[Namespec, _Shown] = {}
        self._watchers: set[Watcher] = set()
        self._timer: eventloop.TimerHandle | None = None
        self._measured = 0.0
        self._measuring = False
        daemon.subscribe(ProcessStateChange, self._changed)
        daemon.subscribe(SupervisorStopping, self._stopping)

    # -- for a page that is asked for --

    def rows(self) -> list[Row]:
        """Return a row for each process, as they are now and as they were measured last."""
        return [
            row_of(process, self._usage(process))
            for process in self._daemon.manager.processes.values()
        ]

    async def measure(self) -> None:
        """Look at CPU and memory of all programs, in portions."""
        if self._measuring:
            return  # somebody else's look is as good
        self._measuring = True
        try:
            names = list(self._daemon.manager.processes)
            for start in range(0, len(names), MEASURED_PER_TURN):
                for name in names[start : start + MEASURED_PER_TURN]:
                    self._measure(name)
                await eventloop.sleep(0)
            self._forget()
        finally:
            self._measuring = False

    def _measure(self, name: Namespec) -> None:
        process = self._daemon.manager.processes.get(name)
        usage = None
        if process is not None and process.pid:
            usage = self._meter.look(
                name, process.pid, self._daemon.now().mono, self._daemon.cgroup(name)
            )
        if usage is None:
            self._usages.pop(name, None)
        elif usage != self._usages.get(name):
            self._usages[name] = usage

    def _forget(self) -> None:
        processes = self._daemon.manager.processes
        self._meter.keep(processes)
        for name in self._usages.keys() - processes.keys():
            del self._usages[name]

    def _usage(self, process: Process) -> Usage | None:
        return self._usages.get(process.name) if process.pid else None

    # -- for those that watch --

    @property
    def is_full(self) -> bool:
        """Whether no more watchers are taken."""
        return len(self._watchers) >= WATCHERS_MAX

    def join(self, watcher: Watcher) -> None:
        """Keep a watcher up to date from now on."""
        self._watchers.add(watcher)
        self._look_in(LOOK_SECONDS)

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher; with the last one everything comes to rest."""
        self._watchers.discard(watcher)
        if not self._watchers:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._shown.clear()

    def _changed(self, _event: Event) -> None:
        if self._watchers:
            self._look_in(HASTE_SECONDS)

    def _stopping(self, _event: Event) -> None:
        for watcher in tuple(self._watchers):
            watcher.update()  # at once: this may be over before there is another occasion

    def _look_in(self, seconds: float) -> None:
        loop = eventloop.get_running_loop()
        if self._timer is not None:
            if self._timer.when <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        for watcher in tuple(self._watchers):
            watcher.update()
        if not self._watchers:
            return
        now = eventloop.get_running_loop().time()
        if now - self._measured >= MEASURE_SECONDS:
            self._measured = now
            self._spawn(self.measure())
        self._look_in(LOOK_SECONDS)

    def news(self, known: dict[Namespec, str]) -> list[str]:
        """Return the rows that a watcher does not know yet, and make them known.

        Args:
            known: What was told to it, by the very objects.
        """
        told = []
        for process in self._daemon.manager.processes.values():
            text = self._text(process)
            if known.get(process.name) is not text:
                known[process.name] = text
                told.append(text)
        return told

    def _text(self, process: Process) -> str:
        usage = self._usage(process)
        shown = self._shown.get(process.name)
        if shown is not None and shown.process is process and shown.usage is usage:
            return shown.text
        row = row_of(process, usage)
        if shown is None or shown.row != row:
            shown = self._shown[process.name] = _Shown(process, usage, row, row_text(row))
        else:  # what has changed is not shown
            shown.process, shown.usage = process, usage
        return shown.text

    def gone(self, known: dict[Namespec, str]) -> bool:
        """Whether processes that a watcher knows are no more; they are taken from it."""
        processes = self._daemon.manager.processes
        lost = known.keys() - processes.keys()
        for name in lost:
            del known[name]
            self._shown.pop(name, None)
        return bool(lost)

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._daemon.now().mono

    @property
    def state(self) -> ManagerState:
        """The state of the daemon."""
        return self._daemon.manager.state


class Watcher(Stream):
    """One page that is open.

    Args:
        board: What it watches.
        generation: Names the daemon: after a restart the page must be made anew.
    """

    content_type = b"text/event-stream"
    headers = ((b"Cache-Control", b"no-store"), (b"X-Accel-Buffering", b"no"))
    patience = SLOW_SECONDS

    def __init__(self, board: Board, generation: str) -> None:
        self._board = board
        self._generation = generation
        self._known: dict[Namespec, str] = {}
        self._state: ManagerState | None = None
        self._connection: Connection

    def start(self, connection: Connection) -> None:
        """Say who we are and how everything is."""
        self._connection = connection
        self._board.join(self)
        self._send("hello", f'"{self._generation}"', retry=RETRY_MILLISECONDS)
        self.update()

    def resume(self) -> None:
        """It takes again: tell what it has missed."""
        self.update()

    def stop(self) -> None:
        """It is gone."""
        self._board.leave(self)

    def update(self) -> None:
        """Tell what it does not know, if it takes anything."""
        if not self._connection.can_write:
            return
        if self._board.state is not self._state:
            self._state = self._board.state
            self._send("daemon", f'"{self._state.name}"')
        if self._board.gone(self._known):
            self._send("gone", "null")
        news = self._board.news(self._known)
        if news:
            self._send("rows", f'{{"now":{self._board.now:.1f},"rows":{{{",".join(news)}}}}}')

    def _send(self, event: str, data: str, retry: int | None = None) -> None:
        # JSON as `dumps` writes it is ASCII without line ends: one `data` line holds it.
        head = f"retry: {retry}\n" if retry is not None else ""
        self._connection.send_part(f"{head}event: {event}\ndata: {data}\n\n".encode())
