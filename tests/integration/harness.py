"""Real daemons for tests: started in a directory of their own, waited for, stopped, looked after.

    with Daemon("[program:cat]\\ncommand=cat\\n") as daemon:
        daemon.wait_state("cat", "RUNNING")
        assert daemon.ctl("stop", "cat") == ("cat: stopped\\n", 0)

Every daemon carries a mark in its environment that all its descendants inherit, so what it leaves
behind is found whoever has become its parent.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import xmlrpc.client
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

BIN = Path(sys.executable).parent
MARK = "SDSUPER_TEST_MARK"
POLL = 0.01  # seconds between two looks at a condition
SHOWN = 20_000  # characters of a log shown on failure


class Peer(NamedTuple):
    """One implementation under test: the names of its two commands."""

    daemon: str
    client: str


PEERS = {
    "sdsuper": Peer("sdsuperd", "sdsuperctl"),
    "supervisor": Peer("supervisord", "supervisorctl"),
}


class CtlResult(NamedTuple):
    """What a client's run gave."""

    stdout: str
    status: int


class Found(NamedTuple):
    """A process seen in /proc."""

    pid: int
    command: str


class NotStartedError(Exception):
    """The daemon ended, or did not answer, before it could be used."""


def wait_until(
    predicate: Callable[[], object], timeout: float = 20, what: str = "", show: str = ""
) -> Any:
    """Return the first true value of `predicate`.

    Args:
        predicate: Asked again and again.
        timeout: Seconds until it counts as failed.
        what: Named in the failure.
        show: More to show in the failure.

    Raises:
        AssertionError: It stayed false for `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        if value := predicate():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or predicate}\n{show}")
        time.sleep(POLL)


def free_port() -> int:
    """Return a TCP port that is free on 127.0.0.1 at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment without what would change how a daemon or a client behaves."""
    dropped = ("SUPERVISOR_", "SDSUPER_", "NOTIFY_", "WATCHDOG_", "LISTEN_", MARK)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, **(extra or {})}


def marked_processes(mark: str) -> list[Found]:
    """Return every live process whose environment carries `mark`; zombies have none."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            if wanted not in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                continue
            command = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ")
            found.append(Found(int(entry), command.decode(errors="replace").strip()))
    return found


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, the transport that clients of the daemon use."""

    def __init__(self, path: Path, headers: Iterable[tuple[str, str]] = (), timeout: float = 60):
        super().__init__(headers=list(headers))
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Return the connection to the socket, whatever the host says; `close` ends it."""
        if self._connection[1] is None:
            self._connection = host, UnixConnection(self._path, self._timeout)
        connection = self._connection[1]
        assert connection is not None
        return connection


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a unix socket."""

    def __init__(self, path: Path, timeout: float = 60):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise


class Daemon:
    """One daemon, in the foreground, in a fresh directory, with its client and its RPC.

    Attributes:
        dir: Its directory: configuration, socket, log, pid file, child logs; `%(here)s`.
        port: The port of the inet server, None without one.
        rpc: The proxy over the unix socket, for example `rpc.supervisor.getState()`.
    """

    def __init__(
        self,
        programs: str = "",
        *,
        peer: str = "sdsuper",
        inet: bool = False,
        credentials: tuple[str, str] | None = None,
        settings: str = "",
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        may_leave: bool = False,
        start_timeout: float = 30,
    ):
        """Make the directory and write the configuration.

        Args:
            programs: Ini text of the programs, groups and includes.
            peer: A key of PEERS.
            inet: Whether to open an inet server on a free port of 127.0.0.1 too.
            credentials: User name and password that both servers ask for.
            settings: More lines of [supervisord].
            arguments: More arguments of the daemon.
            environment: More variables of the daemon.
            prefix: A command in front of the daemon's, which it must exec or wait for.
            may_leave: Whether processes may be left at the end; they are killed either way.
            start_timeout: Seconds until the socket must answer.
        """
        self.peer = peer
        self.dir = Path(tempfile.mkdtemp(prefix="sd", dir="/tmp"))
        self.port = free_port() if inet else None
        self.may_leave = may_leave
        self._mark = uuid.uuid4().hex
        self._credentials = credentials
        self._settings = settings
        self._arguments = arguments
        self._environment = dict(environment or {})
        self._prefix = prefix
        self._start_timeout = start_timeout
        self._popen: subprocess.Popen[bytes] | None = None
        self.rpc: Any = xmlrpc.client.ServerProxy("http://localhost", transport=self._transport())
        self.write(programs)

    # What it consists of

    @property
    def ini(self) -> Path:
        """The configuration file."""
        return self.dir / "d.conf"

    @property
    def socket(self) -> Path:
        """The unix socket of the control server."""
        return self.dir / "d.sock"

    @property
    def logfile(self) -> Path:
        """The main log."""
        return self.dir / "d.log"

    @property
    def server_url(self) -> str:
        """The URL of the unix server."""
        return f"unix://{self.socket}"

    def write(self, programs: str) -> None:
        """Write the configuration anew with other programs; nothing is told to the daemon."""
        self.ini.write_text(self._frame() + programs, encoding="utf-8")

    def add_environment(self, variables: Mapping[str, str]) -> None:
        """Give the daemon more variables, from its next start on."""
        self._environment.update(variables)

    def _frame(self) -> str:
        """Return the sections that are the same for every test."""
        lock = ""
        if self._credentials:
            lock = "username={}\npassword={}\n".format(*self._credentials)
        inet = f"[inet_http_server]\nport=127.0.0.1:{self.port}\n{lock}" if self.port else ""
        return (
            f"[supervisord]\nlogfile={self.logfile}\npidfile={self.dir}/d.pid\n"
            f"childlogdir={self.dir}\n{self._settings}\n"
            f"[unix_http_server]\nfile={self.socket}\n{lock}{inet}"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl={self.server_url}\n{lock}\n"
        )

    def _transport(self) -> UnixTransport:
        headers = []
        if self._credentials:
            token = b64encode(":".join(self._credentials).encode()).decode()
            headers.append(("Authorization", f"Basic {token}"))
        return UnixTransport(self.socket, headers)

    # Start and end

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        try:
            self.start()
        except BaseException:
            self._end(show=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it, see that nothing is left, and show the log if the test has failed."""
        left = self._end(show=kind is not None)
        if kind is None and not self.may_leave:
            assert not left, f"left behind by the daemon: {left}"

    def start(self) -> None:
        """Start the daemon (again) and wait until its socket answers."""
        self._launch()
        self.wait(self._answers, self._start_timeout, "the daemon answers")

    def refuse(self) -> CtlResult:
        """Start a daemon that must end by itself; return what it said and its exit status."""
        self._launch()
        try:
            status = self.wait_end(30)
            return CtlResult(self.console(), status)
        finally:
            self._end(show=False)

    def _launch(self) -> None:
        command = [*self._prefix, str(BIN / PEERS[self.peer].daemon), "-n", "-c", str(self.ini)]
        environment = clean_environment({MARK: self._mark, **self._environment})
        with (self.dir / "console").open("ab") as console:
            self._popen = subprocess.Popen(
                [*command, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self.dir,
                env=environment,
            )

    def _answers(self) -> bool:
        if self.popen.poll() is not None:
            raise NotStartedError(f"ended with {self.popen.returncode}:\n{self.console()}")
        try:
            self.rpc.supervisor.getState()
        except (OSError, http.client.HTTPException):
            self.rpc("close")()
            return False
        except xmlrpc.client.Error:
            return True
        return True

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """The daemon's process as the harness started it."""
        assert self._popen is not None, "the daemon has not been started"
        return self._popen

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self.popen.pid

    @property
    def returncode(self) -> int | None:
        """How the daemon ended: None while it runs, negative for a signal."""
        return self.popen.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the daemon."""
        self.popen.send_signal(number)

    def terminate(self, timeout: float = 60) -> int:
        """Ask the daemon to shut down; return its exit status once it has ended."""
        if self.popen.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait_end(timeout)

    def wait_end(self, timeout: float = 60) -> int:
        """Return the daemon's exit status once it has ended by itself."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still alive after {timeout} s\n{self.log()}") from None

    def _end(self, *, show: bool) -> list[Found]:
        """End all there is; return what the daemon itself had left."""
        hung = False
        if self._popen is not None:
            try:
                self.terminate()
            except AssertionError:
                hung = True
        self.rpc("close")()
        left = marked_processes(self._mark)
        if show or hung or (left and not self.may_leave):
            print(self.report())
        self._kill_left()
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not hung, "the daemon did not end on SIGTERM: its log is above"
        return left

    def _kill_left(self) -> None:
        """Kill what carries our mark until nothing does: what it forks meanwhile carries it too."""

        def none_left() -> bool:
            found = marked_processes(self._mark)
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            return not found

        wait_until(none_left, what="everything the daemon left is killed")
        if self._popen is not None:
            self._popen.wait(10)

    # What it says

    def log(self) -> str:
        """Return the main log."""
        return self._read(self.logfile)

    def console(self) -> str:
        """Return what the daemon wrote to its stdout and stderr."""
        return self._read(self.dir / "console")

    def report(self) -> str:
        """Return what a failed test should show."""
        left = "\n".join(f"{pid} {command}" for pid, command in self.processes())
        return (
            f"--- {self.peer} in {self.dir}\n--- console\n{self.console()[-SHOWN:]}"
            f"--- log\n{self.log()[-SHOWN:]}--- processes\n{left}\n---"
        )

    def messages(self) -> list[str]:
        """Return the main log's lines without their time stamps, `LEVL text` each."""
        stamp = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")
        return [stamp.sub("", line) for line in self.log().splitlines()]

    @staticmethod
    def _read(path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def processes(self) -> list[Found]:
        """Return the live processes that descend from the daemon, without itself."""
        own = self._popen.pid if self._popen else 0
        return [found for found in marked_processes(self._mark) if found.pid != own]

    def info(self, name: str) -> dict[str, Any]:
        """Return the RPC's struct of one process."""
        info: Any = self.rpc.supervisor.getProcessInfo(name)
        assert isinstance(info, dict)
        return info

    def state(self, name: str) -> str:
        """Return the name of a process's state."""
        return str(self.info(name)["statename"])

    def pid_of(self, name: str) -> int:
        """Return the pid of a process's child, 0 when there is none."""
        return int(self.info(name)["pid"])

    # Waiting

    def wait(
        self, predicate: Callable[[], object], timeout: float = 20, what: str = "condition"
    ) -> Any:
        """Return the first true value of `predicate`; fail with the log after `timeout` s."""
        try:
            return wait_until(predicate, timeout, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.report()}") from None

    def wait_state(self, name: str, *states: str, timeout: float = 20) -> str:
        """Return the state of a process as soon as it is one of `states`."""
        seen: list[str] = []

        def reached() -> str | None:
            seen.append(self.state(name))
            return seen[-1] if seen[-1] in states else None

        try:
            state: str = self.wait(reached, timeout, f"{name} is one of {states}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nlast state of {name}: {seen[-1:]}") from None
        return state

    def wait_log(self, text: str, timeout: float = 20) -> str:
        """Return the first line of the main log that holds `text`, as soon as there is one."""

        def seen() -> str | None:
            return next((line for line in self.log().splitlines() if text in line), None)

        line: str = self.wait(seen, timeout, f"{text!r} in the log")
        return line

    # The client

    def run_ctl(
        self,
        *words: str,
        peer: str | None = None,
        options: Sequence[str] | None = None,
        stdin: str | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a client against this daemon.

        Args:
            words: The command and its arguments.
            peer: Whose client; the daemon's own unless given.
            options: In place of `-c FILE`.
            stdin: What it reads; nothing unless given.
            timeout: Seconds until it must have ended.
        """
        client = str(BIN / PEERS[peer or self.peer].client)
        options = ["-c", str(self.ini)] if options is None else options
        return subprocess.run(
            [client, *options, *words],
            check=False,
            input=stdin or "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            env=clean_environment(),
            cwd=self.dir,
        )

    def ctl(self, *words: str, peer: str | None = None, timeout: float = 60) -> CtlResult:
        """Run a client's command; return its standard output and exit status."""
        done = self.run_ctl(*words, peer=peer, timeout=timeout)
        return CtlResult(done.stdout, done.returncode)
