"""What both daemons write to their logs about the same life, line for line: scripts match on it.

Lines about one process must come in the same order; how those of several mingle is chance.
"""

from __future__ import annotations

import re
import signal
import threading

import pytest

import sdsuper
from tests.integration.harness import PEERS, Daemon
from tests.integration.test_differential_rpc import Pulse

PROGRAMS = r"""
[program:cat]
command=cat
startsecs=0
priority=1
[program:says]
command=sh -c "read line; echo to out; read line; echo to err >&2; exec cat"
startsecs=0
priority=2
[program:expected]
command=sh -c "read line; exit 0"
startsecs=0
autorestart=unexpected
[program:unexpected]
command=sh -c "read line; exit 3"
startsecs=0
autorestart=false
[program:killed]
command=cat
startsecs=0
autorestart=false
[program:dies]
command=sh -c "exit 0"
startretries=1
[program:missing]
command=/no/such/file
startretries=0
[program:deaf]
command=sh -c "read line; trap '' TERM; echo ready; exec sleep 600"
startsecs=0
stopwaitsecs=1
stopasgroup=true
[program:waits]
command=/no/such/file
startretries=99
"""
NAMES = re.findall(r"\[program:(\w+)\]", PROGRAMS)
UP = ("cat", "says", "expected", "unexpected", "killed", "deaf")
NOT_COMPARED = (
    "DEBG fd ",  # it shows what is inside
    "INFO processes get no cgroup of their own",  # ours, where none is delegated to us
    "INFO spawnerr: can't find command '/no/such/file'",  # how often is a matter of time
    "INFO waiting for cat to stop",  # whether it has to be waited for is chance
)
OFTEN_OR_ONCE = ("DEBG received SIGCHLD", "INFO waiting for ")
"""How often is chance: only the first of each is looked at."""


def live(daemon: Daemon) -> None:
    """Let happen what is told in the log."""
    for name in UP:
        daemon.wait_state(name, "RUNNING")
    for name in ("dies", "missing"):
        daemon.wait_state(name, "FATAL")
    call = daemon.rpc.supervisor
    for name in ("expected", "unexpected"):
        call.sendProcessStdin(name, "go\n")
        daemon.wait_state(name, "EXITED")
    for channel in ("stdout", "stderr"):
        call.sendProcessStdin("says", "go\n")
        daemon.wait_log(f"'says' {channel} output:")
    call.signalProcess("killed", "KILL")
    daemon.wait_state("killed", "EXITED")
    call.signalProcess("cat", "CONT")
    call.stopProcess("cat")
    call.startProcess("cat")
    call.sendProcessStdin("deaf", "go\n")
    daemon.wait_log("'deaf' stdout output:")
    call.stopProcess("deaf")
    call.stopProcess("waits")
    daemon.signal(signal.SIGUSR2)
    daemon.wait_log("supervisord logreopen")
    daemon.terminate()


def about(daemon: Daemon) -> dict[str, list[str]]:
    """Return the lines of a log by what they are about: a process, or the daemon itself."""
    found: dict[str, list[str]] = {name: [] for name in ("", *NAMES)}
    lines = re.split(r"\n(?=[A-Z]{4} )", "\n".join(daemon.messages()))
    for line in lines:
        text = re.sub(r"(pid |\()\d+", r"\1N", line)
        subject = re.search(rf"\b({'|'.join(NAMES)})\b(?! to die)", text)
        own = found[subject[1] if subject else ""]
        first = next((often for often in OFTEN_OR_ONCE if text.startswith(often)), None)
        if text.startswith(NOT_COMPARED) or (first and any(told.startswith(first) for told in own)):
            continue
        own.append(text)
    return found


@pytest.fixture(scope="module")
def logs() -> dict[str, dict[str, list[str]]]:
    """What both logs say, by peer; the two daemons run side by side."""
    found: dict[str, dict[str, list[str]]] = {}

    def drive(peer: str) -> None:
        with Daemon(PROGRAMS, peer=peer, settings="loglevel=debug") as daemon:
            with Pulse(daemon):
                live(daemon)
            found[peer] = about(daemon)

    threads = [threading.Thread(target=drive, args=(peer,)) for peer in PEERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("subject", ["", *NAMES])
def test_the_lines_are_the_same(logs: dict[str, dict[str, list[str]]], subject: str) -> None:
    ours, theirs = logs["sdsuper"][subject], logs["supervisor"][subject]
    assert theirs
    first = [] if subject else [f"INFO sdsuperd {sdsuper.__version__}"]
    assert ours == [*first, *theirs]
