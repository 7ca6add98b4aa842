"""Every section and option that may be written, declared once."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sdsuper.values import Level


class Autorestart(enum.Enum):
    """What to do when a RUNNING process exits by itself."""

    NEVER = "false"
    ALWAYS = "true"
    UNEXPECTED = "unexpected"


class Containment(enum.Enum):
    """Whether what a program leaves behind is ended with it."""

    TREE = "tree"
    NONE = "none"


@dataclass(frozen=True)
class Location:
    """Where something was written: file as named on the command line or by the include."""

    file: str
    line: int


@dataclass(frozen=True)
class Account:
    """A resolved `user=`: what was written, and the account's numbers."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class ChannelConfig:
    """Where one output channel (stdout or stderr) of a process goes."""

    logfile: str | None = None  # a path; None: no file (or AUTO, not yet generated)
    auto: bool = False  # AUTO: the daemon makes a file in childlogdir
    logfile_maxbytes: int = 50 * 1024 * 1024
    logfile_backups: int = 10
    capture_maxbytes: int = 0
    events_enabled: bool = False
    syslog: bool = False


@dataclass(frozen=True, kw_only=True)
class ProcessConfig:
    """One process of a program-like section, all expansions done."""

    name: str
    group: str
    program: str
    kind: Literal["program", "eventlistener", "fcgi-program"] = "program"
    process_num: int = 0
    location: Location = field(compare=False)
    command: str
    priority: int = 999
    autostart: bool = True
    autorestart: Autorestart = Autorestart.UNEXPECTED
    startsecs: int = 1
    startretries: int = 3
    exitcodes: tuple[int, ...] = (0,)
    stopsignal: int = 15
    stopwaitsecs: int = 10
    stopasgroup: bool = False
    killasgroup: bool = False
    user: Account | None = None
    user_environment: bool = False
    directory: str | None = None
    umask: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)  # [supervisord]'s merged in
    serverurl: str | None = None  # None: computed from the servers
    redirect_stderr: bool = False
    stdout: ChannelConfig
    stderr: ChannelConfig
    containment: Containment = Containment.TREE


@dataclass(frozen=True, kw_only=True)
class ListenerPoolConfig:
    """What an [eventlistener:x] says of its pool."""

    buffer_size: int = 1000
    events: tuple[str, ...]
    result_handler: str


@dataclass(frozen=True, kw_only=True)
class FcgiSocketConfig:
    """The shared socket of an [fcgi-program:x]."""

    url: str
    backlog: int | None = None
    owner: tuple[int, int] | None = None
    mode: int | None = None


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """A named set of processes, in configured order."""

    name: str
    kind: Literal["program", "eventlistener", "fcgi-program", "group"]
    priority: int
    processes: tuple[ProcessConfig, ...]
    location: Location = field(compare=False)
    pool: ListenerPoolConfig | None = None
    sockets: Mapping[str, FcgiSocketConfig] = field(default_factory=dict)  # by program name


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """One HTTP server section."""

    section: str
    family: Literal["unix", "inet"]
    file: str | None = None
    host: str | None = None  # "" = every interface
    port: int | None = None
    chmod: int = 0o700
    chown: tuple[int, int] | None = None
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, kw_only=True)
class RpcInterfaceConfig:
    """One [rpcinterface:x] section."""

    name: str
    factory: str
    options: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class DaemonConfig:
    """[supervisord]: the daemon itself, command line already laid over it."""

    logfile: str | None  # absolute; None: syslog
    logfile_maxbytes: int = 50 * 1024 * 1024
    logfile_backups: int = 10
    loglevel: Level = Level.INFO
    logfile_syslog: bool = False
    pidfile: str = "supervisord.pid"
    umask: int = 0o022
    nodaemon: bool = False
    silent: bool = False
    minfds: int = 1024
    minprocs: int = 200
    nocleanup: bool = False
    childlogdir: str = "/tmp"
    user: Account | None = None
    directory: str | None = None
    strip_ansi: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    identifier: str = "supervisor"


@dataclass(frozen=True)
class Note:
    """A message for the daemon's log, collected while the configuration was read."""

    level: Level
    message: str


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that was read, resolved."""

    file: str  # as given
    here: str  # absolute directory of it
    daemon: DaemonConfig
    groups: tuple[GroupConfig, ...]  # by (priority, name)
    servers: tuple[ServerConfig, ...]  # inet first, then unix
    rpcinterfaces: tuple[RpcInterfaceConfig, ...]
    notes: tuple[Note, ...] = ()
    files: tuple[str, ...] = ()  # every file read, in order
