"""The harness itself, on the peer whose behaviour is known."""

from __future__ import annotations

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, NotStartedError

STRAY = """
[program:wrapper]
command=sh -c "sleep 1000 & wait"
startsecs=0
"""


def test_a_daemon_is_started_talked_to_and_stopped(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:cat]\ncommand=cat\n", peer="supervisor", inet=True)
    daemon.wait_state("cat", "RUNNING")
    assert daemon.ctl("stop", "cat") == ("cat: stopped\n", 0)
    assert daemon.ctl("pid") == (f"{daemon.pid}\n", 0)
    assert daemon.terminate() == 0
    assert daemon.processes() == []
    assert "stopped: cat (terminated by SIGTERM)" in daemon.log()


def test_what_a_daemon_leaves_fails_the_test_and_is_killed() -> None:
    daemon = Daemon(STRAY, peer="supervisor")
    with pytest.raises(AssertionError, match=r"left behind by the daemon: .*sleep 1000"), daemon:
        daemon.wait(lambda: any(p.command == "sleep 1000" for p in daemon.processes()))
    assert daemon.processes() == []
    assert not daemon.dir.exists()


def test_a_daemon_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(NotStartedError, match=r"ended with 2:\n.*command"),
        Daemon("[program:nothing]\n", peer="supervisor"),
    ):
        pass


def test_a_daemon_with_a_password_lets_its_own_clients_in(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(peer="supervisor", credentials=("joe", "secret"), inet=True)
    assert daemon.rpc.supervisor.getState() == {"statecode": 1, "statename": "RUNNING"}
    assert daemon.ctl("pid") == (f"{daemon.pid}\n", 0)
