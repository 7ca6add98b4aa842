"""What systemd does with what the daemon tells: starts, ends and hangs, as systemd sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.system.container import Container, processes
from tests.system.test_service import CONFIG, LOG, UNIT, Service

pytestmark = [pytest.mark.booted, pytest.mark.rpm]

BAD = "[program:bad]\ncommand=sh -c 'exit 3'\nstartretries=1\n"
REASON = "bad is FATAL: Exited too quickly (process log may have details)"

SABOTAGE = """
import os, signal
from sdsuper.daemon.loop import Daemon

def hang(daemon):
    while True:
        os.getpid()

def spoil(daemon):
    daemon._facts.append(None)

Daemon.reopen_logs = {}

sys.exit(main())
"""
"""In place of what SIGUSR2 does."""


def web(startsecs: int, more: str = "") -> str:
    return f"[program:web]\ncommand=sleep 4711\nstartsecs={startsecs}\n{more}\n"


@pytest.fixture(scope="module")
def installed(machine: Container) -> Container:
    """A machine whose daemon is ready when its programs run."""
    machine.run("dnf", "-y", "install", "sdsuper")
    good = machine.read(CONFIG)
    machine.write(CONFIG, good.replace("[supervisord]", "[supervisord]\nready=running"))
    return machine


@pytest.fixture
def service(installed: Container) -> Iterator[Service]:
    """The daemon, not yet running, without any program."""
    service = Service(installed)
    yield service
    service.reset()


def sabotage(service: Service, name: str) -> None:
    """Let the daemon break, in one of two ways, when it gets SIGUSR2."""
    launcher = service.machine.read("/usr/bin/sdsuperd")
    broken = launcher.replace("\nsys.exit(main())\n", SABOTAGE.format(name))
    assert broken != launcher
    service.machine.write("/srv/sdsuperd", broken, mode=0o755)
    service.override(
        f"WatchdogSec=6\nExecStart=\nExecStart=/srv/sdsuperd -n -c {CONFIG}\n",
    )


# --- starts -----------------------------------------------------------------------------------


def test_a_start_waits_for_what_is_required_beyond_its_timeout(service: Service) -> None:
    service.override("TimeoutStartSec=3\n")
    service.add("web", web(6, "required=true"))
    service.add("slow", "[program:slow]\ncommand=sleep 4712\nstartsecs=300\n")
    service.start()
    assert service.state("web") == "RUNNING"
    assert service.state("slow") == "STARTING"
    assert service.show("NRestarts") == "0"


def test_the_status_line_shows_how_long_a_start_takes(service: Service) -> None:
    service.add("web", web(300))
    service.machine.systemctl("start", "--no-block", UNIT)
    service.machine.wait(
        lambda: service.show("StatusText") == "0 running, 1 starting: web (2 s)", "two seconds"
    )
    assert service.show("ActiveState") == "activating"


def test_a_start_that_fails_says_why(service: Service) -> None:
    service.override("RestartPreventExitStatus=7\n")
    service.add("web", web(300))
    service.add("bad", BAD)
    done = service.machine.run("systemctl", "start", UNIT, check=False)
    assert done.returncode == 1
    assert service.show("ActiveState") == "failed"
    assert service.show("Result") == "exit-code"
    assert service.show("ExecMainStatus") == "7"
    reason = f"{REASON}; 2 attempts failed (startretries)"
    assert service.show("StatusText") == f"start failed: {reason}"
    assert service.show("StatusErrno") == "3"
    told = service.machine.journal(UNIT)
    assert f"the start failed: required process {REASON}" in told
    assert "status=7/NOTRUNNING" in told
    assert processes(service.machine, "^sleep 4711$") == []
    assert service.show("NRestarts") == "0"


def test_a_start_that_fails_is_tried_again(service: Service) -> None:
    service.add("web", web(0))
    service.add("bad", BAD)
    done = service.machine.run("systemctl", "start", UNIT, check=False)
    assert done.returncode == 1
    service.add("bad", "[program:bad]\ncommand=sleep 4712\n")
    service.machine.wait(lambda: service.show("ActiveState") == "active", "it is up")
    assert service.state("bad") == "RUNNING"
    assert int(service.show("NRestarts")) >= 1


def test_a_reload_of_all_survives_a_program_that_fails(service: Service) -> None:
    service.add("web", web(1))
    service.start()
    before = service.show("MainPID")
    service.add("bad", BAD)
    service.machine.systemctl("kill", "--signal=HUP", "--kill-who=main", UNIT)
    service.machine.wait(
        lambda: service.show("StatusText") == "1 running, 1 FATAL: bad", "the reload is over"
    )
    service.machine.wait(lambda: service.show("ActiveState") == "active", "systemd knows")
    assert service.show("MainPID") == before


# --- ends -------------------------------------------------------------------------------------


def test_a_stop_beyond_its_timeout_says_what_it_waits_for(service: Service) -> None:
    service.override("TimeoutStopSec=1\n")
    trap = 'trap "until test -e /srv/go; do sleep 0.1; done; exit" TERM'
    service.add(
        "slow",
        f"[program:slow]\ncommand=sh -c '{trap}; echo up; while :; do sleep 0.1; done'\n"
        "stdout_logfile=/srv/slow.log\nstopwaitsecs=60\n",
    )
    service.start()
    log = service.machine.path("/srv/slow.log")
    service.machine.wait(lambda: log.exists() and log.read_text() == "up\n", "its trap is set")
    service.machine.systemctl("stop", "--no-block", UNIT)
    service.machine.wait(
        lambda: service.show("StatusText") == "shutting down, waiting for 1: slow (3 s)",
        "three seconds",
    )
    service.machine.write("/srv/go", "")
    service.machine.wait(lambda: service.show("ActiveState") == "inactive", "it has ended")
    assert service.show("Result") == "success"


# --- the watchdog -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_starved_daemon_is_left_alone(service: Service, how: str) -> None:
    """It may be late by more than half of the period, and says so."""
    service.override("WatchdogSec=10\n")
    service.add("web", web(0))
    service.start()
    freezer = f"/sys/fs/cgroup{service.show('ControlGroup')}/cgroup.freeze"

    def hold(*, still: bool) -> None:
        if how == "frozen":
            service.machine.run("tee", freezer, stdin="1\n" if still else "0\n")
        else:
            name = "STOP" if still else "CONT"
            service.machine.systemctl("kill", f"--signal={name}", "--kill-who=main", UNIT)

    def since_ping() -> float:
        last = int(service.show("WatchdogTimestampMonotonic"))
        return time.clock_gettime(time.CLOCK_MONOTONIC) - last / 1_000_000

    hold(still=True)
    service.machine.wait(lambda: since_ping() > 5.5, "a ping is late")
    hold(still=False)
    service.machine.wait(lambda: " s late: " in service.machine.journal(UNIT), "it is told")
    assert "WARN the loop came " in service.machine.read(LOG)
    service.machine.wait(lambda: since_ping() < 2, "it pings again")
    assert service.show("NRestarts") == "0"


def test_a_loop_that_hangs_leaves_a_traceback(service: Service) -> None:
    sabotage(service, "hang")
    service.add("web", web(0))
    service.start()
    service.machine.systemctl("kill", "--signal=USR2", "--kill-who=main", UNIT)
    service.machine.wait(lambda: service.show("NRestarts") == "1", "systemd replaces it")
    told = service.machine.journal(UNIT)
    assert "Watchdog timeout" in told
    assert "Fatal Python error: Aborted" in told
    assert " in hang\n" in told
    service.machine.wait(lambda: service.show("ActiveState") == "active", "it is up")
    assert processes(service.machine, "^sleep 4711$") == [service.pid("web")]


def test_a_broken_daemon_is_replaced_at_its_own_request(service: Service) -> None:
    sabotage(service, "spoil")
    service.add("web", web(0))
    service.start()
    service.machine.systemctl("kill", "--signal=USR2", "--kill-who=main", UNIT)
    service.machine.wait(lambda: service.show("NRestarts") == "1", "systemd replaces it")
    told = service.machine.journal(UNIT)
    assert "broken invariant: facts are left in the queue" in told
    assert "Watchdog request" in told
    service.machine.wait(lambda: service.show("ActiveState") == "active", "it is up")
    assert processes(service.machine, "^sleep 4711$") == [service.pid("web")]
