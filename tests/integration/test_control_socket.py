"""The control socket that is there under systemd, and sockets that systemd passes."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, free_port

CAT = "[program:cat]\ncommand=cat\n"

# What systemd does between fork and exec: descriptors from 3 on, and who they are meant for.
PASS = """
import os, socket, sys
port, *command = sys.argv[1:]
for fd, number in ((3, int(port)), (4, 0)):
    sock = socket.create_server(("127.0.0.1", number))
    if sock.fileno() != fd:
        os.dup2(sock.fileno(), fd)
        sock.close()
    else:
        sock.detach()
    os.set_inheritable(fd, True)
listen = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:vain"}
os.execvpe(command[0], command, {**os.environ, **listen})
"""


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime directory, and beside it the socket that systemd listens on."""
    with (
        tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(f"{folder}/notify")
        made = Path(folder, "run")
        made.mkdir()
        yield made


def under_systemd(runtime: Path) -> dict[str, str]:
    return {"RUNTIME_DIRECTORY": str(runtime), "NOTIFY_SOCKET": f"{runtime.parent}/notify"}


def wait_started(daemon: Daemon, times: int) -> None:
    daemon.wait(lambda: daemon.log().count("supervisord started with pid") == times)


def test_the_daemon_can_be_reached_below_its_runtime_directory(
    start_daemon: StartDaemon, runtime: Path
) -> None:
    daemon = start_daemon(CAT, environment=under_systemd(runtime))
    control = runtime / "sdsuper.sock"
    assert stat.S_IMODE(control.stat().st_mode) in (0o600, 0o660)  # by who may have the group
    before = control.stat().st_ino
    daemon.write(f"{CAT}[program:more]\ncommand=cat\n")
    done = daemon.run_ctl("update", options=["-s", f"unix://{control}"])
    assert (done.stdout, done.returncode) == ("more: added process group\n", 0)
    environment = Path(f"/proc/{daemon.pid_of('cat')}/environ").read_bytes().split(b"\0")
    # What is configured is not displaced.
    assert f"SUPERVISOR_SERVER_URL={daemon.server_url}".encode() in environment
    assert not any(each.startswith(b"RUNTIME_DIRECTORY=") for each in environment)
    daemon.signal(signal.SIGHUP)
    wait_started(daemon, 2)
    assert daemon.run_ctl("version", options=["-s", f"unix://{control}"]).returncode == 0
    assert control.stat().st_ino == before
    assert daemon.terminate() == 0
    assert control.exists()  # systemd holds it, and removes the directory when it is really down


def test_by_hand_nothing_more_is_made(start_daemon: StartDaemon, runtime: Path) -> None:
    inherited = {**under_systemd(runtime), "SYSTEMD_EXEC_PID": str(os.getpid())}
    daemon = start_daemon(CAT, environment=inherited)
    daemon.wait_state("cat", "RUNNING")
    assert list(runtime.iterdir()) == []


def test_what_systemd_passes_is_served_and_the_rest_closed(
    start_daemon: StartDaemon,
) -> None:
    port = free_port()
    daemon = start_daemon(
        f"[inet_http_server]\nport=127.0.0.1:{port}\n{CAT}",
        prefix=(sys.executable, "-c", PASS, str(port)),
    )
    for _ in range(2):
        daemon.wait_state("cat", "RUNNING")
        done = daemon.run_ctl("version", options=["-s", f"http://127.0.0.1:{port}"])
        assert (done.stdout, done.returncode) == ("4.3.0\n", 0)
        fds = os.listdir(f"/proc/{daemon.pid_of('cat')}/fd")
        assert sorted(fds) == ["0", "1", "2"]
        starts = daemon.log().count("supervisord started with pid")
        daemon.signal(signal.SIGHUP)
        wait_started(daemon, starts + 1)
    log = daemon.log()
    assert log.count("(vain), passed by systemd: no server is configured there") == 1
