"""Signals to the daemon -> what it does: one row each."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol

from sdsuper.core.history import Requester, Via
from sdsuper.core.states import ManagerState
from sdsuper.values import Level, signal_name


class Target(Protocol):
    """The part of the daemon that signals act on."""

    def report(self, level: Level, message: str) -> None:
        """Write to the daemon's log."""

    def request_shutdown(self, by: Requester) -> None:
        """Begin the ordered shutdown."""

    def restart_if_valid(self, by: Requester) -> None:
        """Begin a restart unless the configuration does not load; tell the log if so."""

    def reopen_logs(self) -> None:
        """Open all log files anew."""

    def reexec_if_possible(self) -> None:
        """Let new code take this daemon's place, unless it refuses; tell the log if so."""

    def child_ended(self) -> None:
        """Collect ended children."""

    @property
    def state(self) -> ManagerState:
        """The state of the daemon."""


def _exit(target: Target, name: str) -> None:
    target.report(Level.WARN, f"received {name} indicating exit request")
    target.request_shutdown(Requester(Via.SIGNAL, name))


def _restart(target: Target, name: str) -> None:
    if target.state is ManagerState.SHUTDOWN:
        target.report(
            Level.WARN, f"ignored {name} indicating restart request (shutdown in progress)"
        )
        return
    target.report(Level.WARN, f"received {name} indicating restart request")
    target.restart_if_valid(Requester(Via.SIGNAL, name))


def _reopen(target: Target, name: str) -> None:
    target.report(Level.INFO, f"received {name} indicating log reopen request")
    target.reopen_logs()


def _reexec(target: Target, name: str) -> None:
    target.report(Level.INFO, f"received {name} indicating re-exec request")
    target.reexec_if_possible()


def _child(target: Target, name: str) -> None:
    target.report(Level.DEBUG, f"received {name} indicating a child quit")
    target.child_ended()


def _ignore(target: Target, name: str) -> None:
    target.report(Level.INFO, f"received {name}, which has no meaning here: ignored")


SIGREEXEC = signal.SIGRTMIN + 25
"""As systemd's own `daemon-reexec` has it; it has no name but its distance from SIGRTMIN."""

SIGNALS: dict[int, Callable[[Target, str], None]] = {
    signal.SIGTERM: _exit,
    signal.SIGINT: _exit,
    signal.SIGQUIT: _exit,
    signal.SIGHUP: _restart,
    signal.SIGUSR1: _ignore,
    signal.SIGUSR2: _reopen,
    signal.SIGCHLD: _child,
    SIGREEXEC: _reexec,
}


def _name(number: int) -> str:
    return "SIGRTMIN+25" if number == SIGREEXEC else signal_name(number)


def install(target: Target) -> None:
    """Let the running loop dispatch the signals; a handler runs as an ordinary callback."""
    loop = asyncio.get_running_loop()
    for number, act in SIGNALS.items():
        loop.add_signal_handler(number, act, target, _name(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def uninstall() -> None:
    """Give the signals back; the kernel holds them until the next loop takes them."""
    loop = asyncio.get_running_loop()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        loop.remove_signal_handler(number)
