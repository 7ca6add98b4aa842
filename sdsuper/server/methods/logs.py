"""Logs: read a window, read the tail, clear. Of the daemon itself and of processes."""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

import os

from sdsuper.daemon.loop import Daemon
from sdsuper.rpc.faults import Fault, FaultCode
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
def read_process_stdout_log(daemon: Daemon, name: str, offset: int, length: int) -> str:
    """Read from the stdout log of a process.

    Args:
        name: name of the process (or group:name)
        offset: the byte to begin at; negative: that many bytes before the end
        length: how many bytes at most; 0: up to the end

    Returns:
        the text
    """
    return _read(daemon.log_path(find_process(daemon, name), "stdout"), offset, length)


@method("supervisor.readProcessStderrLog", faults=READ_FAULTS)
def read_process_stderr_log(daemon: Daemon, name: str, offset: int, length: int) -> str:
    """Read from the stderr log of a process.

    Args:
        name: name of the process (or group:name)
        offset: the byte to begin at; negative: that many bytes before the end
        length: how many bytes at most; 0: up to the end

    Returns:
        the text
    """
    return _read(daemon.log_path(find_process(daemon, name), "stderr"), offset, length)


@method(
    "supervisor.tailProcessStdoutLog",
    "supervisor.tailProcessLog",
    faults=(FaultCode.BAD_NAME,),
)
def tail_process_stdout_log(daemon: Daemon, name: str, offset: int, length: int) -> list[object]:
    """Read what a stdout log has beyond an offset, to follow it by asking again.

    Args:
        name: name of the process (or group:name)
        offset: where the last call ended, 0 at first
        length: how many bytes at most

    Returns:
        [text, offset for the next call, whether there was more than fits]
    """
    return _tail(daemon.log_path(find_process(daemon, name), "stdout"), offset, length)


@method("supervisor.tailProcessStderrLog", faults=(FaultCode.BAD_NAME,))
def tail_process_stderr_log(daemon: Daemon, name: str, offset: int, length: int) -> list[object]:
    """Read what a stderr log has beyond an offset, to follow it by asking again.

    Args:
        name: name of the process (or group:name)
        offset: where the last call ended, 0 at first
        length: how many bytes at most

    Returns:
        [text, offset for the next call, whether there was more than fits]
    """
    return _tail(daemon.log_path(find_process(daemon, name), "stderr"), offset, length)


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


# -- files -----------------------------------------------------------------------------------------


def _read(path: str | None, offset: int, length: int) -> str:
    if path is None or not os.path.exists(path):
        raise Fault(FaultCode.NO_FILE, path or "")
    if length < 0 or (offset < 0 and length != 0):
        raise Fault(FaultCode.BAD_ARGUMENTS)
    try:
        return read_window(path, offset, length)
    except OSError as error:
        raise Fault(FaultCode.FAILED) from error


def read_window(path: str, offset: int, length: int) -> str:
    """Return part of a file as text.

    Args:
        path: The file.
        offset: First byte; negative: that many bytes before the end.
        length: Bytes at most; 0: up to the end.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        begin = max(0, size + offset) if offset < 0 else min(offset, size)
        file.seek(begin)
        wanted = min(length, size - begin) if length else size - begin
        return _text(_read_fully(file.fileno(), wanted))


def _tail(path: str | None, offset: int, length: int) -> list[object]:
    if path is None:
        return ["", 0, False]
    try:
        text, end, overflow = tail_window(path, offset, length)
    except OSError:
        return ["", 0, False]
    return [text, end, overflow]


def tail_window(path: str, offset: int, length: int) -> tuple[str, int, bool]:
    """Return text, size of the file, and whether there was more than `length` after `offset`.

    The arithmetic is Supervisor's, whose clients rely on its corners.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        overflow = size > offset + length
        if overflow:
            offset = size - 1
        if offset + length > size:
            length = 0 if offset > size - 1 else length
            offset = size - length
        file.seek(max(0, offset))
        # Beyond the end there is nothing, so a huge length costs nothing either.
        data = _read_fully(file.fileno(), min(max(0, length), size))
        return _text(data), size, overflow


def _read_fully(descriptor: int, wanted: int) -> bytes:
    """Read `wanted` bytes, or up to the end; one read may return less on some file systems."""
    chunks: list[bytes] = []
    while wanted > 0:
        chunk = os.read(descriptor, wanted)
        if not chunk:
            break
        chunks.append(chunk)
        wanted -= len(chunk)
    return b"".join(chunks)


def _text(data: bytes) -> str:
    # A window may cut a character, and a program may write what it likes: never an error.
    return data.decode("utf-8", "replace")
