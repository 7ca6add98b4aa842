"""A configuration as text: what was resolved, and what is wrong; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sdsuper.config.kinds import (
    ADDRESS,
    BYTES,
    ENVIRONMENT,
    INTEGER,
    SECONDS,
    format_address,
    format_environment,
)
from sdsuper.config.model import (
    Config,
    DaemonConfig,
    FcgiSocketConfig,
    GroupConfig,
    ListenerPoolConfig,
    ProcessConfig,
    RpcInterfaceConfig,
    ServerConfig,
)
from sdsuper.config.option import Option, options_of
from sdsuper.errors import ConfigError, Problem
from sdsuper.values import Level, Namespec

MASK = "********"
_SECRET_WORDS = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "CREDENTIAL")

_NUMBERS = (INTEGER, SECONDS, BYTES)


def mask(name: str, value: str) -> str:
    """Return a variable's value, or stars where its name says that it is a secret."""
    return MASK if any(word in name.upper() for word in _SECRET_WORDS) else value


# --- config check ---------------------------------------------------------------------------------


def render_check(config: Config) -> tuple[str, bool]:
    """Return what `config check` says of a configuration that loads, and whether it is clean.

    What the daemon only warns of because it must start (unknown keys, names that occur twice) is
    an error here.
    """
    doubts = _as_read(config.doubts)
    lines = doubts + [
        f"warning: {note.message}"
        for note in config.notes
        if note.level >= Level.WARN and note.message not in doubts
    ]
    lines.append(_count(len(doubts)) if doubts else _summary(config))
    return "\n".join(lines) + "\n", not doubts


def render_errors(error: ConfigError) -> str:
    """Return what `config check` says of a configuration that does not load."""
    lines = _as_read((*error.problems, *error.doubts))
    return "\n".join((*lines, _count(len(lines)))) + "\n"


def _as_read(problems: Sequence[Problem]) -> list[str]:
    """Return a line for each problem, in the order of the files and their lines; none twice."""
    files = list(dict.fromkeys(problem.file for problem in problems))
    ordered = sorted(problems, key=lambda each: (files.index(each.file), each.line or 0))
    return list(dict.fromkeys(map(str, ordered)))


def _count(errors: int) -> str:
    return f"{errors} error{'' if errors == 1 else 's'}"


def _summary(config: Config) -> str:
    processes = sum(len(group.processes) for group in config.groups)
    return (
        f"{config.file}: ok ({_number(len(config.files), 'file')}, "
        f"{_number(len(config.groups), 'group')}, {_number(processes, 'process', 'processes')}, "
        f"{_number(len(config.servers), 'server')})"
    )


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


# --- config show ----------------------------------------------------------------------------------


def render_ini(config: Config) -> str:
    """Return the resolved configuration section by section, one for each process."""
    blocks = [_block("supervisord", _rows(DaemonConfig, config.daemon))]
    blocks += [_block(server.section, _server_rows(server)) for server in config.servers]
    for interface in config.rpcinterfaces:
        rows = _rows(RpcInterfaceConfig, interface)
        rows += [(key, mask(key, text)) for key, text in interface.options.items()]
        blocks.append(_block(f"rpcinterface:{interface.name}", rows))
    for group in config.groups:
        blocks += _group_blocks(group)
    return "\n".join(blocks)


def _group_blocks(group: GroupConfig) -> Iterator[str]:
    if group.kind == "group":
        yield _block(f"group:{group.name}", _rows(GroupConfig, group))
    for process in group.processes:
        rows = _rows(ProcessConfig, process)
        if group.pool is not None:
            rows += _rows(ListenerPoolConfig, group.pool)
        if process.program in group.sockets:
            rows += _rows(FcgiSocketConfig, group.sockets[process.program])
        name = Namespec(group.name, process.name)
        place = f"{process.location.file}:{process.location.line}"
        yield _block(f"{process.kind}:{name}", rows, comment=place)


def _server_rows(server: ServerConfig) -> list[tuple[str, str]]:
    kind = f"{server.family}_http_server"
    return [
        (option.key, text)
        for option in options_of(ServerConfig)
        if kind in option.sections and (text := _text(option, server)) is not None
    ]


def _rows(declaration: type, instance: object) -> list[tuple[str, str]]:
    return [
        (option.key, text)
        for option in options_of(declaration)
        if (text := _text(option, instance)) is not None
    ]


def _block(name: str, rows: list[tuple[str, str]], comment: str | None = None) -> str:
    lines = [f"; {comment}"] if comment else []
    lines.append(f"[{name}]")
    lines += [f"{key}={_written(text)}" for key, text in rows]
    return "\n".join(lines) + "\n"


def _written(text: str) -> str:
    return text.replace("%", "%%").replace("\n", "\n  ")


def _text(option: Option, instance: object) -> str | None:
    """Return an option's value as it would be written, None where there is nothing to write."""
    value = option.value_in(instance)
    if option.path[-1] == "logfile" and option.path[0] in ("stdout", "stderr"):
        channel = getattr(instance, option.path[0])
        return "AUTO" if channel.auto else value or "NONE"
    if option.key == "logfile" and value is None:
        return "syslog"
    if value is None:
        return None
    if option.secret:
        return MASK
    if option.kind is ENVIRONMENT:
        return format_environment({name: mask(name, text) for name, text in value.items()})
    if option.kind is ADDRESS and isinstance(instance, ServerConfig):
        return format_address((instance.host or "", value))
    return option.kind.format(value)


def render_json(config: Config) -> str:
    """Return the resolved configuration as JSON."""
    import json

    return json.dumps(_plain(config), indent=2, ensure_ascii=False) + "\n"


def _plain(config: Config) -> dict[str, Any]:
    return {
        "file": config.file,
        "files": list(config.files),
        "supervisord": _values(DaemonConfig, config.daemon),
        "servers": [
            {"section": server.section, **dict(_server_values(server))} for server in config.servers
        ],
        "rpcinterfaces": [
            {
                "name": interface.name,
                **_values(RpcInterfaceConfig, interface),
                "options": {key: mask(key, text) for key, text in interface.options.items()},
            }
            for interface in config.rpcinterfaces
        ],
        "groups": [_plain_group(group) for group in config.groups],
    }


def _server_values(server: ServerConfig) -> Iterator[tuple[str, Any]]:
    values = _values(ServerConfig, server)
    for option in options_of(ServerConfig):
        if f"{server.family}_http_server" in option.sections:
            yield option.key, values[option.key]


def _plain_group(group: GroupConfig) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": group.name,
        "kind": group.kind,
        "priority": group.priority,
        "processes": [_plain_process(process) for process in group.processes],
    }
    if group.kind == "group":
        plain["programs"] = list(group.programs)
    if group.pool is not None:
        plain |= _values(ListenerPoolConfig, group.pool)
    if group.sockets:
        plain["sockets"] = {
            name: _values(FcgiSocketConfig, socket) for name, socket in group.sockets.items()
        }
    return plain


def _plain_process(process: ProcessConfig) -> dict[str, Any]:
    return {
        "name": process.name,
        "group": process.group,
        "program": process.program,
        "process_num": process.process_num,
        "file": process.location.file,
        "line": process.location.line,
        **_values(ProcessConfig, process),
    }


def _values(declaration: type, instance: object) -> dict[str, Any]:
    return {option.key: _value(option, instance) for option in options_of(declaration)}


def _value(option: Option, instance: object) -> Any:
    """Return a value as JSON has it: numbers and flags as they are, the rest as written."""
    value = option.value_in(instance)
    if option.kind is ENVIRONMENT and isinstance(value, Mapping):
        return {name: mask(name, text) for name, text in value.items()}
    if isinstance(value, bool) or option.kind in _NUMBERS:
        return value
    return _text(option, instance)
