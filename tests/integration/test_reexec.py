"""New code takes the daemon's place while programs run: nothing of them is restarted or lost."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import BIN, Daemon, clean_environment, wait_until
from tests.integration.reexec import TAKEN, launched_by, reexec, vanishing_launcher
from tests.integration.unit import Unit

COUNT = (
    "[program:count]\ncommand=sh -c 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.002; done'\n"
    "stdout_logfile=%(here)s/count\nstartsecs=0\n"
)
CAT = "[program:cat]\ncommand=cat\nstartsecs=0\nstdout_logfile=%(here)s/cat\n"
NOT_REPLACED = "ERROR: not replaced, everything goes on: "


def numbers(daemon: Daemon) -> list[int]:
    text = (daemon.dir / "count").read_text()
    return [int(line) for line in text[: text.rindex("\n") + 1].split()]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture(params=[Daemon, Unit], ids=["by hand", "systemd"])
def kind(request: pytest.FixtureRequest) -> type[Daemon]:
    found: type[Daemon] = request.param
    return found


def pid_of_daemon(daemon: Daemon) -> int:
    return daemon.main_pid if isinstance(daemon, Unit) else daemon.pid


def test_programs_go_on_as_they_were_many_times(kind: type[Daemon]) -> None:
    with kind(COUNT + CAT) as daemon:
        daemon.wait_state("count", "RUNNING")
        daemon.wait_state("cat", "RUNNING")
        pid = pid_of_daemon(daemon)
        before = daemon.rpc.supervisor.getAllProcessInfo()
        reexec(daemon)
        open_then = descriptors(pid)
        for _ in range(6):
            daemon.rpc("close")()
            reexec(daemon)
            assert daemon.rpc.supervisor.getPID() == pid
        after = daemon.rpc.supervisor.getAllProcessInfo()
        for was, now in zip(before, after, strict=True):
            for key in ("name", "pid", "start", "statename", "stdout_logfile"):
                assert now[key] == was[key]
        daemon.rpc.supervisor.sendProcessStdin("cat", "still there\n")
        daemon.wait(lambda: (daemon.dir / "cat").read_text() == "still there\n")
        far = numbers(daemon)[-1] + 100
        daemon.wait(lambda: numbers(daemon)[-1] > far)
        found = numbers(daemon)
        assert found == list(range(len(found)))
        daemon.rpc("close")()
        daemon.wait(lambda: descriptors(pid) <= open_then + 1)


def test_an_exit_afterwards_is_reaped_with_its_code(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        "[program:once]\ncommand=sh -c 'read line; exit $line'\nstartsecs=0\nautorestart=false\n"
    )
    daemon.wait_state("once", "RUNNING")
    reexec(daemon)
    daemon.rpc("close")()
    daemon.rpc.supervisor.sendProcessStdin("once", "42\n")
    daemon.wait_state("once", "EXITED")
    assert daemon.info("once")["exitstatus"] == 42
    assert daemon.ctl("start", "once") == ("once: started\n", 0)


def test_states_on_their_way_come_to_their_end(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        "[program:slow]\ncommand=cat\nstartsecs=3\n"
        "[program:no]\ncommand=/no/such/file\nstartretries=3\n"
        "[program:deaf]\ncommand=sh -c 'trap \"\" TERM; echo ready; exec cat'\nstopwaitsecs=3\n"
        "startsecs=0\nstdout_logfile=%(here)s/deaf\n"
    )
    daemon.wait(lambda: (daemon.dir / "deaf").read_text() == "ready\n")
    daemon.wait_state("slow", "STARTING")
    daemon.wait_state("no", "BACKOFF")
    daemon.rpc.supervisor.stopProcess("deaf", False)
    daemon.wait_state("deaf", "STOPPING")
    reexec(daemon)
    daemon.rpc("close")()
    daemon.wait_state("slow", "RUNNING")
    daemon.wait_state("deaf", "STOPPED")
    daemon.wait_state("no", "FATAL", timeout=30)
    assert "killing 'deaf'" in daemon.log()


def test_a_broken_configuration_stops_nobody(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    good = daemon.ini.read_text()
    daemon.ini.write_text(good + "[program:cat2]\n")
    reexec(daemon)
    daemon.rpc("close")()
    assert daemon.pid_of("cat") == pid
    daemon.wait_log("CRIT going on with the configuration that was in force")
    assert daemon.ctl("reread")[1] != 0
    daemon.ini.write_text(good + "[program:new]\ncommand=cat\nstartsecs=0\n")
    assert daemon.ctl("reread") == ("new: available\n", 0)
    assert daemon.ctl("update") == ("new: added process group\n", 0)
    assert daemon.pid_of("cat") == pid


def test_code_that_refuses_changes_nothing(start_daemon: StartDaemon, tmp_path: Path) -> None:
    script = tmp_path / "sdsuperd"
    text = f"#!{sys.executable}\nimport sys\nfrom sdsuper.sdsuperd import main\n"
    refuse = "if sys.argv[1:2] == ['--check-handover']:\n    sys.exit('Error: not like this')\n"
    script.write_text(text + "sys.exit(main())\n")
    script.chmod(0o755)
    daemon = start_daemon(CAT, prefix=("sh", "-c", f'shift; exec {script} "$@"', "sh"))
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    script.write_text(text + refuse + "sys.exit(main())\n")
    assert daemon.ctl("reexec") == (f"{NOT_REPLACED}Error: not like this\n", 1)
    daemon.wait_log("CRIT re-exec refused, everything goes on as it was: Error: not like this")
    script.write_text(f"#!{tmp_path}/no/such/interpreter\n")
    said, status = daemon.ctl("reexec")
    assert "cannot be executed: No such file or directory" in said
    assert status == 1
    daemon.signal(signal.SIGRTMIN + 25)
    daemon.wait(lambda: daemon.log().count("re-exec refused") == 3)
    assert daemon.pid_of("cat") == pid
    script.write_text(text + "sys.exit(main())\n")
    reexec(daemon)
    daemon.rpc("close")()
    assert daemon.pid_of("cat") == pid


def test_code_that_cannot_be_executed_in_the_end_changes_nothing(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    script = vanishing_launcher(tmp_path)
    daemon = start_daemon(CAT, prefix=launched_by(script))
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    daemon.signal(signal.SIGRTMIN + 25)
    daemon.wait_log("CRIT re-exec failed, everything goes on as it was: ")
    daemon.rpc("close")()
    assert daemon.pid_of("cat") == pid
    assert stat.S_IMODE(script.stat().st_mode) == 0o600
    assert daemon.ctl("status")[1] == 0
    assert daemon.terminate() == 0


def test_a_signal_asks_for_it_too(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    daemon.signal(signal.SIGRTMIN + 25)
    daemon.wait_log("INFO received SIGRTMIN+25 indicating re-exec request")
    daemon.wait_log("INFO going on with 1 running process")
    daemon.rpc("close")()
    assert daemon.pid_of("cat") == pid
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end() == 0
    assert not daemon.socket.exists()
    assert not (daemon.dir / "d.pid").exists()


def test_auto_logs_listeners_and_what_waits_for_stdin_go_on(start_daemon: StartDaemon) -> None:
    ear = "import sys\nwhile True:\n    print('READY', flush=True)\n"
    ear += "    head = sys.stdin.readline()\n    size = int(head.rsplit(':', 1)[1])\n"
    ear += "    body = sys.stdin.read(size)\n    open('ear.log', 'a').write(body + '\\n')\n"
    ear += "    print('RESULT 2\\nOK', end='', flush=True)\n"
    daemon = start_daemon(
        "[program:echo]\ncommand=cat\nstartsecs=0\n"
        "[program:later]\ncommand=sh -c 'while [ ! -e %(here)s/go ]; do sleep 0.05; done; "
        "exec wc -c'\nstdout_logfile=%(here)s/later\nstartsecs=0\nautorestart=false\n"
        f"[eventlistener:ear]\ncommand={sys.executable} -u %(here)s/ear.py\n"
        "events=REMOTE_COMMUNICATION\nstartsecs=0\ndirectory=%(here)s\n",
        settings="strip_ansi=false",
        environment={"EAR": ear},
        prefix=("sh", "-c", 'printf %s "$EAR" >ear.py; exec "$@"', "sh"),
    )
    daemon.wait_state("ear", "RUNNING")
    daemon.rpc.supervisor.sendRemoteCommEvent("a", "1")
    daemon.wait((daemon.dir / "ear.log").exists)
    log = daemon.info("echo")["stdout_logfile"]
    for _ in range(10):
        daemon.rpc.supervisor.sendProcessStdin("later", "x" * 50_000)
    reexec(daemon)
    daemon.rpc("close")()
    daemon.rpc.supervisor.sendRemoteCommEvent("b", "2")
    daemon.wait(lambda: (daemon.dir / "ear.log").read_text() == "type:a\n1\ntype:b\n2\n")
    assert daemon.info("echo")["stdout_logfile"] == log
    daemon.rpc.supervisor.sendProcessStdin("echo", "there\n")
    daemon.wait(lambda: Path(log).read_text() == "there\n")
    (daemon.dir / "go").touch()
    daemon.rpc.supervisor.sendProcessStdin("later", "y" * 50_000)
    daemon.rpc.supervisor.signalProcess("later", "CONT")
    daemon.wait_state("later", "RUNNING")


def test_a_program_that_speaks_for_itself_is_heard_afterwards(start_daemon: StartDaemon) -> None:
    talk = "import os, socket, sys\n"
    talk += "for line in sys.stdin:\n    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
    talk += "    s.sendto(line.strip().encode(), os.environ['NOTIFY_SOCKET'])\n"
    daemon = start_daemon(
        f'[program:talk]\ncommand={sys.executable} -u -c "%(ENV_TALK)s"\nnotify=true\n',
        environment={"TALK": talk},
    )
    daemon.wait_state("talk", "STARTING")
    daemon.wait(lambda: daemon.pid_of("talk"))
    reexec(daemon)
    daemon.rpc("close")()
    daemon.rpc.supervisor.sendProcessStdin("talk", "READY=1\n")
    daemon.wait_state("talk", "RUNNING")


def test_a_daemon_in_the_background_goes_on_there(tmp_path: Path) -> None:
    ini, socket, pidfile = tmp_path / "d.conf", tmp_path / "d.sock", tmp_path / "d.pid"
    ini.write_text(
        f"[supervisord]\nlogfile={tmp_path}/d.log\npidfile={pidfile}\nchildlogdir={tmp_path}\n"
        f"directory=/\n[unix_http_server]\nfile={socket}\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[supervisorctl]\nserverurl=unix://{socket}\n{CAT}"
    )
    subprocess.run(
        [BIN / "sdsuperd", "-c", "d.conf"], check=True, env=clean_environment(), cwd=tmp_path
    )
    pid = int(pidfile.read_text())

    def ctl(*words: str) -> str:
        done = subprocess.run(
            [BIN / "sdsuperctl", "-c", str(ini), *words],
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout

    try:
        wait_until(lambda: "RUNNING" in ctl("status"))
        cat = ctl("pid", "cat")
        assert ctl("reexec").endswith(TAKEN)
        assert ctl("reexec").endswith(TAKEN)
        assert ctl("pid", "cat") == cat
        assert int(ctl("pid")) == int(pidfile.read_text()) == pid
        assert ctl("reread") == "No config updates to processes\n"
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pidfile.exists())
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
