"""Program-like and group sections -> groups of processes."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from sdsuper.config import environment
from sdsuper.config.expand import Names, expand_again
from sdsuper.config.findings import Findings, SectionReader, nearest
from sdsuper.config.ini import Document, Section
from sdsuper.config.kinds import AUTO, JOURNAL, PORT_MAX, SYSLOG, parse_name, parse_port
from sdsuper.config.model import (
    ChannelConfig,
    FcgiSocketConfig,
    GroupConfig,
    LimitsConfig,
    ListenerPoolConfig,
    ProcessConfig,
)
from sdsuper.config.option import Expand, Option, option_named, options_of
from sdsuper.config.servers import CALLABLE_SHAPE
from sdsuper.values import format_boolean

NUMPROCS_MAX = 100_000
LISTENER_GROUP_PRIORITY = -1
_TCP = re.compile(r"tcp://(?P<host>[^\s:]+):(?P<port>\d+)")
_UNIX = "unix://"

Kind = Literal["program", "eventlistener", "fcgi-program"]
Values = dict[str, Any]
_T = TypeVar("_T")


def read_groups(
    document: Document,
    names: Names,
    findings: Findings,
    *,
    shared: Mapping[str, str],
    journal: bool,
    event_types: Collection[str],
) -> tuple[GroupConfig, ...]:
    """Read all groups: [group:x], then programs, listeners and fcgi-programs outside of them.

    Args:
        document: All sections.
        names: What values may use, with the variables of [supervisord].
        findings: Gets what is wrong.
        shared: The variables of [supervisord].
        journal: Whether output goes to the journal where a program does not say.
        event_types: What `events=` may name.

    Returns:
        The groups by priority and name; of several with one name only the first.
    """
    reader = _GroupReader(document, names, findings, shared, journal, event_types)
    groups = sorted(reader.groups(), key=lambda group: (group.priority, group.name))
    unique: dict[str, GroupConfig] = {}
    for group in groups:
        first = unique.setdefault(group.name, group)
        if first is not group:
            _doubt_second_group(document, findings, first, group)
    _doubt_shared_addresses(document, findings, unique.values())
    return tuple(unique.values())


def _doubt_shared_addresses(
    document: Document, findings: Findings, groups: Iterable[GroupConfig]
) -> None:
    """Warn of an address that two programs listen on: only one of them will get it."""
    first: dict[str, ProcessConfig] = {}
    for process in (process for group in groups for process in group.processes):
        section = document.get(f"{process.kind}:{process.program}")
        for each in process.sockets:
            other = first.setdefault(each.address, process)
            if (other.group, other.program) != (process.group, process.program) and section:
                place = other.location
                SectionReader(section, Names({}, {}), findings).doubt(
                    f"{each.address} is listened on for [{other.kind}:{other.program}] of group "
                    f"{other.group} in {place.file}:{place.line} too",
                    "sockets",
                )


def _doubt_second_group(
    document: Document, findings: Findings, first: GroupConfig, second: GroupConfig
) -> None:
    section = next(
        section
        for section in document
        if (section.kind, section.label) == (second.kind, second.name)
    )
    place = first.location
    SectionReader(section, Names({}, {}), findings).doubt(
        f"group {second.name} is left out, [{first.kind}:{first.name}] in "
        f"{place.file}:{place.line} has that name too"
    )


class _GroupReader:
    """Reads every group of a document."""

    def __init__(
        self,
        document: Document,
        names: Names,
        findings: Findings,
        shared: Mapping[str, str],
        journal: bool,
        event_types: Collection[str],
    ) -> None:
        self._document = document
        self._names = names
        self._findings = findings
        self._shared = shared
        self._journal = journal
        self._event_types = event_types
        self._grouped: set[str] = set()
        self._known: dict[Any, Any] = {}

    def groups(self) -> Iterator[GroupConfig]:
        for section in self._document.of_kind("group:"):
            yield self._mixed(section)
        for section in self._sections_outside("program"):
            yield self._programs(section)
        for section in self._document.of_kind("eventlistener:"):
            yield self._listeners(section)
        for section in self._sections_outside("fcgi-program"):
            yield self._fcgi(section)

    def _sections_outside(self, kind: Kind) -> list[Section]:
        found = self._document.of_kind(f"{kind}:")
        return [section for section in found if section.label not in self._grouped]

    def _reader(self, section: Section, *, suffix: bool = False) -> SectionReader:
        text = f" in section {section.name!r} (file: {section.file!r})" if suffix else ""
        return SectionReader(section, self._names, self._findings, suffix=text)

    def _check_name(self, reader: SectionReader) -> str:
        name = reader.section.label
        try:
            parse_name(name)
        except ValueError as error:
            reader.section_problem(str(error))
        if not name:
            reader.doubt("the section has no name behind its colon")
        return name

    # --- [group:x] ------------------------------------------------------------------------------

    def _mixed(self, section: Section) -> GroupConfig:
        reader = self._reader(section)
        name = self._check_name(reader)
        priority = reader.read(option_named(GroupConfig, "priority"))
        programs = option_named(GroupConfig, "programs")
        members = reader.read(programs)
        processes: list[ProcessConfig] = []
        sockets: dict[str, FcgiSocketConfig] = {}
        for member in members:
            found = self._member(reader, programs, member)
            if found is None:
                continue
            self._grouped.add(member)
            processes += self._processes(found, name)
            if found.kind == "fcgi-program" and (socket := self._socket_in_group(found)):
                sockets[member] = socket
        # Members start by priority; where it is the same, as they are listed.
        processes.sort(key=lambda process: process.priority)
        return GroupConfig(
            name=name,
            kind="group",
            priority=priority,
            processes=_unique(reader, processes),
            location=reader.location,
            sockets=sockets,
            programs=members,
        )

    def _member(self, reader: SectionReader, option: Option, name: str) -> Section | None:
        program = self._document.get(f"program:{name}")
        fcgi = self._document.get(f"fcgi-program:{name}")
        group = reader.section.name
        if program and fcgi:
            reader.problem(
                f"[{group}] name {name} is ambiguous (exists as program and fcgi-program)", option
            )
        elif not program and not fcgi:
            known = {
                section.label: section.label
                for section in self._document.of_kind("program:", "fcgi-program:")
            }
            reader.problem(
                f"[{group}] names unknown program or fcgi-program {name}",
                option,
                hint=nearest(name, known),
            )
            return None
        return program or fcgi

    def _socket_in_group(self, section: Section) -> FcgiSocketConfig | None:
        """Read the socket of a grouped fcgi-program.

        Supervisor gives it none and never looks at these options, so that what is wrong with
        them is no more than a doubt.
        """
        findings = Findings()
        reader = SectionReader(section, self._names, findings)
        user = reader.read(option_named(ProcessConfig, "user"))
        socket = _read_socket(reader, user)
        for problem in findings.problems:
            self._findings.doubt(problem)
        return None if findings.problems else socket

    # --- groups of one section ------------------------------------------------------------------

    def _programs(self, section: Section) -> GroupConfig:
        reader = self._reader(section)
        name = self._check_name(reader)
        priority = reader.read(option_named(ProcessConfig, "priority"))
        return self._group(reader, name, "program", priority)

    def _listeners(self, section: Section) -> GroupConfig:
        reader = self._reader(section)
        priority = option_named(ProcessConfig, "priority")
        group_priority = reader.read(priority) if reader.has(priority) else LISTENER_GROUP_PRIORITY
        pool = _read_pool(reader, self._event_types)
        redirect = option_named(ProcessConfig, "redirect_stderr")
        if reader.read(redirect):
            reader.problem(
                f"[{section.name}] section sets redirect_stderr=true but this is not allowed "
                "because it will interfere with the eventlistener protocol",
                redirect,
            )
        name = self._check_name(self._reader(section, suffix=True))
        return self._group(reader, name, "eventlistener", group_priority, pool=pool)

    def _fcgi(self, section: Section) -> GroupConfig:
        reader = self._reader(section)
        name = self._check_name(reader)
        priority = reader.read(option_named(ProcessConfig, "priority"))
        user = reader.read(option_named(ProcessConfig, "user"))
        socket = _read_socket(reader, user)
        sockets = {name: socket} if socket else {}
        return self._group(reader, name, "fcgi-program", priority, sockets=sockets)

    def _group(
        self, reader: SectionReader, name: str, kind: Kind, priority: int, **more: Any
    ) -> GroupConfig:
        return GroupConfig(
            name=name,
            kind=kind,
            priority=priority,
            processes=_unique(reader, self._processes(reader.section, name)),
            location=reader.location,
            **more,
        )

    def _processes(self, section: Section, group: str) -> list[ProcessConfig]:
        reader = self._reader(section, suffix=True)
        found = _ProgramReader(reader, group, self._shared, self._journal, self._known)
        processes = found.processes()
        return sorted(processes, key=lambda process: (process.priority, process.name))


def _unique(reader: SectionReader, processes: list[ProcessConfig]) -> tuple[ProcessConfig, ...]:
    """Let the later of two processes with one name take the place of the earlier."""
    found: dict[str, ProcessConfig] = {}
    for process in processes:
        if process.name in found:
            first = found[process.name].location
            reader.doubt(
                f"process {process.name} of {process.location.file}:{process.location.line} takes "
                f"the place of the one of that name in {first.file}:{first.line}"
            )
        found[process.name] = process
    return tuple(found.values())


# --- pools and sockets --------------------------------------------------------------------------


def _read_pool(reader: SectionReader, event_types: Collection[str]) -> ListenerPoolConfig:
    name = reader.section.name
    size_option = option_named(ListenerPoolConfig, "buffer_size")
    size = reader.read(size_option)
    if size < 1:
        message = f"[{name}] section sets invalid buffer_size ({size})"
        reader.problem(message, size_option, text=str(size), reason="not 1 or more")
    handler_option = option_named(ListenerPoolConfig, "result_handler")
    handler = reader.text(handler_option)
    if handler is not None and not CALLABLE_SHAPE.fullmatch(handler):
        message = handler_option.error.format(value=handler, section=name)
        reader.problem(message, handler_option, reason="not module:callable", text=handler)
    return ListenerPoolConfig(
        buffer_size=size,
        payload_length=reader.read(option_named(ListenerPoolConfig, "payload_length")),
        result_handler=handler or "",
        events=_read_events(reader, event_types),
    )


def _read_events(reader: SectionReader, event_types: Collection[str]) -> tuple[str, ...]:
    option = option_named(ListenerPoolConfig, "events")
    text = reader.text(option)
    if text == "" or not reader.has(option):
        message = f'[{reader.section.name}] section requires an "events" line'
        reader.section_problem(message)
    events: tuple[str, ...] = reader.parse(option, text) if text else ()
    known = {name: name for name in event_types}
    for event in events:
        if event not in known:
            reason = f"Unknown event type {event}"
            message = option.error.format(reason=reason, section=reader.section.name)
            reader.problem(message, option, reason=reason, hint=nearest(event, known))
    return tuple(dict.fromkeys(events))


def _read_socket(reader: SectionReader, user: Any) -> FcgiSocketConfig | None:
    backlog_option, owner_option, mode_option, url_option = options_of(FcgiSocketConfig)
    backlog = reader.read(backlog_option)
    if backlog is not None and not 1 <= backlog <= PORT_MAX:
        message = f"Invalid socket_backlog value {backlog}"
        reader.problem(message, backlog_option, text=str(backlog), reason=f"not 1..{PORT_MAX}")
    owner = reader.read(owner_option)
    mode = reader.read(mode_option)
    section = reader.section.name
    label = reader.section.label
    url = reader.text(url_option, reader.names.over({"program_name": label, "group_name": label}))
    if url == "" or not reader.has(url_option):
        reader.section_problem(f'[{section}] section requires a "socket" line')
    if not url:
        return None
    unix = url.startswith(_UNIX)
    try:
        if not unix and (reader.has(owner_option) or reader.has(mode_option)):
            raise ValueError(
                "socket_owner and socket_mode params should only be used with a Unix domain socket"
            )
        _check_socket_url(url)
    except ValueError as error:
        reader.problem(f"{error} in [{section}] socket", url_option, reason=str(error), text=url)
        return None
    if unix and owner is None and user is not None and user.uid != os.getuid():
        owner = (user.uid, user.gid)
    return FcgiSocketConfig(url=url, backlog=backlog, owner=owner, mode=mode if unix else None)


def _check_socket_url(url: str) -> None:
    if url.startswith(_UNIX):
        path = url.removeprefix(_UNIX)
        if not path.startswith("/"):
            raise ValueError(f"Unix socket path {path} is not an absolute path")
        return
    tcp = _TCP.fullmatch(url)
    if tcp is None:
        raise ValueError(f"Bad socket format {url}")
    parse_port(tcp["port"])


# --- environment --------------------------------------------------------------------------------


def read_environment(reader: SectionReader, option: Option, names: Names) -> dict[str, str]:
    """Read `environment=`, and warn of values that are not what they look like."""
    text = reader.text(option, names)
    if not text:
        return {}
    try:
        pairs = environment.pairs(text)
    except ValueError as error:
        reader.problem(str(error), option, text=text)
        return {}
    value = reader.section.values[option.key]
    where = f"{value.file}:{value.line}: [{reader.section.name}] environment"
    for pair in pairs:
        if pair.separator not in (",", ""):
            reader.findings.warn(
                f"{where}: {pair.name} ends at {pair.separator!r} where a comma is expected; "
                "put the value in quotes if that belongs to it"
            )
    variables = {pair.name: pair.value for pair in pairs}
    legacy = environment.legacy_environment(text)
    if legacy is not None and legacy != variables:
        changed = sorted(
            name for name in {*legacy, *variables} if _differs(name, legacy, variables)
        )
        reader.findings.warn(
            f"{where}: quotes and backslashes are read as a shell reads them; Supervisor 4.3 read "
            f"{', '.join(changed)} differently"
        )
    return variables


def _differs(name: str, first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    return first.get(name) != second.get(name)


# --- one program-like section -------------------------------------------------------------------


class _ProgramReader:
    """Makes the processes of one program-like section, for one group."""

    def __init__(
        self,
        reader: SectionReader,
        group: str,
        shared: Mapping[str, str],
        journal: bool,
        known: dict[Any, Any],
    ) -> None:
        self._reader = reader
        self._section = reader.section
        self._group = group
        self._shared = shared
        self._journal = journal
        self._names = reader.names.over({"program_name": reader.section.label, "group_name": group})
        self._options = options_of(ProcessConfig)
        self._kind: Any = self._section.kind
        self._location = reader.location
        self._known = known

    def _one(self, config: _T) -> _T:
        """Return the same object for all that are equal: most programs are much like others."""
        known: _T = self._known.setdefault(config, config)
        return known

    def processes(self) -> list[ProcessConfig]:
        values = self._shared_values()
        self._check_numbers(values)
        start, count = values["numprocs_start",], values["numprocs",]
        most = NUMPROCS_MAX if self._numbered() else 1  # one name, one process
        own: dict[str, str] = {}
        found = []
        for number in range(start, start + min(count, most)):
            names = self._names.over({"process_num": number, "numprocs": count}, own)
            process, own = self._process(dict(values), number, names)
            found.append(process)
            # A variable of process n is still there for n+1, unless all programs have it.
            own = {key: text for key, text in own.items() if key not in self._reader.names.environ}
        return found

    def _shared_values(self) -> dict[tuple[str, ...], Any]:
        values: dict[tuple[str, ...], Any] = {}
        for option in self._options:
            if option.expand == Expand.PROCESS:
                continue
            names = self._names
            if option.key == "killasgroup":
                stop = format_boolean(values["stopasgroup",])
                names = names.over({"stopasgroup": stop})
            values[option.path] = self._reader.read(option, names)
        return values

    def _template(self) -> str:
        """Return what the names of the processes are made of."""
        option = option_named(ProcessConfig, "process_name")
        value = self._section.values.get(option.key)
        return (option.unset if value is None else value.text) or ""

    def _numbered(self) -> bool:
        return "%(process_num)" in self._template()

    def _check_numbers(self, values: Mapping[tuple[str, ...], Any]) -> None:
        reader = self._reader
        try:
            parse_name(self._template())
        except ValueError as error:
            reader.problem(str(error), option_named(ProcessConfig, "process_name"))
        count = option_named(ProcessConfig, "numprocs")
        if values["numprocs",] > 1 and not self._numbered():
            message = "%(process_num) must be present within process_name when numprocs > 1"
            reader.problem(message, count)
        if values["stopasgroup",] and not values["killasgroup",]:
            message = "Cannot set stopasgroup=true and killasgroup=false"
            reader.problem(message, option_named(ProcessConfig, "killasgroup"))
        if values["numprocs",] > NUMPROCS_MAX:
            reader.problem(f"numprocs must not be above {NUMPROCS_MAX}", count)

    def _process(
        self, values: dict[tuple[str, ...], Any], number: int, names: Names
    ) -> tuple[ProcessConfig, dict[str, str]]:
        reader = self._reader
        own = read_environment(reader, option_named(ProcessConfig, "environment"), names)
        names = names.over({}, own)
        for option in self._options:
            if option.expand == Expand.PROCESS and option.key != "environment":
                values[option.path] = self._value(option, names)
        command = option_named(ProcessConfig, "command")
        if not reader.has(command):
            reader.section_problem(
                f"program section {self._section.name} does not specify a command"
            )
        values["environment",] = {**self._shared, **own} if own else self._shared
        process = ProcessConfig(
            group=self._group,
            program=self._section.label,
            kind=self._kind,
            process_num=number,
            location=self._location,
            stdout=self._channel("stdout", values),
            stderr=self._channel("stderr", values),
            limits=self._one(LimitsConfig(**_within("limits", values))),
            **{path[0]: value for path, value in values.items() if len(path) == 1},
        )
        self._doubt_name(process.name)
        return process, own

    def _value(self, option: Option, names: Names) -> Any:
        if option.key == "process_name":
            return self._reader.text(option, names) or ""
        if option.path[-1] != "logfile":
            return self._reader.read(option, names)
        text = self._reader.text(option, names)
        return "" if text is None else self._reader.parse(option, expand_again(text, names))

    def _channel(self, name: str, values: Mapping[tuple[str, ...], Any]) -> ChannelConfig:
        found = _within(name, values)
        target = found["logfile"] or ""
        option = option_named(ProcessConfig, f"{name}_logfile")
        if target == SYSLOG:
            self._warn(
                f"{option.key}=syslog but this is deprecated and will be removed.  "
                f"Use {name}_syslog=true to enable syslog instead."
            )
            found["syslog"] = True
        found["journal"] = target == JOURNAL or self._wants_journal(name, found["journal"])
        if name == "stderr" and values["redirect_stderr",]:
            if target not in ("", AUTO, SYSLOG, JOURNAL):
                self._warn(
                    "redirect_stderr=true but stderr_logfile has also been set to a filename, "
                    "the filename has been ignored"
                )
            target = ""
        if target == AUTO and not found["logfile_maxbytes"]:
            self._warn(
                f"AUTO logging used for {option.key} without rollover, set maxbytes > 0 to avoid "
                "filling up filesystem unintentionally"
            )
        found["logfile"] = None if target in ("", AUTO, SYSLOG, JOURNAL) else target
        return self._one(ChannelConfig(**found, auto=target == AUTO))

    def _wants_journal(self, name: str, written: bool) -> bool:
        if self._reader.has(option_named(ProcessConfig, f"{name}_journal")):
            return written
        speaks_protocol = self._section.kind == "eventlistener" and name == "stdout"
        return self._journal and not speaks_protocol

    def _warn(self, message: str) -> None:
        self._reader.findings.warn(f"For [{self._section.name}], {message}")

    def _doubt_name(self, name: str) -> None:
        option = option_named(ProcessConfig, "process_name")
        try:
            parse_name(name)
        except ValueError as error:
            self._reader.doubt(str(error), option.key)
        if not name and self._section.label:
            self._reader.doubt("the name of a process is empty", option.key)


def _within(name: str, values: Mapping[tuple[str, ...], Any]) -> Values:
    """Return the values of a section that is part of another, by their fields."""
    return {path[1]: value for path, value in values.items() if path[0] == name and path[1:]}
