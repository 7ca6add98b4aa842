"""Processes: how they are, start, stop, signal, and their stdin.

Every check is made in the order in which Supervisor makes it, since clients tell faults apart. A
method that waits watches the process from the moment of the request: a program that was RUNNING
for an instant counts as started, however soon it ended.
"""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

import re
import signal as signals
from collections.abc import Awaitable, Callable, Iterable, Sequence

from sdsuper import eventloop
from sdsuper.core.facts import SignalRequested, StartRequested, StopRequested
from sdsuper.core.process import ExitRecord
from sdsuper.core.states import (
    RUNNING_STATES,
    SIGNALLABLE_STATES,
    STOPPED_STATES,
    ProcessState,
)
from sdsuper.daemon.command import CommandNotExecutableError, CommandNotFoundError
from sdsuper.daemon.loop import Daemon
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.caller import requester
from sdsuper.server.lookup import find_group, find_members, find_process, full_name
from sdsuper.server.registry import Registry, method
from sdsuper.values import Level, Namespec

STOP_REPORT_SECONDS = 2.0
"""How often the log says which process a client is waiting for (Supervisor's interval)."""

Outcome = Fault | None
"""How one process of many fared; None for well."""

START_FAULTS = (
    FaultCode.NO_FILE,
    FaultCode.NOT_EXECUTABLE,
    FaultCode.ALREADY_STARTED,
    FaultCode.FAILED,
    FaultCode.SPAWN_ERROR,
    FaultCode.ABNORMAL_TERMINATION,
    FaultCode.BAD_NAME,
)
STOP_FAULTS = (FaultCode.NOT_RUNNING, FaultCode.FAILED, FaultCode.BAD_NAME)
SIGNAL_FAULTS = (
    FaultCode.BAD_SIGNAL,
    FaultCode.NOT_RUNNING,
    FaultCode.FAILED,
    FaultCode.BAD_NAME,
)


# -- information -----------------------------------------------------------------------------------


@method("supervisor.getProcessInfo", faults=(FaultCode.BAD_NAME,))
def get_process_info(registry: Registry, name: str) -> dict[str, object]:
    """Return how a process is.

    Args:
        name: name of the process (or group:name)

    Returns:
        a struct
    """
    return registry.infos.one(find_process(registry.daemon, name))  # type: ignore[return-value]


@method("supervisor.getAllProcessInfo")
def get_all_process_info(registry: Registry) -> list[dict[str, object]]:
    """Return how every process is.

    Returns:
        an array of structs, by group and name
    """
    return registry.infos.all()  # type: ignore[return-value]


# -- start -----------------------------------------------------------------------------------------


@method("supervisor.startProcess", faults=START_FAULTS)
async def start_process(daemon: Daemon, name: str, wait: bool = True) -> bool | list[object]:
    """Start a process, or a whole group.

    Args:
        name: name of the process (or group:name, or group:*)
        wait: whether to wait until it is RUNNING or has failed

    Returns:
        true, unless there is a fault; for a group an array of results
    """
    members = find_members(daemon, name)
    if members is not None:
        return await _start_all(daemon, members, wait)
    pending = _begin_start(daemon, find_process(daemon, name), name, wait)
    if pending is not None:
        await pending
    return True


@method("supervisor.startProcessGroup", faults=(FaultCode.BAD_NAME,))
async def start_process_group(daemon: Daemon, name: str, wait: bool = True) -> list[object]:
    """Start all processes of a group that are not running.

    Args:
        name: name of the group
        wait: whether to wait until each is RUNNING or has failed

    Returns:
        an array of structs with the keys name, group, status and description
    """
    return await _start_all(daemon, find_group(daemon, name), wait)


@method("supervisor.startAllProcesses")
async def start_all_processes(daemon: Daemon, wait: bool = True) -> list[object]:
    """Start all processes that are not running.

    Args:
        wait: whether to wait until each is RUNNING or has failed

    Returns:
        an array of structs with the keys name, group, status and description
    """
    return await _start_all(daemon, _everything(daemon), wait)


async def _start_all(daemon: Daemon, names: Iterable[Namespec], wait: bool) -> list[object]:
    processes = daemon.manager.processes
    chosen = [name for name in names if processes[name].state not in RUNNING_STATES]
    return await _collect(
        chosen, chosen, lambda name: _begin_start(daemon, name, full_name(name), wait)
    )


def _begin_start(daemon: Daemon, name: Namespec, sent: str, wait: bool) -> Awaitable[None] | None:
    """Start one process (`sent`: as faults repeat its name); return what is left to wait for.

    Raises:
        Fault: It cannot be started, or has failed at once.
    """
    _check_startable(daemon, name, sent)
    ended_before = daemon.manager.processes[name].last_exit
    daemon.submit(StartRequested(name, requester()))
    verdict = _start_verdict(daemon, name, ended_before)
    if verdict is None and wait:
        return _started(daemon, name, sent, ended_before)
    # Without waiting only what is wrong already is told: on a process that is stopping, nothing.
    if verdict == FaultCode.SPAWN_ERROR or (verdict == FaultCode.ABNORMAL_TERMINATION and wait):
        raise Fault(verdict, sent)
    return None


def _check_startable(daemon: Daemon, name: Namespec, sent: str) -> None:
    try:
        daemon.check_command(name)
    except CommandNotFoundError as error:
        raise Fault(FaultCode.NO_FILE, str(error)) from error
    except CommandNotExecutableError as error:
        raise Fault(FaultCode.NOT_EXECUTABLE, str(error)) from error
    state = daemon.manager.processes[name].state
    if state in RUNNING_STATES:
        raise Fault(FaultCode.ALREADY_STARTED, sent)
    if state is ProcessState.UNKNOWN:
        raise Fault(FaultCode.FAILED, f"{sent} is in an unknown process state")


async def _started(
    daemon: Daemon, name: Namespec, sent: str, ended_before: ExitRecord | None
) -> None:
    """Wait until a process is RUNNING.

    Raises:
        Fault: SPAWN_ERROR when its first attempt failed, ABNORMAL_TERMINATION when it went
            another way (somebody stopped it).
    """
    verdict: int | None = None

    def done() -> bool:
        # What decides is kept: by the time we go on, the process may be elsewhere.
        nonlocal verdict
        verdict = _start_verdict(daemon, name, ended_before)
        return verdict is not None

    await daemon.until(done, (name,))
    if verdict is not None and verdict != FaultCode.SUCCESS:
        raise Fault(verdict, sent)


def _start_verdict(daemon: Daemon, name: Namespec, ended_before: ExitRecord | None) -> int | None:
    """Return how a start ended, as a fault code; None while it is under way.

    Args:
        ended_before: How the process had ended before the request.
    """
    process = daemon.manager.processes.get(name)
    state = process.state if process is not None else None
    match state:
        case ProcessState.RUNNING | ProcessState.EXITED:
            return FaultCode.SUCCESS  # only what was RUNNING can be EXITED
        case ProcessState.STARTING:
            # Up, gone and started again, all at once: startsecs=0, autorestart=true.
            again = process is not None and process.last_exit is not ended_before
            return FaultCode.SUCCESS if again else None
        case ProcessState.BACKOFF | ProcessState.FATAL:
            return FaultCode.SPAWN_ERROR
        case _:
            return FaultCode.ABNORMAL_TERMINATION


# -- stop ------------------------------------------------------------------------------------------


@method("supervisor.stopProcess", faults=STOP_FAULTS)
async def stop_process(daemon: Daemon, name: str, wait: bool = True) -> bool | list[object]:
    """Stop a process, or a whole group.

    Args:
        name: name of the process (or group:name, or group:*)
        wait: whether to wait until it is down

    Returns:
        true, unless there is a fault; for a group an array of results
    """
    members = find_members(daemon, name)
    if members is not None:
        return await stop_all(daemon, members, wait)
    pending = _begin_stop(daemon, find_process(daemon, name), name, wait)
    if pending is not None:
        await pending
    return True


@method("supervisor.stopProcessGroup", faults=(FaultCode.BAD_NAME,))
async def stop_process_group(daemon: Daemon, name: str, wait: bool = True) -> list[object]:
    """Stop all processes of a group that are running.

    Args:
        name: name of the group
        wait: whether to wait until each is down

    Returns:
        an array of structs with the keys name, group, status and description
    """
    return await stop_all(daemon, find_group(daemon, name), wait)


@method("supervisor.stopAllProcesses")
async def stop_all_processes(daemon: Daemon, wait: bool = True) -> list[object]:
    """Stop all processes that are running.

    Args:
        wait: whether to wait until each is down

    Returns:
        an array of structs with the keys name, group, status and description
    """
    return await stop_all(daemon, _everything(daemon), wait)


async def stop_all(daemon: Daemon, names: Iterable[Namespec], wait: bool) -> list[object]:
    """Stop in descending priority; results known at once keep the ascending order."""
    processes = daemon.manager.processes
    chosen = [name for name in names if processes[name].state in RUNNING_STATES]
    return await _collect(
        chosen, chosen[::-1], lambda name: _begin_stop(daemon, name, full_name(name), wait)
    )


def _begin_stop(daemon: Daemon, name: Namespec, sent: str, wait: bool) -> Awaitable[None] | None:
    """Ask one process to stop; return what is left to wait for.

    Raises:
        Fault: It is not running, or cannot be signalled.
    """
    if daemon.manager.processes[name].state not in RUNNING_STATES:
        raise Fault(FaultCode.NOT_RUNNING, sent)
    daemon.submit(StopRequested(name, requester()))
    process = daemon.manager.processes[name]
    if process.state is ProcessState.UNKNOWN:
        raise Fault(FaultCode.FAILED, process.trouble or "")
    if not wait or process.state in STOPPED_STATES:
        return None
    return _stopped(daemon, name)


async def _stopped(daemon: Daemon, name: Namespec) -> None:
    """Wait until a process is down, and say so in the log now and then."""

    def done() -> bool:
        process = daemon.manager.processes.get(name)
        return process is None or process.state in STOPPED_STATES

    while not done():
        daemon.log.log(Level.INFO, f"waiting for {name.process} to stop")
        try:
            with eventloop.timeout(STOP_REPORT_SECONDS):
                await daemon.until(done, (name,))
                return  # it was down, if only for a moment
        except TimeoutError:
            continue


# -- signal ----------------------------------------------------------------------------------------


@method("supervisor.signalProcess", faults=SIGNAL_FAULTS)
def signal_process(daemon: Daemon, name: str, signal: object) -> bool | list[object]:
    """Send a signal to a process, or to every process of a group.

    Args:
        name: name of the process (or group:name, or group:*)
        signal: name of the signal, with or without SIG, or its number

    Returns:
        true, unless there is a fault; for a group an array of results
    """
    members = find_members(daemon, name)
    if members is not None:
        return _signal_all(daemon, members, signal)
    _send_signal(daemon, find_process(daemon, name), name, signal)
    return True


@method("supervisor.signalProcessGroup", faults=(FaultCode.BAD_NAME,))
def signal_process_group(daemon: Daemon, name: str, signal: object) -> list[object]:
    """Send a signal to every process of a group.

    Args:
        name: name of the group
        signal: name of the signal, with or without SIG, or its number

    Returns:
        an array of structs with the keys name, group, status and description
    """
    return _signal_all(daemon, find_group(daemon, name), signal)


@method("supervisor.signalAllProcesses")
def signal_all_processes(daemon: Daemon, signal: object) -> list[object]:
    """Send a signal to every process.

    Args:
        signal: name of the signal, with or without SIG, or its number

    Returns:
        an array of structs with the keys name, group, status and description
    """
    return _signal_all(daemon, _everything(daemon), signal)


def _signal_all(daemon: Daemon, names: Iterable[Namespec], signal: object) -> list[object]:
    processes = daemon.manager.processes
    chosen = [name for name in names if processes[name].state in SIGNALLABLE_STATES]
    return [_result(name, _signal_outcome(daemon, name, signal)) for name in chosen]


def _signal_outcome(daemon: Daemon, name: Namespec, signal: object) -> Outcome:
    try:
        _send_signal(daemon, name, full_name(name), signal)
    except Fault as fault:
        return fault
    return None


def _send_signal(daemon: Daemon, name: Namespec, sent: str, signal: object) -> None:
    number = signal_number(signal)
    before = daemon.manager.processes[name]
    if before.state not in SIGNALLABLE_STATES:
        raise Fault(FaultCode.NOT_RUNNING, sent)
    daemon.submit(SignalRequested(name, number, requester()))
    after = daemon.manager.processes[name]
    if after.state is ProcessState.UNKNOWN:
        raise Fault(FaultCode.FAILED, after.trouble or "")


def signal_number(signal: object) -> int:
    """Return the number of a signal as a client writes it; 0 probes whether the process exists.

    Raises:
        Fault: BAD_SIGNAL, when there is none.
    """
    text = str(signal).strip()
    # Before int() sees it: it takes digits of every script, and 1_0.
    number = int(text) if re.fullmatch("[0-9]{1,4}", text) else _signal_by_name(text.upper())
    if 0 <= number < signals.NSIG:
        return number
    raise Fault(FaultCode.BAD_SIGNAL, str(signal))


def _signal_by_name(name: str) -> int:
    word = name.removeprefix("SIG")
    base, plus, offset = word.partition("+")
    known = signals.Signals.__members__.get(f"SIG{base}")
    if known is None or (plus and (base != "RTMIN" or not re.fullmatch("[0-9]{1,2}", offset))):
        return -1
    return int(known) + (int(offset) if plus else 0)


# -- stdin -----------------------------------------------------------------------------------------


@method(
    "supervisor.sendProcessStdin",
    faults=(FaultCode.NOT_RUNNING, FaultCode.NO_FILE, FaultCode.FAILED, FaultCode.BAD_NAME),
)
def send_process_stdin(daemon: Daemon, name: str, chars: object) -> bool:
    """Write text to the standard input of a process. No newline is added.

    Args:
        name: name of the process (or group:name)
        chars: the text, sent as UTF-8

    Returns:
        true, unless there is a fault
    """
    if not isinstance(chars, str):
        raise Fault(FaultCode.INCORRECT_PARAMETERS, str(chars))
    found = find_process(daemon, name)
    process = daemon.manager.processes[found]
    if not process.pid or process.state is ProcessState.STOPPING:
        raise Fault(FaultCode.NOT_RUNNING, name)
    try:
        daemon.write_stdin(found, chars.encode("utf-8", "surrogateescape"))
    except BrokenPipeError:
        raise Fault(FaultCode.NO_FILE, name) from None
    except BufferError:
        raise Fault(FaultCode.FAILED, f"{name} does not read its stdin") from None
    return True


# -- many at once ----------------------------------------------------------------------------------


def _everything(daemon: Daemon) -> list[Namespec]:
    return [name for group in daemon.manager.groups.values() for name in group.names]


async def _collect(
    shown: Sequence[Namespec],
    order: Iterable[Namespec],
    begin: Callable[[Namespec], Awaitable[None] | None],
) -> list[object]:
    """Begin with every process at once; return the results.

    Args:
        shown: The order of the results that are known at once; the others follow as they end.
        order: The order in which to begin.
        begin: Begins with one process, returns what is left to wait for, or raises a fault.
    """
    known: dict[Namespec, Outcome] = {}
    pending: dict[Namespec, Awaitable[None]] = {}
    for name in order:
        try:
            waiting = begin(name)
        except Fault as fault:
            known[name] = fault
        else:
            if waiting is None:
                known[name] = None
            else:
                pending[name] = waiting
    results = [_result(name, known[name]) for name in shown if name in known]

    async def finish(name: Namespec, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except Fault as fault:
            results.append(_result(name, fault))
        else:
            results.append(_result(name, None))

    await eventloop.gather(finish(name, waiting) for name, waiting in pending.items())
    return results


def _result(name: Namespec, outcome: Outcome) -> object:
    return {
        "name": name.process,
        "group": name.group,
        "status": FaultCode.SUCCESS if outcome is None else outcome.code,
        "description": "OK" if outcome is None else outcome.text,
    }
