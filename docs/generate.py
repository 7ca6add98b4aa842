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
*live*, else a restart. `update` restarts just the processes that it must, see
[what an update disturbs](#what-an-update-disturbs). The options of the pool of an `eventlistener`
and of the socket of an `fcgi-program` concern all processes of the group.

{sections}

## What an update disturbs

`sdsuperctl update` reads the files again, and applies all of it or, where they do not load,
nothing. `update --dry-run` tells what would restart, and for which option; `reread` names the
groups alone, as Supervisor's does.

- What has not changed is not touched: a process that runs goes on, one that was stopped by hand
  stays down.
- **Live** options are in force at once, for the process as it runs: pid, uptime, retries and
  history stay what they were. The log has a line; no event is published. What has gone out
  already is not called back: a rate counts lines from then on, and output that was being captured
  when capture was switched off is dropped.
- What is being waited for follows its option. `startsecs` count from the start; `start_timeout`
  and `stopwaitsecs` end later, or sooner, by as much as they have changed, so that a lower one
  may be over at once, for a stop that is under way too. A retry that is due comes still with
  fewer `startretries`. `autorestart` and `exitcodes` judge the next exit, not the last one.
- `memory_max` below what is in use makes the kernel take memory back, and kill where it cannot.
  With limits of a kind that no program had before, the kernel counts what is used from then on.
- Where the group goes on, its processes come and go one by one: with `numprocs` 3 to 5 the three
  stay. Those whose other options have changed stop, all that must at the same time, and start
  again; the others of their group go on.
- A group all of whose processes have to stop is taken out and in again, as Supervisor does it:
  with its events, and its sockets closed for a moment.
- What had to stop starts again if `autostart` says so, whatever was done by hand. So do changed
  processes that are FATAL, and those that are down and whose `autostart` was switched on. With
  `update --keep` all that was up, by whatever hand, is up again, and what was down stays down.

Supervisor's own `supervisorctl` stops and starts whole groups by calls of its own; with this
daemon, too. SIGHUP and `reload` restart everything, as they always did.
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
