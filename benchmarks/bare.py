"""The least that a supervisor in Python can do: no states, no configuration, no log to speak of.

What this takes is the floor beneath us, measured beside us. It is no supervisor to be used.

    python -I -S bare.py FOLDER        run the programs of FOLDER/bare.json until SIGTERM
    python -I -S bare.py FOLDER status ask it what it runs
"""

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys

PIPE_BYTES = 1 << 20
FEW_BYTES = PIPE_BYTES // 2
PAUSE_SECONDS = 0.001  # a busy pipe fills while nobody reads: fewer, larger reads
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b"
MEMBERS = 16  # of the struct that a supervisor answers for each process
MEMBER = "<member><name>name</name><value><string>w_00000</string></value></member>"


class Bare:
    """One epoll with everything in it."""

    def __init__(self, folder: str, programs: list[tuple[list[str], str]]) -> None:
        self.programs = programs
        self.epoll = select.epoll()
        self.children: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}
        self.pipes: dict[int, int] = {}
        self.clients: dict[int, socket.socket] = {}
        self.buffer = bytearray(PIPE_BYTES)
        self.muted: list[int] = []
        self.up = True
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(folder, "sock"))
        self.listener.listen()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.wakeup, written = socket.socketpair()
        written.setblocking(False)
        signal.set_wakeup_fd(written.fileno())
        self.written = written
        signal.signal(signal.SIGTERM, lambda *_: None)
        self.epoll.register(self.wakeup, select.EPOLLIN)
        self.answer = self._canned()
        for number in range(len(programs)):
            self.spawn(number)

    def _canned(self) -> bytes:
        one = f"<value><struct>{MEMBER * MEMBERS}</struct></value>"
        body = f"<methodResponse><params><param><value><array><data>{one * len(self.programs)}"
        body += "</data></array></value></param></params></methodResponse>"
        return ANSWER % (len(body), body.encode())

    def spawn(self, number: int) -> None:
        """Start a program; its output goes through a pipe of ours to its file."""
        words, log = self.programs[number]
        stdout = subprocess.DEVNULL
        if log:
            reader, stdout = os.pipe()
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self.pipes[reader] = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self.epoll.register(reader, select.EPOLLIN)
        child = subprocess.Popen(words, stdout=stdout, close_fds=False, start_new_session=True)
        if log:
            os.close(stdout)
        pidfd = os.pidfd_open(child.pid)
        self.children[pidfd] = number, child
        self.epoll.register(pidfd, select.EPOLLIN)

    def run(self) -> None:
        """Serve until all has ended."""
        while self.up or self.children:
            timeout = PAUSE_SECONDS if self.muted else None
            events = self.epoll.poll(timeout)
            while self.muted:
                self.epoll.modify(self.muted.pop(), select.EPOLLIN)
            for fd, _ in events:
                if fd in self.children:
                    self.reap(fd)
                elif fd in self.pipes:
                    self.pump(fd)
                elif fd in self.clients:
                    self.serve(fd)
                elif fd == self.wakeup.fileno():
                    self.stop()
                else:
                    client, _ = self.listener.accept()
                    self.clients[client.fileno()] = client
                    self.epoll.register(client, select.EPOLLIN)

    def stop(self) -> None:
        """Ask all to end."""
        self.up = False
        for _, child in self.children.values():
            child.terminate()

    def reap(self, pidfd: int) -> None:
        """Start again what ended."""
        number, child = self.children.pop(pidfd)
        child.wait()
        os.close(pidfd)
        if self.up:
            self.spawn(number)

    def pump(self, reader: int) -> None:
        """Write what a pipe has to its file; let it fill if that was little."""
        view = memoryview(self.buffer)
        count = os.readv(reader, [self.buffer])
        if not count:
            self.epoll.unregister(reader)
            os.close(reader)
            os.close(self.pipes.pop(reader))
        elif count < FEW_BYTES:
            self.epoll.modify(reader, 0)
            self.muted.append(reader)
        written = 0
        while written < count:
            written += os.write(self.pipes[reader], view[written:count])

    def serve(self, fd: int) -> None:
        """Answer a request, whatever it is."""
        client = self.clients[fd]
        asked = client.recv(65536)
        if not asked:
            self.epoll.unregister(fd)
            self.clients.pop(fd).close()
        elif asked == b"status":
            client.sendall(b"".join(b"w_%05d RUNNING\n" % n for n in range(len(self.programs))))
            client.shutdown(socket.SHUT_WR)
        else:
            client.sendall(self.answer)


def status(folder: str) -> None:
    """Print what a running one answers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.path.join(folder, "sock"))
        client.sendall(b"status")
        while data := client.recv(65536):
            os.write(1, data)


def main(folder: str, *words: str) -> None:
    """Be the one or the other."""
    if words:
        status(folder)
        return
    with open(os.path.join(folder, "bare.json"), encoding="utf-8") as file:
        programs = json.load(file)
    Bare(folder, programs).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
