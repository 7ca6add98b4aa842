"""Both readers of a configuration, asked the same: the real Supervisor in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdsuper.config.load import ConfigError, load
from sdsuper.config.model import Autorestart, ChannelConfig, GroupConfig, ProcessConfig

PEER = """
import io, json, sys, warnings
warnings.simplefilter("ignore")
from supervisor.datatypes import Automatic, RestartUnconditionally, RestartWhenExitUnexpected
from supervisor.options import ServerOptions

WORDS = {RestartUnconditionally: "true", RestartWhenExitUnexpected: "unexpected", False: "false"}

def plain(key, value):
    if key == "autorestart":
        return WORDS[value]
    if value is Automatic:
        return "AUTO"
    if key == "stopsignal":
        return int(value)
    return value

def process(config):
    return {k: plain(k, v) for k, v in vars(config).items() if k != "options"}

def group(config):
    found = {"name": config.name, "priority": config.priority,
             "processes": [process(p) for p in config.process_configs]}
    if hasattr(config, "buffer_size"):
        found["buffer_size"] = config.buffer_size
        names = __import__("supervisor.events", fromlist=["EventTypes"]).EventTypes
        by_type = {v: k for k, v in vars(names).items() if k.isupper()}
        found["events"] = sorted(by_type[e] for e in config.pool_events)
    if hasattr(config, "socket_config"):
        s = config.socket_config
        found["socket"] = {"url": s.url, "backlog": s.get_backlog(),
                           "owner": getattr(s, "owner", None), "mode": getattr(s, "mode", None)}
    return found

def server(config):
    family = config["family"].name == "AF_INET" and "inet" or "unix"
    keys = ("host", "port") if family == "inet" else ("file", "chmod", "chown")
    return {k: config[k] for k in (*keys, "username", "password", "section")}

DAEMON = ("minfds", "minprocs", "directory", "umask", "logfile", "logfile_maxbytes",
          "logfile_backups", "loglevel", "pidfile", "identifier", "nodaemon", "silent",
          "childlogdir", "nocleanup", "strip_ansi")

def read(path):
    options, err = ServerOptions(), io.StringIO()
    options.stderr = err
    def leave(code):
        raise SystemExit(code)
    options.exit = leave
    try:
        options.realize(["-c", path], doc="x")
    except SystemExit:
        text = err.getvalue().rpartition("\\nFor help, use")[0]
        return {"error": text.removeprefix("Error: ")}
    return {
        "groups": [group(g) for g in options.process_group_configs],
        "servers": [server(s) for s in options.server_configs],
        "rpcinterfaces": [[name, rest] for name, _, rest in options.rpcinterface_factories],
        "daemon": {**{k: getattr(options, k) for k in DAEMON}, "uid": options.uid},
        "notes": options.parse_criticals + options.parse_warnings + options.parse_infos,
    }

print(json.dumps([read(path) for path in json.load(sys.stdin)]))
"""

_NAMES = re.compile(r"(Available names: )[^\n]*?(?= in section |$)")


def ask_peer(
    paths: Sequence[Path], *, cwd: Path, environ: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what the real Supervisor reads from each file, or its error."""
    done = subprocess.run(
        [sys.executable, "-c", PEER],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        check=True,
        cwd=cwd,
        env=dict(environ),
        encoding="utf-8",
        timeout=120,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def ask_ours(path: Path, *, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what we read from a file in the peer's shape. The working directory counts."""
    try:
        config = load(str(path), environ=environ)
    except ConfigError as error:
        return {"error": error.first}
    daemon = config.daemon
    return {
        "groups": [_group(group) for group in config.groups],
        "servers": [
            {
                "section": server.section,
                "username": server.username,
                "password": server.password,
                **(
                    {"host": server.host, "port": server.port}
                    if server.family == "inet"
                    else {
                        "file": server.file,
                        "chmod": server.chmod,
                        "chown": list(server.chown or (-1, -1)),
                    }
                ),
            }
            for server in config.servers
        ],
        "rpcinterfaces": [[each.name, dict(each.options)] for each in config.rpcinterfaces],
        "daemon": {
            **{key: getattr(daemon, key) for key in _DAEMON},
            "loglevel": int(daemon.loglevel),
            "logfile": "syslog" if daemon.logfile_syslog else daemon.logfile,
            "uid": None if daemon.user is None else daemon.user.uid,
        },
        "notes": [note.message for note in config.notes],
    }


_DAEMON = [
    "minfds",
    "minprocs",
    "directory",
    "umask",
    "logfile_maxbytes",
    "logfile_backups",
    "pidfile",
    "identifier",
    "nodaemon",
    "silent",
    "childlogdir",
    "nocleanup",
    "strip_ansi",
]
_PROCESS = [
    "name",
    "command",
    "directory",
    "umask",
    "priority",
    "autostart",
    "startsecs",
    "startretries",
    "stopsignal",
    "stopwaitsecs",
    "stopasgroup",
    "killasgroup",
    "redirect_stderr",
    "serverurl",
]
_CHANNEL = (
    "logfile_maxbytes",
    "logfile_backups",
    "capture_maxbytes",
    "events_enabled",
    "syslog",
)


def _group(group: GroupConfig) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": group.name,
        "priority": group.priority,
        "processes": [_process(process) for process in group.processes],
    }
    if group.pool is not None:
        found["buffer_size"] = group.pool.buffer_size
        found["events"] = sorted(group.pool.events)
    if group.kind == "fcgi-program":
        socket = group.sockets[group.name]
        owner = socket.owner and list(socket.owner)
        found["socket"] = {
            "url": socket.url,
            "backlog": socket.backlog,
            "owner": owner,
            "mode": socket.mode,
        }
    return found


def _process(process: ProcessConfig) -> dict[str, Any]:
    words = {Autorestart.ALWAYS: "true", Autorestart.NEVER: "false"}
    return {
        **{key: getattr(process, key) for key in _PROCESS},
        "autorestart": words.get(process.autorestart, "unexpected"),
        "exitcodes": list(process.exitcodes),
        "uid": None if process.user is None else process.user.uid,
        "environment": dict(process.environment),
        **_channel("stdout", process.stdout),
        **_channel("stderr", process.stderr),
    }


def _channel(name: str, channel: ChannelConfig) -> dict[str, Any]:
    return {
        f"{name}_logfile": "AUTO" if channel.auto else channel.logfile,
        **{f"{name}_{key}": getattr(channel, key) for key in _CHANNEL},
    }


def without_names(text: str) -> str:
    """Return an error text without the list of names, which we do not give away in full."""
    return _NAMES.sub(r"\1...", text)


def scratch_environ(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which nothing of this machine's user shows."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **more}
