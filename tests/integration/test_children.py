"""What a child is made with: identity, environment, limits, signals; and how failures read."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import sys
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon, NotStartedError

PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
"""One that other users may execute too."""

PROBE = """
import json, os, resource, signal, sys
masks = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": sorted(os.getgroups()),
    "cwd": os.getcwd(), "umask": os.umask(0), "env": dict(os.environ),
    "pid": os.getpid(), "pgid": os.getpgid(0), "sid": os.getsid(0), "ppid": os.getppid(),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "ignored": int(os.environ["IGNORED"], 16), "blocked": int(masks["SigBlk"], 16),
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    "argv": sys.orig_argv,
}), flush=True)
sys.stdin.read()
"""

NOT_OURS = sum(1 << (number - 1) for number in range(1, 65) if number not in signal.valid_signals())
"""What the C library keeps for itself."""

IGNORED = "export IGNORED=$(sed -n s/SigIgn:.//p /proc/self/status)"
"""Asks before the interpreter does, which ignores two signals itself."""


def probe(start_daemon: StartDaemon, options: str = "", **daemon_options: Any) -> dict[str, Any]:
    """Start a program that reports what it was made with; return the report."""
    daemon = start_daemon("", **daemon_options)
    script = daemon.dir / "probe.py"
    script.write_text(PROBE)
    daemon.dir.chmod(0o755)
    script.chmod(0o644)
    daemon.write(
        f"[program:probe]\ncommand=sh -c '{IGNORED}; exec {PYTHON} {script}'\n"
        f"stdout_logfile={daemon.dir}/out\n"
        f"{options.format(dir=daemon.dir)}\n"
    )
    daemon.ctl("update")
    log = daemon.dir / "out"
    daemon.wait(lambda: log.exists() and log.read_text().endswith("\n"))
    report: dict[str, Any] = json.loads(log.read_text())
    report["daemon"] = daemon
    return report


def test_a_child_leads_its_own_group_in_the_daemons_session(start_daemon: StartDaemon) -> None:
    seen = probe(start_daemon)
    daemon: Daemon = seen["daemon"]
    assert seen["pgid"] == seen["pid"]
    assert seen["sid"] == os.getsid(daemon.pid)
    assert seen["ppid"] == daemon.pid


def test_a_child_has_three_descriptors_and_default_signals(start_daemon: StartDaemon) -> None:
    seen = probe(start_daemon)
    assert [fd for fd in seen["fds"] if fd > 2] in ([], [3])  # 3: the listing itself
    assert seen["blocked"] == 0
    assert seen["ignored"] & ~NOT_OURS == 0


@pytest.mark.parametrize(
    "options", ["", pytest.param("user=nobody", marks=pytest.mark.root)], ids=["same", "other"]
)
def test_what_the_daemon_does_with_signals_is_its_own(
    start_daemon: StartDaemon, options: str
) -> None:
    """Fatal signals leave a traceback of the daemon, and of nobody else."""
    daemon = start_daemon(
        "[program:signals]\ncommand=cat /proc/self/status\nstdout_logfile=%(here)s/out\n"
        f"startsecs=0\nautorestart=false\n{options}\n"
    )
    daemon.wait_state("signals", "EXITED")
    lines = (daemon.dir / "out").read_text().splitlines()
    masks = dict(line.split(":\t") for line in lines if line.startswith("Sig"))
    seen = {name: int(masks[name], 16) & ~NOT_OURS for name in ("SigIgn", "SigBlk", "SigCgt")}
    assert seen == {"SigIgn": 0, "SigBlk": 0, "SigCgt": 0}
    own = Path(f"/proc/{daemon.pid}/status").read_text()
    [caught] = [line.split()[1] for line in own.splitlines() if line.startswith("SigCgt")]
    assert int(caught, 16) & 1 << (signal.SIGABRT - 1)


def test_sigpipe_ends_a_shell_pipeline(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        "[program:pipe]\ncommand=sh -c 'trap - PIPE; (yes; echo \"yes: $?\" >&2) | head -1'\n"
        "startsecs=0\nautorestart=false\nstderr_logfile=%(here)s/err\n"
    )
    daemon.wait_state("pipe", "EXITED")
    daemon.wait(lambda: "yes: 141" in (daemon.dir / "err").read_text())


def test_umask_directory_and_environment(start_daemon: StartDaemon) -> None:
    seen = probe(
        start_daemon,
        'umask=027\ndirectory=/\nenvironment=A="1,2",B=%(program_name)s,SUPERVISOR_ENABLED=own',
        settings="environment=A=0,C=3",
        environment={"NOTIFY_SOCKET": "/nonexistent", "WATCHDOG_USEC": "99", "LISTEN_FDS": "1"},
    )
    assert (seen["umask"], seen["cwd"]) == (0o27, "/")
    environment = seen["env"]
    assert (environment["A"], environment["B"], environment["C"]) == ("1,2", "probe", "3")
    assert environment["SUPERVISOR_ENABLED"] == "own"
    assert environment["SUPERVISOR_PROCESS_NAME"] == "probe"
    assert environment["SUPERVISOR_GROUP_NAME"] == "probe"
    assert environment["SUPERVISOR_SERVER_URL"] == seen["daemon"].server_url
    assert not environment.keys() & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"}


def test_children_get_the_soft_limit_that_the_daemon_was_started_with(
    start_daemon: StartDaemon,
) -> None:
    seen = probe(start_daemon, settings="minfds=700", prefix=("prlimit", "--nofile=600:4000", "--"))
    assert seen["nofile"] == [700, 4000]


@pytest.mark.root
@pytest.mark.parametrize("umask", ["", "umask=077"])
def test_user_changes_identity_but_not_home(start_daemon: StartDaemon, umask: str) -> None:
    seen = probe(
        start_daemon,
        f"user=nobody\ndirectory={{dir}}\n{umask}",
        settings="umask=022",
        environment={"HOME": "/daemon/home"},
    )
    nobody = pwd.getpwnam("nobody")
    assert (seen["uid"], seen["gid"]) == (nobody.pw_uid, nobody.pw_gid)
    assert seen["groups"] == sorted(set(os.getgrouplist("nobody", nobody.pw_gid)))
    assert seen["env"]["HOME"] == "/daemon/home"
    assert seen["pgid"] == seen["pid"]
    assert seen["blocked"] == 0
    assert seen["ignored"] & ~NOT_OURS == 0
    assert [fd for fd in seen["fds"] if fd > 2] in ([], [3])
    assert seen["cwd"] == str(seen["daemon"].dir)
    if umask:
        assert seen["umask"] == 0o77


@pytest.mark.root
def test_user_environment_sets_home(start_daemon: StartDaemon) -> None:
    seen = probe(start_daemon, "user=nobody\nuser_environment=true")
    assert seen["env"]["HOME"] == pwd.getpwnam("nobody").pw_dir
    assert seen["env"]["USER"] == "nobody"


def failing(start_daemon: StartDaemon, peer: str, options: str) -> Daemon:
    return start_daemon(
        f"[program:bad]\n{options}\nstartretries=0\nstderr_logfile=%(here)s/err\n",
        peer=peer,
    )


@pytest.mark.parametrize("user", ["", pytest.param("user=nobody", marks=pytest.mark.root)])
def test_a_directory_that_is_missing(start_daemon: StartDaemon, peer: str, user: str) -> None:
    daemon = failing(start_daemon, peer, f"command=sleep 60\ndirectory=/nonexistent\n{user}")
    daemon.wait_state("bad", "FATAL")
    assert (daemon.dir / "err").read_text() == (
        "supervisor: couldn't chdir to /nonexistent: ENOENT\n"
        "supervisor: child process was not spawned\n"
    )
    assert "exited: bad (exit status 127; not expected)" in daemon.log()
    assert daemon.info("bad")["spawnerr"] == "Exited too quickly (process log may have details)"


@pytest.mark.parametrize("user", ["", pytest.param("user=nobody", marks=pytest.mark.root)])
def test_a_file_that_is_no_program(start_daemon: StartDaemon, peer: str, user: str) -> None:
    daemon = start_daemon("", peer=peer)
    daemon.dir.chmod(0o755)
    tool = daemon.dir / "tool"
    tool.write_bytes(b"\0\1\2 not a program")
    tool.chmod(0o755)
    daemon.write(
        f"[program:bad]\ncommand={tool}\nstartretries=0\nstderr_logfile=%(here)s/err\n{user}\n"
    )
    daemon.ctl("update")
    daemon.wait_state("bad", "FATAL")
    assert (daemon.dir / "err").read_text() == (
        f"supervisor: couldn't exec {tool}: ENOEXEC\nsupervisor: child process was not spawned\n"
    )


@pytest.mark.root
def test_the_daemons_log_names_stage_and_errno(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        "[program:one]\ncommand=sleep 60\ndirectory=/nonexistent\nstartretries=0\n"
        "[program:two]\ncommand=sleep 60\ndirectory=/root/private\nstartretries=0\nuser=nobody\n"
    )
    daemon.wait_log("cannot run 'one': chdir /nonexistent: ENOENT")
    daemon.wait_log("cannot run 'two': chdir /root/private: E")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("/no/such/tool", "can't find command '/no/such/tool'"),
        ("no-such-tool", "can't find command 'no-such-tool'"),
        ("/tmp", "command at '/tmp' is a directory"),
        ("/etc/passwd", "command at '/etc/passwd' is not executable"),
        ("sh -c 'x", "can't parse command \"sh -c 'x\": No closing quotation"),
    ],
)
def test_spawn_errors(start_daemon: StartDaemon, peer: str, command: str, error: str) -> None:
    daemon = failing(start_daemon, peer, f"command={command}")
    daemon.wait_state("bad", "FATAL")
    assert daemon.info("bad")["spawnerr"] == error
    assert f"INFO spawnerr: {error}" in daemon.messages()


def test_a_log_that_is_a_directory_is_a_spawn_error(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(
        "[program:bad]\ncommand=sleep 60\nstartretries=0\nstdout_logfile=/tmp\n", peer=peer
    )
    daemon.wait_state("bad", "FATAL")
    error = "unknown error making dispatchers for 'bad': EISDIR"
    assert daemon.info("bad")["spawnerr"] == error


def test_a_log_folder_that_went_away_is_a_spawn_error_until_it_is_back(
    start_daemon: StartDaemon,
) -> None:
    daemon = start_daemon("")
    folder = daemon.dir / "logs"
    folder.mkdir()
    daemon._settings = f"childlogdir={folder}"
    daemon.write("")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("received SIGHUP")
    daemon.wait(lambda: daemon.log().count("supervisord started with pid") == 2)
    daemon.write("[program:p]\ncommand=sleep 60\n[program:q]\ncommand=cat\nstdout_logfile=NONE\n")
    assert daemon.ctl("reread").status == 0
    folder.rmdir()
    daemon.rpc.supervisor.addProcessGroup("p")
    daemon.wait_log("spawnerr: unknown error making dispatchers for 'p': ENOENT")
    folder.mkdir()
    daemon.wait_state("p", "RUNNING")


def test_stdin_reaches_the_child_and_a_stuck_one_is_bounded(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        "[program:cat]\ncommand=cat\nstdout_logfile=%(here)s/out\n"
        "[program:deaf]\ncommand=sleep 60\n"
    )
    daemon.wait_state("cat", "RUNNING")
    assert daemon.rpc.supervisor.sendProcessStdin("cat", "grüße\n") is True
    out = daemon.dir / "out"
    daemon.wait(lambda: out.read_text(encoding="utf-8") == "grüße\n")
    chunk = "x" * 300_000
    refused = [stdin_is_refused(daemon, "deaf", chunk) for _ in range(10)]
    assert not refused[0]
    assert refused[-1]
    assert daemon.state("cat") == "RUNNING"


def stdin_is_refused(daemon: Daemon, name: str, chunk: str) -> bool:
    try:
        daemon.rpc.supervisor.sendProcessStdin(name, chunk)
    except xmlrpc.client.Fault as fault:
        return fault.faultCode == 30
    return False


@pytest.mark.parametrize("peer_option", ["minfds", "minprocs"])
def test_limits_that_cannot_be_had_refuse_the_start(peer_option: str) -> None:
    kind = "--nofile=512:512" if peer_option == "minfds" else "--nproc=600:600"
    # Even root cannot raise a hard limit beyond fs.nr_open, nor without CAP_SYS_RESOURCE.
    daemon = Daemon(
        "",
        settings=f"{peer_option}=2000000000",
        prefix=("setpriv", "--bounding-set=-sys_resource", "prlimit", kind, "--"),
        may_leave=True,
    )
    with pytest.raises(NotStartedError) as caught:
        daemon.start()
    daemon._end(show=False)
    assert "ended with 2" in str(caught.value)
    thing = "file descriptors" if peer_option == "minfds" else "available processes"
    assert f"Error: The minimum number of {thing} required to run this" in str(caught.value)
    assert " is 2000000000 as per" in str(caught.value)
    available = "open 512 file descriptors" if peer_option == "minfds" else "open 600 processes"
    assert f"The current environment will only allow you to {available}." in str(caught.value)
