"""Which options each kind of section knows, gathered from the declarations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sdsuper.config import client
from sdsuper.config.ini import Section
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

NAMED_KINDS = frozenset(("program", "eventlistener", "fcgi-program", "group"))
"""Sections that are nothing without a colon and a name."""

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


def known_options(section: Section) -> frozenset[str] | None:
    """Return the keys that a section may have; None where any may be written."""
    named = ":" in section.name
    if section.kind in OPEN_KINDS or (section.kind in NAMED_KINDS and not named):
        return None
    return _keys(section.kind)


@cache
def _keys(kind: str) -> frozenset[str] | None:
    options = options_by_kind().get(kind)
    return None if options is None else frozenset(option.key for option in options)
