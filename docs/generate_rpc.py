"""Write docs/rpc.md from the methods and the faults: `python -m docs.generate_rpc`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdsuper.core.history import HISTORY_MAX, Ending
from sdsuper.daemon.lastoutput import OUTPUT_BYTES
from sdsuper.rpc.faults import NAMES, name_of
from sdsuper.server.http import BODY_BYTES_MAX, HEAD_BYTES_MAX, IDLE_SECONDS
from sdsuper.server.registry import Method, declared_methods
from sdsuper.server.web import CONNECTIONS_MAX, PAUSE_SECONDS

PAGE = Path(__file__).with_name("rpc.md")

MEANING = {
    "UNKNOWN_METHOD": "There is no method of this name.",
    "INCORRECT_PARAMETERS": "The number or a type of the arguments is wrong.",
    "BAD_ARGUMENTS": "The arguments make no sense together.",
    "SIGNATURE_UNSUPPORTED": "`system.methodHelp` and the like do not know the method.",
    "SHUTDOWN_STATE": "The daemon is shutting down or restarting.",
    "BAD_NAME": "No process or group has this name.",
    "BAD_SIGNAL": "No signal has this name or number.",
    "NO_FILE": "A command, a log or the stdin of a process is not there.",
    "NOT_EXECUTABLE": "A command cannot be parsed or executed.",
    "FAILED": "It did not work; the text says why.",
    "ABNORMAL_TERMINATION": "The process went elsewhere than to RUNNING.",
    "SPAWN_ERROR": "The first attempt to start failed; more attempts may follow.",
    "ALREADY_STARTED": "The process is up, or on its way.",
    "NOT_RUNNING": "The process is not up.",
    "SUCCESS": "Never a fault: the `status` of what went well in a list of results.",
    "ALREADY_ADDED": "The group is active already.",
    "STILL_RUNNING": "A process of the group is not stopped.",
    "CANT_REREAD": "The configuration does not load; nothing has changed.",
}

NAMESPACES = {
    "supervisor": "Supervisor's own interface, version 3.0.",
    "system": "Methods about methods.",
    "sdsuper": "What Supervisor does not have.",
}

TEXT = """\
<!-- Written by docs/generate_rpc.py; do not edit. -->
# The XML-RPC interface

Every server section of the configuration offers the same: `POST /RPC2` for XML-RPC,
`GET /logtail/NAME`, `GET /logtail/NAME/stderr` and `GET /mainlogtail` for logs as they grow,
`GET /ok.html` for health checks, and the [web page](web.md). With `username` and `password` in the
section every request needs HTTP Basic authentication.

```python
import xmlrpc.client

server = xmlrpc.client.ServerProxy("http://user:secret@localhost:9001/RPC2")
server.supervisor.getProcessInfo("web")
```

The methods of `supervisor` are there when the configuration has

```ini
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
```

- A process is called `name` where its group has the same name, else `group:name`. Where the
  description says so, `group:*` (or `group:`) stands for the whole group.
- Methods that act on many processes return one struct for each that they concerned: `name`,
  `group`, `status` (80, or the code of a fault) and `description`. What was known at once comes
  first, the rest in the order in which it ended.
- A method that waits does not hold up anybody else, and goes on when its client goes away.
- While the daemon shuts down or restarts, methods of `supervisor` answer SHUTDOWN_STATE.
- Numbers are of 32 bits; later times than January 2038 are capped. Text that XML cannot carry
  becomes U+FFFD.
- Limits: {head_kib} KiB of headers, {body_mib} MiB of body, {connections} connections. Above that
  the connection that has been idle longest is closed; one that is idle for {idle_hours} hours is
  closed too.
- When new code takes the daemon's place ([`sdsuper.reexec`](#sdsuperreexec-boolean)), connections
  on which nothing is under way stay open: a call that comes meanwhile is answered by the next
  daemon. Calls under way have {pause_seconds:.0f} seconds to end; what waits for longer is answered with
  status 503 and `Retry-After`, and goes on.
- Logs as they grow end then in order. To a client that sends `TE: trailers` the header
  `Sdsuper-Position` says where in the file the first byte is (`DEVICE-INODE-OFFSET`); where the
  stream ends although the log goes on (another daemon takes over, the log was rotated or
  truncated), a trailer of that name says where. `?after=POSITION` goes on from there, also in the
  latest backup. Output that is in the journal alone has no positions.

## Methods
{methods}
## What getProcessInfo returns

| Key | Type | Value |
|---|---|---|
| `name`, `group` | string | |
| `start` | int | latest start, Unix seconds; 0: never |
| `stop` | int | latest end, Unix seconds; 0: never |
| `now` | int | the daemon's time, Unix seconds |
| `state`, `statename` | int, string | see [the states](states.md) |
| `description` | string | pid and uptime, or why it is down, or since when |
| `spawnerr` | string | why the latest start failed; empty: it did not |
| `exitstatus` | int | latest exit code; -1: a signal ended it; 0: none |
| `pid` | int | 0: there is none |
| `stdout_logfile`, `stderr_logfile` | string | path; empty: there is none |
| `logfile` | string | the same as `stdout_logfile` |

## What getProcessHistory returns

XML-RPC has no null: a time, a pid or a text that is not known is 0 or empty, an exit status, a uid or
a number of seconds is -1, and nobody is an empty struct. Times are Unix seconds, as doubles. Keys may
be added in later versions.

| Key | Type | Value |
|---|---|---|
| `name`, `group`, `state`, `statename`, `pid`, `now` | | as in getProcessInfo |
| `wanted` | string | `up` or `down`: what was asked for last |
| `started`, `spawned`, `ready` | double | of the latest start attempt: begun, child made, RUNNING |
| `uptime` | double | seconds, on a clock that is never set |
| `started_by`, `stopped_by` | struct | who asked for that start, and for its end |
| `stop_asked` | double | when the end was asked for |
| `signals` | array | the latest signals that somebody asked for, each a struct: `signal`, `at`, `by` |
| `waits_for` | string | `retry`, `spawn`, `startsecs`, `ready` (READY=1), `exit`, `strays`, or empty |
| `waits_seconds` | double | how long that takes at most; -1: there is no limit |
| `strays` | array | what it left behind and is being ended, each a struct: `pid`, `command` |
| `killed` | boolean | whether its child was sent SIGKILL |
| `failures` | int | failed starts in a row |
| `restarts` | int | how often it was started again without being asked |
| `reason` | string | what was decided at the latest end that nobody had asked for, and why |
| `failing` | string | why its child is being ended although it is wanted up |
| `trouble` | string | why the latest signal could not be sent |
| `said` | string | its STATUS= |
| `command`, `autostart`, `autorestart`, `startsecs`, `startretries`, `start_timeout`, `stopwaitsecs` | | the options in force; `autorestart` as text |
| `invocations` | array | up to {history} that are over, the latest first |
| `output` | struct | by channel, a struct: `text`, the last {output} bytes at most that it wrote before its latest end, and `journal`: it is in the journal alone, ask readProcessStdoutLog or readProcessStderrLog |

An invocation has `number`, `pid`, `started`, `spawned`, `ready`, `ended`, `uptime`, `started_by`, `stopped_by`,
`stop_asked` and `signals` as above, and:

| Key | Type | Value |
|---|---|---|
| `ending` | string | {endings} |
| `end` | string | how it ended, in words |
| `exitstatus`, `signal` | int, string | the one or the other |
| `core_dumped`, `expected`, `killed` | boolean | |
| `oom` | boolean | the kernel killed its main process for want of memory |
| `error` | string | why no child was made, or why the daemon ended it |
| `strays` | int | processes that it left behind and that had to be ended |
| `decision`, `reason` | string | `restart`, `rest` or `give up`, and why |

Who asked is a struct: `via` (`daemon`, `signal` to the daemon, `rpc`, `page`), `what` (the method, action or
signal, or what the daemon does by itself), `pid`, `uid`, `login_uid` (before any su or sudo) and `command` of
a client on a unix socket, `address` of one on an inet socket, and the `user` whose password it sent.

## Faults

| Code | Name | Means |
|---|---|---|
{faults}

The text of a fault is its name, or its name, a colon and a detail, such as the name as sent.
"""


def page() -> str:
    """Return the text of the page."""
    return TEXT.format(
        methods="\n".join(_methods()),
        faults="\n".join(_faults()),
        head_kib=HEAD_BYTES_MAX // 1024,
        body_mib=BODY_BYTES_MAX // 1024**2,
        connections=CONNECTIONS_MAX,
        history=HISTORY_MAX,
        output=OUTPUT_BYTES,
        endings=", ".join(f"`{ending.value}`" for ending in Ending),
        idle_hours=IDLE_SECONDS / 3600,
        pause_seconds=PAUSE_SECONDS,
    )


def _methods() -> Iterator[str]:
    methods = declared_methods()
    for namespace, meaning in NAMESPACES.items():
        yield f"\n### {namespace}\n\n{meaning}\n"
        for item in methods:
            if item.names[0].startswith(f"{namespace}."):
                yield from _method(item)


def _method(item: Method) -> Iterator[str]:
    told = item.documentation
    name, *aliases = item.names
    yield f"#### {name}({_arguments(item)}): {item.returns}\n"
    yield f"{told.text}\n"
    for parameter in item.parameters:
        yield f"- `{parameter.name}`: {told.arguments[parameter.name]}"
    yield f"- returns {told.result}"
    if item.faults:
        yield f"- faults: {', '.join(name_of(code) for code in item.faults)}"
    if aliases:
        yield f"- also called {', '.join(aliases)}"
    yield ""


def _arguments(item: Method) -> str:
    words = [f"{parameter.wire_type} {parameter.name}" for parameter in item.parameters]
    required = [parameter.required for parameter in item.parameters]
    return ", ".join(
        word if needed else f"[{word}]" for word, needed in zip(words, required, strict=True)
    )


def _faults() -> Iterator[str]:
    for code, name in NAMES.items():
        yield f"| {code} | {name} | {MEANING[name]} |"


if __name__ == "__main__":
    PAGE.write_text(page())
