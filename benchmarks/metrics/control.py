"""What clients wait for."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from benchmarks.metrics.fleet import Fleet
from benchmarks.metrics.registry import Scope, Turn, metric
from benchmarks.peers.base import environment
from benchmarks.worker import NotMeasuredError, WrongResultError

_STATUS_SECONDS = 60
_CALLS = {
    "getAllProcessInfo": b"<methodCall><methodName>supervisor.getAllProcessInfo</methodName>"
    b"<params></params></methodCall>",
}
_REQUEST = (
    b"POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
_MOST_CALLS = 5000


@metric("status", Scope.FLEET, most=5000)
def status(turn: Turn, fleet: Fleet) -> None:
    """The command that shows all processes, from its start to its end."""
    commands = {"status": fleet.peer.status(fleet.programs[:1])}
    try:
        if by_pip := fleet.peer.status_by_pip():
            commands["status, pip"] = by_pip
    except NotMeasuredError as error:
        turn.skip(error)
    deadline = time.monotonic() + turn.effort.seconds
    for number in range(turn.effort.samples):
        if number and time.monotonic() > deadline:
            return
        for name, command in commands.items():
            _status(turn, fleet, name, command)


def _status(turn: Turn, fleet: Fleet, name: str, command: Sequence[str]) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, check=False, encoding="utf-8",
        env=environment(), timeout=_STATUS_SECONDS,
    )  # fmt: skip
    turn.add(name, "ms", (time.monotonic() - begun) * 1000)
    shown = fleet.peer.count_running(done.stdout)
    if shown < fleet.count:
        raise WrongResultError(f"{name} shows {shown} of {fleet.count}: {done.stderr[-500:]}")


@metric("rpc", Scope.FLEET, once=True)
def rpc(turn: Turn, fleet: Fleet) -> None:
    """Calls in a second, one after the other, over one connection if the daemon keeps it."""
    path = fleet.peer.rpc_socket
    if path is None:
        raise NotMeasuredError("it has no XML-RPC")
    for name, body in _CALLS.items():
        with _Caller(path, body) as caller:
            answer = caller.call()
            found = answer.count(b"<struct>")
            if found < fleet.count:
                raise WrongResultError(f"{name} answers {found} of {fleet.count} processes")
            calls = 0
            begun = time.monotonic()
            while calls < _MOST_CALLS and time.monotonic() - begun < turn.effort.seconds / 2:
                caller.call()
                calls += 1
            turn.add(f"{name} with", "calls/s", calls / (time.monotonic() - begun))


class _Caller:
    """Sends one request again and again; does not look into the answers, which takes longer."""

    def __init__(self, path: Path, body: bytes) -> None:
        self._path = path
        self._request = _REQUEST % (len(body), body)
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def call(self) -> bytes:
        """Return the body of the answer."""
        connection = self._socket or socket.socket(socket.AF_UNIX)
        if self._socket is None:
            connection.settimeout(_STATUS_SECONDS)
            connection.connect(str(self._path))
            self._socket = connection
        connection.sendall(self._request)
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._receive(connection)
        head = bytes(data[:end]).lower()
        size = int(head.partition(b"content-length:")[2].split()[0])
        while len(data) < end + 4 + size:
            data += self._receive(connection)
        if b"connection: close" in head:
            connection.close()
            self._socket = None
        return bytes(data[end + 4 :])

    @staticmethod
    def _receive(connection: socket.socket) -> bytes:
        data = connection.recv(1 << 18)
        if not data:
            raise NotMeasuredError("the daemon closed the connection before it had answered")
        return data
