"""A commented sample of a configuration, written from the declared options; pure.

Its active part is a configuration that runs; behind semicolons stands every other option with its
default, or with an example where it has none.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator

from sdsuper.config.option import Option
from sdsuper.config.sections import options_by_kind

_WIDTH = 79

_HEAD = """\
; Sample supervisor config file, for sdsuper.
;
; What stands behind a semicolon is not in effect: each option shows its default, or an example
; where it has none. A line that is indented more deeply goes on with the value before it; a
; comment behind a value needs a blank before its semicolon. %(ENV_X)s stands for the environment
; variable X. `sdsuperd config check` tells all that is wrong with a file, and sdsuper.conf(5)
; what may be written for each type.
"""

_SECTIONS = {
    "unix_http_server": ("unix_http_server", "A server on a Unix socket, for the client."),
    "inet_http_server": ("inet_http_server", "A server on a TCP port; give it a password."),
    "supervisord": ("supervisord", "The daemon itself."),
    "rpcinterface": ("rpcinterface:supervisor", "The methods that the client calls."),
    "supervisorctl": ("supervisorctl", "The client; it must say what the server above says."),
    "program": ("program:theprogramname", "A program; with numprocs, several processes of it."),
    "eventlistener": ("eventlistener:theeventlistenername", "A program that is told of events."),
    "fcgi-program": ("fcgi-program:thefcgiprogramname", "A program that is given a socket."),
    "group": ("group:thegroupname", "Programs under one name."),
    "include": ("include", "Further files, relative to this one; programs are best kept there."),
}
"""Kind of section to the header that is written, and what is said of it."""

_ACTIVE = {
    "unix_http_server": {"file": "/tmp/supervisor.sock"},
    "supervisord": {"logfile": "/tmp/supervisord.log", "pidfile": "/tmp/supervisord.pid"},
    "rpcinterface": {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    },
    "supervisorctl": {"serverurl": "unix:///tmp/supervisor.sock"},
}
"""What is in effect."""

_EXAMPLES = {
    "command": "/bin/cat",
    "environment": 'A="1",B="2"',
    "events": "PROCESS_STATE",
    "history_file": "~/.sdsuperctl_history",
    "log_rate": "1000/s",
    "priority_pattern": "^(?P<level>[A-Z]+) ",
    "sockets": "http=tcp://127.0.0.1:8080",
    "files": "relative/directory/*.ini",
    "port": "127.0.0.1:9001",
    "programs": "theprogramname,thefcgiprogramname",
    "socket": "unix:///tmp/thefcgiprogramname.sock",
    "socket_backlog": "1024",
    "username": "user",
    "password": "123",
}
"""By option, where there is no default; else by type:"""

_EXAMPLES_BY_TYPE = {
    "URL or AUTO": "AUTO",
    "directory": "/tmp",
    "OOM adjustment": "500",
    "capabilities": "CAP_NET_BIND_SERVICE",
    "limit": "1024:4096",
    "limit in bytes": "64MB",
    "limit in microseconds": "200ms",
    "limit in seconds": "1h",
    "limit of the nice value": "-5",
    "memory": "512MB",
    "nice value": "10",
    "octal mode": "022",
    "path": "/tmp",
    "processor time": "150%",
    "processors": "0-1",
    "tasks": "100",
    "user": "root",
    "user[:group]": "root:root",
    "weight": "50",
}


def render_sample() -> str:
    """Return the sample."""
    kinds = options_by_kind()
    blocks = [_HEAD, *("\n".join(_section(kind, kinds[kind])) + "\n" for kind in _SECTIONS)]
    return "\n".join(blocks)


def _section(kind: str, options: tuple[Option, ...]) -> Iterator[str]:
    name, about = _SECTIONS[kind]
    active = _ACTIVE.get(kind)
    if kind in ("eventlistener", "fcgi-program"):
        options = tuple(
            option for option in options if option.sections == (kind,) or option.required
        )
        about += " It knows every option of a program, and these."
    yield from _comment(about)
    yield f"[{name}]" if active is not None else f";[{name}]"
    active = active or {}
    for option in sorted(
        options, key=lambda option: (option.key not in active, not option.required)
    ):
        yield from _option(option, active.get(option.key))


def _option(option: Option, active: str | None) -> Iterator[str]:
    yield ""
    yield from _comment(f"{option.help} ({option.kind.name})")
    yield f"{option.key}={active}" if active is not None else f";{option.key}={_shown(option)}"


def _shown(option: Option) -> str:
    by_type = _EXAMPLES_BY_TYPE.get(option.kind.name, "")
    return option.default_text or _EXAMPLES.get(option.key, by_type)


def _comment(text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="; ",
        subsequent_indent="; ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def main() -> int:
    """Print the sample: the command `echo_supervisord_conf`."""
    sys.stdout.write(render_sample())
    return 0
