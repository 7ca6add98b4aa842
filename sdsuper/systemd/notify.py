"""What the daemon tells systemd: sd_notify(3). The texts are built purely; one class sends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sdsuper.core.process import Process
from sdsuper.core.states import ProcessState
from sdsuper.values import Instant, Namespec

READY = "READY=1"
STOPPING = "STOPPING=1"

_SHOWN_NAMES = 3
_REFRESH = 1.0
_REFRESH_LONG = 10.0
_LONG = 60.0


def reloading(monotonic_seconds: float) -> str:
    """Return the message that opens a reload; `READY=1` closes it.

    Args:
        monotonic_seconds: CLOCK_MONOTONIC now; systemd tells by it which reload is meant.
    """
    return f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_seconds * 1_000_000)}"


def status(text: str) -> str:
    """Return the message that sets the status line of `systemctl status`."""
    # A line of its own would be another message.
    return f"STATUS={' '.join(text.splitlines())}"


def extend_timeout(seconds: float) -> str:
    """Return the message that lets a start or stop under way take so much longer from now."""
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}"


def errno(number: int) -> str:
    """Return the message that names the error which ends the service."""
    return f"ERRNO={number}"


class Shown(NamedTuple):
    """What the status line shows of one process.

    Attributes:
        seconds: How long it has been in a state that it should leave soon, None for others.
    """

    name: Namespec
    state: ProcessState
    seconds: float | None = None

    def __str__(self) -> str:
        """The name, with the seconds from the first full one on."""
        if self.seconds is None or self.seconds < 1:
            return str(self.name)
        return f"{self.name} ({int(self.seconds)} s)"


def shown(process: Process, now: float) -> Shown:
    """Return what to show of a process at `now` (monotonic seconds)."""
    entered: Instant | None = None
    match process.state:
        case ProcessState.STARTING:
            entered = process.started
        case ProcessState.BACKOFF:
            last = process.last_exit
            failed_at_spawn = last is None or last.invocation != process.invocation
            entered = process.started if failed_at_spawn or last is None else last.at
        case ProcessState.STOPPING:
            entered = process.stop_sent or process.started
        case _:
            pass
    seconds = None if entered is None else max(0.0, now - entered.mono)
    return Shown(process.name, process.state, seconds)


def refresh_after(processes: Iterable[Shown]) -> float | None:
    """Return the seconds after which the line tells other seconds, None where it tells none.

    What has taken a minute is looked at less often.
    """
    seconds = [each.seconds for each in processes if each.seconds is not None]
    if not seconds:
        return None
    return _REFRESH if min(seconds) < _LONG else _REFRESH_LONG


def summary(processes: Iterable[Shown]) -> str:
    """Return one line on all processes: how many are running, and what is not as it should be.

    For example `12 running, 1 starting: kubelet (8 s), 1 FATAL: proxy`.
    """
    by_state: dict[ProcessState, list[Shown]] = {}
    for each in processes:
        by_state.setdefault(each.state, []).append(each)
    parts = [f"{len(by_state.get(ProcessState.RUNNING, ()))} running"]
    parts.extend(
        f"{len(by_state[state])} {label}: {_listed(by_state[state])}"
        for state, label in _TOLD
        if state in by_state
    )
    parts.extend(
        f"{len(by_state[state])} {state.name.lower()}"
        for state in (ProcessState.STOPPED, ProcessState.EXITED)
        if state in by_state
    )
    return ", ".join(parts)


def waiting(what: str, processes: Sequence[Shown]) -> str:
    """Return one line on an end under way, and on what it waits for.

    For example `shutting down, waiting for 2: web (3 s), db`.
    """
    if not processes:
        return what
    return f"{what}, waiting for {len(processes)}: {_listed(processes)}"


def _listed(processes: Sequence[Shown]) -> str:
    more = ", ..." if len(processes) > _SHOWN_NAMES else ""
    return ", ".join(map(str, processes[:_SHOWN_NAMES])) + more


_TOLD = (
    (ProcessState.STARTING, "starting"),
    (ProcessState.STOPPING, "stopping"),
    (ProcessState.BACKOFF, "in back-off"),
    (ProcessState.FATAL, "FATAL"),
    (ProcessState.UNKNOWN, "UNKNOWN"),
)


class Notifier:
    """Sends messages to the socket that NOTIFY_SOCKET names; silent where there is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._notifier = None
        if environ.get("NOTIFY_SOCKET"):
            import sdnotify

            notifier = sdnotify.SystemdNotifier()
            if notifier.socket is not None:
                # A full queue of PID 1 must not hold the loop; the next message says it anew.
                notifier.socket.setblocking(False)
                os.set_inheritable(notifier.socket.fileno(), False)
                self._notifier = notifier

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""
        return self._notifier is not None

    def send(self, *messages: str) -> None:
        """Send the messages in one datagram. Never raises."""
        if self._notifier is not None:
            # The library encodes as Latin-1 and drops what does not fit; systemd expects UTF-8.
            text = "\n".join(messages).encode(errors="replace").decode("latin-1")
            self._notifier.notify(text)

    def send_descriptor(self, message: str, fd: int) -> bool:
        """Send a message with a descriptor; return whether it went out. Never raises."""
        return self.send_descriptors(message, (fd,))

    def send_descriptors(self, message: str, fds: Sequence[int], patience: float = 0.0) -> bool:
        """Send a message with descriptors; return whether it went out. Never raises.

        Args:
            message: The message.
            fds: The descriptors.
            patience: Seconds to wait at most while the queue of PID 1 is full.
        """
        if self._notifier is None or self._notifier.socket is None:
            return False
        sock = self._notifier.socket
        try:
            sock.settimeout(patience)
            socket.send_fds(sock, [message.encode()], fds)
        except OSError:
            return False
        finally:
            sock.settimeout(0.0)
        return True

    def close(self) -> None:
        """Close the socket."""
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()
            self._notifier = None
