"""Nothing that a program leaves behind outlives it, and nothing is started beside it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, Found

WRAPPER = "#!/bin/sh\nsleep 7777\necho wrapper is done\n"

ESCAPER = """
import os, signal, sys, time
how = sys.argv[1]
if os.fork() == 0:
    if "s" in how:
        os.setsid()
    if "d" in how and os.fork():
        os._exit(0)
    if "t" in how:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.execvp("sleep", ["sleep", "7777"])
if "x" in how:
    time.sleep(1)  # long enough to be seen by a test on a busy machine
    sys.exit(3)
time.sleep(7777)
"""


def sleepers(daemon: Daemon) -> list[Found]:
    return [found for found in daemon.processes() if found.command == "sleep 7777"]


def script(daemon: Daemon, name: str, text: str) -> Path:
    path = daemon.dir / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def start_wrapper(start_daemon: StartDaemon, options: str = "") -> Daemon:
    daemon = start_daemon("")
    wrapper = script(daemon, "wrapper.sh", WRAPPER)
    daemon.write(f"[program:w]\ncommand={wrapper}\nautorestart=true\n{options}\n")
    daemon.ctl("update")
    daemon.wait_state("w", "RUNNING")
    daemon.wait(lambda: len(sleepers(daemon)) == 1)
    return daemon


def start_escaper(start_daemon: StartDaemon, how: str, options: str = "", n: int = 1) -> Daemon:
    daemon = start_daemon("")
    path = script(daemon, "escaper.py", ESCAPER)
    daemon.write(f"[program:e]\ncommand={sys.executable} {path} {how}\nstartsecs=0\n{options}\n")
    daemon.ctl("update")
    daemon.wait(lambda: len(sleepers(daemon)) >= n)
    return daemon


@pytest.mark.parametrize("stopsignal", ["TERM", "QUIT", "KILL"])
def test_stop_ends_what_a_wrapper_did_not_forward_to(
    start_daemon: StartDaemon, stopsignal: str
) -> None:
    daemon = start_wrapper(start_daemon, f"stopsignal={stopsignal}\nstopwaitsecs=2")
    assert daemon.ctl("stop", "w") == ("w: stopped\n", 0)
    assert sleepers(daemon) == []
    assert "ending what 'w'" in daemon.log()


def test_a_killed_wrapper_is_replaced_only_when_its_program_is_gone(
    start_daemon: StartDaemon,
) -> None:
    daemon = start_wrapper(start_daemon)
    (old,) = sleepers(daemon)
    first = daemon.pid_of("w")
    os.kill(first, signal.SIGKILL)
    daemon.wait(lambda: daemon.pid_of("w") not in (0, first))
    assert old.pid not in [found.pid for found in sleepers(daemon)]
    daemon.wait(lambda: len(sleepers(daemon)) == 1)


@pytest.mark.parametrize("how", ["-", "s", "d", "sd", "sdt", "st"])
def test_stop_ends_those_who_tried_to_get_away(start_daemon: StartDaemon, how: str) -> None:
    daemon = start_escaper(start_daemon, how, "stopwaitsecs=1")
    assert daemon.ctl("stop", "e") == ("e: stopped\n", 0)
    assert sleepers(daemon) == []


@pytest.mark.parametrize("how", ["x", "sx", "dx", "sdtx"])
def test_those_left_by_an_exit_are_gone_before_the_next_start(
    start_daemon: StartDaemon, how: str
) -> None:
    daemon = start_escaper(start_daemon, how, "autorestart=true\nstopwaitsecs=0")
    seen: set[int] = set()

    def three_generations() -> bool:
        alive = {found.pid for found in sleepers(daemon)}
        assert len(alive) <= 1, "two generations at once"
        seen.update(alive)
        return len(seen) >= 3

    daemon.wait(three_generations, timeout=60)


def test_shutdown_ends_them_too(start_daemon: StartDaemon) -> None:
    daemon = start_escaper(start_daemon, "sd", "stopwaitsecs=1")
    assert daemon.terminate() == 0
    assert daemon.processes() == []


def test_containment_none_leaves_them_alone(start_daemon: StartDaemon) -> None:
    daemon = start_escaper(start_daemon, "sd", "containment=none", n=1)
    daemon.may_leave = True
    (left,) = sleepers(daemon)
    assert daemon.ctl("stop", "e") == ("e: stopped\n", 0)
    assert [found.pid for found in sleepers(daemon)] == [left.pid]


def test_strays_of_one_program_are_not_anothers(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("")
    path = script(daemon, "escaper.py", ESCAPER)
    daemon.write(
        "".join(
            f"[program:{name}]\ncommand={sys.executable} {path} sd\nstopwaitsecs=1\n"
            for name in ("one", "two")
        )
    )
    daemon.ctl("update")
    daemon.wait(lambda: len(sleepers(daemon)) == 2)
    daemon.ctl("stop", "one")
    (left,) = sleepers(daemon)
    environment = Path(f"/proc/{left.pid}/environ").read_bytes().split(b"\0")
    assert b"SUPERVISOR_PROCESS_NAME=two" in environment
    assert daemon.state("two") in ("STARTING", "RUNNING")


def test_a_tree_that_forks_faster_than_it_dies(start_daemon: StartDaemon) -> None:
    hydra = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "end = time.monotonic() + 30\n"  # whatever happens, it stops by itself
        "while time.monotonic() < end:\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "    else:\n"
        "        time.sleep(0.01)\n"
        "        os._exit(0)\n"
    )
    daemon = start_daemon("")
    path = script(daemon, "hydra.py", hydra)
    daemon.write(
        f"[program:h]\ncommand=sh -c '{sys.executable} {path} & sleep 7777'\nstopwaitsecs=1\n"
    )
    daemon.ctl("update")
    daemon.wait_state("h", "RUNNING")
    daemon.wait(lambda: any("hydra" in found.command for found in daemon.processes()))
    assert daemon.ctl("stop", "h") == ("h: stopped\n", 0)
    assert daemon.processes() == []


def test_last_words_of_a_stray_reach_the_log(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("")
    talker = (
        "#!/bin/sh\n"
        "sh -c 'trap \"echo last words; exit\" TERM; while :; do sleep 0.05; done' &\n"
        "sleep 7777\n"
    )
    path = script(daemon, "talker.sh", talker)
    daemon.write(f"[program:t]\ncommand={path}\nstdout_logfile={daemon.dir}/out\n")
    daemon.ctl("update")
    daemon.wait_state("t", "RUNNING")
    daemon.ctl("stop", "t")
    assert (daemon.dir / "out").read_text() == "last words\n"
