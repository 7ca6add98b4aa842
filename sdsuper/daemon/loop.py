"""One queue of facts, one owner: handle, execute, sleep until the next deadline.

Whatever happens reaches the core through `submit`, which handles the fact and all that follows
from it before it returns. Nothing here polls: with nothing to do the loop sleeps without a
time-out, and with a deadline it sleeps until that.
"""

from __future__ import annotations

import contextlib
import enum
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping

from sdsuper import eventloop
from sdsuper.config.diff import Changes
from sdsuper.config.model import Config, DaemonConfig, GroupConfig
from sdsuper.core.actions import Action, Finish, Publish
from sdsuper.core.events import Event, ProcessRunning, ProcessStateChange
from sdsuper.core.facts import (
    DaemonStarted,
    DeadlinePassed,
    Fact,
    GroupAdded,
    GroupChanged,
    GroupRemoved,
    RestartRequested,
    ShutdownRequested,
)
from sdsuper.core.history import DAEMON, Requester
from sdsuper.core.manager import Manager
from sdsuper.core.process import Process
from sdsuper.core.states import ManagerState, ProcessState
from sdsuper.daemon import reexec
from sdsuper.daemon.command import resolve_command
from sdsuper.daemon.containment import Containment
from sdsuper.daemon.execute import Executor
from sdsuper.daemon.handover import STORED, Inheritance, Keeper, resume_stage
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.ownjournal import OwnJournal
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.daemon.pools import EventPools
from sdsuper.daemon.proctable import Entry
from sdsuper.daemon.pump import JournalPump
from sdsuper.daemon.readback import Readback, clearing
from sdsuper.daemon.records import (
    ConfigRecords,
    CoreRecords,
    Incarnation,
    restored_manager,
    succeeding,
)
from sdsuper.daemon.reload import Source
from sdsuper.daemon.service import SERVICE, SERVICE_CODEC, HeldService, Service
from sdsuper.daemon.statelog import StateChange
from sdsuper.errors import HandoverError, SdsuperError, traceback_text
from sdsuper.handover.codec import Plain
from sdsuper.logs.files import OPEN_FILES
from sdsuper.logs.journal import JOURNAL
from sdsuper.logs.stage import STAGE
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.systemd.notify import Notifier
from sdsuper.systemd.watchdog import Health
from sdsuper.values import Instant, Level, Namespec

_UPDATE_SECONDS = 60.0
"""How long a successor waits for an update of groups that is under way."""

_FLUSH_INTERVAL = 0.01
"""Seconds until a pipe that was too full for a log line is tried again."""


class _Waiter:
    """A coroutine that waits for some processes to come to something."""

    __slots__ = ("done", "future")

    def __init__(self, done: Callable[[], bool], future: eventloop.Future[None]) -> None:
        self.done = done
        self.future = future


class End(enum.Enum):
    """What follows the end of a daemon's loop.

    Attributes:
        SUCCESSION: New code takes its place; nothing is stopped.
    """

    STOP = "stop"
    RESTART = "restart"
    SUCCESSION = "succession"


class Daemon:
    """The running daemon: the only owner of a Manager. All calls are made from its loop.

    Attributes:
        manager: The core. Others read it (`state`, `groups`, `processes`), never change it.
        settings: [supervisord] as in force since the start; a reread does not change it.
        log: The daemon's own log.
        server_url: What children get as SUPERVISOR_SERVER_URL, None without a server.
        pools: The event listeners.
        service: What is told of the daemon to whoever started it.
        keeper: Takes what a successor needs.
        command: How a successor is started.
        incarnation: Which daemon this is of those that had these programs.
        updates: Held by an update of groups: a second one at the same time would take for stopped
            what the first one is about to start again.
        updating: Held by one that nobody could go on with: it alone knows what was up.
    """

    def __init__(
        self,
        source: Source,
        log: OwnLog,
        notifier: Notifier,
        limits: DescriptorLimit,
        server_url: str | None,
        *,
        use_pidfds: bool = True,
        up: bool = False,
        journal_directory: str = "",
        cgroups: Containment | None = None,
        keeper: Keeper | None = None,
        left: Inheritance | None = None,
        command: reexec.Command | None = None,
    ) -> None:
        self._left = left
        self.manager = Manager() if left is None else restored_manager(left)
        self.settings: DaemonConfig = source.config.daemon
        self.keeper = keeper or Keeper(log.log, notifier, enabled=False)
        self._core_records = CoreRecords(self.keeper, self.manager)
        self._config_records = ConfigRecords(self.keeper, self.manager, lambda: source.config)
        self.keeper.register(self._core_records)
        self.keeper.register(self._config_records)
        self.keeper.before_flush += [self._core_records.tell, self._config_records.tell]
        self.command = command or reexec.Command.of_this_process()
        self.incarnation = Incarnation() if left is None else succeeding(left)
        self.keeper.register(self.incarnation)
        self._succession: eventloop.Task[None] | None = None
        self._asked: eventloop.Task[None] | None = None
        self.log = log
        self.server_url = server_url
        self.on_reopen: list[Callable[[], None]] = []
        self.updates = eventloop.Lock()
        self.updating = eventloop.Lock()
        self._source = source
        self._facts: deque[Fact] = deque()
        self._handling = False
        self._timer: eventloop.TimerHandle | None = None
        self._timer_for: float | None = None
        self._waiters: dict[Namespec, list[_Waiter]] = {}
        self._changed: dict[Namespec, None] = {}  # in the order in which they changed
        self._subscribers: list[tuple[type[Event], Callable[[Event], None]]] = []
        self._flush_timer: eventloop.TimerHandle | None = None
        self._pump = JournalPump(JOURNAL, self.report)
        self._finished: eventloop.Future[End] | None = None
        self.pools = EventPools(
            self.settings.identifier,
            self.now,
            self._is_running,
            self._send_event,
            self.report,
            self.keeper,
        )
        self.service = Service(
            self.manager,
            self.settings.ready,
            notifier,
            self.report,
            self.request_shutdown,
            up=up,
        )
        self.keeper.register(self.service)
        self.service.on_held = self._record_now
        self.subscribe(Event, self.service.saw)
        self._executor = Executor(
            self.settings,
            limits,
            self.submit,
            self.report,
            self.publish,
            self._finish,
            self.pools,
            server_url,
            use_pidfds=use_pidfds,
            journal_directory=journal_directory,
            cgroups=cgroups,
            keeper=self.keeper,
        )
        self._journal = log.journal or OwnJournal()
        if log.journal is not None or self.settings.journal:
            self.subscribe(ProcessStateChange, self._journal_change)

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the configured groups active and start what starts by itself.

        Where an earlier daemon left something, go on with that instead.

        Raises:
            HandoverError: What was left does not fit.
        """
        self._finished = eventloop.Future()
        OPEN_FILES.on_waiting = self._flush_soon
        OPEN_FILES.on_held = self._executor.files_held
        STAGE.before_commit = self.keeper.flush
        self._pump.start()
        left, self._left = self._left, None
        if left is not None:
            self._go_on(left)
            return
        self._open_stage()
        for group in self.config.groups:
            self.add_group(group)
        self.pools.start()
        self.service.starting(self._health)
        self.keeper.begin()
        self.submit(DaemonStarted())

    def announce(self) -> None:
        """Tell whoever started the daemon how far it is: clients can be answered from now on."""
        self.service.started()

    def _open_stage(self) -> None:
        if self.keeper.enabled and not STAGE.active:
            try:
                STAGE.open()
            except OSError as error:
                self.report(Level.WARN, f"output may be lost if this daemon is killed: {error}")

    def _go_on(self, left: Inheritance) -> None:
        """Go on where an earlier daemon ended.

        Raises:
            HandoverError: What was left does not fit.
        """
        manager = self.manager
        try:
            resume_stage(left)
        except HandoverError as error:  # the programs are worth more than a chunk of output
            self.report(Level.CRITICAL, f"output that was on its way may be lost: {error}")
        self.pools.restore(left, [group.config for group in manager.groups.values()])
        self._executor.restore(left, manager)
        pending = STAGE.abandon()
        if pending is not None:
            lost = len(pending.data)
            self.report(Level.CRITICAL, f"{lost} bytes of output were lost: nobody knows whose")
        self._open_stage()
        held: HeldService = SERVICE_CODEC.decode(left.records.get(SERVICE), SERVICE)
        self.service.resume(held, self._health)
        if not left.in_place:
            manager.listen_again(self.now())
        left.close()
        for note in dict.fromkeys(left.notes):  # some of it was read twice
            self.report(Level.INFO, f"handover: {note}")
        self.keeper.begin(left.stored)
        self.report(Level.INFO, f"going on with {self._counted()}")
        self.pools.start()
        self._handling = True
        for action in manager.owed():
            self._execute(action)
        self._handling = False
        self._executor.settle(manager)
        self._drain()
        self.child_ended()

    def _counted(self) -> str:
        alive = sum(1 for process in self.manager.processes.values() if process.pid)
        return "1 running process" if alive == 1 else f"{alive} running processes"

    async def finished(self) -> End:
        """Wait for the end; return what is to follow."""
        if self._finished is None:
            raise RuntimeError("the daemon was not started")
        return await self._finished

    def close(self) -> None:
        """Let go of everything that the loop holds."""
        OPEN_FILES.on_waiting = OPEN_FILES.on_held = None
        STAGE.before_commit = None
        self._pump.stop()
        self.service.close()
        for timer in (self._timer, self._flush_timer):
            if timer is not None:
                timer.cancel()
        self.pools.close()
        self._executor.close()
        if self._succession is not None:
            self._succession.cancel()
        self.keeper.forget()
        STAGE.close()

    def _flush_soon(self) -> None:
        if self._flush_timer is None:
            loop = eventloop.get_running_loop()
            self._flush_timer = loop.call_later(_FLUSH_INTERVAL, self._flush_logs)

    def _flush_logs(self) -> None:
        self._flush_timer = None
        if not OPEN_FILES.flush():
            self._flush_soon()

    def _finish(self, restart: bool) -> None:
        self._end(End.RESTART if restart else End.STOP)

    def _end(self, end: End) -> None:
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(end)

    # --- facts --------------------------------------------------------------------------------

    def now(self) -> Instant:
        """Return the present moment on both clocks."""
        return Instant(time.monotonic(), time.time())

    def submit(self, fact: Fact) -> None:
        """Handle a fact and all that follows from it (a spawn has happened on return).

        From within the handling of another fact it is queued, and handled after that one.
        """
        self._facts.append(fact)
        if not self._handling:
            self._drain()

    def _drain(self) -> None:
        self._handling = True
        try:
            while self._facts:
                for action in self._handle(self._facts.popleft()):
                    self._execute(action)
        finally:
            self._handling = False
        self.keeper.flush()
        self._arm()
        self._wake()

    def _record_now(self, key: str, export: Callable[[], Plain]) -> None:
        self.keeper.changed(key, export)
        self.keeper.flush()

    def _handle(self, fact: Fact) -> list[Action]:
        """Ask the core what follows; a defect there must not take the other programs along."""
        try:
            return self.manager.handle(fact, self.now())
        except Exception:  # noqa: BLE001  whatever it was, it is told
            self.report(Level.CRITICAL, f"unexpected error about {fact!r}:\n{traceback_text()}")
            return []

    def _execute(self, action: Action) -> None:
        self._executor.execute(action)
        if isinstance(action, Publish) and isinstance(action.event, ProcessStateChange):
            self._changed[action.event.process] = None

    def _arm(self) -> None:
        deadline = self.manager.deadline()
        if deadline == self._timer_for:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_for = deadline
        if deadline is not None:
            self._timer = eventloop.get_running_loop().call_at(deadline, self._deadline_passed)

    def _deadline_passed(self) -> None:
        self._timer = self._timer_for = None
        self.submit(DeadlinePassed())

    # --- waiting ------------------------------------------------------------------------------

    async def until(self, done: Callable[[], bool], watch: Collection[Namespec]) -> None:
        """Return when `done()`; it is asked after each change of a process in `watch`."""
        if done():
            return
        waiter = _Waiter(done, eventloop.Future())
        for name in watch:
            self._waiters.setdefault(name, []).append(waiter)
        try:
            await waiter.future
        finally:
            for name in watch:
                waiting = self._waiters[name]
                waiting.remove(waiter)
                if not waiting:
                    del self._waiters[name]

    def _wake(self) -> None:
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        for name in changed:
            for waiter in self._waiters.get(name, ()):
                if not waiter.future.done() and waiter.done():
                    waiter.future.set_result(None)
        self.service.changed(changed)

    # --- events -------------------------------------------------------------------------------

    def publish(self, event: Event) -> None:
        """Tell an event to whoever subscribed to its type or to one above it."""
        for kind, callback in self._subscribers:
            if isinstance(event, kind):
                callback(event)
        self.pools.publish(event)
        if isinstance(event, ProcessRunning):
            self.pools.look_again()

    def _journal_change(self, event: Event) -> None:
        assert isinstance(event, ProcessStateChange)
        change = StateChange(event, self.manager.processes[event.process])
        invocation = self._executor.mark(change.invocation)
        self._journal.send((*change.fields(), ("SDSUPER_INVOCATION", invocation)))

    def _is_running(self, name: Namespec) -> bool:
        process = self.manager.processes.get(name)
        return process is not None and process.state is ProcessState.RUNNING

    def _send_event(self, name: Namespec, data: bytes) -> None:
        # A listener has one event at a time, however large.
        self._executor.write_stdin(name, data, limit=None)

    def subscribe(self, kind: type[Event], callback: Callable[[Event], None]) -> None:
        """Call `callback` with every event of a type, at once and in order of subscription."""
        self._subscribers.append((kind, callback))

    def report(self, level: Level, message: str) -> None:
        """Write one message to the daemon's log."""
        self.log.log(level, message)

    def report_stray_exception(self, message: str, error: BaseException | None) -> None:
        """Tell the log of an exception that ended in the event loop; everything else goes on."""
        details = f"\n{traceback_text(error)}" if error is not None else ""
        self.report(Level.CRITICAL, f"{message}{details}")

    # --- health -------------------------------------------------------------------------------

    def _health(self) -> Health:
        watches = self._executor.reaper.watches
        return Health(
            now=time.monotonic(),
            handling=self._handling,
            unhandled=len(self._facts),
            deadline=self.manager.deadline(),
            armed=self._timer_for if self._timer is not None and self._timer.active else None,
            unwatched=tuple(
                f"{process.name} ({process.pid})"
                for process in self.manager.processes.values()
                if process.pid and not watches(process.pid)
            ),
        )

    # --- configuration ------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The configuration as read last (what `avail` and `add` look at)."""
        return self._source.config

    def reread(self) -> Changes:
        """Read the configuration again and compare it with the active groups.

        Raises:
            UsageError: It does not load, or `strict` refuses it; nothing has changed.
        """
        active = [group.config for group in self.manager.groups.values()]
        return self._source.reread(active, self.report)

    def add_group(
        self,
        config: GroupConfig,
        start: frozenset[str] | None = None,
        by: Requester = DAEMON,
    ) -> None:
        """Make a group active; its autostart programs, or those named by `start`, start at once."""
        self.pools.add(config)
        self._executor.prepare(config)
        self.submit(GroupAdded(config, start, by))
        self.service.groups_changed()

    def change_group(
        self, config: GroupConfig, start: frozenset[str] = frozenset(), by: Requester = DAEMON
    ) -> None:
        """Give an active group another configuration of the same frame (`GroupChange.group`).

        What it no longer has, and what differs by more than a process that runs can take, must be
        in STOPPED_STATES; everything else goes on as it is.

        Args:
            config: The new one.
            start: The names of the processes to start.
            by: Who asked for it.
        """
        before = self.manager.groups[config.name].config
        self._executor.prepare_change(before, config)
        self.pools.change(config)
        self.submit(GroupChanged(config, start, by))
        self.service.groups_changed()

    def remove_group(self, name: str) -> None:
        """Forget a group, all of whose processes must be in STOPPED_STATES."""
        self.submit(GroupRemoved(name))
        if name not in self.manager.groups:
            self.pools.remove(name)
        self.service.groups_changed()

    # --- stopping -----------------------------------------------------------------------------

    @property
    def state(self) -> ManagerState:
        """The state of the daemon."""
        return self.manager.state

    def request_shutdown(self, by: Requester = DAEMON) -> None:
        """Begin the ordered shutdown."""
        begins = self.state is not ManagerState.SHUTDOWN
        self.submit(ShutdownRequested(by))
        if begins:
            self.service.stopping()

    def request_restart(self, by: Requester = DAEMON) -> None:
        """Validate the configuration, then stop everything and start anew.

        Raises:
            UsageError: It does not load, or `strict` refuses it; nothing has changed.
        """
        self._source.prepare_restart(self.report)
        self.submit(RestartRequested(by))
        self.service.restarting()

    # --- making way for a successor -----------------------------------------------------------

    async def make_way(self) -> None:
        """Let the code on disk take this daemon's place, in this process; programs go on.

        Returns when the new code has agreed: it takes over as soon as replies under way are
        finished.

        Raises:
            HandoverError: It does not agree, or this daemon is ending. Everything goes on.
        """
        if self._succession is None or self._succession.done():
            self._succession = eventloop.Task(self._ask_successor())
        await self._succession

    async def _ask_successor(self) -> None:
        if self.state is not ManagerState.RUNNING:
            raise HandoverError("this daemon is stopping everything")
        self.service.making_way()
        try:
            # Nobody would go on with an update of groups that is half done.
            with eventloop.timeout(_UPDATE_SECONDS):
                await self.updating.acquire()
        except TimeoutError:
            told = "an update of groups is under way"
            self._tell_refusal(told)
            raise HandoverError(told) from None
        try:
            with self.keeper.snapshot({}, {}) as snapshot:
                await reexec.ask(self.command, snapshot, self._executor.watch_helper)
        except Exception as error:
            self.updating.release()
            told = str(error)
            if not isinstance(error, HandoverError | OSError):
                told = f"unexpected error\n{traceback_text()}"
            self._tell_refusal(told)
            if isinstance(error, HandoverError):
                raise
            raise HandoverError(told.partition("\n")[0]) from error
        self.report(Level.INFO, f"the code of {self.command.path} takes over")
        self._end(End.SUCCESSION)

    def _tell_refusal(self, told: str) -> None:
        self.report(Level.CRITICAL, f"re-exec refused, everything goes on as it was: {told}")
        self.service.staying()

    @property
    def making_way(self) -> bool:
        """Whether a successor is being asked, or about to take over."""
        return self._succession is not None and (
            not self._succession.done() or (self._finished is not None and self._finished.done())
        )

    def succeed(self, records: Mapping[str, Plain], fds: Mapping[str, int]) -> None:
        """Execute the successor; returns only if that fails, and then everything goes on.

        Args:
            records: What the parts of this daemon do not record.
            fds: Descriptors that they do not hand on.
        """
        records = {**records, STORED: list(self.keeper.stored)}
        try:
            with self.keeper.snapshot(records, fds) as snapshot:
                reexec.become(self.command, snapshot)
        except HandoverError as error:
            self.report(Level.CRITICAL, f"re-exec failed, everything goes on as it was: {error}")
        except Exception:  # noqa: BLE001  programs must not lose their daemon, whatever it was
            told = traceback_text()
            self.report(Level.CRITICAL, f"re-exec failed, everything goes on as it was:\n{told}")
        self._finished = eventloop.Future()
        self.updating.release()
        self.service.staying()
        for action in self.manager.owed():
            if isinstance(action, Finish):  # everything came down meanwhile
                self._execute(action)

    def reexec_if_possible(self) -> None:
        """Let the code on disk take this daemon's place, unless it refuses; the log tells it."""
        self._asked = eventloop.Task(self._make_way_or_tell())

    async def _make_way_or_tell(self) -> None:
        with contextlib.suppress(HandoverError):  # the log has it
            await self.make_way()

    # --- what signals ask for -----------------------------------------------------------------

    def restart_if_valid(self, by: Requester) -> None:
        """Begin a restart unless the configuration does not load; tell the log if so."""
        try:
            self.request_restart(by)
        except SdsuperError as error:
            self.report(Level.CRITICAL, f"restart refused, everything goes on as it was: {error}")

    def reopen_logs(self) -> None:
        """Open the daemon's log and the logs of all running processes anew."""
        self.log.reopen()
        self.report(Level.INFO, "supervisord logreopen")
        self._executor.reopen_logs()
        for callback in self.on_reopen:
            callback()

    def child_ended(self) -> None:
        """Collect ended children."""
        self._executor.reaper.child_ended()

    # --- one process --------------------------------------------------------------------------

    def check_command(self, name: Namespec) -> None:
        """Look the command up as a start would.

        Raises:
            CommandNotFoundError: With the text operators see.
            CommandNotExecutableError: With the text operators see.
        """
        resolve_command(self.manager.processes[name].config, os.environ)

    def log_path(self, name: Namespec, channel: str) -> str | None:
        """Return the path of a process's "stdout" or "stderr" log, None where it has none."""
        outlets = self._executor.outlets(name)
        return outlets.path("stderr" if channel == "stderr" else "stdout")

    @property
    def readback(self) -> Readback:
        """What reads output back that is in the journal alone."""
        return self._executor.readback

    def is_in_journal_alone(self, name: Namespec, channel: str) -> bool:
        """Whether `readback` has a process's "stdout" or "stderr", and no file has."""
        outlets = self._executor.outlets(name)
        return outlets.is_in_journal_alone("stderr" if channel == "stderr" else "stdout")

    def clear_logs(self, name: Namespec) -> None:
        """Truncate both logs of a process, running or not.

        What is in the journal stays there; an entry says from where on it is shown.

        Raises:
            OSError: One could not be truncated.
        """
        self._executor.outlets(name).clear()
        if any(self.is_in_journal_alone(name, channel) for channel in ("stdout", "stderr")):
            self._journal.send(clearing(name))
            self.readback.forget(name)
        self._executor.last_output.forget(name)

    def last_output(self, name: Namespec) -> Mapping[str, bytes]:
        """Return the end of what a process wrote before it ended last, where a file has it."""
        return self._executor.last_output.of(name)

    def strays_of(self, process: Process) -> tuple[Entry, ...]:
        """Return what a process left behind, as far as that is still being ended."""
        return self._executor.strays_of(process.name, process.residue)

    def cgroup(self, name: Namespec) -> Cgroup | None:
        """Return the cgroup of a process that runs, None where it has none of its own."""
        return self._executor.cgroup(name)

    def write_stdin(self, name: Namespec, data: bytes) -> None:
        """Queue bytes for a child's stdin.

        Raises:
            BrokenPipeError: It has no stdin, or closed it.
            BufferError: More than 1 MiB is waiting already.
        """
        self._executor.write_stdin(name, data)
