"""What systemd does for a daemon with Type=notify and a store of descriptors, in a small process.

    python fake_systemd.py DIRECTORY -- COMMAND...

It starts the command with a NOTIFY_SOCKET, keeps what comes with FDSTORE=1, forgets what
FDSTOREREMOVE=1 names, and starts the command anew, with all that is stored, whenever a signal has
ended it. It is a child subreaper, so that what the dead daemon leaves is reaped at once, as by
PID 1. In DIRECTORY it writes `pid` (of the command, anew each time), and `notify.log`: all that it
was told, a message a line, `started N` for each start, and `stored` with what is in the store.

It ends when the command exits by itself, or on SIGTERM, with which it ends the command.
"""

from __future__ import annotations

import array
import ctypes
import os
import select
import signal
import socket
import sys
from pathlib import Path

FIRST_FD = 3
FDS_MAX = 253


class Systemd:
    def __init__(self, directory: Path, command: list[str]) -> None:
        self.directory = directory
        self.command = command
        self.stored: list[tuple[str, int]] = []
        self.log = (directory / "notify.log").open("a", buffering=1)
        self.address = str(directory / "notify.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.starts = 0
        self.pid = 0

    def run(self) -> int:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        woken, wake = socket.socketpair()
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(self.pid, signal.SIGTERM))
        self.start()
        while True:
            select.select([self.socket, woken], [], [])
            self.listen()  # before a death is noticed, as PID 1 does
            if woken in select.select([woken], [], [], 0)[0]:
                woken.recv(4096)
            while (ended := self.reap()) is not None:
                pid, status = ended
                if pid != self.pid:
                    continue
                self.listen()
                if not os.WIFSIGNALED(status):
                    return os.waitstatus_to_exitcode(status)
                if (self.directory / "stay-down").exists():
                    (self.directory / "down").touch()
                    self.wait_to_go_on()
                self.start()

    def wait_to_go_on(self) -> None:
        """Stay down as long as a file asks for it, and reap meanwhile."""
        while (self.directory / "stay-down").exists():
            self.reap()
            select.select([], [], [], 0.005)
        (self.directory / "down").unlink()

    @staticmethod
    def reap() -> tuple[int, int] | None:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        return (pid, status) if pid else None

    def listen(self) -> None:
        while self.socket in select.select([self.socket], [], [], 0)[0]:
            data, ancillary, _, _ = self.socket.recvmsg(
                65536, socket.CMSG_SPACE(FDS_MAX * 4), socket.MSG_CMSG_CLOEXEC
            )
            fds = array.array("i")
            for _, kind, payload in ancillary:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(payload[: len(payload) - len(payload) % 4])
            self.take(data.decode(errors="replace").splitlines(), list(fds))

    def take(self, lines: list[str], fds: list[int]) -> None:
        fields = dict(line.partition("=")[::2] for line in lines)
        name = fields.get("FDNAME", "stored")
        if "FDSTORE" in fields:
            self.stored += [(name, fd) for fd in fds]
        elif "FDSTOREREMOVE" in fields:
            for each in [each for each in self.stored if each[0] == name]:
                self.stored.remove(each)
                os.close(each[1])
        else:
            for fd in fds:
                os.close(fd)
        for line in lines:
            self.log.write(line + "\n")
        self.log.write(f"stored {' '.join(sorted(name for name, _ in self.stored))}\n")

    def start(self) -> None:
        self.starts += 1
        self.log.write(f"started {self.starts}\n")
        self.pid = os.fork()
        if self.pid == 0:
            self.become()
        temporary = self.directory / "pid.new"
        temporary.write_text(f"{self.pid}\n")
        temporary.rename(self.directory / "pid")

    def become(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        environment = dict(os.environ)
        environment["NOTIFY_SOCKET"] = self.address
        environment["SYSTEMD_EXEC_PID"] = str(os.getpid())
        # The order says nothing: systemd's own flips.
        passed = self.stored[:: -1 if self.starts % 2 else 1]
        high = [os.dup(fd) for _, fd in passed]
        high = [fd if fd > FIRST_FD + len(high) else os.dup(fd) for fd in high]
        while any(fd < FIRST_FD + len(high) for fd in high):
            high = [os.dup(fd) if fd < FIRST_FD + len(high) else fd for fd in high]
        for target, fd in enumerate(high, FIRST_FD):
            os.dup2(fd, target, inheritable=True)
        if passed:
            environment["LISTEN_PID"] = str(os.getpid())
            environment["LISTEN_FDS"] = str(len(passed))
            environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in passed)
        os.closerange(FIRST_FD + len(high), 65536)
        os.execve(self.command[0], self.command, environment)


if __name__ == "__main__":
    directory, separator, *command = sys.argv[1:]
    assert separator == "--"
    sys.exit(Systemd(Path(directory), command).run())
