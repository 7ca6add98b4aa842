"""What bash offers when Tab is pressed, with a daemon that runs."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate_completions import FOLDER
from tests.integration.harness import BIN, Daemon

PROGRAMS = """\
[program:web]
command=cat
[program:worker]
command=cat
numprocs=2
process_name=%(program_name)s_%(process_num)d
[program:down]
command=cat
autostart=false
"""

BREAKS = '" \t\n"\'><=;|&(:'  # bash's own: a colon ends a word


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon(PROGRAMS) as daemon:
        yield daemon


def offered(line: str, script: str = "sdsuperctl", breaks: str = BREAKS) -> list[str]:
    """Return what bash's function offers for a line whose cursor is at its end."""
    words = line.split(" ")
    code = (
        f"source {shlex.quote(str(FOLDER / f'{script}.bash'))}\n"
        f"COMP_WORDBREAKS={shlex.quote(breaks)}\n"
        f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}\n"
        f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}\n"
        f"_{script}\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", code],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options() -> None:
    assert offered("sdsuperctl st") == ["status", "start", "stop"]
    assert offered("sdsuperctl -s unix:///x re") == [
        "restart",
        "reread",
        "remove",
        "reload",
        "reexec",
    ]
    assert offered("sdsuperctl --ser") == ["--serverurl"]
    assert "update" in offered("sdsuperctl ")
    assert offered("sdsuperctl help shut") == ["shutdown"]
    assert offered("sdsuperctl reload ") == []
    assert offered("sdsuperctl signal HU") == ["HUP"]
    assert offered("sdsuperctl nonsense ") == []


def test_files(tmp_path: Path) -> None:
    (tmp_path / "main.conf").touch()
    assert offered(f"sdsuperctl -c {tmp_path}/ma") == [f"{tmp_path}/main.conf"]
    assert offered(f"sdsuperd -c {tmp_path}/ma", "sdsuperd") == [f"{tmp_path}/main.conf"]


def test_names_of_the_processes_that_are_there(daemon: Daemon) -> None:
    client = f"sdsuperctl -c {daemon.ini}"
    assert offered(f"{client} stop w") == ["web", "worker:worker_0", "worker:worker_1", "worker:*"]
    assert offered(f"{client} stop web d") == ["down"]
    assert offered(f"{client} signal HUP web") == ["web"]
    assert offered(f"{client} update ") == ["all", "down", "web", "worker", "--keep", "--dry-run"]
    assert offered(f"{client} tail -f web std") == ["stdout", "stderr"]


def test_what_stands_before_a_colon_is_not_said_twice(daemon: Daemon) -> None:
    line = f"sdsuperctl -c {daemon.ini} stop worker:worker_1"
    assert offered(line) == ["worker_1"]
    assert offered(line, breaks=BREAKS.replace(":", "")) == ["worker:worker_1"]


def test_without_a_daemon_its_errors_are_not_offered() -> None:
    assert offered("sdsuperctl -s unix:///no/such stop ") == ["all"]
    assert offered("sdsuperctl -s http://127.0.0.1:1 update ") == ["all", "--keep", "--dry-run"]


def test_the_daemons_own_command() -> None:
    assert offered("sdsuperd config ", "sdsuperd") == ["check", "show", "sample"]
    assert offered("sdsuperd --nod", "sdsuperd") == ["--nodaemon"]
    assert offered("sdsuperd co", "sdsuperd") == ["config"]
