"""What systemd does for a service that is killed, for tests that cannot boot one each.

    systemd_double.py STATE COMMAND...

runs COMMAND as a service of `Type=notify` with `FileDescriptorStoreMax=` and `Restart=on-failure`:
it takes the messages of sd_notify(3) with the descriptors that come with them, keeps those
(FDSTORE, FDSTOREREMOVE, names), and passes them to the next process when the daemon is killed.
It is the reaper of orphans, as PID 1 is. SIGTERM is handed on to the daemon, which then stays down;
the double ends with its status. STATE is a file of JSON that says what is known, replaced at each
change: pid, starts, ready (how often READY=1 came), reloading, status, stored (names).

`Machine` is the other side: a daemon of the harness that runs under it.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.integration.harness import Daemon, wait_until

_SUBREAPER = 36
_RESTART_SECONDS = 0.1


class SystemdDouble:
    """One service."""

    def __init__(self, state: Path, command: Sequence[str]) -> None:
        self._state = state
        self._command = command
        self._store: list[tuple[str, int]] = []
        self._stopping = False
        self.known: dict[str, Any] = {
            "pid": 0, "starts": 0, "ready": 0, "reloading": 0, "status": "", "stored": []
        }  # fmt: skip
        address = state.with_suffix(".notify")
        address.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._address = address
        self._directory = state.with_suffix(".run")
        self._directory.mkdir(exist_ok=True)

    def run(self) -> int:
        """Keep the service up until it ends by itself or is told to; return its exit status."""
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._start()
        while True:
            ready, _, _ = select.select([self._socket.fileno(), wake], [], [])
            if self._socket.fileno() in ready:
                self._receive()
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                status = self._reap()
                if status is None:
                    continue
                self._receive()
                if self._stopping or status == 0:
                    return status
                time.sleep(_RESTART_SECONDS)
                self._start()

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self._stopping = True
            os.kill(self.known["pid"], number)

    def _start(self) -> None:
        fds = [fd for _, fd in self._store]
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(self._address),
            "RUNTIME_DIRECTORY": str(self._directory),
        }
        if fds:
            environment["LISTEN_FDS"] = str(len(fds))
            environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in self._store)
        pid = os.fork()
        if pid == 0:
            try:
                _become(self._command, environment, fds)
            finally:
                os._exit(127)
        self.known["pid"] = pid
        self.known["starts"] += 1
        self._tell()

    def _receive(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(
                    65536, socket.CMSG_SPACE(253 * 4), socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                return
            fds = array.array("i")
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
            self._take(dict(_assignments(data.decode())), list(fds))
            self._tell()

    def _take(self, message: Mapping[str, str], fds: Sequence[int]) -> None:
        name = message.get("FDNAME", "stored")
        if message.get("FDSTORE") == "1":
            for fd in fds:
                os.set_inheritable(fd, False)
                self._store.append((name, fd))
        else:
            for fd in fds:
                os.close(fd)
        if message.get("FDSTOREREMOVE") == "1":
            for each in [each for each in self._store if each[0] == name]:
                os.close(each[1])
                self._store.remove(each)
        self.known["ready"] += message.get("READY") == "1"
        self.known["reloading"] += message.get("RELOADING") == "1"
        self.known["status"] = message.get("STATUS", self.known["status"])

    def _tell(self) -> None:
        self.known["stored"] = [name for name, _ in self._store]
        fresh = self._state.with_suffix(".new")
        fresh.write_text(json.dumps(self.known))
        fresh.rename(self._state)

    def _reap(self) -> int | None:
        """Reap all that has ended; return the daemon's exit status if it is among them."""
        found = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            if pid == self.known["pid"]:
                found = os.waitstatus_to_exitcode(status)


def _become(command: Sequence[str], environment: Mapping[str, str], fds: Sequence[int]) -> None:
    signal.set_wakeup_fd(-1)
    high = [os.dup2(fd, 1000 + index, inheritable=False) for index, fd in enumerate(fds)]
    for index, fd in enumerate(high):
        os.dup2(fd, 3 + index, inheritable=True)
    os.closerange(3 + len(fds), 2000)
    own = {**environment, "LISTEN_PID": str(os.getpid())} if fds else environment
    os.execve(command[0], tuple(command), own)


def _assignments(text: str) -> list[tuple[str, str]]:
    pairs = (line.partition("=") for line in text.splitlines())
    return [(name, value) for name, separator, value in pairs if separator]


class Machine(Daemon):
    """A daemon under the double; `kill` is what a crash is."""

    def __init__(self, programs: str = "", **given: Any) -> None:
        super().__init__(programs, **given)
        double = "tests.integration.systemd_double"
        self._prefix = (sys.executable, "-m", double, str(self.state_file))
        self.add_environment({"PYTHONPATH": str(Path(__file__).parents[2])})

    @property
    def state_file(self) -> Path:
        """What the double says."""
        return self.dir / "double"

    def known(self) -> dict[str, Any]:
        """Return what the double knows of the service."""
        known: dict[str, Any] = json.loads(self.state_file.read_text())
        return known

    @property
    def main_pid(self) -> int:
        """The pid of the daemon itself."""
        return int(self.known()["pid"])

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Kill the daemon, and wait until its successor answers."""
        before = self.known()
        os.kill(before["pid"], number)
        wait_until(lambda: self.known()["starts"] > before["starts"], what="it is started again")
        wait_until(lambda: self.known()["ready"] > before["ready"], what="it is up again")
        self.rpc("close")()


if __name__ == "__main__":
    sys.exit(SystemdDouble(Path(sys.argv[1]), sys.argv[2:]).run())
