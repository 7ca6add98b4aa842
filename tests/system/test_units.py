"""The units of the package: instances, the daemon of a user, the socket unit, restarts."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from tests.system.container import Container, processes

pytestmark = [pytest.mark.booted, pytest.mark.rpm]

SERVICE = "sdsuperd.service"
SOCKET = "sdsuperd.socket"
CONFIG = "/etc/sdsuper/sdsuper.conf"
CONTROL = "/run/sdsuper/sdsuper.sock"
SLEEPER = "[program:{name}]\ncommand=sleep {seconds}\nstartsecs=0\n"

INSTANCE_CONFIG = """\
[supervisord]
user=root
logfile=/var/log/sdsuper-{name}/sdsuperd.log
childlogdir=/var/log/sdsuper-{name}
pidfile=/run/sdsuper-{name}/sdsuperd.pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix:///run/sdsuper-{name}/sdsuper.sock
[include]
files={name}.d/*.ini
"""

USER_CONFIG = """\
[supervisord]
logfile=%(ENV_LOGS_DIRECTORY)s/sdsuperd.log
childlogdir=%(ENV_LOGS_DIRECTORY)s
pidfile=%(ENV_RUNTIME_DIRECTORY)s/sdsuperd.pid
[supervisorctl]
serverurl=unix://%(ENV_XDG_RUNTIME_DIR)s/sdsuper/sdsuper.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:mine]
command=sleep 4721
startsecs=0
"""


@pytest.fixture(scope="module")
def installed(machine: Container) -> Container:
    """A machine with the package, nothing enabled."""
    machine.run("dnf", "-y", "install", "sdsuper")
    return machine


@pytest.fixture
def host(installed: Container) -> Iterator[Container]:
    """The machine, from which everything is removed that the test started or wrote."""
    kept = installed.read(CONFIG)
    yield installed
    installed.systemctl("disable", "--now", SOCKET, check=False)
    installed.systemctl("stop", SERVICE, "sdsuperd@*.service")
    installed.systemctl("disable", SERVICE, "sdsuperd@.service", check=False)
    installed.systemctl("reset-failed", check=False)
    installed.write(CONFIG, kept)
    installed.run(
        "sh", "-c",
        "rm -rf /etc/supervisord.d/* /etc/sdsuper/*.d /run/systemd/system/sdsuperd* /srv/*.txt",
    )  # fmt: skip
    installed.systemctl("daemon-reload")


def add(host: Container, name: str, seconds: int, folder: str = "/etc/supervisord.d") -> None:
    """Configure a program."""
    host.write(f"{folder}/{name}.ini", SLEEPER.format(name=name, seconds=seconds))


def start(host: Container, unit: str) -> None:
    """Start a unit; where that fails, show why."""
    done = host.run("systemctl", "start", unit, check=False)
    assert done.returncode == 0, host.journal(unit)


def wait_active(host: Container, unit: str) -> None:
    """Wait until a unit is up."""
    host.wait(lambda: host.show(unit, "ActiveState") == "active", f"{unit} is up")


def override(host: Container, text: str) -> None:
    """Change the service until the end of the test."""
    host.run("mkdir", "-p", f"/run/systemd/system/{SERVICE}.d")
    host.run("tee", f"/run/systemd/system/{SERVICE}.d/test.conf", stdin=f"[Service]\n{text}")
    host.systemctl("daemon-reload")


def stop_when_dead(host: Container, unit: str) -> None:
    """Stop a service whose daemon was just killed, and whose next one has not been started."""
    host.run("kill", "-KILL", host.show(unit, "MainPID"))
    host.wait(lambda: host.show(unit, "SubState") == "auto-restart", "it is dead")
    host.systemctl("stop", unit)


def ctl(host: Container, *words: str) -> str:
    """Return what the client printed."""
    return host.run("sdsuperctl", *words, check=False).stdout


# --- what systemd thinks of the files -------------------------------------------------------------


def test_every_unit_is_understood(host: Container) -> None:
    units = [SERVICE, SOCKET, "sdsuperd@name.service"]
    done = host.run("systemd-analyze", "verify", "--man=no", *units, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    user = "/usr/lib/systemd/user/sdsuperd.service"
    done = host.run(
        "env", "XDG_RUNTIME_DIR=/run", "systemd-analyze", "verify", "--user", "--man=no", user,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_security_figure_is_the_one_that_the_documentation_explains(host: Container) -> None:
    told = host.run("systemd-analyze", "security", "--no-pager", SERVICE, check=False).stdout
    found = re.search(r"Overall exposure level for \S+: (\S+) (\w+)", told)
    assert found is not None
    assert found.groups() == ("9.6", "UNSAFE")


# --- the control socket ---------------------------------------------------------------------------


def test_there_is_a_control_socket_whatever_is_configured(host: Container) -> None:
    config = host.read(CONFIG)
    moved = config.replace(CONTROL, "/run/elsewhere.sock", 1).replace(
        "[supervisord]", "[inet_http_server]\nport=127.0.0.1:9001\n[supervisord]\nstrict=false", 1
    )
    host.write(CONFIG, moved.replace("strict=true\n", ""))
    host.write(
        "/etc/supervisord.d/env.ini", "[program:env]\ncommand=sh -c 'env>/srv/env.txt;exec cat'"
    )
    start(host, SERVICE)
    assert host.run("stat", "-c", "%a %U:%G", CONTROL).stdout == "660 root:sdsuper\n"
    host.wait(lambda: "RUNNING" in ctl(host, "-s", f"unix://{CONTROL}", "status"), "it runs")
    assert "SUPERVISOR_SERVER_URL=unix:///run/elsewhere.sock\n" in host.read("/srv/env.txt")
    add(host, "late", 4711)
    host.systemctl("reload", SERVICE)
    assert len(processes(host, "^sleep 4711$")) == 1


CLIENT = r"""
import socket, sys
sock = socket.socket(socket.AF_UNIX)
refused = 0
sock.settimeout(60)
sock.connect(sys.argv[1])
sock.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
print(sock.recv(12).decode())
"""


def test_who_comes_during_a_restart_is_answered(host: Container) -> None:
    """The service is held in the middle of its restart while a client connects."""
    hold = "touch /run/holding; until test -e /run/go; do sleep 0.05; done"
    override(host, f"ExecStartPre=/bin/sh -c '{hold}'\n")
    host.run("touch", "/run/go")
    add(host, "web", 4711)
    start(host, SERVICE)
    before = host.run("stat", "-c", "%i", CONTROL).stdout
    old = host.show(SERVICE, "MainPID")
    host.run("rm", "/run/go", "/run/holding")
    host.systemctl("--no-block", "restart", SERVICE)
    host.wait(lambda: host.run("test", "-e", "/run/holding", check=False).returncode == 0, "held")
    host.wait(lambda: host.run("test", "-e", f"/proc/{old}", check=False).returncode, "it ended")
    host.write("/srv/client.py", CLIENT)
    script = f"python3 /srv/client.py {CONTROL} >/run/answer 2>&1 &"
    host.run("sh", "-c", f"setsid sh -c {shlex.quote(script)}")
    host.wait(lambda: waiting(host) == 1, "the client waits")
    host.run("touch", "/run/go")
    host.wait(lambda: host.run("cat", "/run/answer").stdout == "HTTP/1.1 404\n", "an answer")
    wait_active(host, SERVICE)
    assert host.run("stat", "-c", "%i", CONTROL).stdout == before
    assert "Unlinking stale socket" not in host.journal(SERVICE)
    host.systemctl("stop", SERVICE)
    assert host.run("test", "-e", "/run/sdsuper", check=False).returncode == 1


def waiting(host: Container) -> int:
    """Return how many connections to the control socket nobody has accepted yet."""
    lines = host.run("ss", "-xlH").stdout.splitlines()
    return sum(int(line.split()[2]) for line in lines if CONTROL in line)


def test_many_restarts_under_clients_refuse_none(host: Container) -> None:
    start(host, SERVICE)
    host.write(
        "/srv/hammer.sh",
        f"until test -e /run/enough; do python3 /srv/client.py {CONTROL} || echo refused; done\n",
    )
    host.write("/srv/client.py", CLIENT)
    host.run("rm", "-f", "/run/enough")
    host.run("sh", "-c", "setsid sh /srv/hammer.sh >/run/answers 2>&1 &")
    for _ in range(5):
        host.systemctl("restart", SERVICE)
    host.systemctl("kill", "--signal=KILL", "--kill-who=main", SERVICE)
    host.wait(lambda: host.show(SERVICE, "NRestarts") == "1", "it is replaced")
    wait_active(host, SERVICE)
    host.run("touch", "/run/enough")
    host.wait(lambda: not processes(host, "hammer.sh"), "the clients are done")
    answers = host.run("cat", "/run/answers").stdout.splitlines()
    # Whom a daemon has accepted when it is killed gets no answer: that is not being refused.
    assert [line for line in answers if "refused" in line.lower() and line != "refused"] == []
    assert answers.count("HTTP/1.1 404") > 5


def kept(host: Container) -> int:
    """Return how many sockets systemd keeps: beside the snapshot, and both ends of the box."""
    return int(host.show(SERVICE, "NFileDescriptorStore")) - 3


def test_a_stored_socket_whose_file_is_gone_or_that_nobody_wants_is_dropped(
    host: Container,
) -> None:
    config = host.read(CONFIG)
    strange = config.replace("[supervisord]", "[inet_http_server]\nport=*:9001\n[supervisord]", 1)
    host.write(CONFIG, strange.replace("strict=true\n", ""))
    start(host, SERVICE)
    assert kept(host) == 2
    host.run("rm", CONTROL)
    host.write(CONFIG, strange.replace("*:9001", "127.0.0.1:9001").replace("strict=true\n", ""))
    host.systemctl("restart", SERVICE)
    assert ctl(host, "version") == "4.3.0\n"
    assert ctl(host, "-s", "http://127.0.0.1:9001", "version") == "4.3.0\n"
    host.wait(lambda: kept(host) == 2, "only what is used is kept")
    host.write(CONFIG, config)
    host.systemctl("restart", SERVICE)
    host.wait(lambda: kept(host) == 1, "one server, one socket")
    assert ":9001" not in host.run("ss", "-tlnH").stdout


# --- the socket unit ------------------------------------------------------------------------------


def test_a_client_starts_the_daemon_by_the_socket_unit(host: Container) -> None:
    override(host, "RuntimeDirectoryPreserve=yes\n")
    add(host, "web", 4711)
    start(host, SOCKET)
    assert host.run("stat", "-c", "%a %U:%G", CONTROL).stdout == "660 root:sdsuper\n"
    for _ in range(2):
        assert host.show(SERVICE, "ActiveState") == "inactive"
        assert ctl(host, "status").split()[:2] == ["web", "RUNNING"]
        assert host.show(SERVICE, "ActiveState") == "active"
        host.systemctl("restart", SERVICE)
        assert ctl(host, "status").split()[:2] == ["web", "RUNNING"]
        # The file is the socket unit's: it is there for the next client.
        host.run("systemctl", "stop", SERVICE)
        assert host.run("test", "-S", CONTROL, check=False).returncode == 0


def test_a_socket_for_which_no_server_is_configured_is_closed_and_told(host: Container) -> None:
    host.run("mkdir", "-p", "/run/systemd/system")
    other = "[Socket]\nListenStream=/run/other.sock\nFileDescriptorName=other\n"
    other += f"Service={SERVICE}\n"
    host.run("tee", "/run/systemd/system/sdsuperd-other.socket", stdin=other)
    host.systemctl("daemon-reload")
    start(host, "sdsuperd-other.socket")
    start(host, SERVICE)
    told = "closing the socket /run/other.sock (other), passed by systemd: no server is configured"
    assert told in host.journal(SERVICE)
    host.systemctl("stop", SERVICE, "sdsuperd-other.socket")


# --- instances ------------------------------------------------------------------------------------


def test_instances_have_all_to_themselves(host: Container) -> None:
    add(host, "web", 4711)
    start(host, SERVICE)
    for name, seconds in (("blue", 4712), ("green", 4713)):
        host.write(f"/etc/sdsuper/{name}.conf", INSTANCE_CONFIG.format(name=name))
        add(host, name, seconds, f"/etc/sdsuper/{name}.d")
        start(host, f"sdsuperd@{name}.service")
    for name, seconds in (("blue", 4712), ("green", 4713)):
        config = f"/etc/sdsuper/{name}.conf"
        assert ctl(host, "-c", config, "status").split()[:2] == [name, "RUNNING"]
        assert len(ctl(host, "-c", config, "status").splitlines()) == 1
        assert len(processes(host, f"^sleep {seconds}$")) == 1
        socket = f"/run/sdsuper-{name}/sdsuper.sock"
        assert host.run("stat", "-c", "%a %U:%G", socket).stdout == "660 root:sdsuper\n"
        assert host.path(f"/var/lib/sdsuper-{name}").is_dir()
        assert f"success: {name} entered" in host.read(f"/var/log/sdsuper-{name}/sdsuperd.log")
    assert ctl(host, "status").split()[:2] == ["web", "RUNNING"]
    add(host, "more", 4714, "/etc/sdsuper/blue.d")
    host.systemctl("reload", "sdsuperd@blue.service")
    assert len(processes(host, "^sleep 4714$")) == 1
    host.write("/etc/sdsuper/blue.d/bad.ini", "[program:bad]\ncommand=true\nstartsecs=soon\n")
    assert host.run("systemctl", "reload", "sdsuperd@blue.service", check=False).returncode == 1
    stop_when_dead(host, "sdsuperd@green.service")
    assert processes(host, "^sleep 4713$") == []
    assert [len(processes(host, f"^sleep {each}$")) for each in (4711, 4712)] == [1, 1]


# --- the daemon of a user -------------------------------------------------------------------------


def test_a_user_has_a_daemon_of_his_own(host: Container) -> None:
    if host.run("id", "ann", check=False).returncode:
        host.run("useradd", "--create-home", "ann")
    uid = host.run("id", "-u", "ann").stdout.strip()
    folder = "/home/ann/.config/sdsuper"
    host.run("install", "-d", "-o", "ann", "-g", "ann", "/home/ann/.config", folder)
    host.run("tee", f"{folder}/sdsuper.conf", stdin=USER_CONFIG)
    host.systemctl("start", f"user@{uid}.service")

    def as_ann(*words: str) -> subprocess.CompletedProcess[str]:
        return host.run(
            "setpriv", "--reuid=ann", "--regid=ann", "--init-groups",
            "env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "HOME=/home/ann", *words, check=False,
        )  # fmt: skip

    try:
        done = as_ann("systemctl", "--user", "start", SERVICE)
        told = host.run("journalctl", "--no-pager", f"_UID={uid}").stdout
        assert done.returncode == 0, done.stderr + told
        control = f"/run/user/{uid}/sdsuper/sdsuper.sock"
        assert host.run("stat", "-c", "%a %U", control).stdout == "600 ann\n"
        status = as_ann("sdsuperctl", "-c", f"{folder}/sdsuper.conf", "status").stdout
        assert status.split()[:2] == ["mine", "RUNNING"]
        assert host.run("ps", "-o", "user=", "-p", str(processes(host, "^sleep 4721$")[0])
                        ).stdout.strip() == "ann"  # fmt: skip
        host.run("tee", f"{folder}/sdsuper.conf", stdin=USER_CONFIG.replace("4721", "4722"))
        done = as_ann("systemctl", "--user", "reload", SERVICE)
        told = host.run("journalctl", "--no-pager", f"_UID={uid}").stdout
        assert done.returncode == 0, done.stderr + told
        assert len(processes(host, "^sleep 4722$")) == 1
        found = host.run("find", "/home/ann", "-name", "sdsuperd.log").stdout
        assert re.fullmatch(r"/home/ann/\.(config|local/state)/log/sdsuper/sdsuperd\.log\n", found)
        assert as_ann("systemctl", "--user", "restart", SERVICE).returncode == 0
        assert as_ann("systemctl", "--user", "stop", SERVICE).returncode == 0
        assert processes(host, "^sleep 472[12]$") == []
        assert as_ann("systemctl", "--user", "start", SERVICE).returncode == 0
        show = ("systemctl", "--user", "show", "--value", "-p")
        host.run("kill", "-KILL", as_ann(*show, "MainPID", SERVICE).stdout.strip())
        host.wait(lambda: as_ann(*show, "SubState", SERVICE).stdout == "auto-restart\n", "dead")
        assert as_ann("systemctl", "--user", "stop", SERVICE).returncode == 0
        assert processes(host, "^sleep 472[12]$") == []
    finally:
        host.systemctl("stop", f"user@{uid}.service")


# --- a program that is killed, and a reboot -------------------------------------------------------


def test_a_killed_program_takes_no_other_along(host: Container) -> None:
    add(host, "big", 4711)
    add(host, "small", 4712)
    start(host, SERVICE)
    assert host.show(SERVICE, "OOMPolicy") == "continue"
    (small,) = processes(host, "^sleep 4712$")
    (big,) = processes(host, "^sleep 4711$")
    host.run("kill", "-KILL", str(big))
    host.wait(lambda: processes(host, "^sleep 4711$") not in ([], [big]), "it is replaced")
    assert processes(host, "^sleep 4712$") == [small]
    assert host.show(SERVICE, "NRestarts") == "0"


def test_a_reboot_brings_back_what_was_enabled(host: Container) -> None:
    add(host, "web", 4711)
    host.write("/etc/sdsuper/blue.conf", INSTANCE_CONFIG.format(name="blue"))
    add(host, "blue", 4712, "/etc/sdsuper/blue.d")
    host.systemctl("enable", "--now", SERVICE, "sdsuperd@blue.service")
    host.reboot()
    for unit in (SERVICE, "sdsuperd@blue.service"):
        wait_active(host, unit)
    assert [len(processes(host, f"^sleep {each}$")) for each in (4711, 4712)] == [1, 1]
    host.systemctl("disable", "sdsuperd@blue.service")
