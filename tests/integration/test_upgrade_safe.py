"""The package's files may be replaced beneath a running daemon: it has read its own by then."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import xmlrpc.client

import pytest

from sdsuper.server.registry import declared_methods
from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, UnixConnection

PROGRAMS = """\
[program:cat]
command=cat
stdout_syslog=false
[program:talker]
command=sh -c 'echo "<3>word"; exec sleep 4711'
stdout_logfile=%(here)s/talker
stdout_logfile_maxbytes=1KB
[program:broken]
command=/no/such/command
startretries=0
"""

LATER = """\
[program:later]
command=sh -c 'while :; do echo line; sleep 0.01; done'
stdout_logfile=%(here)s/later
environment=A="1",B="two"
user=root
stopsignal=HUP
stdout_journal=true
[group:both]
programs=cat,later
[eventlistener:listener]
command=cat
events=TICK_5
"""

BAD = "[program:bad]\ncommand=cat\nstopsignal=TREM\n"

IMPORTED = re.compile(r"^import time:.*\| +(sdsuper[\w.]*)$", re.MULTILINE)
"""What an interpreter that is told to tells on stderr, a line for each module it loads."""

ARGUMENTS = {
    "int": 0,
    "boolean": False,
    "string": "cat",
    "array": [],
    "struct": {},
}


def imported(daemon: Daemon) -> list[str]:
    """Return the modules of our own package that were loaded so far."""
    return IMPORTED.findall(daemon.console())


def call_everything(daemon: Daemon) -> None:
    """Call each method but those that end, restart or replace the daemon."""
    others = {"supervisor.shutdown", "supervisor.restart", "sdsuper.reexec"}
    for method in declared_methods():
        if others & set(method.names):
            continue
        values = [ARGUMENTS[kind] for kind in method.signature[1:]]
        with contextlib.suppress(xmlrpc.client.Fault):
            getattr(daemon.rpc, method.names[0])(*values)


@pytest.mark.root
def test_nothing_of_our_own_is_loaded_once_it_is_ready(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    before = imported(daemon)  # it has answered by now
    daemon.wait_state("broken", "FATAL")
    call_everything(daemon)
    daemon.ctl("update")  # puts back what was removed
    daemon.ctl("start", "all")
    for words in (("tail", "talker"), ("maintail",), ("stop", "talker"), ("restart", "cat")):
        assert daemon.ctl(*words).status == 0, words
    assert daemon.ctl("signal", "HUP", "cat").status == 0
    daemon.ctl("fg", "broken")
    stream = UnixConnection(daemon.socket)
    stream.request("GET", "/mainlogtail")
    assert stream.getresponse().read(1)
    stream.close()
    pages = ("/", "/?action=stopall", "/tail.html?processname=talker", "/assets/page.js", "/events")
    for page in (*pages, "/nothing", "/logtail/talker"):
        with contextlib.closing(UnixConnection(daemon.socket)) as connection:
            connection.request("GET", page)
            assert connection.getresponse().status in (200, 404)
    for headers in ({}, {"Accept": "application/json"}):
        with contextlib.closing(UnixConnection(daemon.socket)) as connection:
            connection.request("POST", "/", "do=restart cat", headers)
            assert connection.getresponse().status == 403

    daemon.write(PROGRAMS + LATER)
    assert daemon.ctl("update").status == 0
    daemon.wait_state("both:later", "RUNNING")
    daemon.write(BAD)
    assert daemon.ctl("reread").stdout.startswith("ERROR")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("TREM")
    daemon.signal(signal.SIGUSR2)
    daemon.wait_log("SIGUSR2")
    os.kill(daemon.pid_of("both:later"), signal.SIGKILL)
    daemon.wait_log("WARN exited: later")

    daemon.write(PROGRAMS + LATER)
    pid = daemon.pid_of("both:cat")
    daemon.signal(signal.SIGHUP)

    def restarted() -> bool:
        with contextlib.suppress(OSError, xmlrpc.client.Error):
            return daemon.pid_of("both:cat") not in (0, pid)
        return False

    daemon.wait(restarted, 30, "it has restarted")
    assert daemon.ctl("status").status in (0, 3)
    assert "sdsuper.daemon.loop" in before  # we do see what is loaded
    assert imported(daemon) == before
