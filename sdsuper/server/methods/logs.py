"""Logs: read a window, read the tail, clear. Of the daemon itself and of processes."""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

import os
from collections.abc import Awaitable

from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.readback import Channel
from sdsuper.logs import tail
from sdsuper.logs.readback import NO_JOURNAL, ReadbackError
from sdsuper.logs.tail import to_text
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.http import Abandonable
from sdsuper.server.lookup import find_process
from sdsuper.server.registry import method
from sdsuper.values import Level, Namespec

READ_FAULTS = (
    FaultCode.NO_FILE,
    FaultCode.BAD_ARGUMENTS,
    FaultCode.FAILED,
    FaultCode.BAD_NAME,
)


# -- the daemon's own log --------------------------------------------------------------------------


@method(
    "supervisor.readLog",
    "supervisor.readMainLog",
    faults=(FaultCode.NO_FILE, FaultCode.BAD_ARGUMENTS, FaultCode.FAILED),
)
def read_log(daemon: Daemon, offset: int, length: int) -> str:
    """Read from the log of the daemon.

    Args:
        offset: the byte to begin at; negative: that many bytes before the end
        length: how many bytes at most; 0: up to the end

    Returns:
        the text
    """
    return _read(daemon.log.path, offset, length)


@method("supervisor.clearLog", faults=(FaultCode.NO_FILE, FaultCode.FAILED))
def clear_log(daemon: Daemon) -> bool:
    """Empty the log of the daemon.

    Returns:
        true, unless there is a fault
    """
    if daemon.log.path is None or not os.path.exists(daemon.log.path):
        raise Fault(FaultCode.NO_FILE)
    try:
        daemon.log.clear()
    except OSError as error:
        raise Fault(FaultCode.FAILED) from error
    daemon.log.log(Level.INFO, "reopening log file")
    return True


# -- the logs of processes -------------------------------------------------------------------------


@method(
    "supervisor.readProcessStdoutLog",
    "supervisor.readProcessLog",
    faults=READ_FAULTS,
)
def read_process_stdout_log(
    daemon: Daemon, name: str, offset: int, length: int
) -> str | Awaitable[str]:
    """Read from the stdout log of a process.

    Args:
        name: name of the process (or group:name)
        offset: the byte to begin at; negative: that many bytes before the end
        length: how many bytes at most; 0: up to the end

    Returns:
        the text
    """
    return _read_channel(daemon, Channel(find_process(daemon, name), "stdout"), offset, length)


@method("supervisor.readProcessStderrLog", faults=READ_FAULTS)
def read_process_stderr_log(
    daemon: Daemon, name: str, offset: int, length: int
) -> str | Awaitable[str]:
    """Read from the stderr log of a process.

    Args:
        name: name of the process (or group:name)
        offset: the byte to begin at; negative: that many bytes before the end
        length: how many bytes at most; 0: up to the end

    Returns:
        the text
    """
    return _read_channel(daemon, Channel(find_process(daemon, name), "stderr"), offset, length)


@method(
    "supervisor.tailProcessStdoutLog",
    "supervisor.tailProcessLog",
    faults=(FaultCode.FAILED, FaultCode.BAD_NAME),
)
def tail_process_stdout_log(
    daemon: Daemon, name: str, offset: int, length: int
) -> list[object] | Awaitable[list[object]]:
    """Read what a stdout log has beyond an offset, to follow it by asking again.

    Args:
        name: name of the process (or group:name)
        offset: where the last call ended, 0 at first
        length: how many bytes at most

    Returns:
        [text, offset for the next call, whether there was more than fits]
    """
    return _tail_channel(daemon, Channel(find_process(daemon, name), "stdout"), offset, length)


@method("supervisor.tailProcessStderrLog", faults=(FaultCode.FAILED, FaultCode.BAD_NAME))
def tail_process_stderr_log(
    daemon: Daemon, name: str, offset: int, length: int
) -> list[object] | Awaitable[list[object]]:
    """Read what a stderr log has beyond an offset, to follow it by asking again.

    Args:
        name: name of the process (or group:name)
        offset: where the last call ended, 0 at first
        length: how many bytes at most

    Returns:
        [text, offset for the next call, whether there was more than fits]
    """
    return _tail_channel(daemon, Channel(find_process(daemon, name), "stderr"), offset, length)


@method(
    "supervisor.clearProcessLogs",
    "supervisor.clearProcessLog",
    faults=(FaultCode.FAILED, FaultCode.BAD_NAME),
)
def clear_process_logs(daemon: Daemon, name: str) -> bool:
    """Empty both logs of a process, running or not.

    Args:
        name: name of the process (or group:name)

    Returns:
        true, unless there is a fault
    """
    _clear(daemon, find_process(daemon, name), name)
    return True


@method("supervisor.clearAllProcessLogs")
def clear_all_process_logs(daemon: Daemon) -> list[object]:
    """Empty the logs of all processes.

    Returns:
        an array of structs with the keys name, group, status and description
    """
    names = [name for group in daemon.manager.groups.values() for name in group.names]
    return [_cleared(daemon, name) for name in names]


def _cleared(daemon: Daemon, name: Namespec) -> object:
    status, description = int(FaultCode.SUCCESS), "OK"
    try:
        _clear(daemon, name, str(name))
    except Fault as fault:
        status, description = fault.code, fault.text
    return {
        "name": name.process,
        "group": name.group,
        "status": status,
        "description": description,
    }


def _clear(daemon: Daemon, name: Namespec, sent: str) -> None:
    try:
        daemon.clear_logs(name)
    except OSError as error:
        raise Fault(FaultCode.FAILED, sent) from error


# -- the journal -----------------------------------------------------------------------------------


def _read_channel(
    daemon: Daemon, channel: Channel, offset: int, length: int
) -> str | Awaitable[str]:
    if daemon.is_in_journal_alone(*channel):
        return Abandonable(_read_journal(daemon, channel, offset, length))
    return _read(daemon.log_path(*channel), offset, length)


async def _read_journal(daemon: Daemon, channel: Channel, offset: int, length: int) -> str:
    try:
        tail.read_window(0, offset, length)
        return to_text(await daemon.readback.read(channel, offset, length))
    except tail.WindowError as error:
        raise Fault(FaultCode.BAD_ARGUMENTS) from error
    except ReadbackError as error:
        missing = error.kind == NO_JOURNAL
        raise Fault(FaultCode.NO_FILE if missing else FaultCode.FAILED, str(error)) from error


def _tail_channel(
    daemon: Daemon, channel: Channel, offset: int, length: int
) -> list[object] | Awaitable[list[object]]:
    if daemon.is_in_journal_alone(*channel):
        return Abandonable(_tail_journal(daemon, channel, offset, length))
    return _tail(daemon.log_path(*channel), offset, length)


async def _tail_journal(daemon: Daemon, channel: Channel, offset: int, length: int) -> list[object]:
    try:
        found = await daemon.readback.tail(channel, offset, length)
    except ReadbackError as error:
        if error.kind == NO_JOURNAL:
            return ["", 0, False]
        raise Fault(FaultCode.FAILED, str(error)) from error
    return [to_text(found.data), found.number, found.overflow]


# -- files -----------------------------------------------------------------------------------------


def _read(path: str | None, offset: int, length: int) -> str:
    if path is None or not os.path.exists(path):
        raise Fault(FaultCode.NO_FILE, path or "")
    try:
        return to_text(tail.read_log(path, offset, length))
    except tail.WindowError as error:
        raise Fault(FaultCode.BAD_ARGUMENTS) from error
    except OSError as error:
        raise Fault(FaultCode.FAILED) from error


def _tail(path: str | None, offset: int, length: int) -> list[object]:
    if path is None:
        return ["", 0, False]
    try:
        found = tail.tail_log(path, offset, length)
    except OSError:
        return ["", 0, False]
    return [to_text(found.data), found.size, found.overflow]
