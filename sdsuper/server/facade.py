"""`supervisord` as plugins see it: Supervisor's names on what we have.

Narrow: what plugins were seen to look at and do. What they change behind our back has no place in
this: a name that is not here raises `Unsupported`, which callers get as a fault that says so.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from sdsuper import eventloop
from sdsuper.config.model import GroupConfig, ProcessConfig
from sdsuper.core import process as core
from sdsuper.core.events import Event
from sdsuper.core.facts import StartRequested, StopRequested
from sdsuper.core.history import Requester
from sdsuper.core.states import STOPPED_STATES, ManagerState, ProcessState
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.plugins import MODULES
from sdsuper.errors import traceback_text
from sdsuper.rpc.codec import Pieces, Raw, dumps_response, loads_response
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.caller import requester
from sdsuper.server.plugins import Unsupported
from sdsuper.values import Level, Namespec

PLUGIN = Requester(what="a plugin")
"""Who asks where a plugin acts and no client has called it."""

Call = Callable[[str, Sequence[object]], Any]


class _Shown:
    """An object that says so where it lacks a name."""

    def __getattr__(self, name: str) -> Any:
        raise Unsupported(f"sdsuper has no {type(self).__name__}.{name} for plugins")


class Logger(_Shown):
    """The daemon's log."""

    def __init__(self, report: Callable[[Level, str], None]) -> None:
        self._report = report

    def log(self, level: int, message: str, **words: object) -> None:
        """Write a message; the level is a number of Supervisor's."""
        known = min(Level, key=lambda each: (abs(each - level), each))
        self._report(known, message % words if words else message)

    def critical(self, message: str, **words: object) -> None:
        """Write a message of the gravest kind."""
        self.log(Level.CRITICAL, message, **words)

    def error(self, message: str, **words: object) -> None:
        """Write of an error."""
        self.log(Level.ERROR, message, **words)

    def warn(self, message: str, **words: object) -> None:
        """Write a warning."""
        self.log(Level.WARN, message, **words)

    def info(self, message: str, **words: object) -> None:
        """Write what is good to know."""
        self.log(Level.INFO, message, **words)

    def debug(self, message: str, **words: object) -> None:
        """Write what helps to find a fault."""
        self.log(Level.DEBUG, message, **words)

    def trace(self, message: str, **words: object) -> None:
        """Write of a call."""
        self.log(Level.TRACE, message, **words)

    def blather(self, message: str, **words: object) -> None:
        """Write what hardly anybody wants to know."""
        self.log(Level.BLATHER, message, **words)


class _Wrapped(_Shown):
    """Some names of Supervisor's, and every option that a declaration of ours has."""

    _config: object

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(self._config, name):
            return getattr(self._config, name)
        return super().__getattr__(name)


class Options(_Wrapped):
    """[supervisord], and what the daemon runs with."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._config = daemon.settings
        self.logger = Logger(daemon.report)

    @property
    def mood(self) -> int:
        """The state of the daemon; to set it to SHUTDOWN or RESTARTING asks for that."""
        return int(self._daemon.state)

    @mood.setter
    def mood(self, state: int) -> None:
        if state == ManagerState.SHUTDOWN:
            self._daemon.request_shutdown(requester(PLUGIN))
        elif state == ManagerState.RESTARTING:
            self._daemon.request_restart(requester(PLUGIN))

    @property
    def serverurl(self) -> str | None:
        """What children get as SUPERVISOR_SERVER_URL."""
        return self._daemon.server_url

    @property
    def configfile(self) -> str:
        """The main file."""
        return self._daemon.config.file

    @property
    def server_configs(self) -> list[dict[str, object]]:
        """The servers."""
        return [
            {
                "section": each.section,
                "name": each.section.partition(":")[2] or None,
                "host": each.host,
                "port": each.port,
                "file": each.file,
                "username": each.username,
                "password": each.password,
            }
            for each in self._daemon.config.servers
        ]

    @property
    def process_group_configs(self) -> list[ShownGroupConfig]:
        """The groups of the configuration read last."""
        return [ShownGroupConfig(each) for each in self._daemon.config.groups]

    def kill(self, pid: int, signal: int) -> None:
        """Send a signal."""
        os.kill(pid, signal)

    def processes_from_section(self, *_: object) -> list[object]:
        """Refuse: programs come from files alone.

        Raises:
            ValueError: Always.
        """
        raise ValueError("sdsuper takes programs from its configuration alone")


class ShownProcessConfig(_Wrapped):
    """The configuration of a process."""

    def __init__(self, config: ProcessConfig) -> None:
        self._config = config


class ShownGroupConfig(_Wrapped):
    """The configuration of a group."""

    def __init__(self, config: GroupConfig) -> None:
        self._config = config

    @property
    def process_configs(self) -> list[ShownProcessConfig]:
        """Of its processes, in configured order."""
        assert isinstance(self._config, GroupConfig)
        return [ShownProcessConfig(each) for each in self._config.processes]


class ShownProcess(_Shown):
    """One process, as it is whenever it is looked at."""

    def __init__(self, daemon: Daemon, name: Namespec) -> None:
        self._daemon = daemon
        self._name = name

    @property
    def _now(self) -> core.Process:
        found = self._daemon.manager.processes.get(self._name)
        if found is None:
            raise Fault(FaultCode.BAD_NAME, str(self._name))
        return found

    @property
    def group(self) -> ShownGroup:
        """Its group."""
        return ShownGroup(self._daemon, self._name.group)

    @property
    def config(self) -> ShownProcessConfig:
        """Its configuration."""
        return ShownProcessConfig(self._now.config)

    @property
    def pid(self) -> int:
        """Of its child, 0 where there is none."""
        return self._now.pid

    @property
    def state(self) -> int:
        """Its state, a plain number: plugins compare by `is`, too."""
        return int(self._now.state)

    def get_state(self) -> int:
        """Return its state."""
        return self.state

    @property
    def killing(self) -> bool:
        """Whether it is being stopped."""
        return self.state == ProcessState.STOPPING

    @property
    def laststart(self) -> float:
        """When it was started last, Unix time in seconds; 0 for never."""
        started = self._now.started
        return started.wall if started is not None else 0

    @property
    def laststop(self) -> float:
        """When it ended last, Unix time in seconds; 0 for never."""
        ended = self._now.last_exit
        return ended.at.wall if ended is not None else 0

    @property
    def exitstatus(self) -> int | None:
        """How it ended last."""
        return self._now.exitstatus

    @property
    def spawnerr(self) -> str | None:
        """Why its last start failed."""
        return self._now.spawnerr

    @property
    def backoff(self) -> int:
        """How many starts in a row have failed."""
        return self._now.backoff

    def spawn(self) -> int | None:
        """Start it; return the pid."""
        self._daemon.submit(StartRequested(self._name, requester(PLUGIN)))
        return self.pid or None

    def stop(self) -> None:
        """Begin to stop it."""
        self._daemon.submit(StopRequested(self._name, requester(PLUGIN)))

    def write(self, data: bytes | str) -> None:
        """Write to its stdin.

        Raises:
            BrokenPipeError: It has none, or has closed it.
        """
        self._daemon.write_stdin(self._name, data.encode() if isinstance(data, str) else data)

    def __lt__(self, other: ShownProcess) -> bool:
        """Whether it is started before another one."""
        mine, others = self._now, other._now
        return (mine.config.priority, mine.name) < (others.config.priority, others.name)


class ShownGroup(_Shown):
    """One group, as it is whenever it is looked at."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        self._daemon = daemon
        self._group = name

    @property
    def config(self) -> ShownGroupConfig:
        """Its configuration."""
        return ShownGroupConfig(self._daemon.manager.groups[self._group].config)

    @property
    def processes(self) -> dict[str, ShownProcess]:
        """Its processes, by name; to change the dictionary changes nothing else."""
        names = self._daemon.manager.groups[self._group].names
        return {name.process: ShownProcess(self._daemon, name) for name in names}


class Groups(Mapping[str, ShownGroup]):
    """The active groups, by name."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def __getitem__(self, name: str) -> ShownGroup:
        if name not in self._daemon.manager.groups:
            raise KeyError(name)
        return ShownGroup(self._daemon, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._daemon.manager.groups)

    def __len__(self) -> int:
        return len(self._daemon.manager.groups)


class Supervisord(_Shown):
    """The daemon.

    Args:
        daemon: What is shown.
        call: Calls a method of the `supervisor` namespace.
    """

    def __init__(self, daemon: Daemon, call: Call) -> None:
        self._daemon = daemon
        self._call = call
        self._tasks: set[eventloop.Task[Any]] = set()
        self.options = Options(daemon)
        self.process_groups = Groups(daemon)

    def get_state(self) -> int:
        """Return the state of the daemon."""
        return int(self._daemon.state)

    def add_process_group(self, config: ShownGroupConfig) -> bool:
        """Make a group of the configuration active; return whether it was not."""
        name = config.name
        found = next((each for each in self._daemon.config.groups if each.name == name), None)
        if found is None or name in self.process_groups:
            return False
        self._daemon.add_group(found, by=requester(PLUGIN))
        return True

    def remove_process_group(self, name: str) -> bool:
        """Forget a group, all of whose processes are stopped; return whether it is forgotten."""
        group = self.process_groups.get(name)
        if group is None or any(
            each.state not in STOPPED_STATES for each in group.processes.values()
        ):
            return False
        self._daemon.remove_group(name)
        return True

    def call(self, name: str, params: Sequence[object]) -> Any:
        """Call a method of the `supervisor` namespace, whether clients may or not.

        Returns:
            Its result, or a function that returns NOT_DONE_YET until there is one.

        Raises:
            Exception: Supervisor's RPCError.
        """
        try:
            value = self._call(f"supervisor.{name}", params)
        except Fault as fault:
            raise _refusal(fault) from None
        if not isinstance(value, Awaitable):
            return _plain(value)
        task = eventloop.Task(_result_of(value))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return _promise(task)

    def _ended(self, task: eventloop.Task[Any]) -> None:
        self._tasks.discard(task)
        task.exception()  # whoever asks is told; nobody needs to

    def follow_events(self) -> None:
        """Let callbacks of plugins be called, and what plugins publish be published."""
        module = import_module("supervisor.events")
        module.clear()  # what an earlier daemon of this process let in
        loop = eventloop.get_running_loop()

        def publish(event: Event) -> None:
            if not isinstance(event.payload(), str):  # here it costs the plugin alone
                raise TypeError(f"the payload of {type(event).__name__} is not text")
            if loop.runs_here:
                self._daemon.publish(event)
            else:
                loop.call_soon_threadsafe(self._daemon.publish, event)

        def saw(event: Event) -> None:
            shown: Event | None = None
            for kind, callback in tuple(module.callbacks):
                if isinstance(event, kind):
                    shown = shown or self.shown(event)
                    self._tell(callback, shown)

        module._publish = publish  # type: ignore[attr-defined]  # noqa: SLF001 - it is ours
        self._daemon.subscribe(Event, saw)

    def _tell(self, callback: Callable[[Event], object], event: Event) -> None:
        try:
            callback(event)
        except (Exception, SystemExit):  # noqa: BLE001  it is other people's code
            self._daemon.report(
                Level.ERROR,
                f"a plugin's callback for {event.eventname} failed:\n{traceback_text()}",
            )

    def shown(self, event: Event) -> Event:
        """Return an event whose process is what plugins take for one."""
        name = getattr(event, "process", None)
        if not isinstance(name, Namespec):
            return event
        shown = copy.copy(event)
        object.__setattr__(shown, "payload", event.payload)
        object.__setattr__(shown, "process", ShownProcess(self._daemon, name))
        return shown


async def _result_of(work: Awaitable[Any]) -> Any:
    return await work


def _plain(value: Any) -> Any:
    """Return a result as a value, if it was written for the wire already."""
    written = isinstance(value, (Raw, Pieces))
    return loads_response(dumps_response(value)) if written else value


def _refusal(fault: Fault) -> Exception:
    refusal: Exception = MODULES.find("supervisor.xmlrpc:RPCError")(fault.code)
    refusal.text = fault.text  # type: ignore[attr-defined]
    return refusal


def _promise(task: eventloop.Task[Any]) -> Callable[[], Any]:
    not_done = MODULES.find("supervisor.http:NOT_DONE_YET")

    def ask() -> Any:
        if not task.done():
            return not_done
        error = task.exception()
        if isinstance(error, Fault):
            raise _refusal(error)
        return _plain(task.result())

    ask.delay = 0.05  # type: ignore[attr-defined]
    return ask
