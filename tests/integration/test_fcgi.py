"""fcgi-programs: processes that share a listening socket as their descriptor 0."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import sys
import xmlrpc.client
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, free_port

SERVER = (
    "import os, socket; s = socket.socket(fileno=0); "
    "[(c.sendall(b'%%d' %% os.getpid()), c.close()) for c in iter(lambda: s.accept()[0], None)]"
)


def fcgi(url: str, name: str = "php", **options: object) -> str:
    """Return the section of a program that answers each connection with its pid."""
    lines = "".join(f"{key}={value}\n" for key, value in options.items())
    return (
        f'[fcgi-program:{name}]\ncommand={sys.executable} -c "{SERVER}"\n'
        f"socket={url}\nstartsecs=0\n{lines}"
    )


def ask(address: str | tuple[str, int]) -> int:
    """Return the pid of who answers."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        client.connect(address)
        return int(client.recv(100))


def running(daemon: Daemon, *names: str) -> list[int]:
    """Return the pids of processes when all are RUNNING."""
    for name in names or ("php",):
        daemon.wait_state(name, "RUNNING")
    return [daemon.pid_of(name) for name in names or ("php",)]


def test_a_unix_socket_is_the_programs_stdin(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(fcgi("unix://%(here)s/php.sock"), peer=peer)
    (pid,) = running(daemon)
    path = str(daemon.dir / "php.sock")
    assert ask(path) == pid
    assert os.stat(path).st_mode & 0o777 == 0o700
    with pytest.raises(xmlrpc.client.Fault, match="NO_FILE"):
        daemon.rpc.supervisor.sendProcessStdin("php", "x")
    told = [line.partition(" ")[2] for line in daemon.messages() if "socket unix" in line]
    assert told[:3] == [f"{doing} socket unix://{path}" for doing in ("Creating", "Closing")] + [
        f"Creating socket unix://{path}"
    ]
    daemon.ctl("stop", "php")
    assert daemon.messages()[-2:][0].endswith(f"Closing socket unix://{path}") or any(
        line.endswith(f"Closing socket unix://{path}") for line in daemon.messages()[-3:]
    )


def test_a_tcp_socket_is_shared_by_all_processes(start_daemon: StartDaemon, peer: str) -> None:
    port = free_port()
    daemon = start_daemon(
        fcgi(
            f"tcp://localhost:{port}",
            numprocs=2,
            process_name="%(program_name)s_%(process_num)s",
            socket_backlog=8,
        ),
        peer=peer,
    )
    pids = running(daemon, "php:php_0", "php:php_1")
    assert {ask(("127.0.0.1", port)) for _ in range(20)} <= set(pids)
    # The socket is open as long as one of them lives.
    daemon.ctl("stop", "php:php_0")
    assert ask(("127.0.0.1", port)) == pids[1]
    daemon.ctl("stop", "php:php_1")
    with pytest.raises(OSError, match="refused"):
        ask(("127.0.0.1", port))
    daemon.ctl("start", "php:*")
    assert ask(("127.0.0.1", port)) in running(daemon, "php:php_0", "php:php_1")


@pytest.mark.root
def test_owner_and_mode(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(
        fcgi("unix://%(here)s/php.sock", socket_owner="nobody", socket_mode="0660"), peer=peer
    )
    running(daemon)
    found = os.stat(daemon.dir / "php.sock")
    assert (found.st_uid, found.st_mode & 0o777) == (pwd.getpwnam("nobody").pw_uid, 0o660)


def test_a_killed_process_is_replaced_on_the_same_address(
    start_daemon: StartDaemon, peer: str
) -> None:
    daemon = start_daemon(fcgi("unix://%(here)s/php.sock"), peer=peer)
    (before,) = running(daemon)
    os.kill(before, signal.SIGKILL)
    daemon.wait(lambda: daemon.pid_of("php") not in (0, before), what="another one")
    assert ask(str(daemon.dir / "php.sock")) == running(daemon)[0]


def test_in_a_group_each_program_has_its_own(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        fcgi("unix://%(here)s/a.sock", "a")
        + fcgi("unix://%(here)s/b.sock", "b")
        + "[group:both]\nprograms=a,b\n"
    )
    pids = running(daemon, "both:a", "both:b")
    assert [ask(str(daemon.dir / f"{name}.sock")) for name in "ab"] == pids


def test_an_address_that_is_taken_is_the_trouble_of_one(start_daemon: StartDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = start_daemon(
            fcgi(f"tcp://127.0.0.1:{port}", startretries=1) + "[program:cat]\ncommand=cat\n"
        )
        daemon.wait_state("php", "FATAL")
        told = f"Could not create FastCGI socket tcp://127.0.0.1:{port}: Address already in use"
        assert daemon.info("php")["description"] == told
        assert f"CRIT {told}" in daemon.messages()
        daemon.wait_state("cat", "RUNNING")
    daemon.ctl("start", "php")
    assert ask(("127.0.0.1", port)) == running(daemon)[0]


def test_only_sockets_make_room_and_the_file_goes_with_the_socket(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    path = tmp_path / "php.sock"
    path.write_text("precious")
    daemon = start_daemon(fcgi(f"unix://{path}", startretries=0))
    daemon.wait_state("php", "FATAL")
    assert path.read_text() == "precious"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    daemon.ctl("start", "php")
    assert ask(str(path)) == running(daemon)[0]
    daemon.ctl("stop", "php")
    assert not path.exists()


def test_update_follows_a_changed_address(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(fcgi("unix://%(here)s/a.sock"))
    running(daemon)
    daemon.write(fcgi("unix://%(here)s/b.sock"))
    daemon.ctl("update")
    assert ask(str(daemon.dir / "b.sock")) == running(daemon)[0]
    assert not (daemon.dir / "a.sock").exists()
