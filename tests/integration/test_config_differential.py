"""Generated configurations, read by the real Supervisor and by us: the same comes out.

Where both refuse, the first error must be the same, so that the order of evaluation is held too.
The generator is seeded; a failing file is shown whole.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.peer_config import ask_ours, ask_peer, scratch_environ, without_names

SEED = 20
FILES = 400

BUFFER_SIZE_THERE, BUFFER_SIZE_HERE = 10, 1000

# What Supervisor refuses and we do not, on purpose.
ACCEPTED_HERE = (
    # `here` is known in every section.
    re.compile(r"contains names \('here'\) which cannot be expanded"),
    # Paths of logs and the daemon's environment= are expanded once, not twice.
    re.compile(
        r"^Format string 'a%b' for '(?:stdout_logfile|stderr_logfile|environment)' is badly"
    ),
)

SHARED_VALUES = ("%(zz)s", "x y", "", "11", "true", "nope", "%(here)s", "%(ENV_K)s", "a%%b", "a%")
PROGRAM_VALUES = {
    "command": ("cat", "%(program_name)s -x %(process_num)d", "sh -c 'a ; b'"),
    "process_name": ("%(program_name)s_%(process_num)02d", "p%(process_num)s", "a b", "%(zz)s"),
    "numprocs": ("0", "1", "2", "3", "x"),
    "numprocs_start": ("0", "5", "-1", "x"),
    "priority": ("1", "999", "-5", "x"),
    "autostart": ("true", "No", "maybe"),
    "autorestart": ("true", "FALSE", "unexpected", "never"),
    "startsecs": ("0", "7", "1.5"),
    "startretries": ("0", " 3 ", "x"),
    "exitcodes": ("0", "0, 2", "", "256", "a"),
    "stopsignal": ("TERM", "SIGUSR1", "9", "nope", "65"),
    "stopwaitsecs": ("0", "1_0", "x"),
    "stopasgroup": ("true", "false"),
    "killasgroup": ("true", "false"),
    "user": ("root", "0", "nobody-at-all"),
    "directory": ("/tmp", "~/x", "%(here)s"),
    "umask": ("022", "0o27", "9"),
    "environment": ("A=1", 'A="1,2",B=%(process_num)s', "A=", "A=x@y", 'K="%(ENV_K)s"'),
    "serverurl": ("AUTO", "http://x:1"),
    "redirect_stderr": ("true", "false"),
    "stdout_logfile": ("AUTO", "NONE", "/tmp/%(program_name)s", "/nope/x", "syslog"),
    "stderr_logfile": ("auto", "off", "x.log", "/nope/x", "Syslog"),
    "stdout_logfile_maxbytes": ("0", "1KB", "5MB", "1K"),
    "stderr_logfile_backups": ("0", "5", "x"),
    "stdout_capture_maxbytes": ("0", "1MB", "x"),
    "stderr_events_enabled": ("true", "off", "x"),
    "stderr_syslog": ("1", "x"),
}
DAEMON_VALUES = {
    "logfile": ("/tmp/l", "l", "/nope/l", "syslog"),
    "logfile_maxbytes": ("0", "1GB", "x"),
    "loglevel": ("DEBUG", "warning"),
    "umask": ("077", "x"),
    "minfds": ("5", "x"),
    "nodaemon": ("yes", "x"),
    "environment": ("G=1", 'K="deep"', "G"),
    "identifier": ("me", "%(here)s"),
    "user": ("root", "nobody-at-all"),
    "childlogdir": ("/tmp", "/nope"),
}
LISTENER_VALUES = {
    "events": ("TICK_5", "tick_60, PROCESS_STATE", "NOPE", "TICK,"),
    "buffer_size": ("1", "50", "0", "x"),
}
FCGI_VALUES = {
    "socket": ("tcp://h:1", "unix:///tmp/%(program_name)s", "unix://x", "bad", "tcp://h:0"),
    "socket_mode": ("0777", "9"),
    "socket_owner": ("root", "root:root", "nobody-at-all"),
    "socket_backlog": ("5", "0", "x"),
}
SERVER_VALUES = {
    "port": ("9001", "*:1", "Host:80", ":5", "x", "h:", "h:0"),
    "file": ("/tmp/s", "~/s", "%(here)s/s"),
    "chmod": ("0770", "9"),
    "chown": ("root", "root:root", "nobody-at-all"),
    "username": ("u", ""),
    "password": ("p", "{SHA}x", "p%%"),
}


def options(
    pick: random.Random, values: dict[str, tuple[str, ...]], required: tuple[str, ...], risk: float
) -> Iterator[str]:
    """Yield lines for some options: mostly the first, harmless values; seldom any value."""
    for key, known in values.items():
        if key not in required and pick.random() > 0.3:
            continue
        if pick.random() < risk:
            value = pick.choice((*known, *SHARED_VALUES))
        else:
            value = known[0]
        yield f"{key}{pick.choice(('=', ' = ', ': '))}{value}{pick.choice(('', ' ; c', ' # c'))}"


def generate(pick: random.Random) -> str:
    """Return one file; about half of them have an error."""
    risk = pick.choice((0.0, 0.02, 0.1))
    sections = [["[supervisord]", *options(pick, DAEMON_VALUES, (), risk)]]
    programs = []
    for name in pick.sample(["a", "b", "c", "d"], pick.randint(0, 4)):
        kind = pick.choice(("program", "program", "eventlistener", "fcgi-program"))
        required: tuple[str, ...] = ("command",)
        values = dict(PROGRAM_VALUES)
        if kind == "eventlistener":
            values |= LISTENER_VALUES
            del values["redirect_stderr"]
            required += ("events",)
        elif kind == "fcgi-program":
            values |= FCGI_VALUES
            required += ("socket",)
        else:
            programs.append(name)
        lines = list(options(pick, values, required, risk))
        if "tcp:" in "".join(lines) and risk < 0.1:
            lines = [line for line in lines if not line.startswith(("socket_m", "socket_o"))]
        pick.shuffle(lines)
        sections.append([f"[{kind}:{name}]", *lines])
    if programs and pick.random() < 0.4:
        members = pick.sample(programs, pick.randint(1, len(programs)))
        sections.append(["[group:g]", f"programs={', '.join(members)}"])
        if pick.random() < risk:
            sections[-1].append("priority=q")
    for family, keys in (("inet", ("port",)), ("unix", ("file", "chmod", "chown"))):
        if pick.random() < 0.3:
            values = {key: SERVER_VALUES[key] for key in (*keys, "username", "password")}
            sections.append(
                [f"[{family}_http_server]", *options(pick, values, (keys[0], "password"), risk)]
            )
    pick.shuffle(sections)
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def adapted(theirs: dict[str, Any]) -> dict[str, Any]:
    """Apply the decided differences to what the peer has read."""
    for group in theirs["groups"]:
        if group.get("buffer_size") == BUFFER_SIZE_THERE:
            group["buffer_size"] = BUFFER_SIZE_HERE
        # Members of a [group:x] stand by priority; of two with one name the later counts.
        group["processes"].sort(key=lambda process: process["priority"])
        named = {process["name"]: process for process in group["processes"]}
        group["processes"] = list(named.values())
        for process in group["processes"]:
            for channel in ("stdout_logfile", "stderr_logfile"):
                process[channel] = process[channel] or None
    return theirs


def same_error(ours: str, theirs: str) -> bool:
    """Tell whether two first errors are the same, but for how the tuples of sockets are shown."""
    for shape in ("Bad socket format %s", "Unix socket path %s is not an absolute path"):
        before, quoted, rest = theirs.partition(f"('{shape}', '")
        if quoted:
            value, _, after = rest.partition("')")
            theirs = before + shape % value + after
    return without_names(ours) == without_names(theirs)


@pytest.fixture(scope="module")
def read_by_both(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Any, Any]]:
    """Every generated text with what we and the peer read from it."""
    root = tmp_path_factory.mktemp("generated")
    pick = random.Random(SEED)
    texts = [generate(pick) for _ in range(FILES)]
    paths = [root / f"{number}.conf" for number in range(FILES)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    environ = scratch_environ(root, K="of the environment")
    theirs = ask_peer(paths, cwd=root, environ=environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HOME", str(root))
        ours = [ask_ours(path, environ=environ) for path in paths]
    return list(zip(texts, ours, theirs, strict=True))


def test_refusals_are_the_same(read_by_both: list[tuple[str, Any, Any]]) -> None:
    refused = [each for each in read_by_both if "error" in each[2]]
    assert len(refused) > FILES / 10
    for text, ours, theirs in refused:
        if any(decided.search(theirs["error"]) for decided in ACCEPTED_HERE):
            continue
        assert same_error(ours.get("error", ""), theirs["error"]), f"{theirs['error']}\n{text}"


def test_what_is_read_is_the_same(read_by_both: list[tuple[str, Any, Any]]) -> None:
    accepted = [each for each in read_by_both if "error" not in each[2]]
    assert len(accepted) > FILES / 10
    for text, ours, theirs in accepted:
        wanted = adapted(theirs)
        assert "error" not in ours, f"{ours['error']}\n{text}"
        for part in ("daemon", "servers", "groups"):
            assert ours[part] == wanted[part], text
