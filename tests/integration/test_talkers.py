"""Programs that speak sd_notify(3): ready when they say so, watched by their own pings."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, wait_until

TALKER = Path(__file__).with_name("talker.py")


def talker(*words: str, **options: object) -> str:
    """Return the section of a program that says such things."""
    quoted = " ".join(f'"{word}"' for word in words)
    lines = {"notify": "true", "stopwaitsecs": 5, "startretries": 0, **options}
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    return f"[program:talker]\ncommand={sys.executable} {TALKER} {quoted}\n{text}"


def description(daemon: Daemon) -> str:
    """Return the last column of `status`."""
    return str(daemon.info("talker")["description"])


def socket_of(daemon: Daemon) -> str:
    """Return the NOTIFY_SOCKET of the program as it is now."""
    pid = daemon.pid_of("talker")
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (found,) = [each for each in variables if each.startswith(b"NOTIFY_SOCKET=")]
    return os.fsdecode(found.partition(b"=")[2])


def test_it_is_running_when_it_says_so(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        talker(
            "say:STATUS=warming up", "wait:%(here)s/go", "say:READY=1;STATUS=serving", startsecs=0
        )
    )
    wait_until(lambda: description(daemon) == "warming up", what="its status line")
    assert daemon.state("talker") == "STARTING"
    assert "warming up" in daemon.ctl("status").stdout
    (daemon.dir / "go").touch()
    daemon.wait_state("talker", "RUNNING")
    assert description(daemon).startswith("pid ")
    assert description(daemon).endswith(", serving")
    assert "talker entered RUNNING state, process has told that it is ready" in daemon.log()


def test_startprocess_waits_for_it(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker("say:READY=1", autostart="false"))
    assert daemon.ctl("start", "talker").stdout == "talker: started\n"
    assert daemon.state("talker") == "RUNNING"


def test_one_that_is_never_ready_is_ended_and_given_up(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        talker("ignore:SIGTERM", "say:STATUS=no disk;ERRNO=5", start_timeout=1, stopwaitsecs=1)
    )
    daemon.wait_state("talker", "FATAL")
    assert description(daemon) == (
        "not ready within 1 seconds (start_timeout); it said: ERRNO EIO, no disk"
    )
    assert "killing 'talker'" in daemon.log()


def test_one_that_asks_for_time_gets_it(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        talker("say:EXTEND_TIMEOUT_USEC=60000000", "wait:%(here)s/go", "say:READY=1")
        + "start_timeout=1\n[program:other]\ncommand=cat\nstartsecs=3\n"
    )
    daemon.wait_state("other", "RUNNING")  # three times as long as start_timeout
    assert daemon.state("talker") == "STARTING"
    (daemon.dir / "go").touch()
    daemon.wait_state("talker", "RUNNING")


def test_an_exit_with_success_before_it_was_ready_is_a_failed_start(
    start_daemon: StartDaemon,
) -> None:
    daemon = start_daemon(talker("say:ERRNO=98", "exit:0", startsecs=0))
    daemon.wait_state("talker", "FATAL")
    assert description(daemon) == (
        "Exited before it was ready (process log may have details); it said: ERRNO EADDRINUSE"
    )


def test_last_words_before_an_exit_are_heard(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker("say:READY=1", "say:STATUS=disk full", "exit:1"))
    daemon.wait_log("exited: talker (exit status 1; not expected)")
    assert "talker entered RUNNING state" in daemon.log()


def test_a_hung_program_gets_sigabrt_and_a_successor(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        talker("once:%(here)s/first", "say:READY=1", "wait:/never", watchdog=1, exitcodes=3)
    )
    daemon.wait_log("talker: no ping within 1 seconds (watchdog), ending it with SIGABRT")
    daemon.wait_state("talker", "FATAL")  # the second ends before it is ready
    assert re.search(r"exited: talker \(terminated by SIGABRT.*; not expected\)", daemon.log())


def test_one_that_survives_sigabrt_is_killed(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        talker("ignore:SIGABRT", "say:READY=1", watchdog=1, stopwaitsecs=1, autorestart="false")
    )
    daemon.wait_state("talker", "EXITED")
    assert "killing 'talker'" in daemon.log()
    assert "terminated by SIGKILL; not expected" in daemon.log()


def test_pings_keep_it_alive(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        talker("ping:0.1", "say:READY=1", watchdog=1)
        + "[program:other]\ncommand=cat\nstartsecs=3\n"
    )
    daemon.wait_state("other", "RUNNING")  # three periods
    assert daemon.state("talker") == "RUNNING"
    assert "no ping" not in daemon.log()


def test_the_watchdog_works_without_notify(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker("ping:0.1", notify="false", watchdog=60, startsecs=0))
    daemon.wait_state("talker", "RUNNING")
    pid = daemon.pid_of("talker")
    assert b"WATCHDOG_USEC=60000000" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_a_program_without_either_has_no_socket(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:cat]\ncommand=cat\n")
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_it_may_ask_for_its_own_restart(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        talker("once:%(here)s/first", "say:READY=1", "say:WATCHDOG=trigger", exitcodes=3)
    )
    daemon.wait_log("talker: it reported a failure (WATCHDOG=trigger)")
    daemon.wait_state("talker", "FATAL")


def test_reloading_is_told(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker("say:READY=1", "say:RELOADING=1", "say:READY=1"))
    daemon.wait_log("talker says that it is reloading")
    daemon.wait_log("talker says that it has reloaded")
    assert daemon.state("talker") == "RUNNING"


def test_an_announced_end_is_waited_for_no_longer_than_a_stop(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        talker("say:READY=1", "say:STOPPING=1", stopwaitsecs=1, autorestart="false")
    )
    daemon.wait_state("talker", "EXITED")
    assert "talker says that it is stopping" in daemon.log()
    assert "terminated by SIGKILL; not expected" in daemon.log()


def test_its_children_may_speak_for_it(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker("child:READY=1;STATUS=by a child"))
    daemon.wait_state("talker", "RUNNING")
    assert description(daemon).endswith(", by a child")


def test_nobody_else_may(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker("say:STATUS=mine", "wait:%(here)s/go", "say:READY=1"))
    wait_until(lambda: description(daemon) == "mine", what="its status line")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(socket_of(daemon))
        sock.send(b"READY=1\nSTATUS=forged")
        sock.send(b"MAINPID=1")
    daemon.wait_log(f"'talker' notify: ignored: pid {os.getpid()}, which sent a message, is none")
    assert (daemon.state("talker"), description(daemon)) == ("STARTING", "mine")
    (daemon.dir / "go").touch()
    daemon.wait_state("talker", "RUNNING")


def test_a_foreign_main_pid_is_ignored(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker(f"say:MAINPID={os.getpid()};READY=1"))
    daemon.wait_state("talker", "RUNNING")
    assert daemon.pid_of("talker") != os.getpid()
    assert f"MAINPID={os.getpid()} is none of its processes" in daemon.log()


@pytest.mark.parametrize("pidfds", ["1", "0"])
def test_another_process_can_become_the_main_one(start_daemon: StartDaemon, pidfds: str) -> None:
    daemon = start_daemon(
        talker("fork", "say:READY=1", autorestart="false"),
        environment={"SDSUPER_PIDFDS": pidfds},
    )
    daemon.wait_state("talker", "RUNNING")
    spawned = daemon.wait_log("spawned: 'talker' with pid ").rpartition(" ")[2]
    pid = daemon.pid_of("talker")
    assert pid != int(spawned)
    wait_until(lambda: not Path(f"/proc/{spawned}").exists(), what="the first is gone")
    assert daemon.state("talker") == "RUNNING"
    os.kill(pid, signal.SIGTERM)
    daemon.wait_state("talker", "EXITED")
    assert "exited: talker (terminated by SIGTERM; not expected)" in daemon.log()


def test_a_stop_ends_the_main_process_and_what_started_it(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker("forked", "say:READY=1"))
    daemon.wait_state("talker", "RUNNING")
    assert daemon.ctl("stop", "talker").stdout == "talker: stopped\n"


def test_a_stop_of_the_group_reaches_a_main_process_that_left_the_group(
    start_daemon: StartDaemon,
) -> None:
    daemon = start_daemon(talker("daemonize", "say:READY=1", stopasgroup="true"))
    daemon.wait_state("talker", "RUNNING")
    assert daemon.ctl("stop", "talker").stdout == "talker: stopped\n"
    assert "stopped: talker (terminated by SIGTERM)" in daemon.log()


@pytest.mark.parametrize("pidfds", ["1", "0"])
def test_the_end_of_a_main_process_that_is_not_our_child_is_noticed(
    start_daemon: StartDaemon, pidfds: str
) -> None:
    daemon = start_daemon(
        talker("forked", "say:READY=1", "exit:0", autorestart="false"),
        environment={"SDSUPER_PIDFDS": pidfds},
    )
    daemon.wait_state("talker", "EXITED")
    # Who waits for it takes its status along: some kernels tell it us all the same, in time or not,
    # and what is unknown is not taken for success.
    known, unknown = "exit status 0; expected", "unknown termination cause; not expected"
    assert any(f"exited: talker ({told})" in daemon.log() for told in (known, unknown))
    assert "waitpid error" not in daemon.log()


@pytest.mark.parametrize("pidfds", ["1", "0"])
def test_a_main_process_that_nobody_waits_for_can_be_stopped(
    start_daemon: StartDaemon, pidfds: str
) -> None:
    daemon = start_daemon(
        talker("neglected", "say:READY=1", stopwaitsecs=1), environment={"SDSUPER_PIDFDS": pidfds}
    )
    daemon.wait_state("talker", "RUNNING")
    assert daemon.ctl("stop", "talker").stdout == "talker: stopped\n"


@pytest.mark.root
def test_a_program_of_another_account_reaches_its_socket(start_daemon: StartDaemon) -> None:
    # The interpreter of the tests may be out of its reach.
    code = "import os, socket, time; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)"
    code += ".sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); time.sleep(1000)"
    command = f'/usr/bin/python3 -c "{code}"'
    options = "notify=true\nuser=nobody\nstartretries=0\n"
    daemon = start_daemon(f"[program:talker]\ncommand={command}\n{options}")
    daemon.wait_state("talker", "RUNNING")
    assert os.stat(socket_of(daemon)).st_uid != 0


@pytest.mark.root
def test_a_program_that_drops_its_privileges_reaches_its_socket(start_daemon: StartDaemon) -> None:
    code = "import os, socket, time; os.setuid(65534); socket.socket(socket.AF_UNIX, "
    code += "socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); time.sleep(1000)"
    options = "notify=true\nstartretries=0\n"
    daemon = start_daemon(f'[program:talker]\ncommand={sys.executable} -c "{code}"\n{options}')
    daemon.wait_state("talker", "RUNNING", "FATAL")
    assert daemon.state("talker") == "RUNNING"


def test_sockets_go_with_their_invocations(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(talker("say:READY=1"))
    daemon.wait_state("talker", "RUNNING")
    first = socket_of(daemon)
    daemon.ctl("restart", "talker")
    second = socket_of(daemon)
    assert first != second
    assert not os.path.exists(first)
    daemon.terminate()
    daemon.wait_end()
    assert not os.path.exists(os.path.dirname(second))


def test_in_systemds_runtime_directory_what_a_killed_daemon_left_is_cleared(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    daemon = start_daemon(
        talker("say:READY=1"), environment={"RUNTIME_DIRECTORY": str(tmp_path)}, may_leave=True
    )
    daemon.wait_state("talker", "RUNNING")
    assert Path(socket_of(daemon)).parent == tmp_path / "notify"
    (tmp_path / "notify" / "9999.sock").touch()
    pid = daemon.pid_of("talker")
    daemon.signal(signal.SIGKILL)
    daemon.wait_end()
    os.kill(pid, signal.SIGKILL)
    daemon.start()
    daemon.wait_state("talker", "RUNNING")
    assert [each.name for each in (tmp_path / "notify").iterdir()] == [
        os.path.basename(socket_of(daemon))
    ]
