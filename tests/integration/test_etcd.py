"""A real cluster behind wrappers that forward no signal: the files of examples/kubernetes."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.harness import Daemon

EXAMPLE = Path(__file__).parents[2] / "examples" / "kubernetes"
MEMBERS = (1, 2, 3)
PROGRAMS = ("etcd-gateway", "etcd-server-1", "etcd-server-2", "etcd-server-3")

pytestmark = [pytest.mark.etcd, pytest.mark.root]


def etcd_account() -> str:
    """Return the account that etcd's package makes, or our own where it made none."""
    try:
        return pwd.getpwnam("etcd").pw_name
    except KeyError:
        return pwd.getpwuid(os.geteuid()).pw_name


def free_ports() -> int:
    """Return a port from which on the seven ports that the example uses are free."""
    offsets = (0, *(10 * member + peer for member in MEMBERS for peer in (0, 1)))
    for base in range(23000, 32000, 100):
        try:
            with ExitStack() as stack:
                for offset in offsets:
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


class Cluster:
    """The example, laid out for one daemon, and what its clients see."""

    def __init__(self, folder: Path):
        self.root = folder / "k8s"
        self.port = free_ports()
        self.environment = {
            "K8S_ROOT": str(self.root),
            "K8S_PORT": str(self.port),
            "K8S_ETCD_USER": etcd_account(),
        }

    def install(self) -> None:
        """Lay out scripts and directories, as the demonstration does."""
        command = [EXAMPLE / "install.sh"]
        subprocess.run(command, check=True, env={**os.environ, **self.environment}, timeout=30)

    @property
    def endpoints(self) -> str:
        """The clients' addresses of all members."""
        return ",".join(f"127.0.0.1:{self.port + 10 * member}" for member in MEMBERS)

    @property
    def gateway(self) -> str:
        """The one address in front of them."""
        return f"127.0.0.1:{self.port}"

    def etcdctl(self, endpoints: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run etcdctl."""
        return subprocess.run(
            ["etcdctl", f"--endpoints={endpoints}", *words],
            env={"PATH": os.environ["PATH"], "ETCDCTL_API": "3"},
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=60,
        )

    def healthy(self) -> bool:
        """Return whether every member commits proposals."""
        return self.etcdctl(self.endpoints, "endpoint", "health").returncode == 0

    def write(self, key: str, value: str) -> None:
        """Write a key through the gateway."""
        done = self.etcdctl(self.gateway, "put", key, value)
        assert (done.stdout, done.returncode) == ("OK\n", 0), done.stderr

    def keys(self) -> list[str]:
        """Return keys and values, read from all members in turn: they must agree."""
        seen = set()
        for endpoint in self.endpoints.split(","):
            seen.add(self.etcdctl(endpoint, "get", "--prefix", "/").stdout)
        (text,) = seen
        return text.splitlines()

    def log_of(self, program: str) -> str:
        """Return a program's log."""
        path = self.root / "data" / "logs" / program / "etcd.stdout.log"
        return path.read_text(encoding="utf-8", errors="replace")


def etcds(daemon: Daemon, program: str = "") -> list[int]:
    """Return the pids of the real etcd processes (of one member), the wrappers left out."""
    name = f"--name={program} " if program else ""
    return [p.pid for p in daemon.processes() if p.command.startswith(f"./etcd {name}")]


@pytest.fixture
def running() -> Iterator[tuple[Daemon, Cluster]]:
    """A cluster that is up: a daemon started empty, then given the example's ini files."""
    daemon = Daemon("[include]\nfiles = sdsuper.d/*.ini\n")
    cluster = Cluster(daemon.dir)
    daemon.dir.chmod(0o755)  # etcd's account has to pass
    daemon.add_environment(cluster.environment)
    (daemon.dir / "sdsuper.d").mkdir()
    with daemon:
        assert daemon.ctl("status") == ("", 0)
        cluster.install()
        for program in PROGRAMS:
            shutil.copy(EXAMPLE / "sdsuper.d" / f"{program}.ini", daemon.dir / "sdsuper.d")
        added = "".join(f"{program}: added process group\n" for program in PROGRAMS)
        assert daemon.ctl("update") == (added, 0)
        daemon.wait(cluster.healthy, 60, "all members are healthy")
        for program in PROGRAMS:
            daemon.wait_state(program, "RUNNING")
        cluster.write("/before", "yes")
        yield daemon, cluster


@contextmanager
def never_two(daemon: Daemon, program: str) -> Iterator[None]:
    """Fail if, at any look taken meanwhile, a member had two etcd processes."""
    looks: list[list[int]] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            looks.append(etcds(daemon, program))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(30)
    assert looks
    assert max(map(len, looks)) == 1, f"two etcd of {program} at once"


def replaced(daemon: Daemon, program: str, old: int) -> int | None:
    """Return the pid of a member's etcd once it is another than `old`."""
    return next((pid for pid in etcds(daemon, program) if pid != old), None)


def test_a_killed_etcd_is_replaced_and_the_cluster_heals(running: tuple[Daemon, Cluster]) -> None:
    daemon, cluster = running
    (old,) = etcds(daemon, "etcd-server-2")
    wrapper = daemon.pid_of("etcd-server-2")
    assert old != wrapper

    with never_two(daemon, "etcd-server-2"):
        os.kill(old, signal.SIGKILL)
        daemon.wait(lambda: replaced(daemon, "etcd-server-2", old), 30, "a new etcd")
        daemon.wait(cluster.healthy, 60, "all members are healthy again")

    daemon.wait_state("etcd-server-2", "RUNNING")
    assert daemon.pid_of("etcd-server-2") != wrapper
    daemon.wait_log("exited: etcd-server-2 (exit status 137; not expected)")
    cluster.write("/after", "yes")
    assert cluster.keys() == ["/after", "yes", "/before", "yes"]


def test_a_killed_wrapper_takes_its_etcd_with_it(running: tuple[Daemon, Cluster]) -> None:
    daemon, cluster = running
    (old,) = etcds(daemon, "etcd-server-3")
    wrapper = daemon.pid_of("etcd-server-3")

    with never_two(daemon, "etcd-server-3"):
        os.kill(wrapper, signal.SIGKILL)
        daemon.wait(lambda: replaced(daemon, "etcd-server-3", old), 30, "a new etcd")
        daemon.wait(cluster.healthy, 60, "all members are healthy again")

    daemon.wait_state("etcd-server-3", "RUNNING")
    assert daemon.pid_of("etcd-server-3") != wrapper
    assert "address already in use" not in cluster.log_of("etcd-server-3")
    assert re.search(r"received terminated signal, shutting down", cluster.log_of("etcd-server-3"))
    assert cluster.keys() == ["/before", "yes"]


def test_stop_all_leaves_no_etcd_behind(running: tuple[Daemon, Cluster]) -> None:
    daemon, cluster = running
    assert len(etcds(daemon)) == len(PROGRAMS)

    text, status = daemon.ctl("stop", "all")
    assert sorted(text.splitlines()) == [f"{program}: stopped" for program in PROGRAMS]
    assert status == 0
    assert daemon.processes() == []

    assert daemon.ctl("start", "all")[1] == 0
    daemon.wait(cluster.healthy, 60, "all members are healthy again")
    assert cluster.keys() == ["/before", "yes"]


def test_shutdown_leaves_no_etcd_behind(running: tuple[Daemon, Cluster]) -> None:
    daemon, _ = running
    assert daemon.terminate() == 0
    assert daemon.processes() == []


def test_a_member_is_running_when_it_says_that_it_is_ready() -> None:
    base = free_ports()
    client, peer = (f"http://127.0.0.1:{base + offset}" for offset in (0, 10))
    command = (
        f"etcd --data-dir=%(here)s/data --listen-client-urls={client} "
        f"--advertise-client-urls={client} --listen-peer-urls={peer} "
        f"--initial-advertise-peer-urls={peer} --initial-cluster=default={peer}"
    )
    with Daemon(f"[program:etcd]\ncommand={command}\nnotify=true\nautostart=false\n") as daemon:
        assert daemon.ctl("start", "etcd") == ("etcd: started\n", 0)
        assert "process has told that it is ready (notify)" in daemon.log()
        done = subprocess.run(
            ["etcdctl", f"--endpoints={client}", "put", "/ready", "yes"],
            env={"PATH": os.environ["PATH"], "ETCDCTL_API": "3"},
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=60,
        )
        assert (done.stdout, done.returncode) == ("OK\n", 0), done.stderr
