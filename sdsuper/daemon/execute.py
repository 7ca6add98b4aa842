"""One function per action; what comes of it goes back as facts, never as an exception."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import field

from sdsuper.config.model import Containment, DaemonConfig, GroupConfig, ProcessConfig
from sdsuper.core.actions import (
    Action,
    EndStrays,
    Finish,
    Forget,
    Log,
    Publish,
    Purpose,
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
from sdsuper.core.notice import Notice
from sdsuper.daemon import containment, environment
from sdsuper.daemon.command import CommandError, resolve_command
from sdsuper.daemon.fcgi import FcgiSockets
from sdsuper.daemon.lastoutput import LastOutput
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.listen import ProgramSockets, listen_variables
from sdsuper.daemon.notices import Notices, NotifyFolder, Speaker
from sdsuper.daemon.outlets import Outlets, Pipe
from sdsuper.daemon.outofmemory import MemoryCount, MemoryWatch
from sdsuper.daemon.pools import EventPools
from sdsuper.daemon.proctable import Entry, look_up
from sdsuper.daemon.readback import Readback
from sdsuper.daemon.reap import Reaper
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
from sdsuper.dataclass import dataclass, replace
from sdsuper.logs.files import OPEN_FILES
from sdsuper.logs.journal import JOURNAL
from sdsuper.systemd.cgroup import Cgroup
from sdsuper.values import ExitStatus, Level, Namespec, signal_name

_FINISH_SECONDS = 5.0
"""How long the end of the daemon waits for readers of its output that are behind."""

_UNEXPECTED = "unexpected error in the daemon (its log has details)"


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
    seen: dict[int, int] = field(default_factory=dict)
    killed: bool = False
    cgroup: Cgroup | None = None
    memory: MemoryCount | None = None
    adopted: bool = False


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
    ) -> None:
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
        self._daemon_mark = os.urandom(8).hex()
        self._notify_folder = NotifyFolder(os.environ)
        self._outlets: dict[Namespec, Outlets] = {}
        # Of forgotten processes whose pipes something still holds; they end with the pipes.
        self._detached: list[Outlets] = []
        self._by_pid: dict[int, Invocation] = {}
        self._by_name: dict[Namespec, Invocation] = {}
        self._leaving: dict[tuple[Namespec, int], Invocation] = {}
        self.last_output = LastOutput()
        self._helpers: dict[int, Callable[[ExitStatus], None]] = {}
        self.readback = Readback(self._watch_helper, report, journal_directory)
        self.strays = Strays(self._is_ours, report)
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
                f"unexpected error while carrying out {action!r}:\n{traceback.format_exc()}",
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

    def _prepare(self, name: Namespec, config: ProcessConfig) -> None:
        self._listening.claim(name, config)
        self._outlets[name] = Outlets(
            name,
            config,
            self._settings,
            self._report,
            self._publish,
            echo=self._settings.loglevel <= Level.DEBUG,
        )
        self._limit_what_lives(name, config)

    def _limit_what_lives(self, name: Namespec, config: ProcessConfig) -> None:
        """Write the limits of a process that an earlier daemon started."""
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
        self._notify_folder.close()
        self._listening.close()
        self._fcgi.close()
        self.readback.close()
        deadline = time.monotonic() + _FINISH_SECONDS
        for outlets in (*self._outlets.values(), *self._detached):
            outlets.close(deadline)
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
        mark = self.mark(action.invocation)
        account = action.config.user
        uid = account.uid if account is not None else os.geteuid()
        speaker = Speaker(action.name.process, mark, uid)
        notices = memory = None
        try:
            notices = self._listen(action, speaker)
            cgroup = self._make_cgroup(action)
            memory = self._count_memory(action, cgroup)
            child = self._make_child(action, mark, notices, cgroup)
        except Exception as error:
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
            stdin=StdinWriter(child.stdin),
            pipes=[],
            failure_fd=child.failure_fd,
            speaker=speaker,
            notices=notices,
            cgroup=cgroup,
            memory=memory,
        )
        self._by_pid[child.pid] = invocation
        self._by_name[action.name] = invocation
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
                f"{traceback.format_exc()}",
            )
            if child.failure is None:
                os.kill(child.pid, signal.SIGKILL)
        if child.failure is not None:
            self._report_failure(invocation, child.failure)
            # Not at once: where it is started again without a pause, others would get no turn.
            loop = asyncio.get_running_loop()
            loop.call_soon(self._ended, child.pid, ExitStatus(EXIT_NOT_SPAWNED))
        else:
            self.reaper.watch(child.pid)

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

    def _count_memory(self, action: Spawn, cgroup: Cgroup | None) -> MemoryCount | None:
        if cgroup is None or not self._resources.counts_memory:
            return None
        return self._memory.open(cgroup, action.name.process, action.config.limits)

    def _make_child(
        self, action: Spawn, mark: str, notices: Notices | None, cgroup: Cgroup | None
    ) -> Child:
        config = action.config
        command = resolve_command(config, os.environ)
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
            return spawn(config, command, variables, self._limits, sockets, stdin, entry)
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
        return notices

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
        self.reaper.forget(invocation.pid)
        del self._by_pid[invocation.pid]
        self._by_pid[pid] = invocation
        invocation.pid = invocation.speaker.main = pid
        return True

    def _report_failure(self, invocation: Invocation, failure: Failure) -> None:
        self._report(Level.WARN, f"cannot run '{invocation.name.process}': {failure}")

    # --- exits --------------------------------------------------------------------------------

    def _is_ours(self, pid: int) -> bool:
        """Whether a child is the main process of a program, or a helper of the daemon."""
        return pid in self._by_pid or pid in self._helpers

    def _watch_helper(self, pid: int, ended: Callable[[ExitStatus], None]) -> None:
        self._helpers[pid] = ended
        self.reaper.watch(pid)

    def _ended(self, pid: int, status: ExitStatus) -> None:
        helper_ended = self._helpers.pop(pid, None)
        if helper_ended is not None:
            helper_ended(status)
            return
        invocation = self._by_pid[pid]
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
                f"{traceback.format_exc()}",
            )
        if self._outlets.get(invocation.name) is invocation.outlets:  # else it is forgotten
            self.last_output.end(invocation.name, invocation.outlets.paths())
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
                f"unexpected error in what '{invocation.name.process}' said:\n"
                f"{traceback.format_exc()}",
            )

    def _take_last_words(self, invocation: Invocation) -> None:
        """Let go of the child's stdin, and read what it left in its pipes."""
        invocation.stdin.close()
        if invocation.notices is not None:
            invocation.notices.close()
        for pipe in invocation.pipes:
            invocation.outlets.drain(pipe)
        if invocation.failure_fd is not None:
            failure = read_failure(invocation.failure_fd)
            os.close(invocation.failure_fd)
            if failure is not None:
                self._report_failure(invocation, failure)

    def _end_strays(self, action: EndStrays) -> None:
        invocation = self._leaving[action.name, action.invocation]
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
        if invocation.name not in self._outlets:
            self._forget_cgroup(invocation.name)
        self._submit(Cleared(invocation.name, invocation.number, ended))

    def _forget(self, name: Namespec) -> None:
        self._listening.release(name)
        self._fcgi.forget(name)
        outlets = self._outlets.pop(name)
        outlets.release()
        self.readback.forget(name)
        self.last_output.forget(name)
        self._detached = [each for each in (*self._detached, outlets) if not each.idle]
        self._forget_cgroup(name)

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
        if invocation.pid != invocation.leader:
            self.reaper.child_ended()  # the end of one that is not ours may wait to be noticed
        try:
            group = _group(invocation) if action.to_group else None
            if group is not None:
                os.killpg(group, action.signal)
            else:
                os.kill(action.pid, action.signal)
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
                invocation.seen |= self.strays.snapshot(root)

    def _report_gone(self, action: SendSignal, error: str) -> None:
        just = "just now" if action.purpose is Purpose.SIGNAL else "just"
        self._report(
            Level.DEBUG,
            f"unable to signal {action.name.process} (pid {action.pid}), "
            f"it probably {just} exited on its own: {error}",
        )


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
