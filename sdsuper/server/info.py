"""(process, log paths, now) -> the struct that status shows; (config) -> what `avail` shows.

A process is a frozen value, so the text of its struct changes only with the value itself, but for
`now` and the uptime. `InfoCache` keeps the rest as it goes over the wire: a client that asks for
hundreds of processes every second costs little.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from sdsuper.config.model import Autorestart, ChannelConfig, GroupConfig, ProcessConfig
from sdsuper.core.process import Process
from sdsuper.core.states import ProcessState
from sdsuper.daemon.loop import Daemon
from sdsuper.dataclass import dataclass
from sdsuper.rpc.codec import INT_MAX, Raw, dumps_members, dumps_value, join_struct
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


@dataclass(frozen=True, slots=True)
class _Written:
    """A process as it goes over the wire.

    Attributes:
        process: The value that was written.
        lost: Events that its pool had dropped.
        parts: The text around `now` and, where there are three, around the uptime; a line.
    """

    process: Process
    lost: int
    parts: list[bytes]


class InfoCache:
    """The structs of all processes, written for the wire and kept while they hold."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._written: dict[Namespec, _Written] = {}

    def one(self, name: Namespec) -> Raw:
        """Return the struct of a process that exists."""
        return Raw(b"".join(self._texts([name])).removesuffix(b"\n"))

    def all(self) -> Raw:
        """Return an array of the structs of all processes, by group and name."""
        names = sorted(self._daemon.manager.processes)
        if len(self._written) > len(names):
            self._written.clear()
        return Raw(b"".join([_ARRAY_HEAD, *self._texts(names), _ARRAY_TAIL]))

    def _texts(self, names: Iterable[Namespec]) -> list[bytes]:
        processes = self._daemon.manager.processes
        written = self._written
        now = self._daemon.now()
        seconds = b"%d" % min(int(now.wall), INT_MAX)
        uptimes = _Uptimes()
        losses = self._daemon.pools.losses()
        texts: list[bytes] = []
        for name in names:
            process = processes[name]
            lost = losses.get(name.group, 0) if losses else 0
            kept = written.get(name)
            if kept is None or kept.process is not process or kept.lost != lost:
                kept = written[name] = _write(process, log_paths(self._daemon, name), now, lost)
            parts = kept.parts
            texts += (parts[0], seconds, parts[1])
            if len(parts) > 2:
                texts += (uptimes[_uptime(process, now)], parts[2])
        return texts


class _Uptimes(dict[int, bytes]):
    """Seconds -> text; programs that were started together share it."""

    def __missing__(self, seconds: int) -> bytes:
        text = self[seconds] = _duration(seconds).encode()
        return text


def _write(process: Process, paths: LogPaths, now: Instant, lost: int) -> _Written:
    running = process.state is ProcessState.RUNNING
    description = _running(process, _MARK, lost) if running else describe(process, now)
    told = dumps_members({"description": description})
    if running:
        told = told.replace(_MARK.encode(), _HOLE, 1)
    text = join_struct(dumps_members(_lasting(process, paths)), _NOW, told) + b"\n"
    return _Written(process, lost, text.split(_HOLE))


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
