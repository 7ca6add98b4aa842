"""Ansible's module for supervisorctl manages programs through our client as through Supervisor's.

The module itself is run, as Ansible runs it on the managed machine; see scripts/prepare.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.harness import BIN, PEERS, Daemon, clean_environment
from tests.skip_policy import ansible_folder

MODULE = "ansible_collections/community/general/plugins/modules/supervisorctl.py"
CAT = "command=cat\nstartsecs=0\n"
BEFORE = f"[program:cat]\n{CAT}[program:idle]\n{CAT}autostart=false\n"
AFTER = f"""\
{BEFORE}[program:new]
command=sh -c "trap 'echo got it' USR1; while :; do read line; done"
startsecs=0
[program:many]
{CAT}process_name=%(program_name)s_%(process_num)02d
numprocs=2
"""
LOGIN = ("user", "pass word")


class Task(NamedTuple):
    """One task of a play, and what it must give: changed or not, None for a failure."""

    name: str
    state: str
    changed: bool | None
    check: bool = False
    more: tuple[tuple[str, object], ...] = ()


USR1 = (("signal", "USR1"),)
TASKS = (
    Task("cat", "present", changed=False),
    Task("new", "present", changed=True, check=True),
    Task("new", "present", changed=True),
    Task("new", "present", changed=False),
    Task("nosuch", "present", changed=None),
    Task("many", "present", changed=True),
    Task("new", "started", changed=False),
    Task("idle", "started", changed=True, check=True),
    Task("idle", "started", changed=True),
    Task("idle", "started", changed=False),
    Task("many:", "started", changed=False),
    Task("nosuch", "started", changed=None),
    Task("many:many_00", "stopped", changed=True),
    Task("many:", "stopped", changed=True),
    Task("many:", "stopped", changed=False),
    Task("many:", "restarted", changed=True),
    Task("idle", "restarted", changed=True, check=True),
    Task("idle", "restarted", changed=True),
    Task("nosuch", "restarted", changed=None),
    Task("new", "signalled", changed=True, more=USR1),
    Task("new", "signalled", changed=None),
    Task("new", "signalled", changed=None, more=(("signal", "NOSUCH"),)),
    Task("cat", "absent", changed=None),
    Task("cat", "absent", changed=True, more=(("stop_before_removing", True),)),
    Task("cat", "absent", changed=False),
    Task("all", "stopped", changed=True),
    Task("idle", "signalled", changed=False, more=USR1),
    Task("all", "restarted", changed=True),
)


def run(task: Task, daemon: Daemon) -> dict[str, object]:
    """Run the module once; return its result."""
    arguments = {
        "name": task.name,
        "state": task.state,
        "supervisorctl_path": str(BIN / PEERS[daemon.peer].client),
        "server_url": daemon.server_url,
        "username": LOGIN[0],
        "password": LOGIN[1],
        "_ansible_check_mode": task.check,
        **dict(task.more),
    }
    done = subprocess.run(
        [sys.executable, str(ansible_folder() / MODULE)],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env=clean_environment({"PYTHONPATH": str(ansible_folder())}),
        cwd=daemon.dir,
    )
    result = json.loads(done.stdout or "{}")
    assert isinstance(result, dict), done.stderr
    assert "exception" not in result, result
    return result


@functools.cache
def results(peer: str) -> tuple[tuple[Task, object, object, object], ...]:
    """Return what every task gives: what it changed, the processes it meant, and its message."""
    given = []
    with Daemon(BEFORE, peer=peer, credentials=LOGIN) as daemon:
        daemon.wait_state("cat", "RUNNING")
        daemon.write(AFTER)
        for task in TASKS:
            result = run(task, daemon)
            changed = None if result.get("failed") else result["changed"]
            given.append((task, changed, result.get("affected"), result.get("msg")))
        log = Path(daemon.info("new")["stdout_logfile"])
        assert log.read_text() == "got it\n"
    return tuple(given)


@pytest.mark.ansible
def test_every_state_changes_what_it_says(peer: str) -> None:
    wrong = [given for given in results(peer) if given[1] is not given[0].changed]
    assert wrong == []


@pytest.mark.ansible
def test_nothing_tells_ours_from_supervisors() -> None:
    assert results("sdsuper") == results("supervisor")
