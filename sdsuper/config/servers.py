"""HTTP server and RPC interface sections."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol

from sdsuper.config.expand import Names
from sdsuper.config.findings import Findings, SectionReader
from sdsuper.config.ini import Document
from sdsuper.config.model import RpcInterfaceConfig, ServerConfig
from sdsuper.config.option import option_named, options_of
from sdsuper.values import Level

CALLABLE_SHAPE = re.compile(r"[\w.]+\s*:\s*[\w.]+")
_REQUIRED = {"unix": "file", "inet": "port"}


def read_servers(document: Document, names: Names, findings: Findings) -> tuple[ServerConfig, ...]:
    """Read the servers, inet before unix; any section whose name begins so is one."""
    families: tuple[Literal["inet", "unix"], ...] = ("inet", "unix")
    return tuple(
        _read_server(SectionReader(section, names, findings), family)
        for family in families
        for section in document.of_kind(f"{family}_http_server")
    )


def _read_server(reader: SectionReader, family: Literal["unix", "inet"]) -> ServerConfig:
    values: dict[str, Any] = {}
    for option in options_of(ServerConfig):
        if f"{family}_http_server" not in option.sections:
            continue
        if option.key == _REQUIRED[family] and not reader.has(option):
            name = reader.section.name
            reader.section_problem(f"section [{name}] has no {option.key} value")
        values[option.key] = reader.read(option)
        if option.key == "password":
            _check_login(reader, values)
    if family == "inet":
        values["host"], values["port"] = values["port"] or (None, None)
    return ServerConfig(section=reader.section.name, family=family, **values)


def _check_login(reader: SectionReader, values: dict[str, Any]) -> None:
    keys = reader.section.values.keys()
    if ("username" in keys) != ("password" in keys):
        reader.section_problem(
            f"Section [{reader.section.name}] contains incomplete authentication: If a username or "
            "a password is specified, both the username and password must be specified"
        )


MAIN_FACTORY = "supervisor.rpcinterface:make_main_rpcinterface"
"""The factory that every existing configuration names; it stands for our own methods."""

_OWN_MODULE = "supervisor.rpcinterface:"


def is_main(interface: RpcInterfaceConfig) -> bool:
    """Whether an interface is our own, and no plugin."""
    return interface.factory == MAIN_FACTORY


class PluginModules(Protocol):
    """How to get at the modules of plugins, which run whatever their authors wrote."""

    def open(self, folders: Sequence[str], *, strict: bool) -> None:
        """Look for modules in these folders from now on.

        Args:
            folders: The folders.
            strict: Refuse those that others may change.
        """

    def trouble(self, factory: str) -> str | None:
        """Import a `module:callable`; return why that fails, None if it does not."""

    def event_types(self) -> Collection[str]:
        """Return what `events=` may name, with what the modules so far have added."""


def read_rpcinterfaces(
    document: Document, names: Names, findings: Findings, plugins: PluginModules | None = None
) -> tuple[RpcInterfaceConfig, ...]:
    """Read the RPC interfaces; those of plugins are imported where `plugins` is given.

    One that cannot be is no error: what starts at boot must not stay down for it.
    """
    factory = option_named(RpcInterfaceConfig, "supervisor.rpcinterface_factory")
    found = []
    for section in document.of_kind("rpcinterface:"):
        reader = SectionReader(section, names, findings)
        text = reader.text(factory)
        if not reader.has(factory):
            reader.section_problem(f"section [{section.name}] does not specify a {factory.key}")
        elif text is not None and not CALLABLE_SHAPE.fullmatch(text):
            message = factory.error.format(value=text, section=section.name)
            reader.problem(message, factory, reason="not module:callable", text=text)
        elif text is not None and text.startswith(_OWN_MODULE) and text != MAIN_FACTORY:
            message = factory.error.format(value=text, section=section.name)
            reader.problem(message, factory, reason=f"did you mean {MAIN_FACTORY}?", text=text)
        elif text is not None and text != MAIN_FACTORY and plugins is not None:
            reason = plugins.trouble(text)
            if reason is not None:
                message = factory.error.format(value=text, section=section.name)
                reader.doubt(f"{message}: {reason}", factory.key, level=Level.CRITICAL)
        rest = {key: reader.free(key) for key in section.values if key != factory.key}
        found.append(
            RpcInterfaceConfig(
                name=section.label,
                location=reader.location,
                factory=text or "",
                options=rest,
            )
        )
    return tuple(found)
