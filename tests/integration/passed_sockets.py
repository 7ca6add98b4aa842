"""A program that serves the sockets it was passed, as sd_listen_fds(3) tells it to.

Each connection, or datagram, is answered with one line of JSON on who serves it. A SIGTERM waits
until what was accepted is answered.
"""

import json
import os
import select
import signal
import socket

TERM = {signal.SIGTERM}


def passed() -> dict[socket.socket, str]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise SystemExit("LISTEN_PID is not ours")
    names = os.environ["LISTEN_FDNAMES"].split(":")
    count = int(os.environ["LISTEN_FDS"])
    if len(names) != count:
        raise SystemExit("as many names as descriptors")
    return {socket.socket(fileno=3 + number): name for number, name in enumerate(names)}


def main() -> None:
    sockets = passed()
    fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
    while True:
        ready, _, _ = select.select(list(sockets), [], [])
        signal.pthread_sigmask(signal.SIG_BLOCK, TERM)
        for each in ready:
            who = {
                "pid": os.getpid(),
                "uid": os.getuid(),
                "pgid": os.getpgid(0),
                "name": sockets[each],
                "address": each.getsockname(),
                "blocking": os.get_blocking(each.fileno()),
                "fds": fds,
            }
            answer = json.dumps(who).encode() + b"\n"
            if each.type == socket.SOCK_DGRAM:
                _, peer = each.recvfrom(100)
                each.sendto(answer, peer)
                continue
            try:
                each.setblocking(False)
                connection, _ = each.accept()
            except BlockingIOError:  # another process of ours took it
                continue
            finally:
                each.setblocking(True)
            with connection:
                connection.sendall(answer)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TERM)


main()
