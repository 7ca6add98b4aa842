"""`update` disturbs no process without need: what can change while it runs does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon
from tests.integration.unit import Unit

LISTENER = Path(__file__).parent / "listener.py"

DEAF = "command=sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.05; done'\nstartsecs=0\n"
CAT = "command=cat\nstartsecs=0\n"
MANY = f"{CAT}process_name=%(program_name)s_%(process_num)d\n"


def pids(daemon: Daemon) -> dict[str, int]:
    infos = daemon.rpc.supervisor.getAllProcessInfo()
    return {f"{info['group']}:{info['name']}": info["pid"] for info in infos}


def say(daemon: Daemon, name: str, text: str) -> None:
    daemon.rpc.supervisor.sendProcessStdin(name, text)


def test_stopwaitsecs_in_force_are_the_new_ones(start_daemon: StartDaemon) -> None:
    deaf = f"[program:deaf]\n{DEAF}stdout_logfile=%(here)s/deaf\n"
    daemon = start_daemon(f"{deaf}stopwaitsecs=600\n")
    daemon.wait(lambda: (daemon.dir / "deaf").read_text() == "up\n")
    before = daemon.info("deaf")
    daemon.write(f"{deaf}stopwaitsecs=1\nkillasgroup=true\n")
    assert daemon.ctl("reread") == ("deaf: changed\n", 0)
    told = "deaf: changed in place (stopwaitsecs, killasgroup)\n"
    assert daemon.ctl("update") == (told, 0)
    after = daemon.info("deaf")
    for key in ("pid", "start", "statename", "state"):
        assert after[key] == before[key]
    daemon.wait_log(f"INFO {told.strip()}")
    assert "deaf: stopped" in daemon.ctl("stop", "deaf").stdout
    daemon.wait_log(f"killing 'deaf' ({before['pid']}) with SIGKILL")
    assert daemon.ctl("update") == ("", 0)


def test_a_stop_under_way_takes_as_long_as_it_says_by_now(start_daemon: StartDaemon) -> None:
    deaf = f"[program:deaf]\n{DEAF}stdout_logfile=%(here)s/deaf\n"
    daemon = start_daemon(f"{deaf}stopwaitsecs=600\n")
    daemon.wait(lambda: (daemon.dir / "deaf").read_text() == "up\n")
    daemon.rpc.supervisor.stopProcess("deaf", False)
    assert daemon.state("deaf") == "STOPPING"
    daemon.write(f"{deaf}stopwaitsecs=0\n")
    assert daemon.ctl("update") == ("deaf: changed in place (stopwaitsecs)\n", 0)
    daemon.wait_state("deaf", "STOPPED")


def test_a_log_is_rotated_at_its_new_size(start_daemon: StartDaemon) -> None:
    cat = f"[program:cat]\n{CAT}stdout_logfile=%(here)s/cat\n"
    daemon = start_daemon(cat)
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    say(daemon, "cat", "0123456789\n")
    log = daemon.dir / "cat"
    daemon.wait(lambda: log.read_text() == "0123456789\n")
    daemon.write(f"{cat}stdout_logfile_maxbytes=20\nstdout_logfile_backups=1\n")
    told = "cat: changed in place (stdout_logfile_backups, stdout_logfile_maxbytes)\n"
    assert daemon.ctl("update") == (told, 0)
    say(daemon, "cat", "abcdefghij\n")
    rotated = daemon.dir / "cat.1"
    daemon.wait(rotated.exists)
    say(daemon, "cat", "new\n")
    daemon.wait(lambda: log.read_text() == "new\n")
    assert rotated.read_text() == "0123456789\nabcdefghij\n"
    assert daemon.pid_of("cat") == pid


def test_an_exit_is_judged_by_the_policy_in_force(start_daemon: StartDaemon) -> None:
    once = (
        "[program:once]\ncommand=sh -c 'read code; exit $code'\nstartsecs=0\n"
        "autorestart={}\nexitcodes={}\n"
    )
    daemon = start_daemon(once.format("false", 0))
    daemon.wait_state("once", "RUNNING")
    first = daemon.pid_of("once")
    daemon.write(once.format("unexpected", 3))
    assert daemon.ctl("update") == ("once: changed in place (autorestart, exitcodes)\n", 0)
    assert daemon.pid_of("once") == first
    say(daemon, "once", "0\n")
    daemon.wait(lambda: daemon.pid_of("once") not in (0, first))
    say(daemon, "once", "3\n")
    daemon.wait_state("once", "EXITED")


def test_processes_come_and_go_one_by_one(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(f"[program:many]\n{MANY}numprocs=3\n[program:other]\n{CAT}")
    names = ["many:many_0", "many:many_1", "many:many_2"]
    for name in names:
        daemon.wait_state(name, "RUNNING")
    before = pids(daemon)
    daemon.write(f"[program:many]\n{MANY}numprocs=5\n[program:other]\n{CAT}")
    plan = "many: would add many_3, many_4\n"
    assert daemon.ctl("update", "--dry-run") == (plan, 0)
    assert pids(daemon) == before
    assert daemon.ctl("update") == ("many: updated process group\n", 0)
    for name in ("many:many_3", "many:many_4"):
        daemon.wait_state(name, "RUNNING")
    grown = pids(daemon)
    assert {name: grown[name] for name in before} == before
    daemon.write(f"[program:many]\n{MANY}numprocs=1\n[program:other]\n{CAT}")
    gone = [f"many:many_{number}: stopped\n" for number in range(1, 5)]
    told = f"{''.join(gone)}many: updated process group\n"
    assert daemon.ctl("update") == (told, 0)
    left = ("many:many_0", "other:other")
    assert pids(daemon) == {name: before[name] for name in left}
    assert daemon.ctl("status", "many:*").stdout.split()[:2] == ["many:many_0", "RUNNING"]
    assert daemon.ctl("update") == ("", 0)


def group(*members: str) -> str:
    text = f"[group:g]\nprograms={','.join(each.split()[0] for each in members)}\n"
    for member in members:
        name, *options = member.split()
        text += "\n".join((f"[program:{name}]\n{CAT}", *options, ""))
    return text


def test_of_a_group_only_those_restart_that_must(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(group("hard", "live", "same", "gone", "byhand"))
    for name in ("hard", "live", "same", "gone", "byhand"):
        daemon.wait_state(f"g:{name}", "RUNNING")
    daemon.ctl("stop", "g:byhand")
    before = pids(daemon)
    daemon.write(
        group("hard environment=A=1", "live stopwaitsecs=3", "same", "byhand startretries=1", "new")
    )
    plan = (
        "g: would remove gone; would restart hard (environment); would add new; "
        "would change in place (stopwaitsecs, startretries)\n"
    )
    assert daemon.ctl("update", "--dry-run", "g") == (plan, 0)
    told = (
        "g:gone: stopped\ng:hard: stopped\n"
        "g: changed in place (stopwaitsecs, startretries)\ng: updated process group\n"
    )
    assert daemon.ctl("update") == (told, 0)
    daemon.wait_state("g:hard", "RUNNING")
    daemon.wait_state("g:new", "RUNNING")
    after = pids(daemon)
    assert after["g:hard"] not in (0, before["g:hard"])
    for name in ("g:live", "g:same", "g:byhand"):
        assert after[name] == before[name]
    assert "g:gone" not in after
    assert daemon.state("g:byhand") == "STOPPED"
    environment = Path(f"/proc/{after['g:hard']}/environ").read_bytes().split(b"\0")
    assert b"A=1" in environment


def test_what_is_fatal_or_is_to_start_from_now_on_is_started(start_daemon: StartDaemon) -> None:
    broken = "command=false\nstartsecs=1\nautorestart=false\n"
    text = f"[program:later]\n{CAT}autostart=false\n[program:fatal]\n{broken}"
    daemon = start_daemon(f"{text}startretries=0\n[program:keep]\n{CAT}autostart=false\n")
    daemon.wait_state("fatal", "FATAL")
    text = f"[program:later]\n{CAT}[program:fatal]\n{broken}"
    daemon.write(f"{text}startretries=1\n[program:keep]\n{CAT}autostart=false\npriority=3\n")
    told = (
        "keep: changed in place (priority)\nfatal: changed in place (startretries)\n"
        "later: changed in place (autostart)\n"
    )
    assert daemon.ctl("update") == (told, 0)
    daemon.wait_state("later", "RUNNING")
    daemon.wait(lambda: daemon.log().count("INFO gave up: fatal entered FATAL state") == 2)
    assert daemon.log().count("spawned: 'fatal'") == 3
    assert daemon.state("keep") == "STOPPED"


def test_captures_and_events_are_switched_on_and_off(start_daemon: StartDaemon) -> None:
    cat = f"[program:cat]\n{CAT}stdout_logfile=%(here)s/cat\n"
    listener = (
        f"[eventlistener:ears]\ncommand={sys.executable} {LISTENER} %(here)s/heard\n"
        "events=PROCESS_LOG,PROCESS_COMMUNICATION\nstartsecs=0\n"
    )
    daemon = start_daemon(cat + listener)
    for name in ("cat", "ears"):
        daemon.wait_state(name, "RUNNING")
    pid = daemon.pid_of("cat")
    token = "<!--XSUPERVISOR:BEGIN-->{0}<!--XSUPERVISOR:END-->"

    def echo(text: str, logged: str) -> None:
        log = daemon.dir / "cat"
        before = log.read_text()
        say(daemon, "cat", text)
        daemon.wait(lambda: log.read_text() == before + logged)

    echo(token.format("no"), token.format("no"))
    daemon.write(f"{cat}stdout_capture_maxbytes=1KB\nstdout_events_enabled=true\n{listener}")
    told = "cat: changed in place (stdout_capture_maxbytes, stdout_events_enabled)\n"
    assert daemon.ctl("update") == (told, 0)
    echo(f"loud{token.format('yes')}", "loud")
    heard = daemon.dir / "heard"
    daemon.wait(lambda: "yes" in heard.read_text())
    assert "PROCESS_LOG_STDOUT" in heard.read_text()
    # In the midst of a message: what was captured of it is dropped, and all is logged from then on.
    say(daemon, "cat", "<!--XSUPERVISOR:BEGIN-->begun")
    daemon.wait(lambda: "begun" in heard.read_text())
    daemon.write(cat + listener)
    assert daemon.ctl("update") == (told, 0)
    count = heard.read_text().count("eventname:")
    echo(token.format("no"), token.format("no"))
    assert heard.read_text().count("eventname:") == count
    assert daemon.pid_of("cat") == pid


def test_listeners_join_and_leave_a_pool_that_goes_on(start_daemon: StartDaemon) -> None:
    pool = (
        f"[eventlistener:ears]\ncommand={sys.executable} {LISTENER} "
        "%(here)s/heard%(process_num)d\nprocess_name=ear_%(process_num)d\n"
        "events=PROCESS_STATE_RUNNING\nstartsecs=0\nnumprocs={}\n"
    )
    daemon = start_daemon(pool.format(1))
    daemon.wait_state("ears:ear_0", "RUNNING")
    first = daemon.pid_of("ears:ear_0")
    daemon.write(pool.format(2) + f"[program:cat]\n{CAT}")
    told = "ears: updated process group\ncat: added process group\n"
    assert daemon.ctl("update") == (told, 0)

    def heard(number: int) -> bool:
        path = daemon.dir / f"heard{number}"
        return path.exists() and "processname:cat" in path.read_text()

    daemon.wait(lambda: heard(0) or heard(1))
    os.kill(first, signal.SIGSTOP)  # the other one hears of all that it does not take
    for _ in range(2):
        daemon.ctl("restart", "cat")
    daemon.wait(lambda: heard(1))
    os.kill(first, signal.SIGCONT)
    assert daemon.pid_of("ears:ear_0") == first
    daemon.write(pool.format(1) + f"[program:cat]\n{CAT}")
    told = "ears:ear_1: stopped\nears: updated process group\n"
    assert daemon.ctl("update") == (told, 0)
    assert daemon.pid_of("ears:ear_0") == first


def test_a_file_that_does_not_load_changes_nothing(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(f"[program:cat]\n{CAT}")
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    daemon.write(f"[program:cat]\n{CAT}stopwaitsecs=5\n[program:new]\ncommand=cat\nstopsignal=X\n")
    for words in (("update",), ("update", "--dry-run")):
        done = daemon.ctl(*words)
        assert (done.status, done.stdout.startswith("ERROR: ")) == (1, True)
    assert pids(daemon) == {"cat:cat": pid}


def test_supervisors_client_restarts_as_ever(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(f"[program:cat]\n{CAT}")
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    daemon.write(f"[program:cat]\n{CAT}stopwaitsecs=5\n")
    told = "cat: stopped\ncat: updated process group\n"
    assert daemon.ctl("update", peer="supervisor") == (told, 0)
    daemon.wait_state("cat", "RUNNING")
    assert daemon.pid_of("cat") != pid


@pytest.fixture
def unit() -> Iterator[Unit]:
    with Unit(f"[program:many]\n{MANY}numprocs=2\nstopwaitsecs=600\n") as started:
        yield started


@pytest.mark.parametrize("again", ["kill", "reexec"])
def test_a_successor_goes_on_with_what_was_changed(unit: Unit, again: str) -> None:
    for number in range(2):
        unit.wait_state(f"many:many_{number}", "RUNNING")
    before = pids(unit)
    unit.write(f"[program:many]\n{MANY}numprocs=3\nstopwaitsecs=1\npriority=7\n")
    told = "many: changed in place (priority, stopwaitsecs)\nmany: updated process group\n"
    assert unit.ctl("update") == (told, 0)
    unit.wait_state("many:many_2", "RUNNING")
    grown = pids(unit)
    if again == "kill":
        unit.kill()
    else:
        assert unit.ctl("reexec").status == 0
    assert pids(unit) == grown
    assert {name: grown[name] for name in before} == before
    known = [unit.rpc.sdsuper.getProcessHistory(name) for name in grown]
    assert [each["stopwaitsecs"] for each in known] == [1] * 3
    assert unit.ctl("update") == ("", 0)
