"""Files, includes, numprocs -> Config; or every error found, in the order Supervisor meets them.

Reading never stops at the first error of the sections: the value in question falls back to its
default, the reading goes on, and all problems are raised together at the end.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from sdsuper.config.expand import Names
from sdsuper.config.findings import Findings, SectionReader, nearest
from sdsuper.config.ini import Document, Section
from sdsuper.config.model import Account, Config, DaemonConfig
from sdsuper.config.option import option_named, options_of
from sdsuper.config.programs import read_environment, read_groups
from sdsuper.config.sections import COMMAND_LINE_ONLY, NAMED_KINDS, known_options, options_by_kind
from sdsuper.config.servers import PluginModules, read_rpcinterfaces, read_servers
from sdsuper.config.sources import read_sources
from sdsuper.config.types import EVENT_TYPES
from sdsuper.dataclass import replace
from sdsuper.errors import ConfigError, Problem

__all__ = ["ConfigError", "load"]


def load(
    path: str,
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    event_types: Collection[str] = EVENT_TYPES,
    plugins: PluginModules | None = None,
) -> Config:
    """Read a configuration file and all that it includes.

    Args:
        path: The main file.
        overrides: Values of [supervisord] by option name that the command line has set; `user`
            as written, everything else as the option's type.
        environ: The variables that `%(ENV_X)s` stands for; None: those of this process.
        event_types: What `events=` may name.
        plugins: Imports the plugins of [rpcinterface:x]; None: they are only named.

    Raises:
        ConfigError: The configuration does not load; it holds every problem.
        UsageError: Others may change what plugins would be loaded from, and `strict` forbids it.
    """
    overrides = overrides or {}
    environ = dict(os.environ if environ is None else environ)
    findings = Findings()
    here = os.path.dirname(os.path.abspath(path))
    names = Names({"here": here, "host_node_name": os.uname().nodename}, environ, path)
    sources = read_sources(path, here, names, findings)
    document = sources.document
    daemon_reader = _daemon_reader(document, path, names, findings)
    settings = _read_daemon(daemon_reader)
    if plugins is not None:
        plugins.open(settings["plugin_path"], strict=settings["strict"])
    rpcinterfaces = read_rpcinterfaces(document, names, findings, plugins)
    if plugins is not None:  # only now: importing a plugin may add some
        event_types = plugins.event_types()
    shared = settings["environment"]
    groups = read_groups(
        document,
        names.over({}, shared),
        findings,
        shared=shared,
        journal=settings["journal"],
        event_types=event_types,
    )
    servers = read_servers(document, names, findings)
    settings["user"] = _read_user(daemon_reader, settings["user"], overrides)
    _doubt_unknown_keys(document, names, findings)
    _warn_of_replaced(document, findings)
    findings.raise_problems()
    return Config(
        file=path,
        here=here,
        daemon=_daemon(settings, overrides),
        groups=groups,
        servers=servers,
        rpcinterfaces=rpcinterfaces,
        notes=findings.notes,
        files=sources.files,
        doubts=findings.doubts,
    )


def _daemon_reader(
    document: Document, path: str, names: Names, findings: Findings
) -> SectionReader:
    section = document.get("supervisord")
    if section is None:
        findings.problem(Problem(".ini file does not include supervisord section", file=path))
        section = Section("supervisord", path, 1)
    return SectionReader(section, names, findings)


def _read_daemon(reader: SectionReader) -> dict[str, Any]:
    """Read every option of [supervisord]; `user` stays a text, it is looked up after all else."""
    settings: dict[str, Any] = {}
    for option in options_of(DaemonConfig):
        if option.key == "environment":
            settings["environment"] = read_environment(reader, option, reader.names)
        elif option.key == "user":
            settings["user"] = reader.text(option)
        else:
            settings[option.key] = reader.read(option)
    if not reader.has(option_named(DaemonConfig, "childlogdir")):
        settings["childlogdir"] = _temporary_directory()
    return settings


def _temporary_directory() -> str:
    """Return what `tempfile.gettempdir` does; that costs a daemon 0.8 MiB of modules."""
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    for each in (*named, "/tmp", "/var/tmp", "/usr/tmp"):
        if each and os.path.isdir(each) and os.access(each, os.W_OK | os.X_OK):
            return os.path.abspath(each)
    return os.getcwd()


def _read_user(
    reader: SectionReader, written: str | None, overrides: Mapping[str, object]
) -> Account | None:
    option = option_named(DaemonConfig, "user")
    override = overrides.get("user")
    account: Account | None = None
    if override is None:
        return account if written is None else reader.parse(option, written)
    try:
        account = option.kind.parse(str(override))
    except ValueError as error:
        reader.findings.problem(Problem(str(error), option="user", found=str(override)))
    return account


def _daemon(settings: dict[str, Any], overrides: Mapping[str, object]) -> DaemonConfig:
    settings |= {key: value for key, value in overrides.items() if key != "user"}
    if settings["logfile"] == "syslog":
        settings |= {"logfile": None, "logfile_syslog": True}
    else:
        settings["logfile"] = os.path.abspath(settings["logfile"])
    settings["pidfile"] = os.path.abspath(settings["pidfile"])
    return replace(DaemonConfig(logfile=None), **settings)


def _doubt_unknown_section(section: Section, findings: Findings) -> None:
    """Warn of a section that nobody reads if it looks like a misspelt one of ours.

    Other unknown sections are other programs' business, as with Supervisor.
    """
    kinds = {kind: kind for kind in (*options_by_kind(), "rpcinterface", "ctlplugin")}
    if section.kind in kinds:
        return
    hint = nearest(section.kind, kinds)
    if hint is not None:
        findings.doubt(
            Problem(
                f"unknown section [{section.name}]",
                file=section.file,
                line=section.line,
                hint=hint,
            )
        )


def _warn_of_replaced(document: Document, findings: Findings) -> None:
    """Warn of a program or group that is written twice: most likely a copy that kept its name.

    Sections of one name are merged, and an override of other options may well be meant.
    """
    for name, key, earlier, later in document.replaced:
        named = name.partition(":")[0] in NAMED_KINDS
        if named and key in ("command", "programs") and earlier.text != later.text:
            findings.warn(
                f"{later.file}:{later.line}: [{name}] {key}: takes the place of the one in "
                f"{earlier.file}:{earlier.line}"
            )


def _doubt_unknown_keys(document: Document, names: Names, findings: Findings) -> None:
    for section in document:
        known = known_options(section)
        if known is None:
            _doubt_unknown_section(section, findings)
            continue
        reader = SectionReader(section, names, findings)
        spellings = {key: key for key in known}
        for key, value in section.values.items():
            if key in known or document.is_default(key, value):
                continue
            if section.kind == "supervisord" and key in COMMAND_LINE_ONLY:
                continue
            header = "a section is written [NAME]" if key.startswith("[") else None
            hint = header or nearest(key, spellings)
            reader.doubt(f"unknown option {key}", key, hint=hint)
