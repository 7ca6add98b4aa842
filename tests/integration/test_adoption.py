"""A daemon that is killed leaves its programs to the next one: nothing starts anew or is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.integration.unit import Unit

COUNT = (
    "[program:count]\ncommand=sh -c 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.002; done'\n"
    "stdout_logfile=%(here)s/count\nstartsecs=0\n"
)
CAT = "[program:cat]\ncommand=cat\nstartsecs=0\nstdout_logfile=%(here)s/cat\n"
ONCE = (
    "[program:once]\ncommand=sh -c 'read line; echo told $line; exit $line'\nstartsecs=0\n"
    "autorestart=false\nstdout_logfile=%(here)s/once\n"
)


class StartUnit(Protocol):
    def __call__(self, programs: str = "", **options: Any) -> Unit: ...


@pytest.fixture
def start_unit() -> Iterator[StartUnit]:
    with ExitStack() as stack:
        started: list[Unit] = []

        def start(programs: str = "", **options: Any) -> Unit:
            started.append(stack.enter_context(Unit(programs, **options)))
            return started[-1]

        yield start
        for unit in started:
            print(unit.report())


def numbers(unit: Unit) -> list[int]:
    text = (unit.dir / "count").read_text()
    return [int(line) for line in text[: text.rindex("\n") + 1].split()]


def test_programs_go_on_as_they_were_however_often_it_is_killed(start_unit: StartUnit) -> None:
    unit = start_unit(COUNT + CAT)
    unit.wait_state("count", "RUNNING")
    before = unit.rpc.supervisor.getAllProcessInfo()
    unit.kill()
    open_then = len(os.listdir(f"/proc/{unit.main_pid}/fd"))
    rng = random.Random(1)
    for _ in range(8):
        time.sleep(rng.random() / 20)  # nothing is waited for: any moment will do
        unit.kill()
    after = unit.rpc.supervisor.getAllProcessInfo()
    for was, now in zip(before, after, strict=True):
        for key in ("name", "pid", "start", "statename", "stdout_logfile"):
            assert now[key] == was[key]
    far = numbers(unit)[-1] + 100
    unit.wait(lambda: numbers(unit)[-1] > far)
    found = numbers(unit)
    assert found == list(range(len(found)))
    assert len(os.listdir(f"/proc/{unit.main_pid}/fd")) <= open_then + 1
    assert unit.adoptions() == 9
    assert len(unit.stored()) == 3  # the snapshot, and both ends of the box
    unit.rpc.supervisor.sendProcessStdin("cat", "still there\n")
    unit.wait(lambda: (unit.dir / "cat").read_text() == "still there\n")
    assert unit.ctl("stop", "all")[1] == 0
    assert unit.terminate() == 0
    assert unit.stored() == []


def test_an_exit_afterwards_is_known_with_its_code(start_unit: StartUnit) -> None:
    unit = start_unit(ONCE)
    unit.wait_state("once", "RUNNING")
    unit.kill()
    unit.rpc.supervisor.sendProcessStdin("once", "42\n")
    unit.wait_state("once", "EXITED")
    assert unit.info("once")["exitstatus"] == 42
    assert unit.ctl("start", "once") == ("once: started\n", 0)


def test_one_that_died_unwatched_is_known_with_its_last_words(start_unit: StartUnit) -> None:
    unit = start_unit(f"{ONCE}[program:shot]\ncommand=cat\nstartsecs=0\nautorestart=false\n")
    unit.wait_state("once", "RUNNING")
    unit.wait_state("shot", "RUNNING")
    pid, shot = unit.pid_of("once"), unit.pid_of("shot")
    stdin = Path(f"/proc/{pid}/fd/0")
    unit.keep_down()
    stdin.write_text("7\n")
    os.kill(shot, signal.SIGKILL)
    unit.wait(lambda: not os.path.exists(f"/proc/{pid}"))
    unit.wait(lambda: not os.path.exists(f"/proc/{shot}"))
    unit.let_up()
    unit.wait_state("once", "EXITED")
    unit.wait_state("shot", "EXITED")
    assert unit.info("once")["exitstatus"] == 7
    assert unit.info("shot")["exitstatus"] == -1
    assert (unit.dir / "once").read_text() == "told 7\n"
    assert "exited: shot (terminated by SIGKILL; not expected)" in unit.log()
    assert unit.log().count("exited: once (exit status 7; not expected)") == 1


def test_one_that_died_unwatched_is_started_again(start_unit: StartUnit) -> None:
    unit = start_unit(CAT + "autorestart=true\n")
    unit.wait_state("cat", "RUNNING")
    pid = unit.pid_of("cat")
    unit.keep_down()
    os.kill(pid, signal.SIGKILL)
    unit.let_up()
    unit.wait_state("cat", "RUNNING")
    unit.wait(lambda: unit.pid_of("cat") not in (0, pid))


def test_states_on_their_way_come_to_their_end(start_unit: StartUnit) -> None:
    unit = start_unit(
        "[program:slow]\ncommand=cat\nstartsecs=3\n"
        "[program:no]\ncommand=/no/such/file\nstartretries=3\n"
        "[program:deaf]\ncommand=sh -c 'trap \"\" TERM; echo ready; exec cat'\nstopwaitsecs=3\n"
        "startsecs=0\nstdout_logfile=%(here)s/deaf\n"
    )
    unit.wait(lambda: (unit.dir / "deaf").read_text() == "ready\n")
    unit.wait_state("no", "BACKOFF")
    unit.rpc.supervisor.stopProcess("deaf", False)
    unit.kill()
    unit.wait_state("slow", "RUNNING")
    unit.wait_state("deaf", "STOPPED")
    unit.wait_state("no", "FATAL", timeout=30)
    assert unit.log().count("killing 'deaf'") == 1


def test_what_was_left_behind_is_ended_by_the_next_one(start_unit: StartUnit) -> None:
    unit = start_unit(
        "[program:tree]\ncommand=sh -c 'setsid sleep 1000 & echo $!; exec cat'\nstartsecs=0\n"
        "stdout_logfile=%(here)s/tree\nautorestart=false\n"
    )
    unit.wait(lambda: (unit.dir / "tree").read_text().endswith("\n"))
    stray = int((unit.dir / "tree").read_text())
    unit.kill()
    assert unit.ctl("stop", "tree") == ("tree: stopped\n", 0)
    assert not os.path.exists(f"/proc/{stray}")


def test_a_shutdown_under_way_goes_on(start_unit: StartUnit) -> None:
    unit = start_unit(
        "[program:deaf]\ncommand=sh -c 'trap \"\" TERM; echo ready; exec cat'\nstopwaitsecs=2\n"
        "startsecs=0\nstdout_logfile=%(here)s/deaf\n" + CAT
    )
    unit.wait(lambda: (unit.dir / "deaf").read_text() == "ready\n")
    unit.rpc.supervisor.shutdown()
    unit.wait_log("waiting for")
    before = unit.main_pid
    os.kill(before, signal.SIGKILL)
    assert unit.wait_end() == 0
    assert unit.adoptions() == 1
    assert unit.stored() == []


def test_a_configuration_that_changed_meanwhile_waits_for_update(start_unit: StartUnit) -> None:
    unit = start_unit(CAT + ONCE)
    unit.wait_state("cat", "RUNNING")
    pid = unit.pid_of("cat")
    unit.keep_down()
    unit.write(CAT + "priority=5\nstopwaitsecs=3\n[program:new]\ncommand=cat\nstartsecs=0\n")
    unit.let_up()
    assert unit.pid_of("cat") == pid
    assert unit.state("once") == "RUNNING"
    assert unit.ctl("update")[1] == 0
    unit.wait_state("new", "RUNNING")


def test_a_configuration_that_is_broken_meanwhile_stops_nobody(start_unit: StartUnit) -> None:
    unit = start_unit(CAT)
    unit.wait_state("cat", "RUNNING")
    pid = unit.pid_of("cat")
    good = unit.ini.read_text()
    unit.keep_down()
    unit.ini.unlink()
    unit.let_up()
    assert unit.pid_of("cat") == pid
    unit.wait_log("CRIT going on with the configuration that was in force")
    unit.ini.write_text(good + "[program:broken]\n")
    unit.kill()
    assert unit.pid_of("cat") == pid
    os.kill(pid, signal.SIGKILL)
    unit.wait(lambda: unit.pid_of("cat") not in (0, pid))


def memory_of(unit: Unit) -> Path:
    """Return the snapshot as systemd has it."""
    folder = Path(f"/proc/{unit.pid}/fd")
    found = [each for each in folder.iterdir() if "sdsuper-handover" in os.readlink(each)]
    assert len(found) == 1
    return found[0]


def test_a_record_that_was_being_written_is_lost_and_nothing_else(start_unit: StartUnit) -> None:
    unit = start_unit(CAT)
    unit.wait_state("cat", "RUNNING")
    pid = unit.pid_of("cat")
    unit.keep_down()
    with memory_of(unit).open("ab") as file:
        file.write(b"\x01\x02\x03\x04\xff\x00\x00\x00half a rec")
    unit.let_up()
    assert unit.pid_of("cat") == pid
    unit.kill()
    assert unit.pid_of("cat") == pid


@pytest.mark.parametrize(
    ("offset", "told"),
    [(8, "format"), (24, "the header of the snapshot is damaged"), (0, "that is no snapshot")],
)
def test_what_cannot_be_gone_on_with_is_told_and_let_go_of(
    start_unit: StartUnit, offset: int, told: str
) -> None:
    unit = start_unit(CAT, may_leave=True)
    unit.wait_state("cat", "RUNNING")
    pid = unit.pid_of("cat")
    unit.keep_down()
    with memory_of(unit).open("r+b") as file:
        file.seek(offset)
        file.write(b"\x77")
    os.kill(pid, signal.SIGKILL)  # as it is ended where cgroups are ours
    unit.let_up()
    unit.wait_log("CRIT cannot go on with what an earlier daemon left")
    assert told in unit.log()
    unit.wait_state("cat", "RUNNING")
    assert unit.pid_of("cat") != pid
    pid = unit.pid_of("cat")
    unit.kill()
    assert unit.pid_of("cat") == pid
    assert len(unit.stored()) == 3


def wait_for_another(unit: Unit, name: str, pid: int) -> None:
    unit.wait(lambda: unit.pid_of(name) not in (0, pid), timeout=60)


ALONE = (
    "[program:{name}]\ncommand=sh -c 'exec 9>>%(here)s/{name}.lock; flock -n 9 || "
    "echo {name} >>%(here)s/double; exec sleep 0.0{life}'\nstartsecs=0\nautorestart=true\n"
    "stdout_logfile=NONE\nstderr_logfile=%(here)s/{name}.err\n{more}"
)


DEADLY = (
    "[rpcinterface:deadly]\nsupervisor.rpcinterface_factory=deadly_plugin:make\nfolder=%(here)s\n"
)


def test_one_whose_pid_was_never_noted_is_found_and_kept_for_good(start_unit: StartUnit) -> None:
    unit = start_unit(
        COUNT + "autostart=false\n" + DEADLY, settings=f"plugin_path={Path(__file__).parent}\n"
    )
    before = unit.main_pid
    (unit.dir / "die").touch()
    unit.ctl("start", "count")  # nobody is there to answer
    unit.wait_next(before)
    unit.wait_state("count", "RUNNING")
    pid = unit.pid_of("count")
    assert f"found 'count' ({pid}), just started" in unit.log()
    far = numbers(unit)[-1] + 10
    unit.wait(lambda: numbers(unit)[-1] > far)
    for _ in range(3):
        unit.kill()
    assert unit.pid_of("count") == pid
    far = numbers(unit)[-1] + 100
    unit.wait(lambda: numbers(unit)[-1] > far)
    found = numbers(unit)
    assert found == list(range(len(found)))


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_it_starts_programs_it_never_has_one_twice(
    start_unit: StartUnit, seed: int
) -> None:
    mores = ("", "containment=none\n", "user=nobody\n" if os.geteuid() == 0 else "")
    programs = "".join(
        ALONE.format(name=f"p{number}", life=number + 1, more=mores[number % 3])
        for number in range(6)
    )
    unit = start_unit(programs, settings="loglevel=warn")
    os.chmod(unit.dir, 0o777)
    rng = random.Random(seed)
    for _ in range(8):
        time.sleep(rng.random() / 4)
        unit.kill()
    for number in range(6):
        name = f"p{number}"
        wait_for_another(unit, name, unit.pid_of(name))
    assert not (unit.dir / "double").exists()
    assert unit.log().count("Traceback") == 0
    assert unit.log().count("unexpected error") == 0


def ask(path: Path) -> int:
    """Connect, and return the pid of who answers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        return int(json.loads(client.makefile().readline())["pid"])


@pytest.mark.parametrize("way", ["killed", "re-exec"])
def test_sockets_of_programs_go_on_to_listen(start_unit: StartUnit, way: str) -> None:
    serve = "import socket, json, os; s = socket.socket(fileno=0)\n"
    serve += "while True:\n    c = s.accept()[0]\n"
    serve += "    c.sendall(json.dumps({'pid': os.getpid()}).encode() + b'\\n'); c.close()\n"
    passed = Path(__file__).parent / "passed_sockets.py"
    unit = start_unit(
        f"[program:own]\ncommand={sys.executable} -u {passed}\nstartsecs=0\n"
        "sockets=main=unix://%(here)s/own.sock\n"
        f'[fcgi-program:fast]\ncommand={sys.executable} -c "%(ENV_SERVE)s"\nstartsecs=0\n'
        "socket=unix://%(here)s/fast.sock\n",
        environment={"SERVE": serve},
    )
    for name in ("own", "fast"):
        unit.wait_state(name, "RUNNING")
        path = unit.dir / f"{name}.sock"
        pid = unit.pid_of(name)
        assert ask(path) == pid
        if way == "killed":
            unit.kill()
        else:
            assert unit.ctl("reexec")[1] == 0
            unit.rpc("close")()
        assert ask(path) == pid
        assert unit.ctl("restart", name)[1] == 0
        assert ask(path) == unit.pid_of(name) != pid
    assert unit.ctl("stop", "all")[1] == 0
    assert not (unit.dir / "fast.sock").exists()


ONE = (
    "[program:one]\ncommand=sh -c 'echo $$ >>%(here)s/pids; exec cat'\nstartsecs=0\n"
    "autostart=false\nstdout_logfile=%(here)s/one\n{more}"
)


@pytest.mark.parametrize("more", ["", "umask=022\nrlimit_core=0\n"], ids=["vfork", "fork"])
def test_a_child_that_was_just_started_stays_connected(start_unit: StartUnit, more: str) -> None:
    unit = start_unit(ONE.format(more=more), killed_at_steps=True)
    unit.kill_at("_know")
    before = unit.main_pid
    with pytest.raises(ConnectionError):
        unit.rpc.supervisor.startProcess("one")
    unit.wait_next(before)
    unit.wait_state("one", "RUNNING")
    pid = unit.pid_of("one")
    unit.kill()
    assert unit.pid_of("one") == pid
    unit.rpc.supervisor.sendProcessStdin("one", "still there\n")
    unit.wait(lambda: (unit.dir / "one").read_text() == "still there\n")
    assert (unit.dir / "pids").read_text() == f"{pid}\n"


def test_a_second_kill_while_a_child_is_looked_for_starts_no_other(start_unit: StartUnit) -> None:
    unit = start_unit(ONE.format(more=""), killed_at_steps=True)
    before = unit.main_pid
    unit.kill_at("_know")
    with pytest.raises(ConnectionError):
        unit.rpc.supervisor.startProcess("one")
    unit.kill_at("_find_born")
    unit.wait(lambda: not (unit.folder / "kill-at").exists(), what="the second one is killed")
    unit.wait_next(before)
    unit.wait_state("one", "RUNNING")
    assert (unit.dir / "pids").read_text() == f"{unit.pid_of('one')}\n"


def test_a_child_that_was_just_started_is_heard(start_unit: StartUnit) -> None:
    script = "import sdnotify, sys; sys.stdin.readline(); "
    script += "sdnotify.SystemdNotifier().notify('READY=1'); sys.stdin.read()"
    unit = start_unit(
        f'[program:one]\ncommand={sys.executable} -c "{script}"\nautostart=false\nnotify=true\n'
        "start_timeout=60\n",
        killed_at_steps=True,
    )
    unit.kill_at("_know")
    before = unit.main_pid
    with pytest.raises(ConnectionError):
        unit.rpc.supervisor.startProcess("one", False)
    unit.wait_next(before)
    unit.wait(lambda: unit.pid_of("one") != 0)
    unit.rpc.supervisor.sendProcessStdin("one", "go\n")
    unit.wait_state("one", "RUNNING")


def test_who_reads_the_stdin_of_a_program_that_ended_sees_its_end(start_unit: StartUnit) -> None:
    unit = start_unit(
        "[program:parent]\ncommand=sh -c 'exec 3<&0; (cat <&3; echo end >>%(here)s/end) & "
        "echo up >>%(here)s/end; exec sleep 1000'\nstartsecs=0\ncontainment=none\n"
    )
    unit.wait((unit.dir / "end").exists)
    assert unit.ctl("stop", "parent")[1] == 0
    unit.wait(lambda: (unit.dir / "end").read_text() == "up\nend\n")


def reads(path: Path, text: str) -> bool:
    return path.read_text() == text


def test_a_stage_that_is_none_costs_no_more_than_what_was_on_its_way(start_unit: StartUnit) -> None:
    unit = start_unit(CAT)
    unit.wait_state("cat", "RUNNING")
    pid = unit.pid_of("cat")
    folder = Path(f"/proc/{unit.main_pid}/fd")
    stage = next(each for each in folder.iterdir() if "sdsuper-stage" in os.readlink(each))
    with stage.open("r+b") as file:
        file.write(b"\0" * 8)
    unit.kill()
    assert "CRIT output that was on its way may be lost: " in unit.log()
    for expected in ("first\n", "first\nsecond\n"):
        unit.rpc.supervisor.sendProcessStdin("cat", expected.splitlines(keepends=True)[-1])
        unit.wait(partial(reads, unit.dir / "cat", expected))
        unit.kill()
    assert unit.pid_of("cat") == pid
    assert (unit.dir / "cat").read_text() == "first\nsecond\n"


def test_a_daemon_that_was_up_stays_up_where_its_start_waited_for_programs(
    start_unit: StartUnit,
) -> None:
    unit = start_unit(CAT, settings="ready=running")
    unit.wait(lambda: unit.told().count("READY=1") == 1)
    pid = unit.pid_of("cat")
    unit.kill()
    unit.wait(lambda: unit.told().count("READY=1") == 2)
    assert unit.pid_of("cat") == pid
