"""The types of value that options have: one Kind each, over the functions in `values`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sdsuper.config.journaling import (
    PRIORITIES,
    JournalFull,
    format_level_pattern,
    format_priority,
    parse_level_pattern,
    parse_priority,
    parse_rate,
)
from sdsuper.config.limits import (
    CAPABILITIES,
    format_capabilities,
    format_count,
    format_cpus,
    format_microseconds,
    format_oom_policy,
    format_quota,
    format_seconds_limit,
    format_size,
    parse_capabilities,
    parse_count,
    parse_cpus,
    parse_memory,
    parse_microseconds,
    parse_nice,
    parse_nice_limit,
    parse_oom_policy,
    parse_oom_score,
    parse_quota,
    parse_seconds_limit,
    parse_size,
    parse_tasks,
    parse_weight,
    rlimit_formatter,
    rlimit_parser,
)
from sdsuper.config.option import Kind
from sdsuper.config.types import Account, Autorestart, Containment, Ready, SocketConfig
from sdsuper.values import (
    Level,
    format_boolean,
    format_bytes,
    format_exit_codes,
    format_integer,
    format_level,
    format_octal,
    format_seconds,
    format_signal,
    format_timespan,
    parse_boolean,
    parse_bytes,
    parse_exit_codes,
    parse_integer,
    parse_level,
    parse_octal,
    parse_seconds,
    parse_signal,
    parse_timespan,
)

PORT_MIN = 1
PORT_MAX = 65535
AUTO = "AUTO"
SYSLOG = "syslog"
JOURNAL = "journal"
NO_LOG_WORDS = frozenset(("none", "off"))
_NOT_IN_NAMES = " :/"
_ID_UNCHANGED = -1


class Ids(NamedTuple):
    """Owner and group of a file; a gid of -1 leaves the group as it is."""

    uid: int
    gid: int


def _same(text: str) -> str:
    return text


def _existing_directory(text: str) -> str:
    path = os.path.expanduser(text)
    if not os.path.isdir(path):
        raise ValueError(f"{text} is not an existing directory")
    return path


def parse_file_path(text: str) -> str:
    """Read the path of a file whose directory must exist; `~` is expanded.

    A name without a directory part is always fine: it is relative to the working directory.
    """
    path = os.path.expanduser(text)
    directory = os.path.dirname(path)
    if directory and not os.path.isdir(directory):
        raise ValueError(f"The directory named as part of the path {text} does not exist")
    return path


def _parse_log(text: str) -> str:
    lowered = text.lower()
    if lowered in NO_LOG_WORDS or not text:
        return ""
    if lowered == "auto":
        return AUTO
    return lowered if lowered in (SYSLOG, JOURNAL) else parse_file_path(text)


def _format_log(target: str) -> str:
    return target or "NONE"


def _parse_main_log(text: str) -> str:
    return SYSLOG if text == SYSLOG else parse_file_path(text)


def parse_name(text: str) -> str:
    """Read the name of a program, process or group: no blank, colon or slash in it."""
    name = text.strip()
    for character in name:
        if character in _NOT_IN_NAMES:
            raise ValueError(f"Invalid name: {text!r} because of character: {character!r}")
    return name


def parse_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list; blanks around the items are dropped."""
    return tuple(item.strip() for item in text.split(",")) if text.strip() else ()


def parse_user(text: str) -> Account:
    """Look up a login name or a numeric uid.

    Raises:
        ValueError: The password database does not know it.
    """
    import pwd

    try:
        number = int(text)
    except ValueError:
        number = None
    try:
        entry = pwd.getpwnam(text) if number is None else pwd.getpwuid(number)
    except (KeyError, OverflowError, ValueError):
        what = "name" if number is None else "id"
        raise ValueError(f"Invalid user {what} {text}") from None
    return Account(text, entry.pw_uid, entry.pw_gid)


def _resolve_group(text: str) -> int:
    import grp

    try:
        number = int(text)
    except ValueError:
        number = None
    try:
        return (grp.getgrnam(text) if number is None else grp.getgrgid(number)).gr_gid
    except (KeyError, OverflowError, ValueError):
        what = "name" if number is None else "id"
        raise ValueError(f"Invalid group {what} {text}") from None


def _parse_owner(text: str) -> tuple[int, int]:
    user, colon, group = text.partition(":")
    uid = parse_user(user).uid
    return Ids(uid, _resolve_group(group) if colon else _ID_UNCHANGED)


def _format_owner(owner: tuple[int, int]) -> str:
    uid, gid = owner
    return str(uid) if gid == _ID_UNCHANGED else f"{uid}:{gid}"


def parse_port(text: str) -> int:
    """Read a port number 1..65535."""
    number = int(text)
    if number < PORT_MIN:
        raise ValueError(f"{number} is below lower bound ({PORT_MIN})")
    if number > PORT_MAX:
        raise ValueError(f"{number} is above upper bound ({PORT_MAX})")
    return number


def parse_address(text: str) -> tuple[str, int]:
    """Read `host:port`, `[address]:port`, `*:port`, `:port` or `port`; "" is every interface."""
    host, colon, port = text.rpartition(":")
    if not colon:
        try:
            return "", parse_port(text)
        except ValueError:
            raise ValueError(f"not a valid port number: {text!r} ") from None
    if not port:
        raise ValueError(f"no port number specified in {port!r}")
    host = host.lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return "" if host == "*" else host, parse_port(port)


def format_address(address: tuple[str, int]) -> str:
    """Write an address as `parse_address` reads it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host or '*'}:{port}"


def parse_folders(text: str) -> tuple[str, ...]:
    """Read absolute folders, separated by commas.

    Raises:
        ValueError: One is not absolute.
    """
    folders = tuple(each.strip() for each in text.split(",") if each.strip())
    for each in folders:
        if not each.startswith("/"):
            raise ValueError(f"{each!r} is not an absolute path")
    return folders


def parse_events(text: str) -> tuple[str, ...]:
    """Read the names of event types; upper-cased. Whether they exist, the reader checks."""
    return tuple(item.strip().upper() for item in text.split(","))


def _parse_autorestart(text: str) -> Autorestart:
    lowered = text.lower()
    if lowered == Autorestart.UNEXPECTED.value:
        return Autorestart.UNEXPECTED
    try:
        return Autorestart.ALWAYS if parse_boolean(lowered) else Autorestart.NEVER
    except ValueError:
        raise ValueError(f"invalid 'autorestart' value {lowered!r}") from None


def _format_autorestart(policy: Autorestart) -> str:
    return policy.value


def _parse_containment(text: str) -> Containment:
    try:
        return Containment(text.lower())
    except ValueError:
        raise ValueError(f"invalid 'containment' value {text!r}") from None


def _format_containment(containment: Containment) -> str:
    return containment.value


def _parse_payload_length(text: str) -> str:
    lowered = text.lower()
    if lowered not in ("characters", "bytes"):
        raise ValueError(f"invalid 'payload_length' value {text!r}")
    return lowered


def _parse_ready(text: str) -> Ready:
    try:
        return Ready(text.lower())
    except ValueError:
        raise ValueError(f"invalid 'ready' value {text!r}") from None


def _format_ready(ready: Ready) -> str:
    return ready.value


def _parse_journal_full(text: str) -> JournalFull:
    try:
        return JournalFull(text.lower())
    except ValueError:
        raise ValueError(f"neither drop nor wait: {text!r}") from None


def _format_journal_full(policy: JournalFull) -> str:
    return policy.value


def _parse_socket_file(text: str) -> str:
    if not text:
        raise ValueError("empty path")
    return os.path.abspath(os.path.expanduser(text))


def _parse_server_url(text: str) -> str | None:
    return None if text.strip().upper() == AUTO else text


def _format_server_url(url: str | None) -> str:
    return url or AUTO


def format_environment(variables: Mapping[str, str]) -> str:
    """Write variables as `environment=` reads them."""
    return ",".join(f'{name}="{_quoted(value)}"' for name, value in variables.items())


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _parse_environment(text: str) -> Mapping[str, str]:
    from sdsuper.config.environment import parse_environment

    return parse_environment(text)


def _parse_sockets(text: str) -> tuple[SocketConfig, ...]:
    from sdsuper.config.listening import parse_sockets

    return parse_sockets(text)


def _format_sockets(sockets: Iterable[SocketConfig]) -> str:
    from sdsuper.config.listening import format_sockets

    return format_sockets(sockets)


TEXT = Kind("text", "any text", _same, _same)
PATH = Kind("path", "a path", _same, _same)
INTEGER = Kind("number", "a whole number", parse_integer, format_integer)
SECONDS = Kind("seconds", "a whole number of seconds", parse_seconds, format_seconds)
TIMESPAN = Kind(
    "time span",
    "a number of seconds, or numbers with s, min, h or d",
    parse_timespan,
    format_timespan,
)
BYTES = Kind(
    "bytes", "a whole number of bytes, or one with KB, MB or GB", parse_bytes, format_bytes
)
OCTAL = Kind("octal mode", "an octal number such as 022 or 0700", parse_octal, format_octal)
BOOLEAN = Kind(
    "boolean",
    "true, yes, on, 1, false, no, off or 0",
    parse_boolean,
    format_boolean,
    ("true", "yes", "on", "false", "no", "off"),
)
LEVEL = Kind(
    "log level",
    ", ".join(format_level(level) for level in reversed(Level)),
    parse_level,
    format_level,
    tuple(format_level(level) for level in Level),
)
SIGNAL = Kind(
    "signal",
    "a signal's name with or without SIG, RTMIN+n, or its number",
    parse_signal,
    format_signal,
    ("TERM", "HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "WINCH", "CONT", "STOP", "ABRT"),
)
EXIT_CODES = Kind(
    "exit codes", "numbers 0..255, separated by commas", parse_exit_codes, format_exit_codes
)
FILE = Kind("file", "a path whose directory exists", parse_file_path, _same)
DIRECTORY = Kind("directory", "an existing directory", _existing_directory, _same)
LOG = Kind(
    "log file",
    "a path whose directory exists, AUTO, NONE, journal, or syslog",
    _parse_log,
    _format_log,
)
MAIN_LOG = Kind("main log", "a path whose directory exists, or syslog", _parse_main_log, _same)
NAME = Kind("name", "a name without blanks, colons and slashes", parse_name, _same)
NAMES = Kind("names", "names, separated by commas", parse_names, ",".join)
OWNER = Kind("user[:group]", "user or user:group, by name or number", _parse_owner, _format_owner)
ADDRESS: Kind[Any] = Kind(  # Any: one key sets two fields, host and port
    "address",
    "host:port, [IPv6 address]:port, *:port or a port 1..65535",
    parse_address,
    format_address,
)
SOCKET_FILE = Kind("path", "the path of a socket", _parse_socket_file, _same)
EVENTS = Kind("event types", "event types, separated by commas", parse_events, ",".join)
FOLDERS = Kind("folders", "absolute folders, separated by commas", parse_folders, ",".join)
CALLABLE = Kind("module:callable", "module:callable", _same, _same)
AUTORESTART = Kind(
    "autorestart",
    "true, false or unexpected",
    _parse_autorestart,
    _format_autorestart,
    ("true", "false", "unexpected"),
)
CONTAINMENT = Kind(
    "containment", "tree or none", _parse_containment, _format_containment, ("tree", "none")
)
PAYLOAD_LENGTH = Kind(
    "unit of length",
    "characters or bytes",
    _parse_payload_length,
    _same,
    ("characters", "bytes"),
)
READY = Kind("ready", "started or running", _parse_ready, _format_ready, ("started", "running"))
USER = Kind("user", "a login name, or the number of an existing account", parse_user, str)
PRIORITY = Kind(
    "priority",
    f"{', '.join(PRIORITIES)}, or 0 to 7",
    parse_priority,
    format_priority,
    PRIORITIES,
)
LEVEL_PATTERN = Kind(
    "pattern",
    "a regular expression with a group (?P<level>...)",
    parse_level_pattern,
    format_level_pattern,
)
RATE = Kind("rate", "lines per interval: 1000/s, 600/min or 1000/30s", parse_rate, str)
JOURNAL_FULL = Kind(
    "drop or wait", "drop or wait", _parse_journal_full, _format_journal_full, ("drop", "wait")
)
SERVER_URL = Kind("URL or AUTO", "a URL, or AUTO", _parse_server_url, _format_server_url)
ENVIRONMENT = Kind(
    "variables", 'KEY="value" pairs, separated by commas', _parse_environment, format_environment
)
SOCKETS = Kind(
    "sockets",
    "NAME=ADDRESS pairs, separated by commas: tcp://HOST:PORT, udp://HOST:PORT or unix:///PATH",
    _parse_sockets,
    _format_sockets,
)
_BOTH = "for both limits, or soft:hard"
MEMORY = Kind(
    "memory",
    "bytes, or a number with K, M, G or T, a percentage of the machine's memory, or infinity",
    parse_memory,
    str,
    percent=True,
)
OOM_POLICY = Kind(
    "kill or continue",
    "kill or continue",
    parse_oom_policy,
    format_oom_policy,
    ("kill", "continue"),
)
QUOTA = Kind(
    "processor time",
    "a percentage of one processor, such as 50% or 150%, or infinity",
    parse_quota,
    format_quota,
    percent=True,
)
WEIGHT = Kind("weight", "a whole number from 1 to 10000", parse_weight, format_integer)
TASKS = Kind("tasks", "a whole number from 1 on, or infinity", parse_tasks, format_count)
NICE = Kind("nice value", "a whole number from -20 to 19", parse_nice, format_integer)
OOM_SCORE = Kind(
    "OOM adjustment", "a whole number from -1000 to 1000", parse_oom_score, format_integer
)
CPUS = Kind(
    "processors", "numbers and ranges such as 0-3, separated by commas", parse_cpus, format_cpus
)
CAPABILITY_SET = Kind(
    "capabilities",
    "names as in capabilities(7), separated by commas, or none",
    parse_capabilities,
    format_capabilities,
    tuple(f"CAP_{name}" for name in CAPABILITIES),
)
RLIMIT_SIZE = Kind(
    "limit in bytes",
    f"bytes, or a number with K, M, G or T, or infinity; {_BOTH}",
    rlimit_parser(parse_size),
    rlimit_formatter(format_size),
)
RLIMIT_COUNT = Kind(
    "limit",
    f"a whole number, or infinity; {_BOTH}",
    rlimit_parser(parse_count),
    rlimit_formatter(format_count),
)
RLIMIT_SECONDS = Kind(
    "limit in seconds",
    f"a number of seconds, or numbers with s, min, h or d, or infinity; {_BOTH}",
    rlimit_parser(parse_seconds_limit),
    rlimit_formatter(format_seconds_limit),
)
RLIMIT_MICROSECONDS = Kind(
    "limit in microseconds",
    f"a number of microseconds, or one with us, ms or s, or infinity; {_BOTH}",
    rlimit_parser(parse_microseconds),
    rlimit_formatter(format_microseconds),
)
RLIMIT_NICE = Kind(
    "limit of the nice value",
    f"a nice value with a sign, a number (20 less that value), or infinity; {_BOTH}",
    rlimit_parser(parse_nice_limit),
    rlimit_formatter(format_count),
)
