"""A thousand programs under one daemon."""

from __future__ import annotations

import contextlib
import os
import signal

from tests.integration.conftest import StartDaemon

COUNT = 1000

PROGRAMS = f"""
[program:p]
command=sleep 100000
numprocs={COUNT}
process_name=%(process_num)04d
stdout_logfile=NONE
redirect_stderr=true
"""


def test_a_thousand_programs_start_run_are_told_and_stop(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, settings="minfds=4096\nminprocs=2048", start_timeout=60)

    def states() -> set[str]:
        return {info["statename"] for info in daemon.rpc.supervisor.getAllProcessInfo()}

    daemon.wait(lambda: states() == {"RUNNING"}, 120, "all are RUNNING")
    text, status = daemon.ctl("status")
    lines = text.splitlines()
    assert (len(lines), status) == (COUNT, 0)
    assert [line.split()[0] for line in lines] == [f"p:{number:04}" for number in range(COUNT)]
    assert {line.split()[1] for line in lines} == {"RUNNING"}
    pids = {int(line.split()[3].rstrip(",")) for line in lines}
    assert pids == {found.pid for found in daemon.processes()}

    text, status = daemon.ctl("stop", "all")
    stopped = {f"p:{number:04}: stopped" for number in range(COUNT)}
    assert (set(text.splitlines()), status) == (stopped, 0)
    assert daemon.processes() == []
    assert states() == {"STOPPED"}

    # Nothing of a stopped program stays open: a second round ends with no more.
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    assert daemon.ctl("start", "all")[1] == 0
    assert len(daemon.processes()) == COUNT
    assert daemon.ctl("stop", "all")[1] == 0
    daemon.wait(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= before, what="all are closed")
    assert daemon.terminate() == 0


def test_a_shutdown_ends_a_thousand_programs(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, settings="minfds=4096\nminprocs=2048", start_timeout=60)
    daemon.wait(lambda: len(daemon.processes()) == COUNT, 120, "all run")
    for process in daemon.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    assert daemon.terminate() == 0  # among all those ends the signal is not lost
    assert daemon.processes() == []
    assert "Exception ignored" not in daemon.console()
