"""Which options each kind of section knows, gathered from the declarations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sdsuper.config import client
from sdsuper.config.model import (
    DaemonConfig,
    FcgiSocketConfig,
    GroupConfig,
    IncludeConfig,
    ListenerPoolConfig,
    ProcessConfig,
    RpcInterfaceConfig,
    ServerConfig,
)
from sdsuper.config.option import RESTART, Expand, Kind, Option, options_of

DECLARATIONS: tuple[type, ...] = (
    DaemonConfig,
    IncludeConfig,
    ServerConfig,
    ProcessConfig,
    ListenerPoolConfig,
    FcgiSocketConfig,
    GroupConfig,
    RpcInterfaceConfig,
)
"""Every class that declares options, in the order of the documentation."""

OPEN_KINDS = frozenset(("rpcinterface", "ctlplugin"))
"""Sections whose further keys go to a plugin."""

COMMAND_LINE_ONLY = frozenset(("profile_options",))
"""Keys of [supervisord] that Supervisor knows but reads from the command line alone."""


@cache
def options_by_kind() -> Mapping[str, tuple[Option, ...]]:
    """Return the options of each kind of section."""
    found: dict[str, list[Option]] = {}
    for declaration in DECLARATIONS:
        for option in options_of(declaration):
            for kind in option.sections:
                found.setdefault(kind, []).append(option)
    found["supervisorctl"] = [_client_option(option) for option in client.OPTIONS]
    return {kind: tuple(options) for kind, options in found.items()}


def _client_option(declared: client.ClientOption) -> Option:
    name = declared.accepts.rpartition(" ")[2] if declared.accepts.startswith("a") else "URL"
    return Option(
        key=declared.key,
        path=(declared.key,),
        kind=Kind(name, declared.accepts, declared.parse, str),
        default=declared.default,
        unset=None,
        required=False,
        help=declared.help,
        expand=Expand.COMMON,
        on_change=RESTART,
        sections=("supervisorctl",),
        error="{reason}",
        flag=None,
        secret=declared.secret,
    )


@cache
def known_options(kind: str) -> Mapping[str, Option] | None:
    """Return the options of a kind of section by key; None where any key may be written."""
    options = options_by_kind().get(kind)
    if options is None or kind in OPEN_KINDS:
        return None
    return {option.key: option for option in options}
