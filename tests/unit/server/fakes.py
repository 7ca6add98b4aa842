"""A daemon without an edge: the real core, a clock that stands still, children that are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from types import SimpleNamespace
from typing import Any, cast

from sdsuper import eventloop
from sdsuper.config.diff import Changes
from sdsuper.config.model import DaemonConfig, GroupConfig, RpcInterfaceConfig
from sdsuper.config.servers import MAIN_FACTORY
from sdsuper.core.actions import EndStrays, Log, Publish, SendSignal, Spawn
from sdsuper.core.events import Event
from sdsuper.core.facts import (
    Cleared,
    DaemonStarted,
    DeadlinePassed,
    Exited,
    Fact,
    GroupAdded,
    GroupChanged,
    GroupRemoved,
    RestartRequested,
    ShutdownRequested,
    SignalFailed,
    Spawned,
    SpawnFailed,
)
from sdsuper.core.history import DAEMON, Requester
from sdsuper.core.manager import Manager
from sdsuper.core.process import Process
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.proctable import Entry
from sdsuper.server.registry import Registry, build_registry
from sdsuper.values import ExitStatus, Instant, Level, Namespec

WALL = 1_700_000_000.0

MAIN = RpcInterfaceConfig(name="supervisor", factory=MAIN_FACTORY, options={})


class FakeLog:
    def __init__(self, path: str | None = None) -> None:
        self.level = Level.BLATHER
        self.path = path
        self.lines: list[tuple[Level, str]] = []
        self.cleared = 0
        self.clear_error: OSError | None = None

    def log(self, level: Level, message: str) -> None:
        self.lines.append((level, message))

    def clear(self) -> None:
        if self.clear_error is not None:
            raise self.clear_error
        self.cleared += 1

    def at(self, level: Level) -> list[str]:
        return [message for found, message in self.lines if found is level]


class FakeDaemon:
    """What the server calls, with a core that is true and children that are not.

    Attributes:
        unspawnable: Process names whose spawn fails.
        unstoppable: Process names whose signals fail.
        commands: What `check_command` raises, by process name.
        signals: What was sent, in order: (process name, number).
        outputs: What a process wrote last, by its name and the channel.
        strays: What lives on of whatever has ended; none: nothing does.
    """

    def __init__(self, *groups: GroupConfig, interfaces: Iterable[Any] = (MAIN,)) -> None:
        self.manager = Manager()
        self.config = SimpleNamespace(groups=groups, rpcinterfaces=tuple(interfaces), servers=())
        self.settings = DaemonConfig(logfile=None, identifier="unit")
        self.log = FakeLog()
        self.mono = 100.0
        self.events: list[Event] = []
        self.signals: list[tuple[str, int]] = []
        self.spawned: list[str] = []
        self.unspawnable: set[str] = set()
        self.unstoppable: set[str] = set()
        self.commands: dict[str, Exception] = {}
        self.logfiles: dict[tuple[str, str], str] = {}
        self.outputs: dict[str, dict[str, bytes]] = {}
        self.strays: list[Entry] = []
        self.in_journal: set[tuple[str, str]] = set()
        self.readback: Any = None
        self.pools = SimpleNamespace(losses=dict, all=list)
        self.clear_errors: dict[str, OSError] = {}
        self.cleared: list[Namespec] = []
        self.stdin: list[tuple[Namespec, bytes]] = []
        self.stdin_error: Exception | None = None
        self.changes = Changes()
        self.config_error: Exception | None = None
        self.updates = eventloop.Lock()
        self.updating = eventloop.Lock()
        self._facts: list[Fact] = []
        self._subscribers: list[tuple[type[Event], Callable[[Event], None]]] = []
        self._handling = False
        self._pid = 1000
        self._waiters: list[tuple[Callable[[], bool], eventloop.Future[None]]] = []
        for group in groups:
            self.add_group(group)
        self.submit(DaemonStarted())

    # -- what the server calls --

    def now(self) -> Instant:
        return Instant(self.mono, WALL + self.mono)

    def cgroup(self, _name: Namespec) -> None:
        return None

    def submit(self, fact: Fact) -> None:
        self._facts.append(fact)
        if self._handling:
            return
        self._handling = True
        while self._facts:
            for action in self.manager.handle(self._facts.pop(0), self.now()):
                self._execute(action)
        self._handling = False
        for done, future in self._waiters:
            if not future.done() and done():
                future.set_result(None)

    async def until(self, done: Callable[[], bool], watch: Collection[Namespec]) -> None:
        if done():
            return
        future = eventloop.Future()
        self._waiters.append((done, future))
        await future

    def publish(self, event: Event) -> None:
        self.events.append(event)
        for kind, callback in self._subscribers:
            if isinstance(event, kind):
                callback(event)

    def subscribe(self, kind: type[Event], callback: Callable[[Event], None]) -> None:
        self._subscribers.append((kind, callback))

    def reread(self) -> Changes:
        self._refuse_config()
        return self.changes

    def add_group(
        self, config: GroupConfig, start: frozenset[str] | None = None, by: Requester = DAEMON
    ) -> None:
        self.submit(GroupAdded(config, start, by))

    def change_group(
        self, config: GroupConfig, start: frozenset[str] = frozenset(), by: Requester = DAEMON
    ) -> None:
        self.submit(GroupChanged(config, start, by))

    def remove_group(self, name: str) -> None:
        self.submit(GroupRemoved(name))

    def request_shutdown(self, by: Requester = DAEMON) -> None:
        self.submit(ShutdownRequested(by))

    def request_restart(self, by: Requester = DAEMON) -> None:
        self._refuse_config()
        self.submit(RestartRequested(by))

    def check_command(self, name: Namespec) -> None:
        if name.process in self.commands:
            raise self.commands[name.process]

    def log_path(self, name: Namespec, channel: str) -> str | None:
        return self.logfiles.get((name.process, channel))

    def is_in_journal_alone(self, name: Namespec, channel: str) -> bool:
        return (name.process, channel) in self.in_journal

    def last_output(self, name: Namespec) -> dict[str, bytes]:
        return self.outputs.get(name.process, {})

    def strays_of(self, process: Process) -> tuple[Entry, ...]:
        return tuple(self.strays) if process.residue is not None else ()

    def clear_logs(self, name: Namespec) -> None:
        if name.process in self.clear_errors:
            raise self.clear_errors[name.process]
        self.cleared.append(name)

    def write_stdin(self, name: Namespec, data: bytes) -> None:
        if self.stdin_error is not None:
            raise self.stdin_error
        self.stdin.append((name, data))

    # -- what a test does --

    def process(self, name: str) -> Process:
        group, _, process = name.partition(":")
        return self.manager.processes[Namespec(group, process or group)]

    def advance(self, seconds: float) -> None:
        """Let time pass, all deadlines included."""
        self.mono += seconds
        self.submit(DeadlinePassed())

    def exit(self, name: str, code: int = 0) -> None:
        """End a child; what it left behind is gone at once."""
        process = self.process(name)
        self.submit(Exited(process.name, process.invocation, ExitStatus(code)))

    # -- the edge --

    def _execute(self, action: object) -> None:
        match action:
            case Spawn(name, invocation) if name.process in self.unspawnable:
                self.submit(SpawnFailed(name, invocation, "no room"))
            case Spawn(name, invocation):
                self._pid += 1
                self.spawned.append(name.process)
                self.submit(Spawned(name, invocation, self._pid))
            case SendSignal(name, invocation) if name.process in self.unstoppable:
                self.submit(SignalFailed(name, invocation, "not permitted"))
            case SendSignal(name, _, _, number):
                self.signals.append((name.process, number))
            case EndStrays() if self.strays:
                pass
            case EndStrays(name, invocation):
                self.submit(Cleared(name, invocation))
            case Publish(event):
                self.publish(event)
            case Log(level, message):
                self.log.log(level, message)
            case _:
                pass

    def _refuse_config(self) -> None:
        if self.config_error is not None:
            raise self.config_error


def as_daemon(fake: FakeDaemon) -> Daemon:
    return cast("Daemon", fake)


def registry_of(fake: FakeDaemon) -> Registry:
    return build_registry(as_daemon(fake))
