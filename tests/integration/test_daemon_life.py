"""The daemon itself: pid file, lock, daemonizing, signals, restart, shutdown, idleness."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import (
    BIN,
    Daemon,
    NotStartedError,
    clean_environment,
    wait_until,
)

CAT = "[program:cat]\ncommand=cat\nstdout_logfile=%(here)s/out\n"


def daemon_command(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "sdsuperd"), "-c", str(daemon.ini), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
    )


def test_pid_file_and_socket_are_there_and_go_with_the_daemon(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    assert (daemon.dir / "d.pid").read_text() == f"{daemon.pid}\n"
    assert daemon.terminate() == 0
    left = sorted(path.name for path in daemon.dir.iterdir())
    assert [name for name in left if not name.startswith("cat-stderr---")] == [
        "console",
        "d.conf",
        "d.log",
        "out",
    ]


def test_a_second_daemon_is_refused_before_it_touches_anything(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:cat]\ncommand=cat\n")
    daemon.wait_state("cat", "RUNNING")
    before = {path: path.stat().st_mtime_ns for path in daemon.dir.iterdir() if path.is_file()}
    second = daemon_command(daemon, "-n")
    assert second.returncode == 2
    assert second.stderr.startswith(
        "Error: Another program is already listening on a port that one of our HTTP servers is "
        "configured to use.  Shut this program down first before starting supervisord.\n"
    )
    after = {path: path.stat().st_mtime_ns for path in daemon.dir.iterdir() if path.is_file()}
    assert {path.name: before[path] for path in before} == {
        path.name: after[path] for path in after
    }
    assert daemon.state("cat") == "RUNNING"


def test_after_a_kill_the_socket_and_the_lock_are_taken_over(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("")
    daemon.signal(signal.SIGKILL)
    daemon.wait_end()
    daemon.rpc("close")()
    assert daemon.socket.exists()
    daemon.start()
    assert daemon.rpc.supervisor.getState()["statename"] == "RUNNING"


def test_daemonizing_returns_when_the_pid_file_is_there() -> None:
    daemon = Daemon(CAT)
    try:
        started = daemon_command(daemon)
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
        pid = int((daemon.dir / "d.pid").read_text())
        assert os.getsid(pid) == pid
        assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
        wait_until(lambda: daemon.state("cat") == "RUNNING", what="cat runs")
        assert "INFO daemonizing the supervisord process" in daemon.messages()
        daemon.rpc.supervisor.shutdown()
        wait_until(lambda: not (daemon.dir / "d.pid").exists(), what="the daemon has ended")
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="it is gone")
    finally:
        daemon._end(show=False)


def test_daemonizing_returns_when_required_programs_run() -> None:
    daemon = Daemon("[program:cat]\ncommand=cat\nstartsecs=2\n", settings="ready=running")
    try:
        started = daemon_command(daemon)
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
        assert daemon.state("cat") == "RUNNING"
        pid = int((daemon.dir / "d.pid").read_text())
        daemon.rpc.supervisor.shutdown()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="it is gone")
    finally:
        daemon._end(show=False)


def test_daemonizing_fails_when_a_required_program_does() -> None:
    daemon = Daemon(
        CAT + "[program:bad]\ncommand=/no/such\nstartretries=0\n", settings="ready=running"
    )
    try:
        assert daemon_command(daemon).returncode == 7
        assert not (daemon.dir / "d.pid").exists()
        assert daemon_command(daemon).returncode == 7  # nothing is in the way of another try
    finally:
        daemon._end(show=False)


def test_reopening_the_logs(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.wait_state("cat", "RUNNING")
    for name in ("d.log", "out"):
        (daemon.dir / name).rename(daemon.dir / f"{name}.old")
    daemon.signal(signal.SIGUSR2)
    daemon.wait_log("supervisord logreopen")
    daemon.rpc.supervisor.sendProcessStdin("cat", "after\n")
    daemon.wait(lambda: (daemon.dir / "out").read_text() == "after\n")
    assert "received SIGUSR2" in (daemon.dir / "d.log.old").read_text()


def test_a_signal_without_meaning_is_ignored(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.signal(signal.SIGUSR1)
    daemon.wait_log("received SIGUSR1")
    assert daemon.state("cat") in ("STARTING", "RUNNING")


def test_hangup_starts_everything_anew_in_the_same_process(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.wait_state("cat", "RUNNING")
    first = daemon.pid_of("cat")
    daemon.write(CAT + "[program:more]\ncommand=cat\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("received SIGHUP indicating restart request")

    def restarted() -> bool:
        try:
            return daemon.state("more") == "RUNNING"
        except OSError:
            return False
        except Exception as error:
            daemon.rpc("close")()
            if "BAD_NAME" in str(error) or "SHUTDOWN_STATE" in str(error):
                return False
            raise

    daemon.wait(restarted)
    assert daemon.pid_of("cat") != first
    assert daemon.rpc.supervisor.getPID() == daemon.pid
    assert (daemon.dir / "d.pid").read_text() == f"{daemon.pid}\n"


def test_hangup_with_a_broken_file_changes_nothing(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT)
    daemon.wait_state("cat", "RUNNING")
    first = daemon.pid_of("cat")
    daemon.write("[program:cat]\ncommand=cat\nstartsecs=soon\n")
    daemon.signal(signal.SIGHUP)
    line = daemon.wait_log("restart refused")
    assert "CRIT" in line
    assert "startsecs" in daemon.log()
    assert daemon.pid_of("cat") == first
    daemon.write(CAT)


def test_shutdown_goes_by_priority_and_equals_go_together(start_daemon: StartDaemon) -> None:
    slow = "command=sh -c 'trap \"sleep 0.3; exit 0\" TERM; while :; do sleep 0.02; done'\n"
    daemon = start_daemon(
        f"[program:first]\n{slow}priority=1\n"
        f"[program:last-a]\n{slow}priority=9\n[program:last-b]\n{slow}priority=9\n"
        f"[program:idle]\ncommand=cat\nautostart=false\npriority=5\n"
    )
    for name in ("first", "last-a", "last-b"):
        daemon.wait_state(name, "RUNNING")
    assert daemon.terminate() == 0
    stopped = re.findall(r"stopped: (\S+) \(exit status 0\)", daemon.log())
    assert sorted(stopped[:2]) == ["last-a", "last-b"]
    assert stopped[2:] == ["first"]
    assert "WARN received SIGTERM indicating exit request" in daemon.messages()
    assert any(
        line.startswith("INFO waiting for ") and line.endswith(" to die")
        for line in daemon.messages()
    )


def switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^voluntary_ctxt_switches:\t(\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_with_nothing_to_do_the_daemon_sleeps(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT + "[program:sleep]\ncommand=sleep 600\n")
    daemon.wait_state("cat", "RUNNING")
    daemon.wait_state("sleep", "RUNNING")
    daemon.rpc("close")()
    quiet = 0
    for _ in range(20):  # the state of the connection just closed may cost a wake-up or two
        before = switches(daemon.pid)
        time.sleep(1.1)  # longer than the period of any one-second tick
        quiet = quiet + 1 if switches(daemon.pid) == before else 0
        if quiet == 3:
            return
    raise AssertionError("the daemon keeps waking up with nothing to do")


def test_without_pidfds_exits_are_told_by_sigchld(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        "[program:sleep]\ncommand=sleep 600\nautorestart=true\n",
        environment={"SDSUPER_PIDFDS": "0"},
    )
    daemon.wait_state("sleep", "RUNNING")
    assert "anon_inode:[pidfd]" not in open_files(daemon.pid)
    first = daemon.pid_of("sleep")
    os.kill(first, signal.SIGKILL)
    daemon.wait(lambda: daemon.pid_of("sleep") not in (0, first))
    assert daemon.ctl("stop", "sleep") == ("sleep: stopped\n", 0)


def open_files(pid: int) -> set[str]:
    folder = Path(f"/proc/{pid}/fd")
    return {os.readlink(path) for path in folder.iterdir() if path.is_symlink()}


def kill_and_wait_for_the_next(daemon: Daemon, name: str) -> None:
    before = daemon.pid_of(name)
    os.kill(before, signal.SIGKILL)
    daemon.wait(lambda: daemon.pid_of(name) not in (0, before))


def test_descriptors_do_not_pile_up(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:s]\ncommand=sleep 600\nautorestart=true\nstartsecs=0\n")
    daemon.wait_state("s", "RUNNING")
    counts = []
    for _ in range(2):
        for _ in range(20):
            kill_and_wait_for_the_next(daemon, "s")
        counts.append(len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())))
    assert counts[0] == counts[1]


def refusal(settings: str, **options: Any) -> str:
    daemon = Daemon("", settings=settings, **options)
    try:
        daemon.start()
    except NotStartedError as error:
        return str(error)
    finally:
        daemon._end(show=False)
    raise AssertionError("the daemon started")


def test_strict_refuses_a_server_that_is_open_to_the_world() -> None:
    told = refusal("strict=true\n[inet_http_server:open]\nport=*:1")
    assert "ended with 2" in told
    assert "Error: strict=true: [inet_http_server:open] can be reached from other" in told


@pytest.mark.root
def test_strict_refuses_configuration_that_others_can_write(start_daemon: StartDaemon) -> None:
    daemon = Daemon("", settings="strict=true")
    daemon.ini.chmod(0o666)
    with pytest.raises(NotStartedError, match="can be changed by others than root"):
        daemon.start()
    daemon.ini.chmod(0o644)
    daemon.start()
    assert daemon.terminate() == 0
    daemon._end(show=False)


@pytest.mark.parametrize(("count", "options"), [(5, ""), (1, "directory=/does/not/exist")])
def test_programs_that_end_again_and_again_leave_others_their_turn(
    start_daemon: StartDaemon, count: int, options: str
) -> None:
    endless = f"command=true\nstartsecs=0\nautorestart=true\n{options}\n"
    daemon = start_daemon("".join(f"[program:p{n}]\n{endless}" for n in range(count)))
    names = [f"p{number}" for number in range(count)]
    daemon.wait(lambda: all(daemon.log().count(f"spawned: '{name}'") > 2 for name in names))
    assert daemon.ctl("stop", "p0") == ("p0: stopped\n", 0)
    assert daemon.terminate() == 0


@pytest.mark.root
def test_strict_refuses_to_read_again_what_others_can_write(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT, settings="strict=true")
    daemon.wait_state("cat", "RUNNING")
    first = daemon.pid_of("cat")
    daemon.ini.chmod(0o666)
    assert "can be changed by others than root" in daemon.ctl("reread").stdout
    daemon.signal(signal.SIGHUP)
    assert "can be changed by others than root" in daemon.wait_log("CRIT restart refused")
    assert daemon.pid_of("cat") == first


@pytest.mark.namespaces
def test_it_runs_where_no_process_table_is_mounted(start_daemon: StartDaemon) -> None:
    hidden = ("unshare", "-m", "sh", "-c", 'umount -l /proc && exec "$@"', "sh")
    daemon = start_daemon(CAT, prefix=hidden)
    daemon.wait_state("cat", "RUNNING")
    assert "WARN /proc cannot be read" in daemon.log()
    assert daemon.ctl("stop", "cat") == ("cat: stopped\n", 0)


def test_reread_changes_nothing_of_the_daemon_itself(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT, settings="identifier=first")
    before = daemon.ini.read_text()
    daemon.ini.write_text(
        before.replace("identifier=first", "identifier=second").replace("d.log", "other.log")
    )
    assert daemon.ctl("reread").stdout == "No config updates to processes\n"
    assert daemon.rpc.supervisor.getIdentification() == "first"
    assert "supervisord started" in daemon.rpc.supervisor.readLog(0, 0)
    assert not (daemon.dir / "other.log").exists()


def test_stop_right_after_the_spawn_needs_no_kill(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:s]\ncommand=sleep 600\nautostart=false\n")
    for _ in range(20):
        daemon.rpc.supervisor.startProcess("s", False)
        daemon.rpc.supervisor.stopProcess("s")
    assert "SIGKILL" not in daemon.log()


def test_logs_of_what_does_not_run_are_cleared_too(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        "[program:s]\ncommand=sh -c 'echo line'\nstartsecs=0\nautorestart=false\n"
        "stdout_logfile=%(here)s/out\n"
    )
    daemon.wait_state("s", "EXITED")
    daemon.wait(lambda: (daemon.dir / "out").read_text() == "line\n")
    (daemon.dir / "out.1").write_text("older\n")
    assert daemon.ctl("clear", "s") == ("s: cleared\n", 0)
    assert (daemon.dir / "out").read_text() == ""
    assert (daemon.dir / "out.1").read_text() == "older\n"


def test_profile_options_are_accepted_without_effect(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("", arguments=("--profile_options=cumulative,callers",))
    daemon.wait_log("WARN profile_options has no effect")


def test_a_socket_file_that_was_removed_is_made_anew(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("")
    daemon.rpc("close")()
    daemon.socket.unlink()
    daemon.signal(signal.SIGUSR2)
    daemon.wait(daemon.socket.exists)
    assert daemon.rpc.supervisor.getState()["statename"] == "RUNNING"
