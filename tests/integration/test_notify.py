"""What systemd would hear: a real datagram socket in its place."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon

CAT = "[program:cat]\ncommand=cat\n"


class Systemd:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, sock: socket.socket, path: str) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = sock

    def hear_until(self, pattern: str) -> str:
        """Return the first message from now on that matches."""
        for _ in range(10_000):
            message = self._socket.recv(65536).decode()
            self.heard.append(message)
            if re.search(pattern, message):
                return message
        raise AssertionError(f"never heard {pattern!r}: {self.heard[-20:]}")


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with (
        tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        path = str(Path(folder, "notify"))
        sock.bind(path)
        sock.settimeout(20)
        yield Systemd(sock, path)


def test_ready_comes_when_everything_was_started(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    daemon = start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path})
    message = systemd.hear_until("READY=1")
    assert message == "READY=1\nSTATUS=0 running, 1 starting: cat"
    assert systemd.heard == [message]
    assert "spawned: 'cat'" in daemon.log()
    systemd.hear_until("^STATUS=1 running$")


def test_the_status_line_tells_of_trouble(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon(
        CAT + "[program:bad]\ncommand=/no/such\nstartretries=0\n",
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    systemd.hear_until("^STATUS=1 running, 1 FATAL: bad$")


def test_stopping_is_told(start_daemon: StartDaemon, systemd: Systemd) -> None:
    daemon = start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path})
    systemd.hear_until("READY=1")
    daemon.terminate()
    systemd.hear_until("STOPPING=1")


def test_a_stop_asks_for_the_time_that_the_programs_may_take(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    daemon = start_daemon(
        "[program:slow]\ncommand=cat\nstopwaitsecs=500\n",
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    systemd.hear_until("READY=1")
    daemon.terminate()
    found = re.search(r"EXTEND_TIMEOUT_USEC=(\d+)", systemd.hear_until("STOPPING=1"))
    assert found is not None
    assert int(found[1]) >= 500_000_000


def test_a_program_that_asks_for_time_to_stop_gets_it_from_systemd_too(
    start_daemon: StartDaemon, systemd: Systemd
) -> None:
    code = (
        "import os, signal, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
        "s.connect(os.environ['NOTIFY_SOCKET']); "
        "signal.signal(15, lambda *_: s.send(b'EXTEND_TIMEOUT_USEC=900000000')); "
        "s.send(b'READY=1'); signal.pause(); signal.pause()"
    )
    daemon = start_daemon(
        f'[program:slow]\ncommand={sys.executable} -c "{code}"\nnotify=true\n',
        environment={"NOTIFY_SOCKET": systemd.path},
    )
    systemd.hear_until("^STATUS=1 running$")
    pid = daemon.pid_of("slow")
    daemon.signal(signal.SIGTERM)
    systemd.hear_until(r"EXTEND_TIMEOUT_USEC=9\d{8}$")
    os.kill(pid, signal.SIGKILL)
    daemon.wait_end()


def test_a_restart_is_a_reload_to_systemd(start_daemon: StartDaemon, systemd: Systemd) -> None:
    daemon = start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path})
    systemd.hear_until("READY=1")
    daemon.signal(signal.SIGHUP)
    message = systemd.hear_until("RELOADING=1")
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", message)
    heard = len(systemd.heard)
    systemd.hear_until("READY=1")
    assert not any("STOPPING=1" in each for each in systemd.heard[heard:])


def test_a_refused_restart_is_not_told(start_daemon: StartDaemon, systemd: Systemd) -> None:
    daemon = start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path})
    daemon.write("[program:cat]\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("restart refused")
    daemon.terminate()
    systemd.hear_until("STOPPING=1")
    assert not any("RELOADING" in each for each in systemd.heard)


def test_the_loop_pings_the_watchdog(start_daemon: StartDaemon, systemd: Systemd) -> None:
    start_daemon(CAT, environment={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "200000"})
    for _ in range(5):
        systemd.hear_until("^WATCHDOG=1$")
