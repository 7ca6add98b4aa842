"""The installed daemon as a service: what systemd sees of it, and what it does to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.container import CommandError, Container, processes

pytestmark = [pytest.mark.booted, pytest.mark.rpm]

UNIT = "sdsuperd.service"
CONFIG = "/etc/sdsuper/sdsuper.conf"
LOG = "/var/log/sdsuper/sdsuperd.log"
FOLDER = "/etc/supervisord.d"
DROP_IN = f"/run/systemd/system/{UNIT}.d"
SLEEPER = "[program:{name}]\ncommand=sleep {seconds}\nstartsecs=0\n"


class Service:
    """The daemon of one machine."""

    def __init__(self, machine: Container) -> None:
        self.machine = machine

    def start(self) -> None:
        """Start the service; where that fails, show why."""
        if self.machine.run("systemctl", "start", UNIT, check=False).returncode:
            raise CommandError(self.machine.journal(UNIT))

    def show(self, name: str) -> str:
        """Return one property of the unit."""
        return self.machine.show(UNIT, name)

    def ctl(self, *words: str) -> str:
        """Run a command of the client and return what it printed."""
        return self.machine.run("sdsuperctl", *words, check=False).stdout

    def add(self, name: str, text: str) -> None:
        """Put a file into the folder that the configuration includes."""
        self.machine.write(f"{FOLDER}/{name}.ini", text)

    def state(self, program: str) -> str:
        """Return the state of a program in Supervisor's words."""
        return self.ctl("status", program).split()[1]

    def pid(self, program: str) -> int:
        """Return the pid of a program, 0 when it has none."""
        return int(self.ctl("pid", program))

    def override(self, text: str) -> None:
        """Change the unit until the end of the test."""
        self.machine.run("mkdir", "-p", DROP_IN)
        self.machine.run("tee", f"{DROP_IN}/test.conf", stdin=f"[Service]\n{text}")
        self.machine.systemctl("daemon-reload")

    def reset(self) -> None:
        """Undo what a test did."""
        for path in self.machine.path(FOLDER).glob("*.ini"):
            path.unlink()
        self.machine.run("rm", "-rf", DROP_IN)
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("stop", UNIT)
        self.machine.systemctl("reset-failed", UNIT, check=False)
        self.machine.path(LOG).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def installed(machine: Container) -> Container:
    """A machine with the package and an enabled service."""
    machine.run("dnf", "-y", "install", "sdsuper")
    machine.systemctl("enable", UNIT)
    return machine


@pytest.fixture
def service(installed: Container) -> Iterator[Service]:
    """The daemon, not yet running, without any program."""
    service = Service(installed)
    yield service
    service.reset()


def test_ready_means_that_the_programs_were_started(service: Service) -> None:
    names = [f"p{number}" for number in range(20)]
    for name in names:
        service.add(name, f"[program:{name}]\ncommand=sleep 4711\nstartsecs=2\n")
    service.start()
    assert len(processes(service.machine, "^sleep 4711$")) == len(names)
    assert {service.state(name) for name in names} <= {"STARTING", "RUNNING"}


def test_status_shows_how_the_programs_are(service: Service) -> None:
    service.add("web", SLEEPER.format(name="web", seconds=4711))
    service.add("bad", "[program:bad]\ncommand=/no/such\nstartretries=0\n")
    service.start()
    wanted = 'Status: "1 running, 1 FATAL: bad"'
    service.machine.wait(
        lambda: wanted in service.machine.systemctl("status", UNIT), "the status line"
    )


def test_reload_applies_what_changed(service: Service) -> None:
    service.add("web", SLEEPER.format(name="web", seconds=4711))
    service.start()
    before = service.pid("web")
    service.add("new", SLEEPER.format(name="new", seconds=4712))
    service.machine.systemctl("reload", UNIT)
    assert service.state("new") == "RUNNING"
    assert service.pid("web") == before


def test_a_refused_reload_fails_and_changes_nothing(service: Service) -> None:
    service.add("web", SLEEPER.format(name="web", seconds=4711))
    service.start()
    before = service.pid("web"), service.show("MainPID")
    service.add("web", SLEEPER.format(name="web", seconds=4712))
    service.add("bad", "[program:bad]\ncommand=true\nstartsecs=soon\n")
    with pytest.raises(CommandError):
        service.machine.systemctl("reload", UNIT)
    assert "bad.ini" in service.machine.journal(UNIT)
    assert service.show("ActiveState") == "active"
    assert (service.pid("web"), service.show("MainPID")) == before


def test_programs_see_nothing_of_our_talk_with_systemd(service: Service) -> None:
    service.override("WatchdogSec=20\n")
    command = "sh -c 'env >/srv/env; ulimit -Sn >/srv/soft; ls /proc/self/fd >/srv/fds; exec cat'"
    service.add("env", f"[program:env]\ncommand={command}\n")
    service.start()
    service.machine.wait(lambda: service.state("env") == "RUNNING", "it runs")
    names = {line.partition("=")[0] for line in service.machine.read("/srv/env").splitlines()}
    assert "SUPERVISOR_ENABLED" in names
    ours = ("NOTIFY_", "WATCHDOG_", "LISTEN_", "INVOCATION_", "JOURNAL_", "SYSTEMD_", "MEMORY_")
    folders = ("RUNTIME_", "STATE_", "LOGS_", "CONFIGURATION_", "CACHE_", "CREDENTIALS_")
    assert [name for name in names if name.startswith(ours + folders)] == []
    assert service.machine.read("/srv/soft") == "1024\n"
    assert service.machine.read("/srv/fds").split() == ["0", "1", "2", "3"]  # 3 is of ls itself


def test_minfds_is_what_programs_get(service: Service) -> None:
    good = service.machine.read(CONFIG)
    service.machine.write(CONFIG, good.replace("[supervisord]", "[supervisord]\nminfds=2000"))
    service.add("soft", "[program:soft]\ncommand=sh -c 'ulimit -Sn >/srv/soft; exec cat'\n")
    try:
        service.start()
        service.machine.wait(lambda: service.state("soft") == "RUNNING", "it runs")
    finally:
        service.machine.write(CONFIG, good)
    assert service.machine.read("/srv/soft") == "2000\n"


def test_a_hung_daemon_is_replaced(service: Service) -> None:
    # A stopped process cannot act on SIGABRT: the wait for that is cut short.
    service.override("WatchdogSec=2\nTimeoutAbortSec=1\n")
    service.add("web", SLEEPER.format(name="web", seconds=4711))
    service.start()
    old = service.show("MainPID")
    service.machine.run("kill", "-STOP", old)
    service.machine.wait(lambda: service.show("NRestarts") == "1", "systemd replaces it")
    service.machine.wait(lambda: service.show("ActiveState") == "active", "it is up")
    assert "atchdog timeout" in service.machine.journal(UNIT)
    assert service.show("MainPID") not in ("0", old)
    assert processes(service.machine, "^sleep 4711$") == [service.pid("web")]


def test_a_healthy_daemon_is_left_alone_by_the_watchdog(service: Service) -> None:
    service.override("WatchdogSec=1\n")
    service.add("busy", "[program:busy]\ncommand=sh -c 'sleep 3'\nstartsecs=0\nautorestart=false\n")
    service.start()
    service.machine.wait(lambda: service.state("busy") == "EXITED", "three periods have passed")
    assert service.show("NRestarts") == "0"


def test_a_killed_daemon_leaves_all_as_it_was_and_the_next_one_goes_on(service: Service) -> None:
    service.add("web", SLEEPER.format(name="web", seconds=4711))
    service.add(
        "stubborn",
        "[program:stubborn]\ncommand=sh -c 'trap : TERM; setsid sleep 4712'\nstopwaitsecs=1\n",
    )
    service.start()
    service.machine.wait(lambda: processes(service.machine, "^sleep 4712$"), "the grandchild")
    before = service.pid("web"), service.pid("stubborn")
    all_before = processes(service.machine, "^sleep 471")
    service.machine.systemctl("kill", "--signal=KILL", "--kill-who=main", UNIT)
    service.machine.wait(lambda: service.show("NRestarts") == "1", "systemd replaces it")
    service.machine.wait(lambda: service.show("ActiveState") == "active", "it is up")
    assert (service.pid("web"), service.pid("stubborn")) == before
    assert processes(service.machine, "^sleep 471") == all_before
    # Nothing is different for the next one: it stops both, and what descends from them.
    assert service.ctl("stop", "all").count("stopped") == 2
    assert processes(service.machine, "^sleep 471") == []


@pytest.mark.parametrize("detach", ["", "setsid "], ids=["same group", "own session"])
def test_what_a_wrapper_left_ends_with_it(service: Service, detach: str) -> None:
    service.add("wrap", f"[program:wrap]\ncommand=sh -c '{detach}sleep 4713 & exec sleep 4711'\n")
    service.start()
    service.machine.wait(lambda: processes(service.machine, "^sleep 4713$"), "the orphan")
    assert service.ctl("stop", "wrap") == "wrap: stopped\n"
    assert processes(service.machine, "^sleep 47") == []


def test_a_stop_may_take_its_time(service: Service) -> None:
    """The daemon asks for more as long as its programs may take longer."""
    service.override("TimeoutStopSec=1\n")
    trap = 'trap "sleep 3; echo done >/srv/done; exit 0" TERM'
    service.add(
        "slow",
        f"[program:slow]\ncommand=sh -c '{trap}; echo up; while :; do sleep 0.1; done'\n"
        "stdout_logfile=/srv/slow.log\nstopwaitsecs=30\n",
    )
    service.start()
    log = service.machine.path("/srv/slow.log")
    service.machine.wait(lambda: log.exists() and log.read_text() == "up\n", "its trap is set")
    service.machine.systemctl("stop", UNIT)
    assert service.machine.read("/srv/done") == "done\n"
    assert service.show("Result") == "success"


def test_shutdown_by_the_client_stays_down(service: Service) -> None:
    service.add("web", SLEEPER.format(name="web", seconds=4711))
    service.start()
    service.ctl("shutdown")
    service.machine.wait(lambda: service.show("ActiveState") == "inactive", "it is down")
    assert service.show("Result") == "success"
    assert service.show("NRestarts") == "0"
    assert processes(service.machine, "^sleep 4711$") == []


def test_members_of_the_group_may_use_the_client(service: Service) -> None:
    service.start()

    def as_member_of(group: str) -> tuple[int, str]:
        done = service.machine.run(
            "setpriv", "--reuid=65534", f"--regid={group}", "--clear-groups",
            "sdsuperctl", "version", check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    assert as_member_of("sdsuper") == (0, "4.3.0\n")
    status, told = as_member_of("nogroup")
    assert status != 0
    assert "Permission denied" in told


def test_a_reboot_brings_the_programs_back(service: Service) -> None:
    service.add("web", SLEEPER.format(name="web", seconds=4711))
    service.start()
    service.machine.reboot()
    assert service.show("ActiveState") == "active"
    assert service.state("web") == "RUNNING"
    assert processes(service.machine, "^sleep 4711$") == [service.pid("web")]
