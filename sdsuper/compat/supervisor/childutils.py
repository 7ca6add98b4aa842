"""What event listeners are made from."""

# ruff: noqa: N802 - Supervisor's names
from __future__ import annotations

import sys
import time
import xmlrpc.client
from typing import TYPE_CHECKING, Any

from .xmlrpc import SupervisorTransport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO, TextIO

__all__ = [
    "EventListenerProtocol",
    "ProcessCommunicationsProtocol",
    "eventdata",
    "getRPCInterface",
    "getRPCTransport",
    "get_asctime",
    "get_headers",
    "listener",
    "pcomm",
]


def getRPCTransport(env: Mapping[str, str]) -> SupervisorTransport:
    """Return the way to the daemon that an environment names."""
    username = env.get("SUPERVISOR_USERNAME", "")
    password = env.get("SUPERVISOR_PASSWORD", "")
    return SupervisorTransport(username, password, env["SUPERVISOR_SERVER_URL"])


def getRPCInterface(env: Mapping[str, str]) -> xmlrpc.client.ServerProxy:
    """Return a proxy of the daemon that an environment names."""
    return xmlrpc.client.ServerProxy("http://127.0.0.1", getRPCTransport(env))


def get_headers(line: str) -> dict[str, str]:
    """Return the tokens of a header line."""
    return {name: value for name, _, value in (each.partition(":") for each in line.split())}


def eventdata(payload: str) -> tuple[dict[str, str], str]:
    """Return the tokens of a payload's first line, and what is behind it."""
    line, _, data = payload.partition("\n")
    return get_headers(line), data


def get_asctime(now: float | None = None) -> str:
    """Return a moment, the present one unless it is given, as the daemon's log writes it."""
    seconds = time.time() if now is None else now
    milliseconds = int((seconds - int(seconds)) * 1000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))},{milliseconds:03d}"


class ProcessCommunicationsProtocol:
    """Writes what becomes a PROCESS_COMMUNICATION event."""

    def send(self, msg: str | bytes, fp: TextIO | BinaryIO | None = None) -> None:
        """Write a message between the tokens that the daemon looks for."""
        out: Any = sys.stdout if fp is None else fp
        said = msg.decode() if isinstance(msg, bytes) else msg
        text = f"<!--XSUPERVISOR:BEGIN-->{said}<!--XSUPERVISOR:END-->"
        try:
            out.write(text)
        except TypeError:
            out.write(text.encode())
        out.flush()

    def stdout(self, msg: str | bytes) -> None:
        """Write a message to stdout."""
        self.send(msg, sys.stdout)

    def stderr(self, msg: str | bytes) -> None:
        """Write a message to stderr."""
        self.send(msg, sys.stderr)


pcomm = ProcessCommunicationsProtocol()


class EventListenerProtocol:
    """A listener's part of the talk with the daemon."""

    def wait(
        self, stdin: TextIO | None = None, stdout: TextIO | None = None
    ) -> tuple[dict[str, str], str]:
        """Say that we are ready, and return the headers and the payload of the next event."""
        source = sys.stdin if stdin is None else stdin
        self.ready(stdout)
        headers = get_headers(source.readline())
        return headers, source.read(int(headers["len"]))

    def ready(self, stdout: TextIO | None = None) -> None:
        """Ask for an event."""
        _write("READY\n", stdout)

    def ok(self, stdout: TextIO | None = None) -> None:
        """Say that the event is done."""
        self.send("OK", stdout)

    def fail(self, stdout: TextIO | None = None) -> None:
        """Refuse the event."""
        self.send("FAIL", stdout)

    def send(self, data: str, stdout: TextIO | None = None) -> None:
        """Answer an event."""
        _write(f"RESULT {len(data.encode())}\n{data}", stdout)


def _write(text: str, stdout: Any) -> None:
    out = sys.stdout if stdout is None else stdout
    out.write(text)
    out.flush()


listener = EventListenerProtocol()
