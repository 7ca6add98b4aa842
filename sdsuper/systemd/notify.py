"""What the daemon tells systemd: sd_notify(3). The texts are built purely; one class sends."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping

from sdsuper.core.states import ProcessState
from sdsuper.values import Namespec

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"

_SHOWN_NAMES = 3


def reloading(monotonic_seconds: float) -> str:
    """Return the message that opens a reload; `READY=1` closes it.

    Args:
        monotonic_seconds: CLOCK_MONOTONIC now; systemd tells by it which reload is meant.
    """
    return f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_seconds * 1_000_000)}"


def status(text: str) -> str:
    """Return the message that sets the status line of `systemctl status`."""
    return f"STATUS={text}"


def extend_timeout(seconds: float) -> str:
    """Return the message that lets a start or stop under way take so much longer from now."""
    return f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}"


def summary(states: Iterable[tuple[Namespec, ProcessState]]) -> str:
    """Return one line on all processes: how many are running, and what is not as it should be.

    For example `12 running, 1 starting: kubelet, 1 FATAL: proxy`.
    """
    names: dict[ProcessState, list[str]] = {}
    counts: Counter[ProcessState] = Counter()
    for name, state in states:
        counts[state] += 1
        if counts[state] <= _SHOWN_NAMES:
            names.setdefault(state, []).append(str(name))
    parts = [f"{counts[ProcessState.RUNNING]} running"]
    for state, label in _TOLD:
        if counts[state]:
            more = ", ..." if counts[state] > _SHOWN_NAMES else ""
            parts.append(f"{counts[state]} {label}: {', '.join(names[state])}{more}")
    parts.extend(
        f"{counts[state]} {state.name.lower()}"
        for state in (ProcessState.STOPPED, ProcessState.EXITED)
        if counts[state]
    )
    return ", ".join(parts)


_TOLD = (
    (ProcessState.STARTING, "starting"),
    (ProcessState.STOPPING, "stopping"),
    (ProcessState.BACKOFF, "in back-off"),
    (ProcessState.FATAL, "FATAL"),
    (ProcessState.UNKNOWN, "UNKNOWN"),
)


def watchdog_period(environ: Mapping[str, str], pid: int) -> float | None:
    """Return the seconds within which systemd wants a ping, None where it wants none.

    Source: sd_watchdog_enabled(3).
    """
    try:
        period = int(environ["WATCHDOG_USEC"])
        meant_for = int(environ.get("WATCHDOG_PID", pid))
    except (KeyError, ValueError):
        return None
    return period / 1_000_000 if period > 0 and meant_for == pid else None


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

    def close(self) -> None:
        """Close the socket."""
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.close()
            self._notifier = None
