"""Every section and option that may be written, declared once, and what a file resolves to.

The fields of a section stand in the order in which Supervisor evaluates them (first those that
all processes of a program share, then those evaluated for each process), because that decides
which of several errors is its first.
"""

from __future__ import annotations

from collections.abc import Mapping
from re import Pattern
from typing import Literal

from sdsuper.config.journaling import LEVEL_GROUP, LEVELS, JournalFull, Rate
from sdsuper.config.kinds import (
    ADDRESS,
    AUTORESTART,
    BOOLEAN,
    BYTES,
    CALLABLE,
    CAPABILITY_SET,
    CONTAINMENT,
    CPUS,
    DIRECTORY,
    ENVIRONMENT,
    EVENTS,
    EXIT_CODES,
    FILE,
    FOLDERS,
    INTEGER,
    JOURNAL_FULL,
    LEVEL,
    LEVEL_PATTERN,
    LOG,
    MAIN_LOG,
    MEMORY,
    NAME,
    NAMES,
    NICE,
    OCTAL,
    OOM_POLICY,
    OOM_SCORE,
    OWNER,
    PATH,
    PAYLOAD_LENGTH,
    PRIORITY,
    QUOTA,
    RATE,
    READY,
    RLIMIT_COUNT,
    RLIMIT_MICROSECONDS,
    RLIMIT_NICE,
    RLIMIT_SECONDS,
    RLIMIT_SIZE,
    SECONDS,
    SERVER_URL,
    SIGNAL,
    SOCKET_FILE,
    SOCKETS,
    TASKS,
    TEXT,
    TIMESPAN,
    USER,
    WEIGHT,
)
from sdsuper.config.limits import Memory, OomPolicy, Rlimit
from sdsuper.config.option import LIVE, Expand, option, prefixed, section
from sdsuper.config.types import Account, Autorestart, Containment, Ready, SocketConfig
from sdsuper.dataclass import dataclass, field
from sdsuper.errors import Problem
from sdsuper.values import Level

__all__ = [
    "LEVELS",
    "LEVEL_GROUP",
    "PROGRAM_KINDS",
    "Account",
    "Autorestart",
    "ChannelConfig",
    "Config",
    "Containment",
    "DaemonConfig",
    "FcgiSocketConfig",
    "GroupConfig",
    "IncludeConfig",
    "JournalFull",
    "LimitsConfig",
    "ListenerPoolConfig",
    "Location",
    "Memory",
    "Note",
    "OomPolicy",
    "ProcessConfig",
    "Rate",
    "Ready",
    "Rlimit",
    "RpcInterfaceConfig",
    "ServerConfig",
    "SocketConfig",
]

PROGRAM_KINDS = ("program", "eventlistener", "fcgi-program")


@dataclass(frozen=True, slots=True)
class Location:
    """Where something was written: file as named on the command line or by the include."""

    file: str
    line: int


@section(*PROGRAM_KINDS)
class ChannelConfig:
    """Where one output channel (stdout or stderr) of a process goes.

    Attributes:
        auto: AUTO: the daemon makes a file in childlogdir; `logfile` is None until it has.
    """

    capture_maxbytes: int = option(
        BYTES,
        default=0,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Bytes of text between capture tokens that become one event; 0 switches capture off.",
    )
    events_enabled: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Publish a PROCESS_LOG event for what the process writes.",
    )
    logfile: str | None = option(
        LOG,
        default=None,
        unset="AUTO",
        expand=Expand.PROCESS,
        help="Where the output goes: a path, AUTO for a file in childlogdir, NONE for no file, "
        "journal for systemd's journal alone.",
    )
    logfile_backups: int = option(
        INTEGER,
        default=10,
        expand=Expand.PROCESS,
        on_change=LIVE,
        help="How many rotated files are kept; 0 truncates the file instead.",
    )
    logfile_maxbytes: int = option(
        BYTES,
        default=50 * 1024 * 1024,
        expand=Expand.PROCESS,
        on_change=LIVE,
        help="Size at which the file is rotated; 0 never rotates.",
    )
    syslog: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROCESS,
        help="Send each line to syslog too, behind the name of the process.",
    )
    journal: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROCESS,
        help="Send each line to systemd's journal too; as `journal` of [supervisord] where unset.",
    )
    journal_full: JournalFull = option(
        JOURNAL_FULL,
        default=JournalFull.DROP,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="When the journal takes nothing: read on, and drop what is beyond some MiB, or let "
        "the process wait, for as long as it takes.",
    )
    priority: int = option(
        PRIORITY,
        default=6,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="The priority in the journal of lines that do not say, by `<N>` or priority_pattern.",
    )
    auto: bool = False


@section(*PROGRAM_KINDS)
class LimitsConfig:
    """What a process may use, and what it may do; None leaves things as the daemon has them.

    The first seven are of its cgroup, and change while it runs; `rlimit_*` are getrlimit(2)'s.
    """

    memory_max: Memory | None = option(
        MEMORY,
        default=None,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="How much memory it and all that it starts may use; beyond, the kernel kills it.",
    )
    memory_high: Memory | None = option(
        MEMORY,
        default=None,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="How much memory they may use before the kernel slows them and takes memory back.",
    )
    oom_policy: OomPolicy = option(
        OOM_POLICY,
        default=OomPolicy.KILL,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="What is killed when memory_max is reached: all of it, or one process of it, and the "
        "others go on.",
    )
    cpu_quota: int | None = option(
        QUOTA,
        default=None,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="How much processor time they may use, in percent of one processor.",
    )
    cpu_weight: int | None = option(
        WEIGHT,
        default=None,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Their share of the processors where several compete; 100 is that of the others.",
    )
    pids_max: int | None = option(
        TASKS,
        default=None,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="How many processes and threads they may be; beyond, fork(2) fails.",
    )
    io_weight: int | None = option(
        WEIGHT,
        default=None,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Their share of the disks where several compete; 100 is that of the others.",
    )
    nice: int | None = option(
        NICE,
        default=None,
        expand=Expand.PROGRAM,
        help="Its nice value, see setpriority(2): 19 gives way to all, -20 to none.",
    )
    oom_score_adjust: int | None = option(
        OOM_SCORE,
        default=None,
        expand=Expand.PROGRAM,
        help="Whom the kernel kills when the machine's memory runs out: 1000 first, -1000 never.",
    )
    cpu_affinity: tuple[int, ...] | None = option(
        CPUS,
        default=None,
        expand=Expand.PROCESS,
        help="The processors it may run on.",
    )
    rlimit_as: Rlimit | None = option(
        RLIMIT_SIZE,
        default=None,
        expand=Expand.PROGRAM,
        help="Bytes of its address space.",
    )
    rlimit_core: Rlimit | None = option(
        RLIMIT_SIZE,
        default=None,
        expand=Expand.PROGRAM,
        help="Bytes of a core file; 0 makes none.",
    )
    rlimit_cpu: Rlimit | None = option(
        RLIMIT_SECONDS,
        default=None,
        expand=Expand.PROGRAM,
        help="Seconds of processor time; SIGXCPU at the soft limit, SIGKILL at the hard one.",
    )
    rlimit_data: Rlimit | None = option(
        RLIMIT_SIZE,
        default=None,
        expand=Expand.PROGRAM,
        help="Bytes of data, heap and private memory.",
    )
    rlimit_fsize: Rlimit | None = option(
        RLIMIT_SIZE,
        default=None,
        expand=Expand.PROGRAM,
        help="Bytes of a file that it writes.",
    )
    rlimit_locks: Rlimit | None = option(
        RLIMIT_COUNT,
        default=None,
        expand=Expand.PROGRAM,
        help="Locks on files; Linux takes no notice of it.",
    )
    rlimit_memlock: Rlimit | None = option(
        RLIMIT_SIZE,
        default=None,
        expand=Expand.PROGRAM,
        help="Bytes of memory that it may lock.",
    )
    rlimit_msgqueue: Rlimit | None = option(
        RLIMIT_SIZE,
        default=None,
        expand=Expand.PROGRAM,
        help="Bytes in POSIX message queues of its user.",
    )
    rlimit_nice: Rlimit | None = option(
        RLIMIT_NICE,
        default=None,
        expand=Expand.PROGRAM,
        help="How far it may raise its priority.",
    )
    rlimit_nofile: Rlimit | None = option(
        RLIMIT_COUNT,
        default=None,
        expand=Expand.PROGRAM,
        help="Open descriptors; in place of what the daemon was started with and minfds.",
    )
    rlimit_nproc: Rlimit | None = option(
        RLIMIT_COUNT,
        default=None,
        expand=Expand.PROGRAM,
        help="Processes and threads of its user, wherever they were started.",
    )
    rlimit_rss: Rlimit | None = option(
        RLIMIT_SIZE,
        default=None,
        expand=Expand.PROGRAM,
        help="Bytes of resident memory; Linux takes no notice of it.",
    )
    rlimit_rtprio: Rlimit | None = option(
        RLIMIT_COUNT,
        default=None,
        expand=Expand.PROGRAM,
        help="The highest real-time priority that it may take.",
    )
    rlimit_rttime: Rlimit | None = option(
        RLIMIT_MICROSECONDS,
        default=None,
        expand=Expand.PROGRAM,
        help="Microseconds that a real-time thread may run without a pause.",
    )
    rlimit_sigpending: Rlimit | None = option(
        RLIMIT_COUNT,
        default=None,
        expand=Expand.PROGRAM,
        help="Queued signals of its user.",
    )
    rlimit_stack: Rlimit | None = option(
        RLIMIT_SIZE,
        default=None,
        expand=Expand.PROGRAM,
        help="Bytes of the stack of its main thread.",
    )
    no_new_privileges: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROGRAM,
        help="Let nothing that it executes give it more rights, set-user-ID programs included.",
    )
    capabilities: frozenset[int] | None = option(
        CAPABILITY_SET,
        default=None,
        expand=Expand.PROGRAM,
        help="The capabilities that it is left with, and the most that what it starts can have; "
        "with `user` it has them although it is not root.",
    )


@section(*PROGRAM_KINDS)
class ProcessConfig:
    """One process of a program-like section, all expansions done.

    Attributes:
        name: Its own name, from `process_name`.
        group: The group it belongs to at run time.
        program: The name in the section's header.
        kind: What kind of section that is.
        process_num: Its number within the section.
        location: Where the section begins.
        environment: The variables of [supervisord] and, over them, its own.
        serverurl: None: computed from the servers.
    """

    group: str
    program: str
    kind: Literal["program", "eventlistener", "fcgi-program"] = "program"
    process_num: int = 0
    location: Location = field(compare=False)

    priority: int = option(
        INTEGER,
        default=999,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Low numbers start first and stop last.",
    )
    autostart: bool = option(
        BOOLEAN,
        default=True,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Start the process when the daemon starts or the group is added.",
    )
    autorestart: Autorestart = option(
        AUTORESTART,
        default=Autorestart.UNEXPECTED,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Start it again when it exits by itself; `unexpected`: unless with one of exitcodes.",
    )
    required: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="With `ready=running` the daemon is ready when the programs that say so are RUNNING; "
        "it counts for what starts by itself only.",
    )
    startsecs: int = option(
        SECONDS,
        default=1,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Seconds it must stay up before it counts as RUNNING.",
    )
    startretries: int = option(
        INTEGER,
        default=3,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="How often a failed start is tried again before the process is FATAL.",
    )
    stopsignal: int = option(
        SIGNAL,
        default=15,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="The signal that asks it to stop.",
    )
    stopwaitsecs: int = option(
        SECONDS,
        default=10,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Seconds between that signal and SIGKILL.",
    )
    stopasgroup: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Send stopsignal to the whole process group; implies killasgroup.",
    )
    killasgroup: bool = option(
        BOOLEAN,
        default=False,
        unset="%(stopasgroup)s",
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Send SIGKILL to the whole process group; follows stopasgroup where unset.",
    )
    exitcodes: tuple[int, ...] = option(
        EXIT_CODES,
        default=(0,),
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="Exit codes that are expected of it, see autorestart.",
    )
    redirect_stderr: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROGRAM,
        help="Send stderr where stdout goes.",
    )
    numprocs: int = option(
        INTEGER,
        default=1,
        expand=Expand.PROGRAM,
        compare=False,
        help="How many processes the section makes.",
    )
    numprocs_start: int = option(
        INTEGER,
        default=0,
        expand=Expand.PROGRAM,
        compare=False,
        help="The process_num of the first.",
    )
    environment: Mapping[str, str] = option(
        ENVIRONMENT,
        default_factory=dict,
        expand=Expand.PROCESS,
        help='Variables for the process, KEY="value" pairs, over those of [supervisord].',
    )
    directory: str | None = option(
        PATH,
        default=None,
        expand=Expand.PROCESS,
        help="The directory it runs in.",
    )
    stdout: ChannelConfig = prefixed("stdout_")
    stderr: ChannelConfig = prefixed("stderr_")
    priority_pattern: Pattern[bytes] | None = option(
        LEVEL_PATTERN,
        default=None,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="A regular expression whose group `level` is the level of a line, for its priority "
        "in the journal; a `%` in it is written twice.",
    )
    log_rate: Rate | None = option(
        RATE,
        default=None,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="How many lines each process may send to the journal, both channels together; "
        "log files get all.",
    )
    serverurl: str | None = option(
        SERVER_URL,
        default=None,
        expand=Expand.PROGRAM,
        help="SUPERVISOR_SERVER_URL for the process; AUTO: from the server sections.",
    )
    user: Account | None = option(
        USER,
        default=None,
        expand=Expand.PROGRAM,
        help="The account it runs as.",
    )
    umask: int | None = option(
        OCTAL,
        default=None,
        expand=Expand.PROGRAM,
        help="Its umask; the daemon's where unset.",
    )
    user_environment: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROGRAM,
        help="Set HOME, USER, LOGNAME and SHELL from the account of `user`.",
    )
    containment: Containment = option(
        CONTAINMENT,
        default=Containment.TREE,
        expand=Expand.PROGRAM,
        help="What the process leaves behind is ended with it (`tree`), or left alone (`none`).",
    )
    notify: bool = option(
        BOOLEAN,
        default=False,
        expand=Expand.PROGRAM,
        help="The process says by sd_notify(3) when it is ready; startsecs has no meaning then.",
    )
    start_timeout: int = option(
        TIMESPAN,
        default=90,
        expand=Expand.PROGRAM,
        on_change=LIVE,
        help="How long a process with `notify` may take to say that it is ready; 0: for ever.",
    )
    watchdog: int = option(
        TIMESPAN,
        default=0,
        expand=Expand.PROGRAM,
        help="A RUNNING process that does not ping by sd_notify(3) for so long is ended, and "
        "started again as autorestart says; 0: it need not.",
    )
    sockets: tuple[SocketConfig, ...] = option(
        SOCKETS,
        default=(),
        expand=Expand.PROGRAM,
        help="Sockets to listen on that the daemon opens, keeps open while the process restarts, "
        "and passes to it as sd_listen_fds(3) says; the processes of a section share them.",
    )
    limits: LimitsConfig = prefixed("", default_factory=LimitsConfig)
    command: str = option(
        TEXT,
        expand=Expand.PROCESS,
        help="What to execute; split like a shell does at each start, no shell is involved.",
    )
    name: str = option(
        NAME,
        key="process_name",
        unset="%(program_name)s",
        expand=Expand.PROCESS,
        help="The name of each process; with numprocs above 1 it must contain %(process_num).",
    )


@section("eventlistener")
class ListenerPoolConfig:
    """What an [eventlistener:x] says of its pool."""

    buffer_size: int = option(
        INTEGER,
        default=1000,
        help="How many events may wait; the oldest is dropped to make room.",
    )
    payload_length: str = option(
        PAYLOAD_LENGTH,
        default="characters",
        help="What `len` in the header of an event counts: characters, as Supervisor 4 does, or "
        "bytes.",
    )
    result_handler: str = option(
        CALLABLE,
        unset="supervisor.dispatchers:default_handler",
        error="{value} cannot be resolved within [{section}]",
        help="What judges a listener's result.",
    )
    events: tuple[str, ...] = option(
        EVENTS,
        error="{reason} in [{section}] events",
        help="The event types it gets.",
    )


@section("fcgi-program")
class FcgiSocketConfig:
    """The shared socket of an [fcgi-program:x]."""

    backlog: int | None = option(
        INTEGER,
        key="socket_backlog",
        default=None,
        help="How many connections may wait; the system's maximum where unset.",
    )
    owner: tuple[int, int] | None = option(
        OWNER,
        key="socket_owner",
        default=None,
        error="Invalid socket_owner value {value}",
        help="Owner of a Unix socket; the account of `user` where unset.",
    )
    mode: int | None = option(
        OCTAL,
        key="socket_mode",
        default=None,
        unset="0700",
        error="Invalid socket_mode value {value}",
        help="Mode of a Unix socket.",
    )
    url: str = option(
        TEXT,
        key="socket",
        expand=Expand.PROGRAM,
        help="tcp://host:port or unix:///path.",
    )


@section("group")
class GroupConfig:
    """A named set of processes, in configured order.

    Attributes:
        sockets: The sockets of its fcgi-programs, by program name.
        programs: The programs that a [group:x] lists.
    """

    name: str
    kind: Literal["program", "eventlistener", "fcgi-program", "group"]
    processes: tuple[ProcessConfig, ...]
    location: Location = field(compare=False)
    pool: ListenerPoolConfig | None = None
    sockets: Mapping[str, FcgiSocketConfig] = field(default_factory=dict)

    priority: int = option(
        INTEGER,
        unset="999",
        on_change=LIVE,
        help="Groups with low numbers start first and stop last.",
    )
    programs: tuple[str, ...] = option(
        NAMES,
        default=(),
        compare=False,
        help="The programs and fcgi-programs that belong to the group.",
    )


@section("unix_http_server", "inet_http_server")
class ServerConfig:
    """One HTTP server section.

    Attributes:
        section: The section's name.
        host: "" is every interface.
    """

    section: str
    family: Literal["unix", "inet"]
    host: str | None = None

    file: str | None = option(
        SOCKET_FILE,
        default=None,
        sections=("unix_http_server",),
        error="section [{section}] has no file value",
        help="The path of the socket; required.",
    )
    username: str | None = option(
        TEXT, default=None, help="The name a client must give; needs a password."
    )
    password: str | None = option(
        TEXT,
        default=None,
        secret=True,
        help="The password a client must give, in clear or as {SHA} with its hexadecimal SHA-1.",
    )
    chown: tuple[int, int] | None = option(
        OWNER,
        default=None,
        sections=("unix_http_server",),
        error="Invalid sockchown value {value}",
        help="Owner of the socket, user or user:group.",
    )
    chmod: int = option(
        OCTAL,
        default=0o700,
        sections=("unix_http_server",),
        error="Invalid chmod value {value}",
        help="Mode of the socket.",
    )
    port: int | None = option(
        ADDRESS,
        default=None,
        sections=("inet_http_server",),
        help="host:port, [IPv6 address]:port, or *:port for every interface; required.",
    )
    get_actions: bool = option(
        BOOLEAN,
        default=False,
        help="Whether links of the web page (index.html?processname=..&action=..) act at once, as "
        "in Supervisor; else they ask first, and forms need the page's token.",
    )


@section("rpcinterface")
class RpcInterfaceConfig:
    """One [rpcinterface:x] section.

    Attributes:
        name: The XML-RPC namespace.
        options: Every other key of the section, for the factory.
    """

    name: str
    location: Location = field(default=Location("", 0), compare=False)
    factory: str = option(
        CALLABLE,
        key="supervisor.rpcinterface_factory",
        error="{value} cannot be resolved within [{section}]",
        help="Makes the object whose methods are the namespace.",
    )
    options: Mapping[str, str]


@section("include")
class IncludeConfig:
    """[include]: further files."""

    files: str = option(
        TEXT, help="Patterns of files, separated by blanks, relative to the main file's directory."
    )


@section("supervisord")
class DaemonConfig:
    """[supervisord]: the daemon itself, command line already laid over it.

    Attributes:
        logfile: Absolute; None where it goes to syslog.
        logfile_syslog: Whether `logfile=syslog` was written.
    """

    minfds: int = option(
        INTEGER, default=1024, flag="a", help="File descriptors that must be available."
    )
    minprocs: int = option(INTEGER, default=200, flag="", help="Processes that must be available.")
    directory: str | None = option(
        DIRECTORY, default=None, flag="d", help="Where the daemon goes when it daemonizes."
    )
    journal: bool = option(
        BOOLEAN,
        default=False,
        help="Send the output of all programs, and what becomes of them, to systemd's journal too.",
    )
    user: Account | None = option(
        USER, default=None, flag="u", help="The account the daemon runs as when root starts it."
    )
    umask: int = option(
        OCTAL, default=0o022, flag="m", help="The daemon's umask when it daemonizes."
    )
    logfile: str | None = option(
        MAIN_LOG,
        unset="supervisord.log",
        flag="l",
        help="The daemon's own log: a path, or syslog.",
    )
    logfile_maxbytes: int = option(
        BYTES,
        default=50 * 1024 * 1024,
        flag="y",
        help="Size at which that log is rotated; 0 never rotates.",
    )
    logfile_backups: int = option(
        INTEGER, default=10, flag="z", help="How many rotated logs are kept."
    )
    loglevel: Level = option(
        LEVEL, default=Level.INFO, flag="e", help="The least severe lines that are logged."
    )
    pidfile: str = option(
        FILE, default="supervisord.pid", flag="j", help="The file that holds the daemon's pid."
    )
    identifier: str = option(
        TEXT, default="supervisor", flag="i", help="The daemon's name in RPC, events and log names."
    )
    nodaemon: bool = option(BOOLEAN, default=False, flag="n", help="Stay in the foreground.")
    silent: bool = option(
        BOOLEAN, default=False, flag="s", help="Do not copy the log to stdout in the foreground."
    )
    childlogdir: str = option(
        DIRECTORY,
        default="/tmp",
        flag="q",
        help="Where AUTO logs go; the system's directory for temporary files where unset.",
    )
    nocleanup: bool = option(
        BOOLEAN, default=False, flag="k", help="Keep the AUTO logs of an earlier run."
    )
    strip_ansi: bool = option(
        BOOLEAN, default=False, flag="t", help="Remove ANSI escape sequences from programs' logs."
    )
    environment: Mapping[str, str] = option(
        ENVIRONMENT,
        default_factory=dict,
        help='Variables for all programs, KEY="value" pairs.',
    )
    ready: Ready = option(
        READY,
        default=Ready.STARTED,
        help="When systemd, or whoever waits for a daemon that goes to the background, is told "
        "that it is up: all autostart programs were `started`, or those marked `required` (all "
        "autostart programs where none is) are `running`; then one that fails fails the start.",
    )
    strict: bool = option(
        BOOLEAN,
        default=False,
        help="Refuse what is only warned of otherwise: open servers, files that others may write.",
    )
    plugin_path: tuple[str, ...] = option(
        FOLDERS,
        default=(),
        help="Where plugins and result handlers are looked for, behind "
        "/usr/local/lib/sdsuper/plugins and before what is installed for the daemon's Python.",
    )
    logfile_syslog: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A message for the daemon's log, collected while the configuration was read."""

    level: Level
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that was read, resolved.

    Attributes:
        file: As given.
        here: The absolute directory of it.
        groups: By priority and name.
        servers: inet first, then unix.
        notes: CRIT, then WARN, then INFO.
        files: Every file read, in order.
        doubts: What loads but is an error in `config check`: unknown keys, names twice.
    """

    file: str
    here: str
    daemon: DaemonConfig
    groups: tuple[GroupConfig, ...]
    servers: tuple[ServerConfig, ...]
    rpcinterfaces: tuple[RpcInterfaceConfig, ...]
    notes: tuple[Note, ...] = ()
    files: tuple[str, ...] = ()
    doubts: tuple[Problem, ...] = ()
