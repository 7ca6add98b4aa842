"""The structs that calls return, key by key as they are on the wire.

For annotations: import it while type checking only, since `typing` takes 5 ms.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class ProcessInfo(TypedDict):
    """One process: getProcessInfo, getAllProcessInfo. Times are Unix seconds, 0 for never."""

    name: str
    group: str
    start: int
    stop: int
    now: int
    state: int
    statename: str
    spawnerr: str
    exitstatus: int
    logfile: str
    stdout_logfile: str
    stderr_logfile: str
    pid: int
    description: str


class UsageInfo(TypedDict):
    """What one process that runs takes, with all that descends from it: sdsuper.getUsage.

    Attributes:
        memory: Bytes, as a double: they may be more than an int can hold.
        cpu: CPU seconds.
        tasks: Threads, -1 where nobody counts them.
        pressure: Percent of time lost in waiting, by what was waited for, then "some" and "full".
        cgroup: The directory of its cgroup, "" where it has none of its own.
    """

    name: str
    group: str
    pid: int
    processes: int
    memory: float
    cpu: float
    tasks: int
    pressure: dict[str, dict[str, float]]
    cgroup: str


class ConfigInfo(TypedDict):
    """One configured process, active or not: getAllConfigInfo."""

    name: str
    group: str
    command: str
    inuse: bool
    autostart: bool
    autorestart: bool | Literal["unexpected"]
    redirect_stderr: bool
    killasgroup: bool
    stdout_events_enabled: bool
    stderr_events_enabled: bool
    stdout_syslog: bool
    stderr_syslog: bool
    group_prio: int
    process_prio: int
    startsecs: int
    startretries: int
    stopsignal: int
    stopwaitsecs: int
    stdout_capture_maxbytes: int
    stderr_capture_maxbytes: int
    stdout_logfile_backups: int
    stderr_logfile_backups: int
    stdout_logfile_maxbytes: int
    stderr_logfile_maxbytes: int
    exitcodes: list[int]
    directory: str
    serverurl: str
    uid: int | Literal["none"]
    stdout_logfile: str
    stderr_logfile: str


class Result(TypedDict):
    """What became of one process of a group or of all: start, stop, signal, clear."""

    name: str
    group: str
    status: int
    description: str


class StateInfo(TypedDict):
    """The daemon's own state: getState."""

    statecode: int
    statename: str


class Requester(TypedDict):
    """Who asked for something, and through what. Unknown is 0, "" or -1 (uids)."""

    via: Literal["daemon", "signal", "rpc", "page"]
    what: str
    pid: int
    uid: int
    login_uid: int
    command: str
    address: str
    user: str


class PastInvocation(TypedDict):
    """One invocation that is over. Times are Unix seconds, 0 for never."""

    number: int
    pid: int
    started: float
    spawned: float
    ready: float
    ended: float
    uptime: float
    exitstatus: int
    signal: str
    core_dumped: bool
    oom: bool
    end: str
    expected: bool
    ending: str
    error: str
    killed: bool
    strays: int
    decision: Literal["restart", "rest", "give up"]
    reason: str
    started_by: Requester
    stopped_by: Requester
    stop_asked: float
    signals: list[dict[str, object]]


class ProcessHistory(TypedDict):
    """Why a process is as it is: getProcessHistory. Times are Unix seconds, 0 for never."""

    name: str
    group: str
    now: float
    state: int
    statename: str
    wanted: Literal["up", "down"]
    pid: int
    started: float
    spawned: float
    ready: float
    uptime: float
    started_by: Requester
    stopped_by: Requester
    stop_asked: float
    signals: list[dict[str, object]]
    waits_for: str
    waits_seconds: float
    killed: bool
    strays: list[dict[str, object]]
    failures: int
    restarts: int
    reason: str
    failing: str
    trouble: str
    said: str
    command: str
    autostart: bool
    autorestart: str
    startsecs: int
    startretries: int
    start_timeout: int
    stopwaitsecs: int
    invocations: list[PastInvocation]
    output: dict[str, dict[str, object]]
