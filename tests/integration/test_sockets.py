"""`sockets=`: the daemon listens, real programs serve, and nobody is refused while they restart."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any, Self

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, free_port

LISTENER = Path(__file__).with_name("passed_sockets.py")
SERVER = f"{sys.executable} {LISTENER}"
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
"""One that other users may execute too."""

PROGRAM = f"[program:web]\ncommand={SERVER}\nstartsecs=0\n"


def ask(address: tuple[str, int] | str, family: int | None = None) -> dict[str, Any]:
    """Return what the program that serves an address says of itself."""
    inet = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family or (socket.AF_UNIX if isinstance(address, str) else inet)) as client:
        client.settimeout(20)
        client.connect(address)
        with client.makefile("rb") as answer:
            found: dict[str, Any] = json.loads(answer.readline())
            return found


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_program_serves_what_the_daemon_listens_on(start_daemon: StartDaemon) -> None:
    first, second, third = free_port(), free_port(), free_port()
    daemon = start_daemon(
        f"{PROGRAM}sockets=http=tcp://127.0.0.1:{first},admin=unix://%(here)s/admin.sock,"
        f"dns=udp://127.0.0.1:{second},six=tcp://[::1]:{third}\n"
    )
    daemon.wait_state("web", "RUNNING")
    seen = ask(("127.0.0.1", first))
    assert (seen["name"], seen["address"]) == ("http", ["127.0.0.1", first])
    assert seen["pid"] == seen["pgid"] == daemon.pid_of("web")
    assert seen["blocking"] is True
    assert [fd for fd in seen["fds"] if fd < 8] == [0, 1, 2, 3, 4, 5, 6, 7]  # 7: the listing
    assert len(seen["fds"]) == 8
    path = daemon.dir / "admin.sock"
    seen = ask(str(path))
    assert (seen["name"], seen["address"]) == ("admin", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert ask(("::1", third))["name"] == "six"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(b"?", ("127.0.0.1", second))
        assert json.loads(client.recv(4096))["name"] == "dns"


class Clients:
    """Threads that ask again and again; each keeps who answered, or what went wrong."""

    def __init__(self, port: int) -> None:
        self.pids: set[int] = set()
        self.answers = 0
        self.failures: list[BaseException] = []
        self._port = port
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def _ask(self) -> None:
        while not self._enough.is_set():
            try:
                self.pids.add(ask(("127.0.0.1", self._port))["pid"])
                self.answers += 1
            except (OSError, ValueError) as error:
                self.failures.append(error)

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for each in self._threads:
            each.join()


def wait_asked(daemon: Daemon, clients: Clients, pid: int) -> None:
    daemon.wait(lambda: pid in clients.pids)


def wait_replaced(daemon: Daemon, pid: int) -> None:
    daemon.wait(lambda: daemon.pid_of("web") not in (0, pid))


def test_no_client_is_refused_while_the_program_restarts(start_daemon: StartDaemon) -> None:
    port = free_port()
    daemon = start_daemon(f"{PROGRAM}autorestart=true\nsockets=http=tcp://127.0.0.1:{port}\n")
    daemon.wait_state("web", "RUNNING")
    pids = []
    with Clients(port) as clients:
        for number in range(6):
            old = daemon.pid_of("web")
            pids.append(old)
            wait_asked(daemon, clients, old)
            if number % 2:
                os.kill(old, signal.SIGTERM)  # it ends by itself, as a program that fails would
                wait_replaced(daemon, old)
            else:
                assert daemon.ctl("restart", "web").status == 0
    assert clients.failures == []
    assert set(pids) <= clients.pids
    assert clients.answers > len(pids)


def test_who_connects_while_the_program_is_down_is_answered_when_it_is_up(
    start_daemon: StartDaemon,
) -> None:
    port = free_port()
    daemon = start_daemon(f"{PROGRAM}sockets=http=tcp://127.0.0.1:{port}\n")
    daemon.wait_state("web", "RUNNING")
    daemon.ctl("stop", "web")
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        daemon.ctl("start", "web")
        answer = json.loads(client.makefile("rb").readline())
    assert answer["pid"] == daemon.pid_of("web")


def test_processes_of_one_program_share_its_sockets(start_daemon: StartDaemon) -> None:
    port = free_port()
    daemon = start_daemon(
        f"{PROGRAM}numprocs=3\nprocess_name=%(process_num)d\n"
        f"sockets=http=tcp://127.0.0.1:{port},x=unix://%(here)s/x\n"
    )
    pids = set()
    for number in range(3):
        daemon.wait_state(f"web:{number}", "RUNNING")
        pids.add(daemon.pid_of(f"web:{number}"))
    assert ask(("127.0.0.1", port))["pid"] in pids
    identity = (daemon.dir / "x").stat().st_ino
    daemon.ctl("stop", "web:0", "web:1")
    assert ask(("127.0.0.1", port))["pid"] == daemon.pid_of("web:2")
    assert (daemon.dir / "x").stat().st_ino == identity


def test_sockets_are_closed_with_the_group_and_opened_anew_when_they_change(
    start_daemon: StartDaemon,
) -> None:
    old, new = free_port(), free_port()
    other = "[program:cat]\ncommand=cat\n"
    daemon = start_daemon(
        f"{other}{PROGRAM}sockets=http=tcp://127.0.0.1:{old},x=unix://%(here)s/x\n"
    )
    daemon.wait_state("web", "RUNNING")
    before = daemon.pid_of("cat")
    daemon.write(f"{other}{PROGRAM}sockets=http=tcp://127.0.0.1:{new}\n")
    daemon.ctl("update")
    assert ask(("127.0.0.1", new))["name"] == "http"
    assert not is_open(old)
    assert not (daemon.dir / "x").exists()
    daemon.write(other)
    daemon.ctl("update")
    assert not is_open(new)
    assert daemon.pid_of("cat") == before


def test_all_is_closed_and_removed_at_the_end(start_daemon: StartDaemon) -> None:
    port = free_port()
    daemon = start_daemon(f"{PROGRAM}sockets=h=tcp://127.0.0.1:{port},x=unix://%(here)s/x\n")
    daemon.wait_state("web", "RUNNING")
    daemon.signal(signal.SIGHUP)
    daemon.wait(lambda: daemon.log().count("success: web entered RUNNING") == 2)
    assert ask(("127.0.0.1", port))["name"] == "h"
    assert daemon.terminate() == 0
    assert not is_open(port)
    assert not (daemon.dir / "x").exists()


def test_what_cannot_be_bound_is_a_spawn_error_of_that_program(start_daemon: StartDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = start_daemon(
            f"[program:cat]\ncommand=cat\n{PROGRAM}startretries=1000\n"
            f"sockets=x=unix://%(here)s/x,http=tcp://127.0.0.1:{port}\n"
        )
        told = f"cannot listen on tcp://127.0.0.1:{port} for 'web': EADDRINUSE"
        daemon.wait_log(told)
        daemon.wait_state("web", "BACKOFF")
        assert daemon.info("web")["spawnerr"] == told
        daemon.wait_state("cat", "RUNNING")
        assert not (daemon.dir / "x").exists()  # all of them or none
    daemon.wait_state("web", "RUNNING")
    assert ask(("127.0.0.1", port))["pid"] == daemon.pid_of("web")


def test_what_is_in_the_way_of_a_unix_socket(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(f"{PROGRAM}autostart=false\nsockets=x=unix://%(here)s/x\n")
    path = daemon.dir / "x"
    path.write_text("precious")
    assert "ERROR (spawn error)" in daemon.ctl("start", "web").stdout
    assert path.read_text() == "precious"
    path.unlink()
    daemon.ctl("stop", "web")
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        assert "ERROR (spawn error)" in daemon.ctl("start", "web").stdout
        daemon.ctl("stop", "web")
    daemon.ctl("start", "web")  # nobody listens there any more
    assert ask(str(path))["name"] == "x"
    path.unlink()  # as a cleaner of temporary files would
    daemon.ctl("restart", "web")
    assert ask(str(path))["name"] == "x"


@pytest.mark.root
def test_another_user_gets_the_sockets_and_owns_the_file(start_daemon: StartDaemon) -> None:
    port = free_port()
    daemon = start_daemon("")
    script = daemon.dir / "passed_sockets.py"
    shutil.copy(LISTENER, script)
    daemon.dir.chmod(0o755)
    daemon.write(
        f"[program:web]\ncommand={PYTHON} {script}\nuser=nobody\nstartsecs=0\n"
        f"sockets=h=tcp://127.0.0.1:{port},x=unix://%(here)s/x\n"
    )
    daemon.ctl("update")
    nobody = pwd.getpwnam("nobody")
    seen = ask(("127.0.0.1", port))
    assert (seen["uid"], seen["pid"]) == (nobody.pw_uid, daemon.pid_of("web"))
    found = (daemon.dir / "x").lstat()
    assert (found.st_uid, found.st_gid) == (nobody.pw_uid, nobody.pw_gid)
    daemon.ctl("restart", "web")
    assert ask(str(daemon.dir / "x"))["name"] == "x"


def test_a_program_that_cannot_be_executed_tells_it_as_ever(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        f"[program:x]\ncommand=cat\ndirectory=/no/such\nsockets=h=tcp://127.0.0.1:{free_port()}\n"
        "startretries=0\nredirect_stderr=true\nstdout_logfile=%(here)s/x.log\n"
    )
    daemon.wait_state("x", "FATAL")
    daemon.wait_log("cannot run 'x': chdir /no/such: ENOENT")
    told = (daemon.dir / "x.log").read_text()
    assert told.startswith("supervisor: couldn't chdir to /no/such: ENOENT\n")


def test_a_wrong_option_is_told_with_file_and_line_and_harms_nothing(
    start_daemon: StartDaemon,
) -> None:
    daemon = start_daemon(f"{PROGRAM}autostart=false\n")
    broken = f"{PROGRAM}sockets=http=tcp://example.com:80\n"
    daemon.write(broken)
    line = daemon.ini.read_text().count("\n")
    told = daemon.ctl("update")
    assert told.status != 0
    assert daemon.state("web") == "STOPPED"
    refused = Daemon(broken)
    said, status = refused.refuse()
    assert status == 2
    assert f"{refused.ini}:{line}: [program:web] sockets=" in said
    assert "names are not looked up" in said
