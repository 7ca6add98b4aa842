"""One process: its state as plain values, and `step`, the state machine.

Theory of operation
-------------------
`step` is a pure function: a process, one fact and the time give the next process and what to do.
It matches on the fact, then on the state; `mypy` proves that no pair is forgotten. The state is
changed in one place (`_Turn.enter`), which checks the change against `TRANSITIONS`, drops the
deadline of the state that is left, and publishes the event.

*Life of an invocation.* `Spawn` goes out with a fresh number; `Spawned` or `SpawnFailed` answers
it; `Exited` ends what `Spawned` began. Facts carry the number, and a fact is taken only while it
can be true: an answer while one is awaited (`Process.spawning`), an exit while a child lives or
an answer is awaited. So a doubled or late fact changes nothing. An exit that overtakes
its own `Spawned` counts as both at once, and the late `Spawned` then finds its invocation over.

*Never two children.* A `Spawn` goes out only from STARTING, only when no child lives, and only
when nothing an earlier invocation left behind is alive (`residue`). Until `Cleared` says so the
`Spawn` is held (`Process.held`), in STARTING. A process cannot leave STARTING or STOPPING
while an answer is awaited, except by that answer: a stop requested meanwhile is STOPPING,
and the signal is sent when the child is there. So no child is ever lost either.

*Strays.* When the main process is gone, `EndStrays` ends what it left behind (containment=tree).
A stop is complete, STOPPED, only when `Cleared` has come. A process that ended by itself
is EXITED or BACKOFF at once, since that is the truth about the program; only its successor waits.
Strays that outlive SIGKILL (they may belong to root, or hang in the kernel) end the patience of a
stop and of a shutdown, which go on and say so; a spawn is held as long as they live.

*Up long enough.* startsecs count from `Spawned`, on the monotonic clock. An exit is judged by its
own time, not by whether the deadline was noticed first: at startsecs or later it was RUNNING
first.

*Programs that speak for themselves* (`notify`). READY=1 takes the place of startsecs, and
start_timeout bounds the wait for it. In RUNNING the deadline is the next ping of the watchdog, or,
after STOPPING=1, the end that was announced. A child that misses one of these is `failing`: it is
ended (stopsignal, or SIGABRT where the watchdog ran out; then SIGKILL after stopwaitsecs)
without leaving its state, because it is still wanted; its exit is then a failed start, or one
that was not expected. EXTEND_TIMEOUT_USEC puts off the end of a start or stop under way, never
that of a child that is failing.

*Stop.* stopsignal, then SIGKILL after stopwaitsecs, again and again (at most once a second)
until the exit is reaped.

*UNKNOWN.* A signal that could not be sent, with the child still there, leaves nothing to
be done; start and stop are refused until the child is reaped. A shutdown tries SIGKILL once and
waits stopwaitsecs (at least 2 s) for the reap, then goes on without: an unkillable child
must not keep the machine from going down.

*Another configuration.* `Reconfigured` changes no state, whatever it brings. Options are read when
they are needed, so the next exit is judged by the new ones. What is waited for moves with the
option that it follows from: the end of startsecs counts from `Spawned`, and a bound
(start_timeout, stopwaitsecs) is put off, or comes sooner, by as much as the option has
changed; it may be over at once. A retry that is due comes when it was due, even where startretries
is lower by now.

*Shutdown.* `ShutdownBegan` takes away the wish to be up, so that nothing is started any
more, and `ShutdownReached` stops the process when its turn has come.
"""

from __future__ import annotations

import math
from signal import SIGABRT, SIGKILL
from typing import Any, assert_never

from sdsuper.config.model import Containment, ProcessConfig
from sdsuper.core import events
from sdsuper.core.actions import (
    Action,
    EndStrays,
    Log,
    Publish,
    Purpose,
    Reconfigure,
    SendSignal,
    Spawn,
)
from sdsuper.core.facts import (
    Cleared,
    DeadlinePassed,
    Exited,
    Notified,
    Reconfigured,
    ShutdownBegan,
    ShutdownReached,
    SignalFailed,
    SignalRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StepFact,
    StopRequested,
)
from sdsuper.core.history import (
    AUTORESTART,
    NO_ATTEMPT,
    SIGNALS_MAX,
    Attempt,
    Ending,
    Next,
    PastInvocation,
    Requester,
    Signalled,
    describe_end,
    ending_of,
    out_of_memory,
)
from sdsuper.core.notice import SILENT, Notice, Told
from sdsuper.core.restart import (
    Decision,
    ExitedByItself,
    FailedStart,
    GiveUp,
    Rest,
    Restart,
    decide,
    is_expected,
)
from sdsuper.core.states import SIGNALLABLE_STATES, TRANSITIONS, ProcessState, Wanted
from sdsuper.dataclass import dataclass, replace
from sdsuper.values import ExitStatus, Instant, Level, Namespec, signal_name

STRAYS_GRACE_MIN = 2.0
"""Seconds that strays have at least between SIGTERM and SIGKILL."""

STRAYS_PATIENCE = 5.0
"""Seconds after their SIGKILL within which strays are expected to be gone."""

KILL_INTERVAL_MIN = 1.0
"""Seconds between two SIGKILLs at least, whatever stopwaitsecs says."""

EXITED_TOO_QUICKLY = "Exited too quickly (process log may have details)"
EXITED_BEFORE_READY = "Exited before it was ready (process log may have details)"


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """The end of the latest invocation.

    Attributes:
        pid: The pid it had.
        at: When it was reaped.
        expected: Whether its code was among `exitcodes` (and it had been up for startsecs).
        invocation: Its number.
        oom: Whether the kernel killed it for want of memory.
    """

    pid: int
    status: ExitStatus
    at: Instant
    expected: bool
    invocation: int = 0
    oom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One supervised process, all of it: frozen values that can be handed on.

    Attributes:
        pid: The child's pid; 0 when there is none.
        invocation: Number of the current or latest spawn; facts of an older one are ignored.
        started: The latest start attempt, None = never.
        spawned: When the child of the latest start attempt came to be, None = not yet.
        stop_sent: When the stop signal was sent to that child, None = it was not.
        killed: When SIGKILL was sent to it last, None = it was not.
        last_exit: The latest end, None = never.
        deadline: Monotonic seconds at which `DeadlinePassed` matters to this state; in
            STOPPED, EXITED and FATAL the end of the patience with strays.
        backoff: Failed attempts in a row.
        restarts: How often it was started again without being asked, since the daemon began.
        exitstatus: What getProcessInfo shows: code, -1 for a signal, None for none.
        spawnerr: Why the latest start failed, None for no reason to tell.
        residue: The invocation whose strays are still being ended; nothing is spawned meanwhile.
        trouble: Why the latest signal could not be sent, None when it could.
        reason: Why it was restarted, left down or given up when it ended last, None = it never did.
        told: What the child of the latest start attempt said of itself.
        watchdog: Seconds within which that child must ping, 0.0 = it need not.
        failing: Why that child is being ended although it is wanted up, None = it is not.
        attempt: Who asked for the latest start attempt, and for its end.
        past: The latest invocation that is over, None = none is; the manager keeps those before.
    """

    name: Namespec
    config: ProcessConfig
    state: ProcessState = ProcessState.STOPPED
    wanted: Wanted = Wanted.DOWN
    pid: int = 0
    invocation: int = 0
    started: Instant | None = None
    spawned: Instant | None = None
    stop_sent: Instant | None = None
    killed: Instant | None = None
    last_exit: ExitRecord | None = None
    deadline: float | None = None
    backoff: int = 0
    restarts: int = 0
    exitstatus: int | None = None
    spawnerr: str | None = None
    residue: int | None = None
    trouble: str | None = None
    reason: str | None = None
    told: Told = SILENT
    watchdog: float = 0.0
    failing: str | None = None
    attempt: Attempt = NO_ATTEMPT
    past: PastInvocation | None = None

    @property
    def spawning(self) -> bool:
        """Whether a `Spawn` was given out and is not answered yet."""
        return self._childless and self.residue is None

    @property
    def held(self) -> bool:
        """Whether a `Spawn` is due but waits for the strays of an earlier invocation."""
        return self._childless and self.residue is not None

    @property
    def _childless(self) -> bool:
        return self.spawned is None and self.state in _BEFORE_THE_CHILD


_BEFORE_THE_CHILD = frozenset({ProcessState.STARTING, ProcessState.STOPPING})
_WAIT_FOR_STRAYS = frozenset(
    {
        ProcessState.STARTING,
        ProcessState.STOPPING,
        ProcessState.STOPPED,
        ProcessState.EXITED,
        ProcessState.FATAL,
    }
)


def step(
    process: Process, fact: StepFact, now: Instant, fresh: int | None = None
) -> tuple[Process, tuple[Action, ...]]:
    """Take one fact into account and say what follows from it.

    Args:
        process: The process as it is.
        fact: What happened to it.
        now: When.
        fresh: The number that a `Spawn` gets if one follows (at most one does); by default the
            one after the process's latest.

    Returns:
        The process as it is now, and the actions in order.
    """
    turn = _Turn(process, now, process.invocation + 1 if fresh is None else fresh)
    match fact:
        case StartRequested(by=by):
            _start_requested(turn, by)
        case StopRequested(by=by):
            _stop_requested(turn, by)
        case SignalRequested(signal=signal, by=by):
            _signal_requested(turn, signal, by)
        case Spawned(invocation=invocation, pid=pid):
            if process.spawning and invocation == process.invocation:
                _spawned(turn, pid)
        case SpawnFailed(invocation=invocation, error=error):
            if process.spawning and invocation == process.invocation:
                _spawn_failed(turn, error)
        case Exited(invocation=invocation, status=status, oom=oom):
            if (process.pid or process.spawning) and invocation == process.invocation:
                _exited(turn, status, oom=oom)
        case Cleared(invocation=invocation, strays=strays):
            if invocation == process.residue:
                _cleared(turn, strays)
        case SignalFailed(invocation=invocation, error=error):
            if process.pid and invocation == process.invocation:
                _signal_failed(turn, error)
        case Notified(invocation=invocation, notice=notice):
            if process.pid and invocation == process.invocation:
                _notified(turn, notice)
        case DeadlinePassed():
            if process.deadline is not None and process.deadline <= now.mono:
                _deadline_passed(turn)
        case Reconfigured(config=config):
            _reconfigured(turn, config)
        case ShutdownBegan(by=by):
            _shutdown_began(turn, by)
        case ShutdownReached(by=by):
            _shutdown_reached(turn, by)
        case _:
            assert_never(fact)
    return turn.process, (*turn.urgent, *turn.told)


class _Turn:
    """One step under way: the process so far, and the actions so far.

    The first change makes a copy of the process, which nobody else has before the turn is over; so
    further changes are made in place: a copy for each would be a twentieth of a restart.
    """

    __slots__ = ("_copied", "fresh", "now", "process", "told", "urgent")

    def __init__(self, process: Process, now: Instant, fresh: int) -> None:
        self.process = process
        self.now = now
        self.fresh = fresh
        self.urgent: list[Action] = []
        self.told: list[Action] = []
        self._copied = False

    def change(self, **values: Any) -> None:
        """Change any field but the state."""
        if not self._copied:
            self.process = replace(self.process, **values)
            self._copied = True
            return
        process = self.process
        for name, value in values.items():
            object.__setattr__(process, name, value)

    def enter(self, state: ProcessState, **values: Any) -> None:
        """Change the state, and other fields with it: the one place that does."""
        left = self.process.state
        assert (left, state) in TRANSITIONS, f"{self.process.name}: {left!r} -> {state!r}"
        self.change(**{"state": state, "deadline": self._patience(state), **values})
        self.told.append(Publish(_event(self.process, left)))

    def wait_for_strays(self) -> None:
        """Stay in the state, as long as it has patience with strays."""
        self.change(deadline=self._patience(self.process.state))

    def _patience(self, state: ProcessState) -> float | None:
        """Return until when a state waits for strays, None if it does not."""
        if self.process.residue is None or state not in _WAIT_FOR_STRAYS:
            return None
        return self.now.mono + _grace_max(self.process) + STRAYS_PATIENCE

    def log(self, level: Level, message: str) -> None:
        self.told.append(Log(level, message))

    def spawn(self) -> None:
        self.change(invocation=self.fresh, deadline=None)
        process = self.process
        self.urgent.append(Spawn(process.name, process.invocation, process.config))

    def signal(self, number: int, *, to_group: bool, purpose: Purpose) -> None:
        if self.process.trouble is not None:
            self.change(trouble=None)
        process = self.process
        self.told.append(
            SendSignal(process.name, process.invocation, process.pid, number, to_group, purpose)
        )


def _event(process: Process, left: ProcessState) -> events.Event:
    """Return the event that tells of a state just entered."""
    name = process.name
    match process.state:
        case ProcessState.STARTING:
            return events.ProcessStarting(name, left, process.backoff)
        case ProcessState.BACKOFF:
            return events.ProcessBackoff(name, left, process.backoff)
        case ProcessState.RUNNING:
            return events.ProcessRunning(name, left, process.pid)
        case ProcessState.STOPPING:
            return events.ProcessStopping(name, left, process.pid)
        case ProcessState.STOPPED:
            ended = left is not ProcessState.BACKOFF and process.spawned is not None
            return events.ProcessStopped(name, left, _dead_pid(process) if ended else 0)
        case ProcessState.EXITED:
            end = process.last_exit
            assert end is not None
            return events.ProcessExited(name, left, end.expected, end.pid, end.oom)
        case ProcessState.FATAL:
            return events.ProcessFatal(name, left)
        case ProcessState.UNKNOWN:
            return events.ProcessUnknown(name, left)
        case _:
            assert_never(process.state)


def _dead_pid(process: Process) -> int:
    return process.last_exit.pid if process.last_exit else 0


# --- what operators ask for ---------------------------------------------------------------------


def _start_requested(turn: _Turn, by: Requester) -> None:
    match turn.process.state:
        case ProcessState.STOPPED | ProcessState.EXITED | ProcessState.FATAL:
            _start(turn, by, backoff=0)
        case ProcessState.STOPPING:
            turn.log(Level.WARN, f"process '{turn.process.name.process}' already running")
        case ProcessState.STARTING | ProcessState.RUNNING | ProcessState.BACKOFF:
            pass  # already up, or on its way
        case ProcessState.UNKNOWN:
            pass  # its child may be alive
        case _:
            assert_never(turn.process.state)


def _stop_requested(turn: _Turn, by: Requester) -> None:
    match turn.process.state:
        case ProcessState.STARTING | ProcessState.RUNNING:
            _stop(turn, by)
        case ProcessState.BACKOFF:
            _note_stop(turn, by)
            name = turn.process.name.process
            turn.log(Level.DEBUG, f"Attempted to kill {name}, which is in BACKOFF state.")
            turn.enter(ProcessState.STOPPED, wanted=Wanted.DOWN)
        case ProcessState.STOPPED | ProcessState.EXITED | ProcessState.FATAL:
            turn.change(wanted=Wanted.DOWN)
        case ProcessState.STOPPING | ProcessState.UNKNOWN:
            pass
        case _:
            assert_never(turn.process.state)


def _signal_requested(turn: _Turn, signal: int, by: Requester) -> None:
    process = turn.process
    name = process.name.process
    if process.state in SIGNALLABLE_STATES and process.pid:
        sent = process.attempt.signals[1 - SIGNALS_MAX :]
        signals = (*sent, Signalled(signal, turn.now, by))
        turn.change(attempt=replace(process.attempt, signals=signals))
        turn.log(Level.DEBUG, f"sending {name} (pid {process.pid}) sig {signal_name(signal)}")
        turn.signal(signal, to_group=False, purpose=Purpose.SIGNAL)
    else:
        turn.log(
            Level.DEBUG,
            f"attempted to send {name} sig {signal_name(signal)} but it wasn't running",
        )


# --- how a child comes and goes -----------------------------------------------------------------


def _start(turn: _Turn, by: Requester, *, backoff: int) -> None:
    turn.enter(
        ProcessState.STARTING,
        backoff=backoff,
        wanted=Wanted.UP,
        started=turn.now,
        spawned=None,
        stop_sent=None,
        killed=None,
        exitstatus=None,
        spawnerr=None,
        trouble=None,
        told=SILENT,
        watchdog=float(turn.process.config.watchdog),
        failing=None,
        attempt=Attempt(by),
    )
    if turn.process.residue is None:
        turn.spawn()


def _start_again(turn: _Turn) -> None:
    turn.change(restarts=turn.process.restarts + 1)
    _start(turn, AUTORESTART, backoff=turn.process.backoff)


def _spawned(turn: _Turn, pid: int) -> None:
    turn.change(pid=pid, spawned=turn.now, spawnerr=None)
    process = turn.process
    turn.log(Level.INFO, f"spawned: '{process.name.process}' with pid {pid}")
    if process.state is ProcessState.STOPPING:
        _announce_signal(turn, process.config.stopsignal, process.config.stopasgroup)
        _send_stop_signal(turn)
    elif process.config.notify:
        timeout = process.config.start_timeout
        turn.change(deadline=turn.now.mono + timeout if timeout > 0 else None)
    elif process.config.startsecs > 0:
        turn.change(deadline=_up_at(process))
    else:
        _succeed(turn)


def _spawn_failed(turn: _Turn, error: str) -> None:
    turn.log(Level.INFO, f"spawnerr: {error}")
    process = turn.process
    past = PastInvocation(
        number=process.invocation,
        started=process.started,
        ended=turn.now,
        error=error,
        ending=Ending.NOT_SPAWNED,
        attempt=process.attempt,
    )
    turn.change(spawnerr=error, past=past)
    if turn.process.state is ProcessState.STOPPING:
        turn.enter(ProcessState.STOPPED)
    else:
        _fail(turn, error)


def _succeed(turn: _Turn) -> None:
    attempt = replace(turn.process.attempt, ready=turn.now)
    turn.enter(ProcessState.RUNNING, backoff=0, deadline=_ping_due(turn), attempt=attempt)
    config = turn.process.config
    because = (
        "process has told that it is ready (notify)"
        if config.notify
        else f"process has stayed up for > than {config.startsecs} seconds (startsecs)"
    )
    turn.log(Level.INFO, f"success: {turn.process.name.process} entered RUNNING state, {because}")


def _exited(turn: _Turn, status: ExitStatus, *, oom: bool) -> None:
    _end_strays(turn)
    if turn.process.spawned is None:  # its Spawned was overtaken, and is ignored from now on
        turn.change(spawned=turn.now)
    expected = turn.process.failing is None and is_expected(turn.process.config, status)
    match turn.process.state:
        case ProcessState.STARTING if not _was_up(turn):
            _exited_too_quickly(turn, status, oom=oom)
        case ProcessState.STARTING:
            _succeed(turn)
            _exited_by_itself(turn, status, expected=expected, oom=oom)
        case ProcessState.RUNNING:
            _exited_by_itself(turn, status, expected=expected, oom=oom)
        case ProcessState.STOPPING | ProcessState.UNKNOWN:
            _stopped(turn, status, expected=expected, oom=oom)
        case ProcessState.STOPPED | ProcessState.EXITED | ProcessState.FATAL:
            pass  # no child lives in these
        case ProcessState.BACKOFF:
            pass  # nor in this
        case _:
            assert_never(turn.process.state)


def _end_strays(turn: _Turn) -> None:
    process = turn.process
    if process.config.containment is Containment.NONE:
        return
    left = float(process.config.stopwaitsecs)
    if process.stop_sent is not None:
        left -= turn.now.mono - process.stop_sent.mono
    turn.change(residue=process.invocation)
    grace = max(STRAYS_GRACE_MIN, left)
    turn.urgent.append(EndStrays(process.name, process.invocation, grace))


def _grace_max(process: Process) -> float:
    """Return the seconds that what should end is given at most before it is killed."""
    return max(STRAYS_GRACE_MIN, process.config.stopwaitsecs)


def _was_up(turn: _Turn) -> bool:
    """Whether a child that is still STARTING has been up long enough to be RUNNING."""
    return not turn.process.config.notify and turn.now.mono >= _up_at(turn.process)


def _up_at(process: Process) -> float:
    """Return the moment at which a child has been up for startsecs: one sum for both its uses."""
    spawned = process.spawned
    return math.inf if spawned is None else spawned.mono + process.config.startsecs


def _exited_too_quickly(turn: _Turn, status: ExitStatus, *, oom: bool) -> None:
    process = turn.process
    too_early = EXITED_BEFORE_READY if process.config.notify else EXITED_TOO_QUICKLY
    error = (process.failing or too_early) + _memory(turn, oom=oom) + process.told.last_words()
    _record_exit(turn, status, expected=False, oom=oom, spawnerr=error)
    _log_exit(turn, status, expected=False, oom=oom)
    _fail(turn, error)


def _exited_by_itself(turn: _Turn, status: ExitStatus, *, expected: bool, oom: bool) -> None:
    process = turn.process
    bad = f"Bad exit code {status.value}{_memory(turn, oom=oom)}"
    spawnerr = process.spawnerr if expected else bad
    _record_exit(
        turn, status, expected=expected, oom=oom, exitstatus=status.value, spawnerr=spawnerr
    )
    _log_exit(turn, status, expected=expected, oom=oom)
    turn.enter(ProcessState.EXITED)
    last_words = "" if expected else process.told.last_words()
    _restart_or_not(turn, ExitedByItself(status, process.failing, last_words, oom))


def _stopped(turn: _Turn, status: ExitStatus, *, expected: bool, oom: bool) -> None:
    _record_exit(turn, status, expected=expected, oom=oom, exitstatus=status.value)
    turn.log(
        Level.INFO if expected else Level.WARN,
        f"stopped: {turn.process.name.process} ({_describe(turn, status, oom=oom)})",
    )
    if turn.process.residue is None or turn.process.state is ProcessState.UNKNOWN:
        turn.enter(ProcessState.STOPPED)
    else:
        turn.wait_for_strays()


def _describe(turn: _Turn, status: ExitStatus, *, oom: bool) -> str:
    return describe_end(status, oom=oom, memory_max=turn.process.config.limits.memory_max)


def _memory(turn: _Turn, *, oom: bool) -> str:
    return out_of_memory(turn.process.config.limits.memory_max) if oom else ""


def _record_exit(
    turn: _Turn, status: ExitStatus, *, expected: bool, oom: bool, **values: Any
) -> None:
    process = turn.process
    record = ExitRecord(process.pid, status, turn.now, expected, process.invocation, oom)
    past = PastInvocation(
        number=process.invocation,
        pid=process.pid,
        started=process.started,
        spawned=process.spawned,
        ended=turn.now,
        status=status,
        expected=expected,
        oom=oom,
        error=process.failing or "",
        ending=ending_of(process.attempt, status, oom=oom),
        killed=process.killed is not None,
        attempt=process.attempt,
    )
    turn.change(pid=0, last_exit=record, past=past, **values)


def _log_exit(turn: _Turn, status: ExitStatus, *, expected: bool, oom: bool) -> None:
    turn.log(
        Level.INFO if expected else Level.WARN,
        f"exited: {turn.process.name.process} ({_describe(turn, status, oom=oom)}; "
        f"{'expected' if expected else 'not expected'})",
    )


def _cleared(turn: _Turn, strays: int) -> None:
    held, past = turn.process.held, turn.process.past
    if strays and past is not None and past.number == turn.process.residue:
        turn.change(past=replace(past, strays=strays))
    turn.change(residue=None)
    match turn.process.state:
        case ProcessState.STARTING if held:
            turn.spawn()
        case ProcessState.STOPPING:  # no child: it is gone, or never came to be
            turn.enter(ProcessState.STOPPED)
        case ProcessState.STOPPED | ProcessState.EXITED | ProcessState.FATAL:
            turn.change(deadline=None)
        case ProcessState.BACKOFF | ProcessState.STARTING:
            pass  # their deadline is about something else
        case ProcessState.RUNNING | ProcessState.UNKNOWN:
            pass  # a child lives, so nothing was left behind
        case _:
            assert_never(turn.process.state)


# --- what follows an end ------------------------------------------------------------------------


def _fail(turn: _Turn, error: str) -> None:
    failures = turn.process.backoff + 1
    turn.enter(ProcessState.BACKOFF, backoff=failures)
    _restart_or_not(turn, FailedStart(error, failures))


def _restart_or_not(turn: _Turn, end: FailedStart | ExitedByItself) -> None:
    decision = decide(turn.process.config, end, turn.now.mono)
    _note_decision(turn, decision)
    match decision:
        case GiveUp():
            _give_up(turn)
        case Rest():
            pass
        case Restart() if turn.process.wanted is Wanted.DOWN:
            pass  # the daemon is stopping
        case Restart(at=at) if at <= turn.now.mono:
            _start_again(turn)
        case Restart(at=at):
            turn.change(deadline=at)
        case _:
            assert_never(decision)


def _note_decision(turn: _Turn, decision: Decision) -> None:
    past = turn.process.past
    assert past is not None
    following = Next.REST
    if isinstance(decision, GiveUp):
        following = Next.GIVE_UP
    elif isinstance(decision, Restart) and turn.process.wanted is Wanted.UP:
        following = Next.RESTART
    past = replace(past, decision=following, reason=decision.reason)
    turn.change(reason=decision.reason, past=past)


def _give_up(turn: _Turn) -> None:
    turn.enter(ProcessState.FATAL, backoff=0)
    turn.log(
        Level.INFO,
        f"gave up: {turn.process.name.process} entered FATAL state, "
        "too many start retries too quickly",
    )


# --- what the child says ------------------------------------------------------------------------


def _notified(turn: _Turn, notice: Notice) -> None:
    process = turn.process
    turn.change(told=process.told.after(notice))
    if notice.main_pid is not None and notice.main_pid != process.pid:
        turn.change(pid=notice.main_pid)
        turn.log(
            Level.INFO, f"{process.name.process} says that its main process is {turn.process.pid}"
        )
        ending = process.state is ProcessState.STOPPING or process.failing is not None
        if ending and process.stop_sent is not None:  # only the one before got the signal
            turn.signal(
                process.config.stopsignal,
                to_group=process.config.stopasgroup,
                purpose=Purpose.STOP,
            )
    match process.state:
        case ProcessState.STARTING | ProcessState.RUNNING if process.failing is not None:
            pass  # too late
        case ProcessState.STARTING:
            _notified_while_starting(turn, notice)
        case ProcessState.RUNNING:
            _notified_while_running(turn, notice, process.told)
        case ProcessState.STOPPING:
            _extend(turn, notice)
        case ProcessState.UNKNOWN:
            pass
        case ProcessState.STOPPED | ProcessState.EXITED | ProcessState.FATAL:
            pass  # no child lives in these
        case ProcessState.BACKOFF:
            pass  # nor in this
        case _:
            assert_never(process.state)


def _notified_while_starting(turn: _Turn, notice: Notice) -> None:
    if notice.watchdog is not None:
        turn.change(watchdog=notice.watchdog)
    if notice.trigger:
        _end_triggered(turn)
    elif notice.ready and turn.process.config.notify:
        _succeed(turn)
    elif turn.process.config.notify:
        _extend(turn, notice)


def _notified_while_running(turn: _Turn, notice: Notice, before: Told) -> None:
    process, name = turn.process, turn.process.name.process
    if notice.stopping and not before.stopping:
        turn.log(Level.INFO, f"{name} says that it is stopping")
        turn.change(deadline=turn.now.mono + max(0, process.config.stopwaitsecs))
    if process.told.stopping:
        _extend(turn, notice)
        return
    if process.told.reloading is not before.reloading:
        doing = "is reloading" if process.told.reloading else "has reloaded"
        turn.log(Level.INFO, f"{name} says that it {doing}")
    if notice.trigger:
        _end_triggered(turn)
        return
    if notice.watchdog is not None:
        turn.change(watchdog=notice.watchdog)
    if notice.ping or notice.watchdog is not None:
        turn.change(deadline=_ping_due(turn))


def _end_triggered(turn: _Turn) -> None:
    failing = "it reported a failure (WATCHDOG=trigger)"
    _end_failing(turn, Ending.TRIGGER, failing, int(SIGABRT))


def _ping_due(turn: _Turn) -> float | None:
    """Return the moment until which the watchdog waits for a ping, None where it does not."""
    process = turn.process
    if process.told.stopping:
        return turn.now.mono + max(0, process.config.stopwaitsecs)
    return turn.now.mono + process.watchdog if process.watchdog > 0 else None


def speaks_within(process: Process) -> float | None:
    """Return within how many seconds a child must say something, None where it need not now."""
    if not process.pid or process.failing is not None or process.told.stopping:
        return None
    match process.state:
        case ProcessState.STARTING if process.config.notify:
            return float(process.config.start_timeout)
        case ProcessState.RUNNING:
            return process.watchdog
        case _:
            return None


def _extend(turn: _Turn, notice: Notice) -> None:
    """Put the deadline off, if that is asked for; it never comes sooner for it."""
    deadline = turn.process.deadline
    if notice.extend is not None and deadline is not None and turn.process.killed is None:
        turn.change(deadline=max(deadline, turn.now.mono + notice.extend))


def _end_failing(turn: _Turn, ending: Ending, failing: str, number: int) -> None:
    """Begin to end a child that is wanted up but does not do what it must."""
    process = turn.process
    turn.log(
        Level.WARN,
        f"{process.name.process}: {failing}, ending it with {signal_name(number)}",
    )
    _note_failing(turn, ending, failing)
    _ask_to_end(turn, number)


def _note_failing(turn: _Turn, ending: Ending, failing: str) -> None:
    turn.change(failing=failing, attempt=replace(turn.process.attempt, failing=ending))


# --- stopping -----------------------------------------------------------------------------------


def _note_stop(turn: _Turn, by: Requester) -> None:
    turn.change(attempt=replace(turn.process.attempt, stopped_by=by, stop_asked=turn.now))


def _stop(turn: _Turn, by: Requester) -> None:
    _note_stop(turn, by)
    turn.change(wanted=Wanted.DOWN)
    if turn.process.pid:
        _announce_signal(turn, turn.process.config.stopsignal, turn.process.config.stopasgroup)
    turn.enter(ProcessState.STOPPING)
    if turn.process.pid:
        _send_stop_signal(turn)


def _send_stop_signal(turn: _Turn) -> None:
    _ask_to_end(turn, turn.process.config.stopsignal)


def _ask_to_end(turn: _Turn, number: int) -> None:
    config = turn.process.config
    turn.signal(number, to_group=config.stopasgroup, purpose=Purpose.STOP)
    turn.change(stop_sent=turn.now, deadline=turn.now.mono + max(0, config.stopwaitsecs))


def _kill_again_later(turn: _Turn) -> None:
    _kill(turn)
    pause = max(KILL_INTERVAL_MIN, turn.process.config.stopwaitsecs)
    turn.change(deadline=turn.now.mono + pause)


def _kill(turn: _Turn) -> None:
    process = turn.process
    to_group = process.config.killasgroup
    turn.log(Level.WARN, f"killing '{process.name.process}' ({process.pid}) with SIGKILL")
    _announce_signal(turn, int(SIGKILL), to_group)
    turn.signal(int(SIGKILL), to_group=to_group, purpose=Purpose.KILL)
    turn.change(killed=turn.now)


def _announce_signal(turn: _Turn, number: int, to_group: bool) -> None:
    process = turn.process
    target = "process group " if to_group else ""
    turn.log(
        Level.DEBUG,
        f"killing {process.name.process} (pid {process.pid}) {target}"
        f"with signal {signal_name(number)}",
    )


def _signal_failed(turn: _Turn, error: str) -> None:
    turn.log(Level.CRITICAL, error)
    turn.change(trouble=error)
    if turn.process.state is not ProcessState.UNKNOWN:
        turn.enter(ProcessState.UNKNOWN)


def _deadline_passed(turn: _Turn) -> None:
    process = turn.process
    match process.state:
        case ProcessState.STARTING | ProcessState.RUNNING if process.failing is not None:
            _kill_again_later(turn)
        case ProcessState.STARTING if process.pid and process.config.notify:
            timeout = f"not ready within {process.config.start_timeout} seconds (start_timeout)"
            _end_failing(turn, Ending.START_TIMEOUT, timeout, process.config.stopsignal)
        case ProcessState.STARTING if process.pid:
            _succeed(turn)
        case ProcessState.BACKOFF:
            _start_again(turn)
        case ProcessState.STOPPING if process.pid:
            _kill_again_later(turn)
        case ProcessState.STOPPING:
            _lose_patience_with_strays(turn)
            turn.enter(ProcessState.STOPPED, deadline=None)
        case ProcessState.STARTING | ProcessState.STOPPED | ProcessState.EXITED:
            _lose_patience_with_strays(turn)
        case ProcessState.FATAL:
            _lose_patience_with_strays(turn)
        case ProcessState.UNKNOWN:
            _go_on_without(turn)
        case ProcessState.RUNNING if process.told.stopping:
            failing = "it said that it was stopping, and did not end (stopwaitsecs)"
            _note_failing(turn, Ending.STOPPING_TIMEOUT, failing)
            _kill_again_later(turn)
        case ProcessState.RUNNING:
            timeout = f"no ping within {process.watchdog:g} seconds (watchdog)"
            _end_failing(turn, Ending.WATCHDOG, timeout, int(SIGABRT))
        case _:
            assert_never(process.state)


def _lose_patience_with_strays(turn: _Turn) -> None:
    turn.change(deadline=None)
    turn.log(
        Level.WARN,
        f"cannot end what {turn.process.name.process} left behind; "
        "it is not started again while that is alive",
    )


# --- another configuration ----------------------------------------------------------------------


def _reconfigured(turn: _Turn, config: ProcessConfig) -> None:
    before = turn.process
    turn.change(config=config)
    turn.change(deadline=_due_by_now(before, turn.process))
    turn.urgent.append(Reconfigure(before.name, config))


def _due_by_now(before: Process, after: Process) -> float | None:
    """Return the deadline of a process that has another configuration than before."""
    due, old, new = before.deadline, before.config, after.config
    stopwaitsecs = max(0, new.stopwaitsecs) - max(0, old.stopwaitsecs)
    if not after.pid or after.killed is not None:
        return due  # what it waits for was decided when that began
    match after.state:
        case ProcessState.STOPPING:
            return _later(due, stopwaitsecs)
        case ProcessState.STARTING | ProcessState.RUNNING if after.failing is not None:
            return _later(due, stopwaitsecs)
        case ProcessState.RUNNING if after.told.stopping:
            return _later(due, stopwaitsecs)
        case ProcessState.STARTING if not new.notify:
            return _up_at(after)
        case ProcessState.STARTING if new.start_timeout <= 0:
            return None
        case ProcessState.STARTING if due is None and after.spawned is not None:
            return after.spawned.mono + new.start_timeout
        case ProcessState.STARTING:
            return _later(due, new.start_timeout - old.start_timeout)
        case _:
            return due


def _later(due: float | None, seconds: float) -> float | None:
    return None if due is None else due + seconds


# --- the daemon stops ---------------------------------------------------------------------------


def _shutdown_began(turn: _Turn, by: Requester) -> None:
    turn.change(wanted=Wanted.DOWN)
    match turn.process.state:
        case ProcessState.STARTING if turn.process.held:
            _note_stop(turn, by)
            turn.enter(ProcessState.STOPPING)  # there is nothing to wait for a turn with
        case ProcessState.BACKOFF:
            turn.change(deadline=None)
        case ProcessState.STARTING | ProcessState.RUNNING | ProcessState.STOPPING:
            pass  # their turn comes, or has come
        case ProcessState.STOPPED | ProcessState.EXITED | ProcessState.FATAL:
            pass
        case ProcessState.UNKNOWN:
            pass
        case _:
            assert_never(turn.process.state)


def _shutdown_reached(turn: _Turn, by: Requester) -> None:
    match turn.process.state:
        case ProcessState.STARTING | ProcessState.RUNNING:
            _stop(turn, by)
        case ProcessState.BACKOFF:
            _note_stop(turn, by)
            turn.enter(ProcessState.FATAL, backoff=0)
        case ProcessState.UNKNOWN if turn.process.pid:
            _note_stop(turn, by)
            _kill(turn)
            turn.change(deadline=turn.now.mono + _grace_max(turn.process))
        case ProcessState.STOPPED | ProcessState.STOPPING | ProcessState.EXITED:
            pass  # down, or on its way
        case ProcessState.FATAL | ProcessState.UNKNOWN:
            pass
        case _:
            assert_never(turn.process.state)


def _go_on_without(turn: _Turn) -> None:
    process = turn.process
    turn.change(deadline=None)
    turn.log(
        Level.CRITICAL,
        f"cannot stop {process.name.process} (pid {process.pid}), going on without",
    )
