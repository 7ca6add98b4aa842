"""The HTTP servers of a real daemon: sockets, rights, streams, a restart and the end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import stat
import subprocess
import xmlrpc.client
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import (
    BIN,
    Daemon,
    NotStartedError,
    UnixConnection,
    clean_environment,
    free_port,
)

CAT = "[program:cat]\ncommand=cat\nstdout_logfile=%(here)s/out\nstderr_logfile=NONE\n"


def get(connection: http.client.HTTPConnection, target: str) -> tuple[int, bytes]:
    connection.request("GET", target)
    reply = connection.getresponse()
    return reply.status, reply.read()


def test_the_same_paths_on_every_server(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT, inet=True)
    assert daemon.port is not None
    for connection in (
        UnixConnection(daemon.socket),
        http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60),
    ):
        assert get(connection, "/ok.html") == (200, b"OK")
        assert get(connection, "/nope")[0] == 404
        assert get(connection, "/ok.html") == (200, b"OK")
        connection.close()


def test_credentials_on_every_server(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT, inet=True, credentials=("u", "p:w"))
    url = f"http://%s127.0.0.1:{daemon.port}"
    with xmlrpc.client.ServerProxy(url % "u:p%3Aw@") as server:
        assert server.supervisor.getPID() == daemon.pid
    with (
        xmlrpc.client.ServerProxy(url % "u:wrong@") as server,
        pytest.raises(xmlrpc.client.ProtocolError) as caught,
    ):
        server.supervisor.getPID()
    assert caught.value.errcode == 401
    stranger = UnixConnection(daemon.socket)
    assert get(stranger, "/ok.html")[0] == 401
    stranger.close()
    assert daemon.rpc.supervisor.getPID() == daemon.pid
    assert "running without any HTTP authentication" not in daemon.log()


def test_ipv6_and_a_socket_with_rights(start_daemon: StartDaemon) -> None:
    port = free_port()
    extra = (
        f"[inet_http_server:six]\nport=[::1]:{port}\n"
        "[unix_http_server:second]\nfile=%(here)s/second.sock\nchmod=0666\n"
    )
    daemon = start_daemon(CAT + extra)
    connection = http.client.HTTPConnection("::1", port, timeout=60)
    assert get(connection, "/ok.html") == (200, b"OK")
    connection.close()
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE((daemon.dir / "second.sock").stat().st_mode) == 0o666
    assert "Server 'inet_http_server:six' running without any HTTP" in daemon.log()
    assert daemon.terminate() == 0
    assert not (daemon.dir / "second.sock").exists()


def test_a_port_in_use_is_a_usage_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        daemon = Daemon(f"[inet_http_server:x]\nport=127.0.0.1:{other.getsockname()[1]}\n")
        with pytest.raises(NotStartedError, match="ended with 2"), daemon:
            pass


def test_the_socket_of_a_killed_daemon_is_taken_over(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("")
    daemon.signal(signal.SIGKILL)
    daemon.popen.wait(60)
    assert daemon.socket.is_socket()
    daemon.start()
    assert daemon.rpc.supervisor.getPID() == daemon.pid
    assert f"Unlinking stale socket {daemon.socket}" in daemon.console()


def test_a_socket_that_was_removed_comes_back_on_usr2(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.rpc.supervisor.getPID()
    daemon.socket.unlink()
    daemon.signal(signal.SIGUSR2)
    daemon.wait(daemon.socket.exists)
    with UnixConnectionProxy(daemon) as server:
        assert server.supervisor.getPID() == daemon.pid
    assert daemon.rpc.supervisor.getPID() == daemon.pid  # on its old connection


class UnixConnectionProxy(xmlrpc.client.ServerProxy):
    """A client on a connection of its own."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__("http://localhost", transport=daemon._transport())


def test_children_do_not_inherit_connections(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:cat]\ncommand=cat\nautostart=false\n")
    with contextlib.closing(UnixConnection(daemon.socket)) as other:
        assert get(other, "/ok.html")[0] == 200
        assert daemon.rpc.supervisor.startProcess("cat")
        opened = Path(f"/proc/{daemon.pid_of('cat')}/fd")
        assert sorted(int(entry.name) for entry in opened.iterdir()) == [0, 1, 2]


def test_a_log_is_followed_while_a_program_writes(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.wait_state("cat", "RUNNING")
    with contextlib.closing(UnixConnection(daemon.socket)) as watcher:
        watcher.request("GET", "/logtail/cat")
        reply = watcher.getresponse()
        assert reply.status == 200
        for text in ("one\n", "zw\u00f6lf\n"):
            daemon.rpc.supervisor.sendProcessStdin("cat", text)
            assert reply.read(len(text.encode())) == text.encode()
        assert daemon.rpc.supervisor.clearProcessLogs("cat")
        daemon.rpc.supervisor.sendProcessStdin("cat", "after\n")
        seen = b""
        while not seen.endswith(b"after\n"):
            seen += reply.read(1)
        assert daemon.terminate() == 0  # watchers do not hold the end up


def test_clients_that_wait_get_their_answer_at_a_shutdown(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:slow]\ncommand=cat\nautostart=false\nstartsecs=600\n")
    ctl = subprocess.Popen(
        [BIN / "supervisorctl", "-c", daemon.ini, "start", "slow"],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    daemon.wait_state("slow", "STARTING")
    assert daemon.terminate() == 0
    assert ctl.communicate(timeout=60)[0] == "slow: ERROR (abnormal termination)\n"


def test_a_restart_closes_connections_and_answers_again(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    old = UnixConnection(daemon.socket)
    assert get(old, "/ok.html")[0] == 200
    assert daemon.rpc.supervisor.restart()
    assert old.sock is not None
    assert old.sock.recv(1) == b""
    old.close()
    daemon.rpc("close")()
    daemon.wait(daemon.socket.exists)
    daemon.wait(daemon._answers)
    assert daemon.rpc.supervisor.getPID() == daemon.pid


def test_no_descriptor_is_left_by_a_thousand_connections(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.rpc.supervisor.getPID()
    opened = Path(f"/proc/{daemon.pid}/fd")
    before = len(list(opened.iterdir()))
    for number in range(1000):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(daemon.socket))
            client.sendall(b"GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n"[: number % 40])
    daemon.wait(lambda: len(os.listdir(opened)) <= before)
    assert daemon.rpc.supervisor.getPID() == daemon.pid
