"""Habits of Supervisor that users rely on without thinking of them, asked of both daemons."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon

CAT = "[program:cat]\ncommand=cat\nstartsecs=0\nstdout_logfile=%(here)s/out\n"


def written(daemon: Daemon, name: str = "out") -> str:
    """Return what a program has written to its log until now."""
    path = daemon.dir / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_what_a_child_finds_in_the_foreground(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(
        "[program:show]\ncommand=sh -c 'umask; pwd; env; echo done; exec cat'\n"
        "stdout_logfile=%(here)s/out\nenvironment=SUPERVISOR_GROUP_NAME=mine\n"
        "serverurl=http://elsewhere:1\n",
        peer=peer,
        settings="umask=077\ndirectory=/\nenvironment=SUPERVISOR_ENABLED=maybe,SHARED=1\n"
        f"user={os.geteuid()}",
        environment={"HOME": "/of/the/daemon", "USER": "somebody"},
        prefix=("sh", "-c", 'umask 002; exec "$@"', "sh"),
    )
    daemon.wait(lambda: "done\n" in written(daemon))
    umask, directory, *rest = written(daemon).splitlines()
    # These two are for daemons in the background; the environment is the daemon's own.
    assert (umask, directory) == ("0002", str(daemon.dir))
    variables = dict(line.partition("=")[::2] for line in rest)
    assert (variables["HOME"], variables["USER"]) == ("/of/the/daemon", "somebody")
    assert (variables["SHARED"], variables["SUPERVISOR_ENABLED"]) == ("1", "maybe")
    assert variables["SUPERVISOR_GROUP_NAME"] == "mine"
    assert variables["SUPERVISOR_PROCESS_NAME"] == "show"
    assert variables["SUPERVISOR_SERVER_URL"] == "http://elsewhere:1"


def test_the_main_log_on_stdout_tells_each_line_twice(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(CAT, peer=peer, settings="logfile=/dev/stdout\nlogfile_maxbytes=0")
    daemon.wait(lambda: daemon.console().count("spawned: 'cat' with pid") == 2)
    assert not daemon.logfile.exists()


def test_in_the_foreground_the_log_is_on_the_terminal_too_and_ctrl_c_ends_it(
    start_daemon: StartDaemon, peer: str
) -> None:
    daemon = start_daemon(CAT, peer=peer)
    daemon.wait_state("cat", "RUNNING")
    daemon.signal(signal.SIGINT)
    assert daemon.wait_end() == 0
    assert "WARN received SIGINT indicating exit request" in daemon.messages()
    assert daemon.console() == daemon.log()


def test_silent_keeps_the_terminal_clean(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(CAT, peer=peer, arguments=("-s",))
    daemon.wait_state("cat", "RUNNING")
    daemon.terminate()
    assert daemon.console() == ""


def test_a_pid_file_of_another_is_overwritten_and_goes_with_the_daemon(peer: str) -> None:
    daemon = Daemon(CAT, peer=peer)
    pidfile = daemon.dir / "d.pid"
    pidfile.write_text("1\n")
    with daemon:
        daemon.wait(lambda: pidfile.read_text() == f"{daemon.pid}\n")
        daemon.terminate()
        assert not pidfile.exists()


def test_a_child_can_end_the_daemon_that_is_its_parent(
    start_daemon: StartDaemon, peer: str
) -> None:
    daemon = start_daemon(
        "[program:end]\ncommand=sh -c 'read line; kill -15 $PPID; exec cat'\nstartsecs=0\n",
        peer=peer,
    )
    daemon.wait_state("end", "RUNNING")
    daemon.rpc.supervisor.sendProcessStdin("end", "now\n")
    assert daemon.wait_end() == 0
    assert "WARN received SIGTERM indicating exit request" in daemon.messages()


def test_names_values_and_output_are_utf8_whatever_the_locale(
    start_daemon: StartDaemon, peer: str
) -> None:
    daemon = start_daemon(
        "[program:späti]\ncommand=sh -c 'echo \"grün $FARBE\"; exec cat'\nstartsecs=0\n"
        'environment=FARBE="weiß"\nstdout_logfile=%(here)s/späti.log\n',
        peer=peer,
        environment={"LANG": "oops", "LC_ALL": "oops"},
    )
    daemon.wait_state("späti", "RUNNING")
    daemon.rpc.supervisor.sendProcessStdin("späti", "süß\n")
    said = "grün weiß\nsüß\n"
    daemon.wait(lambda: written(daemon, "späti.log") == said)
    assert daemon.rpc.supervisor.readProcessStdoutLog("späti", 0, 0) == said
    assert "INFO success: späti entered RUNNING state" in daemon.log()


def test_a_command_goes_through_no_shell_and_keeps_its_own_name(
    start_daemon: StartDaemon, peer: str
) -> None:
    daemon = start_daemon(
        "[program:plain]\ncommand=sleep $HOME '600 && true' *\nautorestart=false\n"
        "startretries=0\nstderr_logfile=%(here)s/err\n"
        "[program:cat]\ncommand=cat  -u  '-'\nstartsecs=0\n",
        peer=peer,
    )
    daemon.wait(lambda: "invalid time interval" in written(daemon, "err"))
    assert "$HOME" in written(daemon, "err")
    daemon.wait_state("cat", "RUNNING")
    words = Path(f"/proc/{daemon.pid_of('cat')}/cmdline")
    daemon.wait(lambda: words.read_bytes() == b"cat\0-u\0-\0")


def test_what_is_in_backoff_counts_as_up_for_status_and_is_stopped_at_once(
    start_daemon: StartDaemon, peer: str
) -> None:
    daemon = start_daemon("[program:no]\ncommand=/no/such/file\nstartretries=99\n", peer=peer)
    daemon.wait_state("no", "BACKOFF")
    line = "no                               BACKOFF   can't find command '/no/such/file'\n"
    assert daemon.ctl("status") == (line, 0)
    assert daemon.ctl("stop", "no") == ("no: stopped\n", 0)
    assert daemon.state("no") == "STOPPED"


def test_no_listener_is_told_of_anything_before_it_is_running(
    start_daemon: StartDaemon, peer: str
) -> None:
    ear = (
        "command=sh -c 'echo READY; head -n 1 > %(here)s/{0}; exec cat > /dev/null'\n"
        "events=REMOTE_COMMUNICATION\nstartsecs={1}\n"
    )
    daemon = start_daemon(
        f"[eventlistener:early]\n{ear.format('early', 600)}"
        f"[eventlistener:ready]\n{ear.format('ready', 0)}",
        peer=peer,
    )
    daemon.wait_state("ready", "RUNNING")
    daemon.rpc.supervisor.sendRemoteCommEvent("a", "1")
    daemon.wait(lambda: written(daemon, "ready").endswith("\n"))
    assert written(daemon, "early") == ""
    assert daemon.state("early") == "STARTING"


def test_a_log_is_rotated_after_the_write_that_made_it_too_long(
    start_daemon: StartDaemon, peer: str
) -> None:
    options = "startsecs=0\nstdout_logfile_maxbytes=50\nstderr_logfile=NONE\n"
    daemon = start_daemon(
        f"[program:kept]\ncommand=cat\n{options}stdout_logfile=%(here)s/kept\n"
        "stdout_logfile_backups=2\n"
        f"[program:cut]\ncommand=cat\n{options}stdout_logfile=%(here)s/cut\n"
        "stdout_logfile_backups=0\n",
        peer=peer,
    )
    daemon.wait_state("kept", "RUNNING")
    daemon.wait_state("cut", "RUNNING")
    lines = [f"line {number} of thirty characters\n" for number in range(7)]

    def logs(name: str) -> dict[str, str]:
        return {path.name: written(daemon, path.name) for path in daemon.dir.glob(f"{name}*")}

    def say(name: str, line: str) -> None:
        daemon.rpc.supervisor.sendProcessStdin(name, line)
        daemon.wait(lambda: any(line in text for text in logs(name).values()), what=line)

    for line in lines:
        say("kept", line)
    wanted = {
        "kept": lines[6],
        "kept.1": "".join(lines[4:6]),
        "kept.2": "".join(lines[2:4]),
    }
    daemon.wait(lambda: logs("kept") == wanted, what=f"the logs are {wanted}")
    say("cut", lines[0])
    daemon.rpc.supervisor.sendProcessStdin("cut", lines[1])
    daemon.wait(lambda: logs("cut") == {"cut": ""})
