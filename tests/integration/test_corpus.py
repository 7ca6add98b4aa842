"""Files as people have them, read by the real Supervisor and by us: the same comes out.

Those below are made for the purpose. A folder of others is named by SDSUPER_CORPUS: its *.conf
files and *.ini files, wherever they are in it; those without a [supervisord] are read through an
[include]. Paths and accounts in all of them are rewritten so that they exist here.
"""

from __future__ import annotations

import os
import pwd
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.peer_config import ask_ours, ask_peer, scratch_environ, without_names

# What differs on purpose, and why:
# - an event listener's buffer_size is 1000 where none is given: 10 loses events when it matters;
# - members of a [group:x] stand by priority, not only as listed: that is how they are started;
# - the variables of [supervisord] are in every process' environment here, in a run there;
# - error texts do not list all variables of the environment: they go out over the network;
# - an empty path for a log is no log, not a file named "".
BUFFER_SIZE_THERE, BUFFER_SIZE_HERE = 10, 1000

EXAMPLES = {
    "sample": """
        [unix_http_server]
        file=/tmp/supervisor.sock   ; the path to the socket file
        chmod=0700 ; socket file mode
        [inet_http_server]
        port=127.0.0.1:9001
        username=user
        password={SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d
        [supervisord]
        logfile=/tmp/supervisord.log ; main log file
        logfile_maxbytes=50MB
        loglevel=info # or debug
        pidfile=/tmp/supervisord.pid
        nodaemon=false
        minfds=1024
        [rpcinterface:supervisor]
        supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
        [supervisorctl]
        serverurl=unix:///tmp/supervisor.sock
        """,
    "workers": """
        [supervisord]
        environment=HOST="node.local",ROOT="%(here)s"
        [program:worker]
        command=/usr/bin/python %(here)s/worker.py --id %(process_num)d --host %(ENV_HOME)s
        process_name=%(program_name)s_%(process_num)02d
        numprocs=4
        numprocs_start=1
        environment=QUEUE="q,%(process_num)s",DEBUG=1
        stdout_logfile=/var/log/%(program_name)s-%(process_num)d.log
        redirect_stderr=true
        stopasgroup=true
        autorestart=unexpected
        exitcodes=0,2
        priority=5
        [program:web]
        command=bash -c "sleep 1; exec web"
        user=root
        umask=022
        [group:all]
        programs=web,worker
        priority=20
        """,
    "listeners": """
        [supervisord]
        [eventlistener:memmon]
        command=memmon -a 200MB
        events=TICK_60, process_state
        [eventlistener:pool]
        command=handler
        events=PROCESS_LOG
        numprocs=3
        process_name=%(program_name)s-%(process_num)s
        buffer_size=50
        priority=7
        stderr_logfile=NONE
        """,
    "fcgi": """
        [supervisord]
        [fcgi-program:php]
        command=/usr/bin/php-cgi
        socket=unix:///tmp/%(program_name)s.sock
        socket_mode=0770
        socket_owner=root:root
        numprocs=2
        process_name=%(program_name)s%(process_num)d
        [fcgi-program:tcp]
        command=x
        socket=tcp://localhost:9002
        socket_backlog=512
        """,
    "odd-spelling": """
        [supervisord]
        NODAEMON : True
        [program:a]
        Command = one
            two ; not this
            three
        AUTOSTART=No
        startsecs= 1_0
        stdout_logfile=none
        stderr_logfile=Off
        stdout_logfile_maxbytes=1 KB
        stopsignal=sigusr1
        [program:a]
        startsecs=20
        [unknown:section]
        anything=goes
        """,
    "defaults-section": """
        [DEFAULT]
        startsecs=7
        [supervisord]
        [program:a]
        command=a
        [program:b]
        command=b
        startsecs=8
        [rpcinterface:supervisor]
        supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
        """,
    "percent": """
        [supervisord]
        identifier=a%%b
        [program:a]
        command=date "+%%Y-%%m-%%d" %(numprocs)03d
        stdout_logfile=/var/log/a%%%%b.log
        directory=%(here)s/x%%y
        """,
    "no-daemon-section": "[program:a]\ncommand=a\n",
    "nothing": "",
    "no-headers": "command=a\n",
    "unreadable-lines": "[supervisord]\nx\nlogfile=/tmp/x\n=3\n",
    "first-of-many-errors": """
        [program:z]
        command=z
        startsecs=soon
        [group:g]
        programs=a,b
        [inet_http_server]
        port=x
        [supervisord]
        loglevel=warning
        user=nobody-at-all
        """,
    "unknown-name": """
        [supervisord]
        [program:a]
        command=%(nothing)s
        """,
    "no-command": "[supervisord]\n[program:a]\nautostart=true\n",
}


class Case(NamedTuple):
    """One file, as written."""

    name: str
    text: str


def corpus() -> Iterator[Case]:
    """Yield our own examples, and the files of the folder that SDSUPER_CORPUS names."""
    for name, text in EXAMPLES.items():
        yield Case(name, textwrap.dedent(text).lstrip("\n"))
    folder = os.environ.get("SDSUPER_CORPUS")
    if folder:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in (".conf", ".ini"):
                yield Case(path.name, path.read_text(encoding="utf-8"))


CASES = list(corpus())

_PATH_KEYS = r"(?:\w*logfile|pidfile|childlogdir|directory|file|history_file)"
_ABSOLUTE = re.compile(rf"(?im)^(\s*{_PATH_KEYS}\s*[=:]\s*)(/(?!dev/|proc/)\S*)")
_ANY_PATH = re.compile(rf"(?im)^\s*({_PATH_KEYS})\s*[=:]\s*(\S+)")
_USER = re.compile(r"(?im)^(\s*(?:user|chown|socket_owner)\s*[=:]\s*)([\w.-]+)(:[\w.-]+)?")
_PLUGIN = re.compile(r"(?im)^(\s*supervisor\.rpcinterface_factory\s*[=:]\s*)\S+")
_HANDLER = re.compile(r"(?im)^(\s*result_handler\s*[=:]\s*)\S+")
_VARIABLE = re.compile(r"%\(ENV_(\w+)\)")


class Rewritten(NamedTuple):
    """A file that is ready to be read, and where."""

    path: Path
    variables: frozenset[str]


def rewrite(case: Case, folder: Path) -> Rewritten:
    """Write a file whose paths lie in `folder` and exist, and whose accounts exist."""
    text = _ABSOLUTE.sub(rf"\g<1>{folder}\2", case.text)
    text = _USER.sub(_known_user, text)
    text = _PLUGIN.sub(r"\g<1>supervisor.rpcinterface:make_main_rpcinterface", text)
    text = _HANDLER.sub(r"\g<1>supervisor.dispatchers:default_handler", text)
    folder.mkdir()
    for key, value in _ANY_PATH.findall(text):
        # What is relative is relative to the working directory, which is the folder above.
        path = folder.parent / value.replace("%(here)s", str(folder))
        wanted = path if key.lower() in ("childlogdir", "directory") else path.parent
        Path(os.path.normpath(wanted)).mkdir(parents=True, exist_ok=True)
        if ".." in wanted.parts:
            wanted.mkdir(parents=True, exist_ok=True)
    path = folder / case.name
    if case.name not in EXAMPLES and "\n[supervisord]" not in f"\n{text}":
        path.write_text(text, encoding="utf-8")
        text = f"[supervisord]\n[include]\nfiles = {path.name}\n"
        path = folder / "main"
    path.write_text(text, encoding="utf-8")
    return Rewritten(path, frozenset(_VARIABLE.findall(case.text)))


def _known_user(match: re.Match[str]) -> str:
    key, user, group = match.groups()
    try:
        pwd.getpwnam(user)
    except KeyError:
        known = user == "nobody-at-all"
        return match.group() if known else f"{key}root" + (":root" if group else "")
    return match.group()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """What both read from each file; the peer is started once for all of them."""
    root = tmp_path_factory.mktemp("corpus")
    files = [rewrite(case, root / f"{number:03d}") for number, case in enumerate(CASES)]
    variables = {name for file in files for name in file.variables} - {"PATH", "HOME"}
    environ = scratch_environ(root, **dict.fromkeys(variables, "8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HOME", str(root))
        ours = [ask_ours(file.path, environ=environ) for file in files]
    theirs = ask_peer([file.path for file in files], cwd=root, environ=environ)
    return {
        case.name: pair for case, pair in zip(CASES, zip(ours, theirs, strict=True), strict=True)
    }


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_both_read_the_same(name: str, answers: dict[str, tuple[Any, Any]]) -> None:
    ours, theirs = answers[name]
    if "error" in theirs:
        assert without_names(ours.get("error", "")) == without_names(theirs["error"])
        return
    theirs = adapted(theirs)
    assert "error" not in ours, ours["error"]
    for part in ("daemon", "servers", "rpcinterfaces", "groups"):
        assert ours[part] == theirs[part]
    assert set(theirs["notes"]) <= set(ours["notes"])


def adapted(theirs: dict[str, Any]) -> dict[str, Any]:
    """Apply the decided differences to what the peer has read."""
    for group in theirs["groups"]:
        if group.get("buffer_size") == BUFFER_SIZE_THERE:
            group["buffer_size"] = BUFFER_SIZE_HERE
        group["processes"].sort(key=lambda process: process["priority"])
        for process in group["processes"]:
            for channel in ("stdout_logfile", "stderr_logfile"):
                process[channel] = process[channel] or None
    return theirs
