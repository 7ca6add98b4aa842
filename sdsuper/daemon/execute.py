"""One function per action; what comes of it goes back as facts, never as an exception."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping

from sdsuper import eventloop
from sdsuper.config.diff import needs_restart
from sdsuper.config.model import Containment, DaemonConfig, GroupConfig, ProcessConfig
from sdsuper.core.actions import (
    Action,
    EndStrays,
    Finish,
    Forget,
    Log,
    Publish,
    Purpose,
    Reconfigure,
    SendSignal,
    Spawn,
)
from sdsuper.core.events import Event
from sdsuper.core.facts import (
    Cleared,
    Exited,
    Fact,
    Notified,
    SignalFailed,
    Spawned,
    SpawnFailed,
)
from sdsuper.core.manager import Manager
from sdsuper.core.notice import Notice
from sdsuper.core.process import Process
from sdsuper.daemon import containment, environment, proctable
from sdsuper.daemon.command import CommandError, recent_command
from sdsuper.daemon.fcgi import FCGI, FcgiSockets
from sdsuper.daemon.handover import Inheritance, Keeper
from sdsuper.daemon.lastoutput import LastOutput
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.listen import HeldSocket, ProgramSockets, listen_variables
from sdsuper.daemon.notices import Notices, NotifyFolder, Speaker
from sdsuper.daemon.outlets import Outlets, Pipe
from sdsuper.daemon.outofmemory import Kills, MemoryCount, MemoryWatch
from sdsuper.daemon.pacing import Pacer
from sdsuper.daemon.pools import EventPools
from sdsuper.daemon.proctable import Entry, look_up
from sdsuper.daemon.readback import Readback
from sdsuper.daemon.reap import Reaper
from sdsuper.daemon.records import (
    HELD,
    HELD_CODEC,
    INVOCATION,
    INVOCATION_CODEC,
    InvocationRecord,
    key_of,
)
from sdsuper.daemon.resources import ResourceError, Resources
from sdsuper.daemon.spawn import (
    EXIT_NOT_SPAWNED,
    Child,
    Failure,
    SpawnError,
    dispatcher_error,
    read_failure,
    spawn,
)
from sdsuper.daemon.stdin import QUEUE_BYTES, StdinWriter
from sdsuper.daemon.strays import Strays
from sdsuper.dataclass import dataclass, field, replace
from sdsuper.errors import HandoverError, traceback_text
from sdsuper.handover.codec import Plain, codec_of
from sdsuper.handover.text import text_of
from sdsuper.logs.files import OPEN_FILES
from sdsuper.logs.held import HeldFile, HeldOutlets
from sdsuper.logs.journal import JOURNAL
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.systemd.notify import Notifier
from sdsuper.values import ExitStatus, Level, Namespec, signal_name

_FINISH_SECONDS = 5.0
"""How long the end of the daemon waits for readers of its output that are behind."""

_UNEXPECTED = "unexpected error in the daemon (its log has details)"

_NOT_BORN = "the daemon was killed while it was starting this"
_BORN_WITHIN = 10.0
_BORN_PAUSE = 0.01
"""Seconds between two looks for a child that a daemon was killed over."""

_HELD_KEYS = ("stdin", "stdout", "stderr", "pidfd", "notices")


def _held(number: int, key: str) -> str:
    """Return the name of a descriptor of an invocation, for a successor."""
    return f"{number}/{key}"


@dataclass(frozen=True, slots=True)
class Edge:
    """What is handed on of the edge as a whole.

    Attributes:
        mark: What all its invocations have in their marks.
        notify_folder: Where the sockets of programs that speak are, None where none was needed.
    """

    mark: str
    notify_folder: str | None = None


_EDGE, _FILES, _SOCKETS = "edge", "files", "sockets"
_SOCKETS_CODEC = codec_of(tuple[HeldSocket, ...])
_EDGE_CODEC = codec_of(Edge)
_FILES_CODEC = codec_of(tuple[HeldFile, ...])


_NONE_SEEN: Mapping[int, int] = {}


def _none_seen() -> Mapping[int, int]:
    return _NONE_SEEN  # one for all: it is never written to


@dataclass(slots=True)
class Invocation:
    """The edge's side of one spawn: what has to be let go of when it is over.

    Attributes:
        mark: Its identity, which is in the environment of all that it starts.
        pid: Its main process.
        leader: The child that was started, which leads the process group; mostly the same.
        speaker: Who may speak for it.
        notices: Where it does, None where it must not.
        seen: Its descendants when its stop began: pid -> start time.
        killed: It was sent SIGKILL; one that names another main process each time would never end.
        cgroup: Where all that descends from it lives, None where it has none of its own.
        memory: Tells whether the kernel kills for want of memory there, None where nobody counts.
        adopted: An earlier daemon started it: what it leaves behind need not be a child of ours.
        started: When its main process started, in clock ticks since boot; None = unknown.
    """

    name: Namespec
    number: int
    mark: str
    pid: int
    leader: int
    containment: Containment
    outlets: Outlets
    stdin: StdinWriter
    pipes: list[Pipe]
    failure_fd: int | None
    speaker: Speaker
    notices: Notices | None
    seen: Mapping[int, int] = field(default_factory=_none_seen)
    killed: bool = False
    cgroup: Cgroup | None = None
    memory: MemoryCount | None = None
    adopted: bool = False
    started: int | None = None

    def descriptors(self, pidfd: int | None) -> dict[str, int]:
        """Return what of it is open, by the names under which a successor finds it."""
        open_now: dict[str, int | None] = {
            "stdin": self.stdin.fd,
            "pidfd": pidfd,
            "notices": None if self.notices is None else self.notices.fd,
            **{each.key_name: each.fd for each in self.pipes if not each.closed},
        }
        return {_held(self.number, key): fd for key, fd in open_now.items() if fd is not None}


class Executor:
    """Carries out actions.

    Args:
        settings: [supervisord] as in force.
        limits: What children get as limit of descriptors.
        submit: Takes facts.
        report: Writes to the daemon's log.
        publish: Tells an event to listeners.
        finish: Called when everything is down; its argument says whether to start anew.
        pools: Takes what event listeners say.
        server_url: What children get as SUPERVISOR_SERVER_URL.
        journal_directory: Where the journal is read, "" for systemd's own places.
        cgroups: Those that are delegated to us, None where none are.
        keeper: Takes what a successor needs.

    Attributes:
        readback: Reads output back from the journal.
        last_output: What each process wrote before its latest end.
    """

    def __init__(
        self,
        settings: DaemonConfig,
        limits: DescriptorLimit,
        submit: Callable[[Fact], None],
        report: Callable[[Level, str], None],
        publish: Callable[[Event], None],
        finish: Callable[[bool], None],
        pools: EventPools,
        server_url: str | None,
        *,
        use_pidfds: bool = True,
        journal_directory: str = "",
        cgroups: containment.Containment | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._keeper = keeper or Keeper(report, Notifier({}), enabled=False)
        self._keeper.register(self)
        self._keeper.before_flush.append(self._record_forgotten)
        self._some_forgotten = False
        self._by_number: dict[int, Invocation] = {}
        self._kept_sockets: dict[str, int] = {}
        self._intents: dict[int, tuple[InvocationRecord, dict[str, int]]] = {}
        self._finding: list[eventloop.TimerHandle] = []
        self._settings = settings
        self._cgroups = cgroups
        self._resources = Resources(cgroups, report)
        self._memory = MemoryWatch(report)
        self._limits = limits
        self._submit = submit
        self._report = report
        self._publish = publish
        self._finish = finish
        self._pools = pools
        self._server_url = server_url
        self._base_environment: Mapping[str, str] = environment.inherited(os.environ)
        self._listening = ProgramSockets()
        self._fcgi = FcgiSockets(report)
        self._listening.on_change = self._fcgi.on_change = self._sockets_changed
        self._daemon_mark = os.urandom(8).hex()
        self._notify_folder = NotifyFolder(os.environ)
        self._pacer = Pacer()
        self._outlets: dict[Namespec, Outlets] = {}
        # Of forgotten processes whose pipes something still holds; they end with the pipes.
        self._detached: list[Outlets] = []
        self._by_pid: dict[int, Invocation] = {}
        self._by_name: dict[Namespec, Invocation] = {}
        self._leaving: dict[tuple[Namespec, int], Invocation] = {}
        # Bound once: each process would have its own for as long as it is configured.
        self._on_held = self._outlets_held
        self._on_closed = self._pipe_closed
        self._on_stdin = self._stdin_changed
        self.last_output = LastOutput()
        self._helpers: dict[int, Callable[[ExitStatus], None]] = {}
        self.readback = Readback(self.watch_helper, report, journal_directory)
        self.strays = Strays((self._by_pid, self._helpers), report, lambda: self.reaper.own)
        self.reaper = Reaper(self._ended, self.strays.look_again, report, use_pidfds=use_pidfds)

    def execute(self, action: Action) -> None:
        """Carry out one action. Never raises: one program's trouble must not concern others.

        What the core waits for an answer to is answered even then.
        """
        try:
            self._carry_out(action)
        except Exception:  # noqa: BLE001  whatever it was, it is told
            self._report(
                Level.CRITICAL,
                f"unexpected error while carrying out {action!r}:\n{traceback_text()}",
            )
            match action:
                case Spawn(name, invocation):
                    self._submit(SpawnFailed(name, invocation, _UNEXPECTED))
                case EndStrays(name, invocation):
                    self._submit(Cleared(name, invocation))
                case _:
                    pass

    def _carry_out(self, action: Action) -> None:
        match action:
            case Spawn():
                self._spawn(action)
            case SendSignal():
                self._send_signal(action)
            case EndStrays():
                self._end_strays(action)
            case Publish():
                self._publish(action.event)
            case Log():
                self._report(action.level, action.message)
            case Reconfigure():
                self._reconfigure(action.name, action.config)
            case Forget():
                self._forget(action.name)
            case Finish():
                self._finish(action.restart)

    # --- outlets ------------------------------------------------------------------------------

    def prepare(self, group: GroupConfig) -> None:
        """Set up what the processes of a group that becomes active are given."""
        self._resources.require(group)
        for process in group.processes:
            self._prepare(Namespec(group.name, process.name), process)
        self._fcgi.add(group)

    def prepare_change(self, before: GroupConfig, after: GroupConfig) -> None:
        """Set up what an active group is given that is about to have another configuration.

        What is new in it gets what it needs. Sockets of programs that are to have others are
        closed, which nobody uses: their processes are down.
        """
        self._resources.require(after)
        configs = {process.name: process for process in after.processes}
        for old in before.processes:
            new = configs.get(old.name)
            if new is None or (old.sockets, old.user) != (new.sockets, new.user):
                self._listening.release(Namespec(before.name, old.name))
        known = {process.name for process in before.processes}
        for name in configs.keys() - known:
            self._prepare(Namespec(after.name, name), configs[name])
        self._fcgi.add(after, adopted=True)

    def _reconfigure(self, name: Namespec, config: ProcessConfig) -> None:
        outlets = self._outlets[name]
        if needs_restart(outlets.config, config):  # it is down
            self._let_go(name)
            self._prepare(name, config)
            return
        self._listening.claim(name, config)
        outlets.reconfigure(config)
        self._limit_what_lives(name, config)
        invocation = self._by_name.get(name)
        if invocation is None:
            return
        if invocation.memory is None:
            invocation.memory = self._count_memory(name, config, invocation.cgroup)
            self._know(invocation)
        else:
            invocation.memory.reconfigure(config.limits)
        self._record(invocation)

    def _prepare(
        self, name: Namespec, config: ProcessConfig, held: HeldOutlets | None = None
    ) -> None:
        self._listening.claim(name, config)
        outlets = self._outlets[name] = self._make_outlets(name, config, held)
        outlets.on_held = self._on_held
        self._on_held(outlets)
        self._limit_what_lives(name, config)

    def _outlets_held(self, outlets: Outlets) -> None:
        if self._outlets.get(outlets.name) is outlets:
            key = HELD + key_of(outlets.name)
            self._keeper.changed(key, lambda: HELD_CODEC.encode(outlets.held()))
        else:
            self._some_forgotten = True

    def _make_outlets(
        self, name: Namespec, config: ProcessConfig, held: HeldOutlets | None
    ) -> Outlets:
        outlets = Outlets(
            name,
            config,
            self._settings,
            self._report,
            self._publish,
            self._pacer,
            echo=self._settings.loglevel <= Level.DEBUG,
            held=held,
        )
        outlets.on_closed = self._on_closed
        return outlets

    def _limit_what_lives(self, name: Namespec, config: ProcessConfig) -> None:
        """Write the limits of a process that may live already."""
        contained = config.containment is Containment.TREE
        cgroup = self._cgroups.cgroup(name, contained=contained) if self._cgroups else None
        if cgroup is None or not cgroup.exists():
            return
        try:
            self._resources.apply(cgroup, config.limits)
        except ResourceError as error:
            self._report(Level.WARN, f"'{name.process}' goes on without a limit: {error}")

    def outlets(self, name: Namespec) -> Outlets:
        """Return the channels of an active process."""
        return self._outlets[name]

    def reopen_logs(self) -> None:
        """Open all log files that are open anew."""
        for outlets in self._outlets.values():
            outlets.reopen()

    def write_stdin(self, name: Namespec, data: bytes, *, limit: int | None = QUEUE_BYTES) -> None:
        """Queue bytes for a child's stdin. Raises BrokenPipeError, BufferError."""
        invocation = self._by_name.get(name)
        if invocation is None:
            raise BrokenPipeError
        invocation.stdin.write(data, limit=limit)

    def close(self) -> None:
        """Let go of everything; every child is gone by then."""
        self.reaper.close()
        self.strays.close()
        self._memory.close_all()
        for timer in self._finding:
            timer.cancel()
        for _, fds in self._intents.values():
            for fd in fds.values():
                os.close(fd)
        self._notify_folder.close()
        self._listening.close()
        self._fcgi.close()
        self.readback.close()
        deadline = time.monotonic() + _FINISH_SECONDS
        for outlets in (*self._outlets.values(), *self._detached):
            outlets.close(deadline)
        self._pacer.close()
        lost = OPEN_FILES.finish(max(0.0, deadline - time.monotonic()))
        if lost:
            self._report(Level.CRITICAL, f"{lost} bytes of output were lost: nobody read them")
        lost = JOURNAL.finish(max(0.0, deadline - time.monotonic()))
        if lost:
            self._report(Level.CRITICAL, f"{lost} bytes did not reach the journal: {JOURNAL.error}")

    def cgroup(self, name: Namespec) -> Cgroup | None:
        """Return the cgroup of a process that runs, None where it has none of its own."""
        invocation = self._by_name.get(name)
        return None if invocation is None else invocation.cgroup

    def mark(self, invocation: int) -> str:
        """Return the identity of an invocation, which no other of any daemon has."""
        return f"{self._daemon_mark}-{invocation}"

    # --- spawn --------------------------------------------------------------------------------

    def _spawn(self, action: Spawn) -> None:
        if action.invocation in self._intents:  # an earlier daemon was about to
            self._find_born(action)
            return
        mark = self.mark(action.invocation)
        account = action.config.user
        uid = account.uid if account is not None else os.geteuid()
        speaker = Speaker(action.name.process, mark, uid)
        notices = memory = None
        try:
            notices = self._listen(action, speaker)
            cgroup = self._make_cgroup(action)
            memory = self._count_memory(action.name, action.config, cgroup)
            child = self._make_child(action, mark, notices, cgroup, memory)
        except Exception as error:
            self._forget_intent(action.invocation)
            if notices is not None:
                notices.close()
            if memory is not None:
                self._memory.close(memory)
            if not isinstance(error, CommandError | SpawnError):
                raise
            self._submit(SpawnFailed(action.name, action.invocation, str(error)))
            return
        speaker.leader = speaker.main = child.pid
        outlets = self._outlets[action.name]
        invocation = Invocation(
            name=action.name,
            number=action.invocation,
            mark=mark,
            pid=child.pid,
            leader=child.pid,
            containment=action.config.containment,
            outlets=outlets,
            stdin=StdinWriter(child.stdin, action.invocation),
            pipes=[],
            failure_fd=child.failure_fd,
            speaker=speaker,
            notices=notices,
            cgroup=cgroup,
            memory=memory,
        )
        self._by_pid[child.pid] = invocation
        self._by_name[action.name] = invocation
        self._know(invocation)
        self._submit(Spawned(action.name, action.invocation, child.pid))
        try:
            invocation.pipes = outlets.connect(
                child.stdout,
                child.stderr,
                child.pid,
                mark,
                self._pools.session(action.name),
                number=action.invocation,
            )
        except Exception:  # noqa: BLE001  the child lives: it must stay ours, whatever went wrong
            self._report(
                Level.CRITICAL,
                f"cannot read from '{action.name.process}' ({child.pid}), killing it:\n"
                f"{traceback_text()}",
            )
            if child.failure is None:
                os.kill(child.pid, signal.SIGKILL)
        if child.failure is not None:
            self._report_failure(invocation, child.failure)
            # Not at once: where it is started again without a pause, others would get no turn.
            loop = eventloop.get_running_loop()
            loop.call_soon(self._ended, child.pid, ExitStatus(EXIT_NOT_SPAWNED))
        else:
            self.reaper.watch(child.pid)
            self._hold_pidfd(invocation)
        if child.failure is not None or self.reaper.pidfd(child.pid) is None:
            self._record(invocation)  # else the intent, and the process's record, say it all

    # --- what a successor needs ---------------------------------------------------------------

    def _intend(
        self,
        action: Spawn,
        mark: str,
        pipes: Mapping[str, int],
        cgroup: Cgroup | None,
        notices: Notices | None,
        memory: MemoryCount | None,
    ) -> None:
        """Put on record that a child is about to be, and keep our ends of its pipes."""
        if not self._keeper.recording:
            return
        number = action.invocation
        intent = InvocationRecord(
            name=action.name,
            number=number,
            mark=mark,
            cgroup=None if cgroup is None else cgroup.path,
            channels=tuple(name for name in pipes if name != "stdin"),
            notices=None if notices is None else notices.path,
            memory=None if memory is None else memory.known,
        )
        self._keeper.changed(f"{INVOCATION}{number}", lambda: text_of(InvocationRecord)(intent))
        self._keeper.hold_all({_held(number, key): fd for key, fd in pipes.items()})
        self._keeper.flush()

    def _forget_intent(self, number: int) -> None:
        for key in _HELD_KEYS:
            self._keeper.drop(_held(number, key))
        self._keeper.gone(f"{INVOCATION}{number}")

    def _know(self, invocation: Invocation) -> None:
        """Keep the record of an invocation current from now on."""
        self._by_number[invocation.number] = invocation
        if invocation.memory is not None:
            invocation.memory.on_change = lambda: self._record(invocation)
        invocation.stdin.on_change = self._on_stdin

    def _record(self, invocation: Invocation) -> None:
        if self._keeper.recording and invocation.number in self._by_number:
            key = f"{INVOCATION}{invocation.number}"
            self._keeper.changed(key, lambda: self._exported(invocation))

    def _exported(self, invocation: Invocation) -> Plain:
        # With a descriptor of it nothing else need tell it from a later one of the same pid.
        alive = self._by_pid.get(invocation.pid) is invocation
        if invocation.started is None and alive and self.reaper.pidfd(invocation.pid) is None:
            entry = proctable.look_up(invocation.pid)
            invocation.started = None if entry is None else entry.started
        forgotten = self._outlets.get(invocation.name) is not invocation.outlets
        record = InvocationRecord(
            name=invocation.name,
            number=invocation.number,
            mark=invocation.mark,
            pid=invocation.pid,
            leader=invocation.leader,
            started=invocation.started,
            cgroup=None if invocation.cgroup is None else invocation.cgroup.path,
            stdin=invocation.stdin.waiting,
            channels=tuple(each.key_name for each in invocation.pipes if not each.closed),
            left=any(each.left for each in invocation.pipes),
            seen=dict(invocation.seen),
            killed=invocation.killed,
            notices=None if invocation.notices is None else invocation.notices.path,
            memory=None if invocation.memory is None else invocation.memory.known,
            config=invocation.outlets.config if forgotten else None,
            held=invocation.outlets.held() if forgotten else None,
        )
        return text_of(InvocationRecord)(record)

    def _hold_pidfd(self, invocation: Invocation) -> None:
        pidfd = self.reaper.pidfd(invocation.pid)
        if pidfd is not None:
            self._keeper.hold(_held(invocation.number, "pidfd"), pidfd)

    def _stdin_changed(self, stdin: StdinWriter) -> None:
        if stdin.fd is None:
            self._keeper.drop(_held(stdin.number, "stdin"))
        invocation = self._by_number.get(stdin.number)
        if invocation is not None:
            self._record(invocation)

    def _pipe_closed(self, pipe: Pipe) -> None:
        invocation = self._by_number.get(pipe.key // 2)
        if invocation is None:
            return
        self._keeper.drop(_held(invocation.number, pipe.key_name))
        self._record(invocation)
        self._forget_if_over(invocation)

    def _forget_if_over(self, invocation: Invocation) -> None:
        """Forget an invocation of which nothing is left, its pipes included."""
        if (
            self._by_pid.get(invocation.pid) is invocation
            or (invocation.name, invocation.number) in self._leaving
            or not all(each.closed for each in invocation.pipes)
        ):
            return
        if self._by_number.pop(invocation.number, None) is not None:
            self._keeper.gone(f"{INVOCATION}{invocation.number}")

    def files_held(self) -> None:
        """What waits for FIFOs and terminals has changed."""
        self._keeper.changed(_FILES, lambda: _FILES_CODEC.encode(OPEN_FILES.held()))

    def _sockets(self) -> dict[HeldSocket, int]:
        return {**self._listening.held(), **self._fcgi.held()}

    def _sockets_changed(self) -> None:
        """Other sockets of programs are open than before; those that went are still open."""
        held = self._sockets()
        now = {each.name: fd for each, fd in held.items()}
        for name in self._kept_sockets.keys() - now.keys():
            self._keeper.drop(name)
        fresh = {name: fd for name, fd in now.items() if self._kept_sockets.get(name) != fd}
        self._keeper.hold_all(fresh)
        self._kept_sockets = now
        self._keeper.changed(_SOCKETS, lambda: _SOCKETS_CODEC.encode(tuple(held)))

    def export(self) -> Mapping[str, Plain]:
        """Return the records of all invocations, and of what their channels hold."""
        records: dict[str, Plain] = {
            _EDGE: self._edge(),
            _FILES: _FILES_CODEC.encode(OPEN_FILES.held()),
            _SOCKETS: _SOCKETS_CODEC.encode(tuple(self._sockets())),
        }
        for number, (intent, _) in self._intents.items():
            records[f"{INVOCATION}{number}"] = INVOCATION_CODEC.encode(intent)
        for number, invocation in self._by_number.items():
            records[f"{INVOCATION}{number}"] = self._exported(invocation)
        for name, outlets in self._outlets.items():
            records[HELD + key_of(name)] = HELD_CODEC.encode(outlets.held())
        return records

    def descriptors(self) -> Mapping[str, int]:
        """Return what is open of all invocations."""
        found = {each.name: fd for each, fd in self._sockets().items()}
        self._kept_sockets = dict(found)
        for number, (_, fds) in self._intents.items():
            found |= {_held(number, key): fd for key, fd in fds.items()}
        for invocation in self._by_number.values():
            alive = self._by_pid.get(invocation.pid) is invocation
            pidfd = self.reaper.pidfd(invocation.pid) if alive else None
            found |= invocation.descriptors(pidfd)
        return found

    # --- what an earlier daemon left ----------------------------------------------------------

    def restore(self, left: Inheritance, manager: Manager) -> None:
        """Go on with the invocations of an earlier daemon. Nothing is read or reaped yet.

        Raises:
            HandoverError: What was left does not fit.
        """
        edge = decode_edge(left)
        self._daemon_mark = edge.mark
        self._notify_folder.adopt(edge.notify_folder)
        held = decode_held(left)
        files = _FILES_CODEC.decode(left.records.get(_FILES, []), _FILES, left.notes)
        lost = OPEN_FILES.restore(files)
        if lost:
            self._report(Level.CRITICAL, f"{lost} bytes of output were lost in the handover")
        for group in manager.groups.values():
            self._resources.require(group.config)
            for config in group.config.processes:
                name = Namespec(group.config.name, config.name)
                self._prepare(name, config, held.get(key_of(name)))
            self._fcgi.add(group.config, adopted=True)
        for each in sorted(decode_sockets(left), key=lambda each: each.index):
            fd = left.take(each.name)
            if fd is not None:
                owner = self._fcgi if each.index == FCGI else self._listening
                owner.adopt(each, fd)
        for record in decode_invocations(left, manager):
            if record.pid:
                self._restore(record, left, manager)
            else:
                self._intents[record.number] = record, self._take_pipes(record, left)

    @staticmethod
    def _take_pipes(record: InvocationRecord, left: Inheritance) -> dict[str, int]:
        taken = {key: left.take(_held(record.number, key)) for key in _HELD_KEYS}
        return {key: fd for key, fd in taken.items() if fd is not None}

    def _restore(self, record: InvocationRecord, left: Inheritance, manager: Manager) -> None:
        fds = self._take_pipes(record, left)
        process = _process_of(record, manager)
        alive = process is not None and process.invocation == record.number and process.pid != 0
        leaving = process is not None and process.residue == record.number
        self._go_on(record, fds, process, alive=alive, leaving=leaving, ours=left.in_place)

    def _go_on(
        self,
        record: InvocationRecord,
        fds: dict[str, int],
        process: Process | None,
        *,
        alive: bool,
        leaving: bool,
        ours: bool,
    ) -> Invocation:
        name, number = record.name, record.number
        outlets = self._outlets.get(name)
        if record.config is not None or outlets is None:
            config = record.config or (process.config if process is not None else None)
            assert config is not None  # see `decode_invocations`
            outlets = self._make_outlets(name, config, record.held)
            self._detached.append(outlets)
        config = outlets.config
        account = config.user
        uid = account.uid if account is not None else os.geteuid()
        speaker = Speaker(name.process, record.mark, uid, record.leader, record.pid)
        invocation = Invocation(
            name=name,
            number=number,
            mark=record.mark,
            pid=record.pid,
            leader=record.leader,
            containment=config.containment,
            outlets=outlets,
            stdin=StdinWriter(fds.pop("stdin", None), number, record.stdin),
            pipes=[],
            failure_fd=None,
            speaker=speaker,
            notices=None,
            seen=record.seen,
            killed=record.killed,
            cgroup=None if record.cgroup is None else Cgroup(record.cgroup),
            adopted=record.adopted or not ours,
            started=record.started,
        )
        if alive:
            invocation.memory = self._count_memory(name, config, invocation.cgroup, record.memory)
        notices = fds.pop("notices", None)
        if notices is not None and record.notices is not None:
            invocation.notices = self._notices(invocation, record.notices, notices)
        self._by_number[number] = invocation
        pidfd = fds.pop("pidfd", None)
        if alive:
            self._by_pid[record.pid] = invocation
            self._by_name[name] = invocation
            self._fcgi.adopt_user(name)
            self.reaper.adopt(record.pid, pidfd, record.started)
        elif pidfd is not None:
            os.close(pidfd)
        if leaving:
            self._leaving[name, number] = invocation
        invocation.pipes = outlets.resume(
            fds.pop("stdout", None),
            fds.pop("stderr", None),
            record.pid,
            record.mark,
            self._pools.resumed(name) if alive else None,
            number=number,
            left=record.left,
        )
        self._know(invocation)
        self._record(invocation)
        if outlets in self._detached:
            outlets.release()
        if not alive and not leaving:
            self._forget_if_over(invocation)
        return invocation

    def _notices(self, invocation: Invocation, path: str, fd: int) -> Notices:
        name, number = invocation.name, invocation.number
        notices = Notices(
            path,
            invocation.speaker,
            lambda notice: self._notified(name, number, notice),
            self._report,
            fd=fd,
        )
        notices.start()
        return notices

    def settle(self, manager: Manager) -> None:
        """Tell the core of children that it counts on and that nobody knows."""
        for process in (*manager.processes.values(), *manager.ghosts.values()):
            known = self._by_number.get(process.invocation)
            if process.pid and (known is None or known.name != process.name):
                self._report(
                    Level.CRITICAL,
                    f"nothing is known of '{process.name.process}' ({process.pid}) any more",
                )
                self._submit(Exited(process.name, process.invocation, ExitStatus(None)))

    def _find_born(self, action: Spawn, waited: float = 0.0) -> None:
        """Find out whether the child of an intent came to be, and answer the core.

        As long as somebody holds the other end of its output, a child may be on its way.
        """
        record, fds = self._intents[action.invocation]
        assignment = f"{environment.INVOCATION_VARIABLE}={record.mark}".encode()
        pid = _born(record.cgroup, assignment)
        if pid is None and waited < _BORN_WITHIN and not _is_deserted(fds.get("stdout")):
            loop = eventloop.get_running_loop()
            self._finding = [each for each in self._finding if each.active]
            self._finding.append(
                loop.call_later(_BORN_PAUSE, self._find_born, action, waited + _BORN_PAUSE)
            )
            return
        del self._intents[action.invocation]
        entry = None if pid is None else proctable.look_up(pid)
        if entry is None:
            self._forget_intent(action.invocation)
            for fd in fds.values():
                os.close(fd)
            self._submit(SpawnFailed(action.name, action.invocation, _NOT_BORN))
            return
        record = replace(record, pid=entry.pid, leader=entry.pid, started=entry.started)
        self._report(Level.WARN, f"found '{action.name.process}' ({entry.pid}), just started")
        invocation = self._go_on(record, fds, None, alive=True, leaving=False, ours=False)
        self._hold_pidfd(invocation)
        self._submit(Spawned(action.name, action.invocation, entry.pid))

    def _make_cgroup(self, action: Spawn) -> Cgroup | None:
        if self._cgroups is None:
            return None
        contained = action.config.containment is Containment.TREE
        try:
            cgroup = self._cgroups.prepare(action.name, contained=contained)
            self._resources.apply(cgroup, action.config.limits)
        except ResourceError as error:
            raise SpawnError(f"cannot limit '{action.name.process}': {error}") from None
        except OSError as error:
            raise SpawnError(
                f"cannot make the cgroup of '{action.name.process}': {error}"
            ) from None
        return cgroup

    def _count_memory(
        self,
        name: Namespec,
        config: ProcessConfig,
        cgroup: Cgroup | None,
        known: Kills | None = None,
    ) -> MemoryCount | None:
        if cgroup is None or not self._resources.counts_memory:
            return None
        return self._memory.open(cgroup, name.process, config.limits, known)

    def _make_child(
        self,
        action: Spawn,
        mark: str,
        notices: Notices | None,
        cgroup: Cgroup | None,
        memory: MemoryCount | None,
    ) -> Child:
        config = action.config
        command = recent_command(config, os.environ)
        outlets = self._outlets[action.name]
        try:
            outlets.open()
        except OSError as error:
            raise SpawnError(dispatcher_error(config.name, error)) from None
        self.last_output.begin(action.name, outlets.paths())
        variables = environment.child_environment(
            self._base_environment,
            config,
            self._server_url,
            mark,
            notices.path if notices is not None else None,
        )
        try:
            sockets = self._listening.open(action.name)
            variables |= listen_variables(config.sockets)
            stdin = self._fcgi.open(action.name)
            entry = None
            if self._cgroups is not None and cgroup is not None:
                entry = self._cgroups.entry(cgroup)
            return spawn(
                config,
                command,
                variables,
                self._limits,
                sockets,
                stdin,
                entry,
                lambda pipes: self._intend(action, mark, pipes, cgroup, notices, memory),
            )
        except SpawnError:
            self._fcgi.release(action.name)
            outlets.close_idle()
            raise

    # --- what programs say of themselves ------------------------------------------------------

    def _listen(self, action: Spawn, speaker: Speaker) -> Notices | None:
        """Make the socket for the notices of an invocation, where its program sends any."""
        config, name, number = action.config, action.name, action.invocation
        if not (config.notify or config.watchdog):
            return None
        try:
            notices = Notices(
                self._notify_folder.path(f"{number}.sock"),
                speaker,
                lambda notice: self._notified(name, number, notice),
                self._report,
            )
        except OSError as error:
            raise SpawnError(
                f"cannot make the notify socket of '{name.process}': {error}"
            ) from None
        notices.start()
        self._keeper.changed(_EDGE, self._edge)
        self._keeper.hold(_held(number, "notices"), notices.fd)
        return notices

    def _edge(self) -> Plain:
        return _EDGE_CODEC.encode(Edge(self._daemon_mark, self._notify_folder.made))

    def _notified(self, name: Namespec, number: int, notice: Notice) -> None:
        invocation = self._by_name.get(name)
        if invocation is None or invocation.number != number:
            return
        if notice.main_pid is not None and not self._follow(invocation, notice.main_pid):
            notice = replace(notice, main_pid=None)
        self._submit(Notified(name, number, notice))

    def _follow(self, invocation: Invocation, pid: int) -> bool:
        """Take another process for the main one of an invocation; return whether that works."""
        if pid == invocation.pid:
            return True
        if pid in self._by_pid or invocation.killed:
            return False
        self.reaper.watch_other(pid)
        self._keeper.drop(_held(invocation.number, "pidfd"))
        self.reaper.forget(invocation.pid)
        del self._by_pid[invocation.pid]
        self._by_pid[pid] = invocation
        invocation.pid = invocation.speaker.main = pid
        invocation.started = None
        self._hold_pidfd(invocation)
        self._record(invocation)
        return True

    def _report_failure(self, invocation: Invocation, failure: Failure) -> None:
        self._report(Level.WARN, f"cannot run '{invocation.name.process}': {failure}")

    # --- exits --------------------------------------------------------------------------------

    def watch_helper(self, pid: int, ended: Callable[[ExitStatus], None]) -> None:
        """Wait for the end of a child that is no program."""
        self._helpers[pid] = ended
        self.reaper.watch(pid)

    def _ended(self, pid: int, status: ExitStatus) -> None:
        helper_ended = self._helpers.pop(pid, None)
        if helper_ended is not None:
            helper_ended(status)
            return
        invocation = self._by_pid[pid]
        self._keeper.drop(_held(invocation.number, "pidfd"))  # it is closed: first of all
        self._hear_out(invocation)
        if invocation.pid != pid:
            return  # it said which process is the main one now
        del self._by_pid[pid]
        if self._by_name.get(invocation.name) is invocation:
            del self._by_name[invocation.name]
        if invocation.containment is Containment.TREE:
            self._leaving[invocation.name, invocation.number] = invocation
        try:
            self._take_last_words(invocation)
        except Exception:  # noqa: BLE001  an exit that is not told would be waited for for ever
            self._report(
                Level.CRITICAL,
                f"unexpected error at the end of '{invocation.name.process}' ({pid}):\n"
                f"{traceback_text()}",
            )
        if self._outlets.get(invocation.name) is invocation.outlets:  # else it is forgotten
            self.last_output.end(invocation.name, invocation.outlets.paths())
        self._record(invocation)
        self._forget_if_over(invocation)
        self._pools.ended(invocation.name)
        self._fcgi.release(invocation.name)
        oom = self._ran_out_of_memory(invocation, status)
        self._submit(Exited(invocation.name, invocation.number, status, oom))

    def _ran_out_of_memory(self, invocation: Invocation, status: ExitStatus) -> bool:
        """Whether the kernel ended the main process for want of memory; nothing counts any more."""
        memory, invocation.memory = invocation.memory, None
        if memory is None:
            return False
        killed = memory.ended(status)
        self._memory.close(memory)
        return killed and not invocation.killed

    def _hear_out(self, invocation: Invocation) -> None:
        """Take what was said of an invocation until now: its end must not overtake it."""
        if invocation.notices is None:
            return
        try:
            invocation.notices.read_all()
        except Exception:  # noqa: BLE001  the end must be told, whatever was said
            self._report(
                Level.CRITICAL,
                f"unexpected error in what '{invocation.name.process}' said:\n{traceback_text()}",
            )

    def _take_last_words(self, invocation: Invocation) -> None:
        """Let go of the child's stdin, and read what it left in its pipes."""
        somebody_reads = _has_reader(invocation.stdin.fd)
        invocation.stdin.close()
        if somebody_reads:  # its end comes when the box has let go of it, too
            self._keeper.pack()
        if invocation.notices is not None:
            self._keeper.drop(_held(invocation.number, "notices"))
            invocation.notices.close()
            invocation.notices = None
        for pipe in invocation.pipes:
            invocation.outlets.drain(pipe)
        if invocation.failure_fd is not None:
            failure = read_failure(invocation.failure_fd)
            os.close(invocation.failure_fd)
            if failure is not None:
                self._report_failure(invocation, failure)

    def _end_strays(self, action: EndStrays) -> None:
        found = self._leaving.get((action.name, action.invocation))
        if found is None:  # an earlier daemon left no more than the order
            self._submit(Cleared(action.name, action.invocation))
            return
        invocation = found
        name, leader = action.name.process, invocation.leader

        def done(ended: int) -> None:
            self._cleared(invocation, ended)

        if invocation.cgroup is not None:
            self.strays.empty(invocation.cgroup, name, leader, action.grace, done)
        else:
            self.strays.end(
                name,
                invocation.mark,
                leader,
                invocation.seen,
                action.grace,
                done,
                adopted=invocation.adopted,
            )

    def strays_of(self, name: Namespec, number: int | None) -> tuple[Entry, ...]:
        """Return what an invocation left behind and is still being ended."""
        found = self._leaving.get((name, number)) if number is not None else None
        if found is None:
            return ()
        if found.cgroup is None:
            return self.strays.left_of(found.mark)
        entries = map(look_up, found.cgroup.all_pids())
        return tuple(entry for entry in entries if entry is not None and not entry.zombie)

    def _cleared(self, invocation: Invocation, ended: int) -> None:
        del self._leaving[invocation.name, invocation.number]
        for pipe in list(invocation.pipes):
            invocation.outlets.finish(pipe)
        self._record(invocation)
        self._forget_if_over(invocation)
        if invocation.name not in self._outlets:
            self._forget_cgroup(invocation.name)
        self._submit(Cleared(invocation.name, invocation.number, ended))

    def _forget(self, name: Namespec) -> None:
        self._listening.release(name)
        self._fcgi.forget(name)
        self.last_output.forget(name)
        self._let_go(name)

    def _let_go(self, name: Namespec) -> None:
        """Let go of what a process has used that is down."""
        outlets = self._outlets.pop(name)
        outlets.release()
        self.readback.forget(name)
        self._detached = [each for each in (*self._detached, outlets) if not each.idle]
        self._keeper.gone(HELD + key_of(name))
        self._some_forgotten = True
        self._forget_cgroup(name)

    def _record_forgotten(self) -> None:
        """Put on record what alone knows the configuration now: once for all of a group."""
        if self._some_forgotten:
            self._some_forgotten = False
            for invocation in self._by_number.values():
                if self._outlets.get(invocation.name) is not invocation.outlets:
                    self._record(invocation)

    def _forget_cgroup(self, name: Namespec) -> None:
        if self._cgroups is not None:
            self._cgroups.forget(name)  # it stays where something lives in it still

    # --- signals ------------------------------------------------------------------------------

    def _send_signal(self, action: SendSignal) -> None:
        invocation = self._by_pid.get(action.pid)
        if invocation is None:
            self._report_gone(action, "No such process")
            return
        if action.purpose is not Purpose.SIGNAL:
            self._prepare_end(invocation)
        if action.purpose is Purpose.KILL:
            invocation.killed = True
        self._record(invocation)
        if invocation.pid != invocation.leader:
            self.reaper.child_ended()  # the end of one that is not ours may wait to be noticed
        try:
            group = _group(invocation) if action.to_group else None
            if group is not None:
                self.reaper.send(action.pid, 0)
                os.killpg(group, action.signal)
            else:
                self.reaper.send(action.pid, action.signal)
        except ProcessLookupError as error:
            self._report_gone(action, str(error))
        except OSError as error:
            self._submit(SignalFailed(action.name, action.invocation, _failed(action, error)))

    def _prepare_end(self, invocation: Invocation) -> None:
        """See to it that a signal acts, and that what was started is known afterwards."""
        if invocation.cgroup is not None:
            invocation.cgroup.thaw()
        elif invocation.containment is Containment.TREE:
            for root in {invocation.leader, invocation.pid}:
                invocation.seen = {**invocation.seen, **self.strays.snapshot(root)}

    def _report_gone(self, action: SendSignal, error: str) -> None:
        just = "just now" if action.purpose is Purpose.SIGNAL else "just"
        self._report(
            Level.DEBUG,
            f"unable to signal {action.name.process} (pid {action.pid}), "
            f"it probably {just} exited on its own: {error}",
        )


def decode_edge(left: Inheritance) -> Edge:
    """Return what was handed on of the edge as a whole. Raises HandoverError."""
    found: Edge = _EDGE_CODEC.decode(left.records.get(_EDGE), _EDGE, left.notes)
    return found


def decode_sockets(left: Inheritance) -> tuple[HeldSocket, ...]:
    """Return the open sockets of programs. Raises HandoverError."""
    found: tuple[HeldSocket, ...] = _SOCKETS_CODEC.decode(
        left.records.get(_SOCKETS, []), _SOCKETS, left.notes
    )
    return found


def decode_held(left: Inheritance) -> dict[str, HeldOutlets]:
    """Return what the channels of each process held. Raises HandoverError."""
    return left.once(
        HELD,
        lambda: {
            key: HELD_CODEC.decode(plain, HELD + key, left.notes)
            for key, plain in left.table(HELD).items()
        },
    )


def decode_invocations(left: Inheritance, manager: Manager) -> list[InvocationRecord]:
    """Return the invocations that an earlier daemon left, the eldest first.

    Raises:
        HandoverError: They do not fit, or nothing says what one is of.
    """
    records: list[InvocationRecord] = left.once(
        INVOCATION,
        lambda: [
            INVOCATION_CODEC.decode(plain, INVOCATION + key, left.notes)
            for key, plain in left.table(INVOCATION).items()
        ],
    )
    records = [_with_pid(record, manager) for record in records]
    for record in records:
        known = record.name in manager.processes or _process_of(record, manager) is not None
        if record.config is None and not known:
            raise HandoverError(f"{INVOCATION}{record.number}: nothing says what {record.name} is")
    return sorted(records, key=lambda record: record.number)


def _with_pid(record: InvocationRecord, manager: Manager) -> InvocationRecord:
    """Return an invocation with its main process, which was only told to the core so far."""
    process = _process_of(record, manager)
    if record.pid or process is None or process.invocation != record.number or not process.pid:
        return record
    return replace(record, pid=process.pid, leader=process.pid)


def _process_of(record: InvocationRecord, manager: Manager) -> Process | None:
    """Return the process, or what is left of it, that an invocation is of."""
    candidates = (manager.processes.get(record.name), manager.ghosts.get(record.name))
    for process in candidates:
        if process is not None and record.number in (process.residue, process.invocation):
            return process
    return None


def _born(cgroup: str | None, assignment: bytes) -> int | None:
    """Return the main process among those of an invocation, None where there is none.

    It is the one that leads the group, else the eldest.
    """
    inside = Cgroup(cgroup).all_pids() if cgroup is not None else []
    pids = inside or [pid for pid in proctable.pids() if proctable.has_variable(pid, assignment)]
    found = [entry for entry in map(proctable.look_up, pids) if entry is not None]
    alive = [entry for entry in found if not entry.zombie]
    alive.sort(key=lambda entry: (entry.group != entry.pid, entry.started, entry.pid))
    return alive[0].pid if alive else None


def _has_reader(fd: int | None) -> bool:
    """Whether somebody holds the other end of a pipe that we write to."""
    if fd is None:
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return not any(events & select.POLLERR for _, events in poll.poll(0))


def _is_deserted(fd: int | None) -> bool:
    """Whether nobody holds the other end of a pipe that we read."""
    if fd is None:
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _group(invocation: Invocation) -> int | None:
    """Return the process group to signal for an invocation, None where that is not for us to do.

    It is that of the child that was started, unless another has become the main process by
    MAINPID: that one mostly leads a group of its own, and the first group may be gone. A main
    process that has joined somebody else's group must not take that one along.

    Raises:
        ProcessLookupError: There is no such process any more.
    """
    if invocation.pid == invocation.leader:
        return invocation.leader
    group = os.getpgid(invocation.pid)
    return group if group in (invocation.pid, invocation.leader) else None


def _failed(action: SendSignal, error: OSError) -> str:
    doing = "sending sig" if action.purpose is Purpose.SIGNAL else "killing"
    return (
        f"unknown problem {doing} {action.name.process} ({action.pid}):"
        f"{signal_name(action.signal)}: {error}"
    )
