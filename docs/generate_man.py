"""Write the manual pages in docs/man from the declarations: `python -m docs.generate_man`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from docs.generate import SECTIONS
from sdsuper import __version__
from sdsuper.config import commandline
from sdsuper.config.commands import group
from sdsuper.config.option import LIVE, Option
from sdsuper.config.sections import options_by_kind
from sdsuper.ctl.commands import all_commands
from sdsuper.ctl.options import OPTIONS

FOLDER = Path(__file__).with_name("man")

_SECTION_NAMES = {"8": "System administration", "1": "User commands", "5": "File formats"}

_CODE = re.compile(r"`([^`]*)`")


def text(plain: str) -> str:
    """Return a text for roff: `code` in bold, and nothing taken for a request or an escape."""
    plain = plain.replace("\\", r"\e").replace("-", r"\-")
    marked = _CODE.sub(r"\\fB\1\\fR", plain)
    return "\n".join(
        rf"\&{line}" if line[:1] in (".", "'") else line for line in marked.split("\n")
    )


def head(name: str, section: str, purpose: str) -> Iterator[str]:
    """Yield the beginning of a page."""
    yield r".\" Written by docs/generate_man.py; do not edit."
    yield f'.TH {name.upper()} {section} "" "sdsuper {__version__}" "{_SECTION_NAMES[section]}"'
    yield ".SH NAME"
    yield rf"{name} \- {text(purpose)}"


def chapter(title: str, *paragraphs: str) -> Iterator[str]:
    """Yield a section with paragraphs."""
    yield f".SH {title}"
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield text(paragraph)


def items(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a list of tagged paragraphs; the tags are in roff already."""
    for tag, said in rows:
        yield ".TP"
        yield tag
        yield text(said)


def option_tag(names: Iterable[str], argument: str) -> str:
    """Return names and argument of an option as a tag."""
    shown = ", ".join(rf"\fB{text(name)}\fR" for name in names)
    return rf"{shown} \fI{text(argument)}\fR" if argument else shown


def sentence(said: str) -> str:
    """Return words as a sentence."""
    return f"{said[0].upper()}{said[1:].rstrip('.')}."


FILES = (
    ("/etc/sdsuper/sdsuper.conf", "The configuration of the package's service."),
    ("/etc/sdsuper.d/*.ini, /etc/supervisord.d/*.ini", "Programs, a file for each."),
    ("/run/sdsuper/sdsuper.sock", "The control socket, for root and the group `sdsuper`."),
    ("/var/log/sdsuper", "The daemon's log, and those of programs that name none."),
)

SEARCH = (
    "Without `-c` the first of these is read: /etc/sdsuper/sdsuper.conf, ../etc/supervisord.conf "
    "and ../supervisord.conf beside the command's folder, supervisord.conf and "
    "etc/supervisord.conf in the working directory (for root last), /etc/supervisord.conf, "
    "/etc/supervisor/supervisord.conf. Called `supervisord` or `supervisorctl`, the commands look "
    "where Supervisor looks only."
)


def sdsuperd() -> Iterator[str]:
    """Yield the page of the daemon."""
    yield from head("sdsuperd", "8", "run programs and keep them as configured")
    yield ".SH SYNOPSIS"
    yield r"\fBsdsuperd\fR [\fIOPTION\fR...]"
    for name in group.commands:
        yield ".br"
        yield rf"\fBsdsuperd\fR [\fIOPTION\fR...] \fBconfig {name}\fR"
    yield from chapter(
        "DESCRIPTION",
        "`sdsuperd` starts the programs of its configuration, restarts those that end as they are "
        "told to, writes their output to files and to the journal, and is told what to do by "
        "sdsuperctl(1). It reads the ini files of Supervisor, see sdsuper.conf(5).",
        "It daemonizes unless `-n` is given. Under systemd the unit `sdsuperd.service` runs it.",
        SEARCH,
    )
    yield ".SH OPTIONS"
    yield "They win over the configuration file."
    rows = commandline.rows()
    yield from items((option_tag(names, arg), sentence(said)) for names, arg, said in rows)
    yield ".SH COMMANDS"
    yield from items(
        (rf"\fBconfig {name}\fR", command.help or "") for name, command in group.commands.items()
    )
    yield ".SH SIGNALS"
    yield from items(
        (
            ("TERM, INT, QUIT", "Stop every program in order, then end."),
            ("HUP", "Read the configuration, if it loads, and restart everything."),
            ("USR2", "Open all log files anew."),
        )
    )
    yield ".SH EXIT STATUS"
    yield from items(
        (
            ("0", "It was told to end."),
            ("1", "A failure of the daemon itself."),
            ("2", "The command line or the configuration is wrong, or cannot be acted on."),
            ("7", "With `ready=running`, a required program did not come up."),
        )
    )
    yield ".SH FILES"
    yield from items((rf"\fI{text(path)}\fR", said) for path, said in FILES)
    yield from chapter("SEE ALSO", "sdsuperctl(1), sdsuper.conf(5), journalctl(1), systemctl(1)")


def sdsuperctl() -> Iterator[str]:
    """Yield the page of the client."""
    yield from head("sdsuperctl", "1", "control the programs of sdsuperd")
    yield ".SH SYNOPSIS"
    yield r"\fBsdsuperctl\fR [\fIOPTION\fR...] [\fIACTION\fR [\fIARGUMENT\fR...]]"
    yield from chapter(
        "DESCRIPTION",
        "`sdsuperctl` shows the processes of a running sdsuperd(8), starts and stops them, reads "
        "their logs and applies changed configuration. Without an action a shell reads one per "
        "line.",
        "`web` is one process, `group:web` one of a group, `group:*` all of a group (quote it), "
        "and `all` every process.",
        SEARCH,
    )
    yield ".SH OPTIONS"
    for option in OPTIONS:
        if option.help:
            names = [f"-{option.short}"] * bool(option.short) + [f"--{option.name}"]
            yield from items([(option_tag(names, option.argument), sentence(option.help))])
    yield ".SH ACTIONS"
    for command in all_commands().values():
        for form, said in command.forms:
            if said:
                yield from items([(rf"\fB{text(form)}\fR", sentence(said))])
    yield ".SH EXIT STATUS"
    yield from items(
        (
            ("0", "Done, or nothing was to be done."),
            ("1", "Refused or failed; an unknown action, or wrong arguments."),
            ("2", "A wrong option, or an ini file with errors."),
            ("3", "`status`: something that is shown is down."),
            ("4", "`status`: an unknown name; else nobody listens."),
            ("5", "The daemon speaks another version of the interface."),
            ("7", "A process is not running, or did not start; the socket is not there."),
        )
    )
    yield from chapter("SEE ALSO", "sdsuperd(8), sdsuper.conf(5)")


def sdsuper_conf() -> Iterator[str]:
    """Yield the page of the configuration file."""
    yield from head("sdsuper.conf", "5", "configuration of sdsuperd and sdsuperctl")
    yield from chapter(
        "DESCRIPTION",
        "The files are Supervisor's: ini files with `;` and `#` as comments (inside a line behind "
        "a blank), values that go on in more deeply indented lines, and keys in any case.",
        "In values `%(NAME)s` is replaced, and `%%` is a percent sign: `here` is the directory of "
        "the file, `host_node_name` the name of the host, `ENV_X` the variable X. Programs know "
        "`program_name` and `group_name` too, and what is worked out for each process "
        "`process_num` and `numprocs`.",
        "`sdsuperd config sample` prints a file to begin with, `sdsuperd config check` all that is "
        "wrong with one.",
    )
    kinds = options_by_kind()
    for kind, about in SECTIONS.items():
        yield f".SH [{text(kind.upper())}]"
        yield text(about)
        options = kinds[kind]
        if kind in ("eventlistener", "fcgi-program"):
            options = tuple(option for option in options if option.sections == (kind,))
        live = kind in ("program", "group")
        for option in sorted(options, key=lambda option: option.key):
            yield from _option(option, live=live)
    yield ".SH TYPES"
    types = {
        option.kind.name: option.kind.accepts
        for options in kinds.values()
        for option in options
        if option.kind.name not in ("text", option.kind.accepts)
    }
    yield from items((text(name), sentence(accepts)) for name, accepts in sorted(types.items()))
    yield from chapter("SEE ALSO", "sdsuperd(8), sdsuperctl(1)")


def _option(option: Option, *, live: bool) -> Iterator[str]:
    default = "required" if option.required else f"default: {option.default_text or 'none'}"
    yield ".TP"
    yield rf"\fB{text(option.key)}\fR (\fI{text(option.kind.name)}\fR; {text(default)})"
    yield text(option.help)
    if live and option.on_change is LIVE:
        yield "A change restarts nothing."


PAGES = {"sdsuperd.8": sdsuperd, "sdsuperctl.1": sdsuperctl, "sdsuper.conf.5": sdsuper_conf}


def page(name: str) -> str:
    """Return a whole page."""
    return "\n".join(PAGES[name]()) + "\n"


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(page(name), encoding="utf-8")


if __name__ == "__main__":
    main()
