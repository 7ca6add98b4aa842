"""(process, log paths, now) -> the struct that status shows; (config) -> what `avail` shows.

A process is a frozen value, so the text of its struct changes only with the value itself, but for
`now` and the uptime. `InfoCache` keeps the rest as it goes over the wire: a client that asks for
hundreds of processes every second costs little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sdsuper.config.model import Autorestart, ChannelConfig, GroupConfig, ProcessConfig
from sdsuper.core.process import Process
from sdsuper.core.states import ProcessState
from sdsuper.daemon.loop import Daemon
from sdsuper.dataclass import dataclass
from sdsuper.rpc.codec import INT_MAX, Pieces, Raw, dumps_members, dumps_value, join_struct
from sdsuper.values import Instant, Namespec

AUTORESTART_VALUES: dict[Autorestart, bool | str] = {
    Autorestart.NEVER: False,
    Autorestart.ALWAYS: True,
    Autorestart.UNEXPECTED: "unexpected",
}


@dataclass(frozen=True, slots=True)
class LogPaths:
    """Where the output of a process goes; empty for nowhere."""

    stdout: str
    stderr: str


def process_info(process: Process, paths: LogPaths, now: Instant) -> dict[str, object]:
    """Return the struct of getProcessInfo."""
    return {**_lasting(process, paths), **_passing(process, now)}


def _lasting(process: Process, paths: LogPaths) -> dict[str, object]:
    """The members that change only with the process itself."""
    return {
        "name": process.name.process,
        "group": process.name.group,
        "start": _started(process),
        "stop": _stopped(process),
        "state": int(process.state),
        "statename": process.state.name,
        "spawnerr": process.spawnerr or "",
        "exitstatus": process.exitstatus or 0,
        "logfile": paths.stdout,
        "stdout_logfile": paths.stdout,
        "stderr_logfile": paths.stderr,
        "pid": process.pid,
    }


def _passing(process: Process, now: Instant) -> dict[str, object]:
    """The members that change with time."""
    return {"now": int(now.wall), "description": describe(process, now)}


def _started(process: Process) -> int:
    return int(process.started.wall) if process.started is not None else 0


def _stopped(process: Process) -> int:
    return int(process.last_exit.at.wall) if process.last_exit is not None else 0


def describe(process: Process, now: Instant, lost: int = 0) -> str:
    """Return the last column of `status`, in Supervisor's words.

    Args:
        process: The process.
        now: The present moment.
        lost: Events that its pool of listeners had to drop.
    """
    match process.state:
        case ProcessState.RUNNING:
            return _running(process, _duration(_uptime(process, now)), lost)
        case ProcessState.STARTING | ProcessState.STOPPING:
            return process.told.status
        case ProcessState.FATAL | ProcessState.BACKOFF:
            return process.spawnerr or f'unknown error (try "tail {process.name.process}")'
        case ProcessState.STOPPED | ProcessState.EXITED:
            return _last_moment(process)
        case _:
            return ""


def _running(process: Process, uptime: str, lost: int) -> str:
    said = f", {process.told.status}" if process.told.status else ""
    dropped = f", {lost} events dropped" if lost else ""
    return f"pid {process.pid}, uptime {uptime}{said}{dropped}"


def _uptime(process: Process, now: Instant) -> int:
    """Return whole seconds since the start, on the clock that never steps."""
    started = process.started
    return max(0, int(now.mono - started.mono)) if started is not None else 0


def _duration(seconds: int) -> str:
    """Return whole seconds as `datetime.timedelta` writes them."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    before = "" if not days else "1 day, " if days == 1 else f"{days} days, "
    return f"{before}{hours}:{minutes:02}:{seconds:02}"


def _last_moment(process: Process) -> str:
    if process.started is None:
        return "Not started"
    # Stopped before it ever ran (from BACKOFF after a failed spawn): the attempt is all there is.
    moment = _stopped(process) or _started(process)
    return time.strftime("%b %d %I:%M %p", time.localtime(moment))


_HOLE = b"\0"
"""Marks, in a text being prepared, where something is put in later; XML cannot hold it."""

_MARK = "{uptime}"
"""The same while it is still to be made XML."""

_NOW = dumps_members({"now": 0}).replace(b"0", _HOLE)
_ARRAY_HEAD, _ARRAY_TAIL = dumps_value([Raw(_HOLE)]).split(_HOLE + b"\n")
_COLUMN_HEAD, _COLUMN_TAIL = dumps_members({"description": [Raw(_HOLE)]}).split(_HOLE + b"\n")
_TOLD = dumps_members({"description": Raw(_HOLE)})


class _Written(NamedTuple):
    """What is kept of a process as it goes over the wire.

    Attributes:
        process: The value that was written.
        lost: Events that its pool had dropped.
        since: The moment that its uptime counts from, None where none is shown.
        parts: The text around what changes by itself.
    """

    process: Process
    lost: int
    since: float | None
    parts: list[bytes]


class InfoCache:
    """The structs of all processes, written for the wire and kept while they hold."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._infos = _Kept(daemon, _info)
        self._descriptions = _Kept(daemon, _line)
        self._columns: tuple[list[Namespec], bytes] = ([], b"")

    def one(self, name: Namespec) -> Raw:
        """Return the struct of a process that exists."""
        return Raw(b"".join(self._texts([name])).removesuffix(b"\n"))

    def all(self) -> Pieces:
        """Return an array of the structs of all processes, by group and name."""
        names = sorted(self._daemon.manager.processes)
        return Pieces((_ARRAY_HEAD, *self._texts(names), _ARRAY_TAIL))

    def _texts(self, names: Sequence[Namespec]) -> list[bytes]:
        now = self._daemon.now()
        seconds = b"%d" % min(int(now.wall), INT_MAX)
        uptimes = _Uptimes()
        texts: list[bytes] = []
        for _, _, since, parts in self._infos.of(names, now):
            if since is None:
                texts += (parts[0], seconds, parts[1])
            else:
                texts += (parts[0], seconds, parts[1], uptimes[int(now.mono - since)], parts[2])
        return texts

    def columns(self) -> Pieces:
        """Return what `status` shows of all processes, in the same order: a struct of columns."""
        processes = self._daemon.manager.processes
        names = sorted(processes)
        now = self._daemon.now()
        uptimes = _Uptimes()
        written = self._descriptions.count
        texts = [_COLUMN_HEAD]
        for _, _, since, parts in self._descriptions.of(names, now):
            texts += (
                parts if since is None else (parts[0], uptimes[int(now.mono - since)], parts[1])
            )
        texts.append(_COLUMN_TAIL)
        if names != self._columns[0] or written != self._descriptions.count:
            lasting = {
                "group": [name.group for name in names],
                "name": [name.process for name in names],
                "statename": [processes[name].state.name for name in names],
            }
            self._columns = names, dumps_members(lasting)
        return join_struct(self._columns[1], *texts)


class _Kept:
    """A text of each process, written again only where the process is another value.

    Args:
        daemon: Whose processes.
        write: Returns the parts of the text of one.

    Attributes:
        count: How many texts were written so far.
    """

    def __init__(
        self, daemon: Daemon, write: Callable[[Daemon, Process, Instant, int], list[bytes]]
    ) -> None:
        self.count = 0
        self._daemon = daemon
        self._write = write
        self._written: dict[Namespec, _Written] = {}

    def of(self, names: Sequence[Namespec], now: Instant) -> list[_Written]:
        """Return the texts of processes that exist, in order."""
        processes = self._daemon.manager.processes
        written = self._written
        if len(written) > len(processes):
            written.clear()
        losses = self._daemon.pools.losses()
        found = []
        for name in names:
            process = processes[name]
            lost = losses.get(name.group, 0) if losses else 0
            kept = written.get(name)
            if kept is None or kept.process is not process or kept.lost != lost:
                self.count += 1
                parts = self._write(self._daemon, process, now, lost)
                kept = written[name] = _Written(process, lost, _since(process), parts)
            found.append(kept)
        return found


class _Uptimes(dict[int, bytes]):
    """Seconds -> text; programs that were started together share it."""

    def __missing__(self, seconds: int) -> bytes:
        text = self[seconds] = _duration(max(0, seconds)).encode()
        return text


def _since(process: Process) -> float | None:
    """Return the moment that the uptime of a process counts from, None where none is shown."""
    if process.state is not ProcessState.RUNNING or process.started is None:
        return None
    return process.started.mono


def _info(daemon: Daemon, process: Process, now: Instant, lost: int) -> list[bytes]:
    """Return the line of a struct, in parts around the present moment and, if any, the uptime."""
    lasting = _lasting(process, log_paths(daemon, process.name))
    told = _TOLD.replace(_HOLE, _description(process, now, lost))
    text = b"".join(join_struct(dumps_members(lasting), _NOW, told))
    return (text + b"\n").split(_HOLE)


def _line(_daemon: Daemon, process: Process, now: Instant, lost: int) -> list[bytes]:
    """Return the line of a description, in two parts around an uptime or in one without."""
    return (_description(process, now, lost) + b"\n").split(_HOLE)


def _description(process: Process, now: Instant, lost: int) -> bytes:
    if _since(process) is None:
        return dumps_value(describe(process, now, lost))
    text: bytes = dumps_value(_running(process, _MARK, lost))
    return text.replace(_MARK.encode(), _HOLE, 1)


def log_paths(daemon: Daemon, name: Namespec) -> LogPaths:
    """Return where the output of a process goes."""
    return LogPaths(daemon.log_path(name, "stdout") or "", daemon.log_path(name, "stderr") or "")


def all_config_info(daemon: Daemon, groups: Iterable[GroupConfig]) -> list[dict[str, object]]:
    """Return the structs of getAllConfigInfo: every configured process, by its own name."""
    structs = [
        config_info(daemon, group, process) for group in groups for process in group.processes
    ]
    return sorted(structs, key=lambda struct: str(struct["name"]))


def config_info(daemon: Daemon, group: GroupConfig, process: ProcessConfig) -> dict[str, object]:
    """Return the struct of one configured process. Its environment may hold secrets: left out."""
    name = Namespec(group.name, process.name)
    in_use = group.name in daemon.manager.groups
    struct: dict[str, object] = {
        "name": process.name,
        "group": group.name,
        "inuse": in_use,
        "group_prio": group.priority,
        "process_prio": process.priority,
        "command": process.command,
        "directory": process.directory or "none",
        "uid": process.user.uid if process.user is not None else "none",
        "serverurl": process.serverurl or "none",
        "autostart": process.autostart,
        "autorestart": AUTORESTART_VALUES[process.autorestart],
        "startsecs": process.startsecs,
        "startretries": process.startretries,
        "exitcodes": list(process.exitcodes),
        "stopsignal": process.stopsignal,
        "stopwaitsecs": process.stopwaitsecs,
        "killasgroup": process.killasgroup,
        "redirect_stderr": process.redirect_stderr,
    }
    active = name in daemon.manager.processes  # a reread group in use may have grown meanwhile
    for channel, config in (("stdout", process.stdout), ("stderr", process.stderr)):
        path = daemon.log_path(name, channel) if active and config.auto else None
        struct |= _channel_info(channel, config, path)
    return struct


def _channel_info(channel: str, config: ChannelConfig, generated: str | None) -> dict[str, object]:
    automatic = "auto" if config.auto else "none"
    return {
        f"{channel}_logfile": config.logfile or generated or automatic,
        f"{channel}_logfile_maxbytes": config.logfile_maxbytes,
        f"{channel}_logfile_backups": config.logfile_backups,
        f"{channel}_capture_maxbytes": config.capture_maxbytes,
        f"{channel}_events_enabled": config.events_enabled,
        f"{channel}_syslog": config.syslog,
    }
