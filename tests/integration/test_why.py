"""`why` on real programs that fail, are ended, and are stopped."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from typing import Any

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon

PROGRAMS = """
[program:quick]
command=/bin/sh -c "echo began; echo no port >&2; exit 3"
startretries=0
[program:nowhere]
command=/bin/sleep 600
directory=/no/such/folder
startretries=0
[program:up]
command=/bin/sleep 600
[program:loud]
command=/bin/sh -c "echo $$ is up; exec sleep 600"
startsecs=0
autorestart=true
[program:leaves]
command=/bin/sh -c "mkdir %(here)s/once && (trap '' TERM; exec sleep 600) & exec sleep 601"
startsecs=0
stopwaitsecs=600
"""


@pytest.fixture(scope="module")
def daemon() -> Any:
    with Daemon(PROGRAMS) as started:
        for name, state in (("quick", "FATAL"), ("nowhere", "FATAL"), ("up", "RUNNING")):
            started.wait_state(name, state)
        yield started


def found(daemon: Daemon, name: str) -> Any:
    done = daemon.ctl("--json", "why", name)
    assert done.status == 0
    (told,) = json.loads(done.stdout)
    return told


def has_said(daemon: Daemon, text: str) -> bool:
    return text in daemon.ctl("tail", "loud").stdout


def is_up_again(daemon: Daemon, before: int) -> bool:
    return found(daemon, "loud")["pid"] not in {0, before}


def test_what_failed_at_once_shows_what_it_wrote(daemon: Daemon) -> None:
    text = daemon.ctl("why", "quick").stdout
    assert text.startswith("quick: FATAL, given up: exit status 3 too early; 1 attempt failed")
    assert "  the last on stdout before it ended:\n    | began\n" in text
    assert "  the last on stderr before it ended:\n    | no port\n" in text


def test_what_could_not_be_set_up_says_why(daemon: Daemon) -> None:
    text = daemon.ctl("why", "nowhere").stdout
    assert "given up: couldn't chdir to /no/such/folder: ENOENT; 1 attempt failed" in text


def test_who_stopped_and_started_is_the_client_that_asked(daemon: Daemon) -> None:
    daemon.ctl("stop", "up")
    daemon.ctl("start", "up")
    told = found(daemon, "up")
    assert told["started_by"]["what"] == "supervisor.startProcess"
    (past,) = told["invocations"]
    by = past["stopped_by"]
    assert (by["via"], by["what"], by["uid"]) == ("rpc", "supervisor.stopProcess", os.getuid())
    assert by["pid"] > 0
    assert by["command"]
    assert (past["ending"], past["signal"], past["decision"]) == ("stopped", "SIGTERM", "rest")


def test_what_somebody_else_killed_is_told_with_its_own_output_alone(daemon: Daemon) -> None:
    daemon.wait_state("loud", "RUNNING")
    pids = []
    for _ in range(2):
        pid = found(daemon, "loud")["pid"]
        daemon.wait(partial(has_said, daemon, f"{pid} is up"))
        os.kill(pid, signal.SIGKILL)
        daemon.wait(partial(is_up_again, daemon, pid))
        pids.append(pid)
    told = found(daemon, "loud")
    latest = told["invocations"][0]
    assert (latest["signal"], latest["ending"]) == ("SIGKILL", "by itself")
    assert (latest["pid"], latest["decision"], told["restarts"]) == (pids[1], "restart", 2)
    assert told["output"]["stdout"] == f"{pids[1]} is up\n"
    assert "the daemon did not send SIGKILL" in daemon.ctl("why", "loud").stdout


def test_what_holds_a_start_up_is_named(daemon: Daemon) -> None:
    daemon.wait_state("leaves", "RUNNING")
    os.kill(found(daemon, "leaves")["pid"], signal.SIGKILL)
    daemon.wait(lambda: found(daemon, "leaves")["waits_for"] == "strays")
    told = found(daemon, "leaves")
    (stray,) = told["strays"]
    assert f"held until what it left behind has ended: sleep (pid {stray['pid']})" in (
        daemon.ctl("why", "leaves").stdout
    )
    os.kill(stray["pid"], signal.SIGKILL)
    daemon.wait_state("leaves", "RUNNING")
    assert found(daemon, "leaves")["invocations"][0]["strays"] == 1


def test_a_change_that_update_applies_keeps_the_history(start_daemon: StartDaemon) -> None:
    text = "[program:p]\ncommand=/bin/sleep 600\nstartsecs=0\n"
    daemon = start_daemon(text)
    daemon.wait_state("p", "RUNNING")
    daemon.write(text.replace("600", "601"))
    daemon.ctl("update")
    daemon.wait_state("p", "RUNNING")
    told = found(daemon, "p")
    assert told["started_by"]["what"] == "sdsuper.updateGroups"
    (past,) = told["invocations"]
    assert past["stopped_by"]["what"] == "sdsuper.updateGroups"


def test_names_that_nobody_has(daemon: Daemon) -> None:
    done = daemon.ctl("why", "nosuch")
    assert (done.stdout, done.status) == ("nosuch: ERROR (no such process)\n", 4)


def test_supervisors_daemon_keeps_no_history() -> None:
    with Daemon("[program:p]\ncommand=/bin/sleep 600\n", peer="supervisor") as theirs:
        theirs.wait_state("p", "RUNNING")
        done = theirs.run_ctl("why", "p", peer="sdsuper")
    assert done.stdout == "ERROR: this daemon keeps no history (it is no sdsuperd)\n"
    assert done.returncode == 1
