"""From Supervisor to us and back, on the same files."""

from __future__ import annotations

import signal

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon

PROGRAMS = """\
[program:old]
command=cat
startsecs=0
stdout_logfile=%(here)s/out
[program:generated]
command=sh -c 'echo started; exec cat'
startsecs=0
"""
NEW_KEYS = "containment=none\nuser_environment=true\nstdout_journal=false\nstart_timeout=2min\n"


def generated_logs(daemon: Daemon) -> set[str]:
    """Return the names of the AUTO logs that lie about."""
    return {path.name for path in daemon.dir.glob("generated-stdout---*.log")}


def change_to(daemon: Daemon, peer: str) -> None:
    """Start the other daemon on what the one before has left."""
    left = generated_logs(daemon)
    daemon.rpc("close")()
    daemon.peer = peer
    daemon.start()
    daemon.wait_state("generated", "RUNNING")
    assert len(generated_logs(daemon)) == 1
    assert generated_logs(daemon).isdisjoint(left)
    daemon.rpc.supervisor.sendProcessStdin("old", f"{peer}\n")
    daemon.wait(lambda: (daemon.dir / "out").read_text().endswith(f"{peer}\n"))
    for client in ("sdsuper", "supervisor"):
        assert daemon.ctl("pid", peer=client) == (f"{daemon.pid}\n", 0)
    assert (daemon.dir / "d.pid").read_text() == f"{daemon.pid}\n"


def test_there_and_back_on_the_same_files(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, peer="supervisor")
    daemon.wait_state("generated", "RUNNING")
    daemon.terminate()
    change_to(daemon, "sdsuper")
    daemon.write(f"{PROGRAMS}{NEW_KEYS}")
    assert daemon.ctl("update").stdout.endswith("generated: updated process group\n")
    daemon.terminate()
    change_to(daemon, "supervisor")
    assert (daemon.dir / "out").read_text() == "sdsuper\nsupervisor\n"


def test_what_a_killed_daemon_leaves_is_no_obstacle_to_the_other(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, peer="supervisor")
    for killed, follower in (("supervisor", "sdsuper"), ("sdsuper", "supervisor")):
        daemon.wait_state("generated", "RUNNING")
        assert daemon.peer == killed
        daemon.signal(signal.SIGKILL)
        daemon.wait_end()
        daemon.wait(lambda: not daemon.processes(), what="its programs have read their end")
        change_to(daemon, follower)
