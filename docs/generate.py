"""Write docs/configuration.md from the declared options: `python -m docs.generate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdsuper.config.option import LIVE, Expand, Option
from sdsuper.config.sections import options_by_kind

PAGE = Path(__file__).with_name("configuration.md")

SECTIONS = {
    "supervisord": "The daemon itself. Options with a flag can be given on its command line too, "
    "which wins over the file.",
    "unix_http_server": "A server on a Unix socket, for `sdsuperctl`. "
    "`[unix_http_server:LABEL]` makes further ones.",
    "inet_http_server": "A server on a TCP port. `[inet_http_server:LABEL]` makes further ones.",
    "program": "`[program:NAME]`: what to run.",
    "eventlistener": "`[eventlistener:NAME]`: a program that is told of events. It knows every "
    "option of `[program:NAME]` (its `priority` is -1 where unset), and these:",
    "fcgi-program": "`[fcgi-program:NAME]`: a program whose processes share a socket. It knows "
    "every option of `[program:NAME]`, and these:",
    "group": "`[group:NAME]`: programs under one name.",
    "include": "Further files. They are read in sorted order; what is read later wins.",
    "rpcinterface": "`[rpcinterface:NAME]`: further XML-RPC methods. Every other key goes to the "
    "factory.",
    "supervisorctl": "What `sdsuperctl` reads, from the main file alone.",
}

SCOPES = {
    Expand.COMMON: "",
    Expand.PROGRAM: "program",
    Expand.PROCESS: "process",
}

TEXT = """\
<!-- Written by docs/generate.py; do not edit. -->
# Configuration

The files are Supervisor's: ini files with `;` and `#` as comments (inside a line behind a blank),
values that go on in more deeply indented lines, and keys in any case. Without `-c` the commands
look for `/etc/sdsuper/sdsuper.conf` first, then where Supervisor looks.

`sdsuperd config check` tells everything that is wrong, each with file, line and what may be
written instead. `sdsuperd config show` prints what the files come to; `--format json` for machines.
`sdsuperd config sample` prints a file to begin with: every option, with a comment and its default.
A key that nobody knows is an error for `config check`; the daemon warns of it and starts.

## Names in values

`%(NAME)s` is replaced, `%%` is a percent sign.

| Name | Stands for | Where |
|---|---|---|
| `here` | the directory of the file that the value is written in | everywhere |
| `host_node_name` | the name of the host | everywhere |
| `ENV_X` | the variable X of the daemon, or of `environment` in `[supervisord]` | everywhere |
| `program_name`, `group_name` | the program, and the group that it is in | *program*, *process* |
| `process_num`, `numprocs` | the number of the process, and how many there are | *process* |

The column *Names* below says which options know more than the first three.

## Types

| Type | What may be written |
|---|---|
{types}

## Sections

The column *Change* tells what a changed value asks of a process that runs: nothing where it is
*live*, else a restart. `update` makes no use of that yet: like Supervisor's it stops and starts
every group in which anything has changed.

{sections}
"""


def page() -> str:
    """Return the whole page."""
    kinds = options_by_kind()
    return TEXT.format(
        types="\n".join(_types()),
        sections="\n\n".join(_section(kind, kinds[kind]) for kind in SECTIONS),
    )


def _types() -> Iterator[str]:
    kinds = {
        option.kind.name: option.kind.accepts
        for options in options_by_kind().values()
        for option in options
        if option.kind.name not in ("text", option.kind.accepts)
    }
    for name, accepts in sorted(kinds.items()):
        yield f"| {name} | {accepts} |"


def _section(kind: str, options: tuple[Option, ...]) -> str:
    if kind in ("eventlistener", "fcgi-program"):
        options = tuple(option for option in options if option.sections == (kind,))
    program = any(option.on_change is LIVE for option in options) and kind != "group"
    flags = any(option.flag is not None for option in options)
    columns = ["Option", "Type", "Default"]
    columns += ["Names", "Change"] if program else ["Flag"] if flags else []
    lines = [
        f"### {kind}",
        "",
        SECTIONS[kind],
        "",
        f"| {' | '.join((*columns, 'What it does'))} |",
        "|" + "---|" * (len(columns) + 1),
    ]
    for option in sorted(options, key=lambda option: option.key):
        cells = [f"`{option.key}`", option.kind.name, _default(option)]
        if program:
            cells += [SCOPES[option.expand], option.on_change.value]
        elif flags:
            cells.append(_flag(option))
        lines.append(f"| {' | '.join((*cells, option.help))} |")
    return "\n".join(lines)


def _default(option: Option) -> str:
    if option.required:
        return "required"
    return f"`{option.default_text}`" if option.default_text else ""


def _flag(option: Option) -> str:
    if option.flag is None:
        return ""
    long = f"`--{option.key}`"
    return f"`-{option.flag}`, {long}" if option.flag else long


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
