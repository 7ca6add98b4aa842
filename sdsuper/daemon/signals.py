"""Signals to the daemon -> what it does: one row each."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Protocol

from sdsuper import eventloop
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


class _Intake:
    """Takes signals for a running loop, however many come.

    Each signal writes a byte, which wakes the loop. Which signals came is remembered beside it,
    each once until it is acted on: so a storm of one kind takes the place of no other.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = eventloop.get_running_loop()
        self._arrived: set[int] = set()  # and not acted on yet

    def open(self) -> None:
        """Take signals from here on."""
        signal.set_wakeup_fd(self._loop.waker, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._arrive)
            signal.siginterrupt(number, False)

    def close(self) -> None:
        """Take no more."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)

    def _arrive(self, number: int, _frame: object) -> None:
        """Remember a signal; the interpreter calls this between any two lines of ours."""
        if number not in self._arrived:
            self._arrived.add(number)
            self._loop.call_soon(self._act, number)

    def _act(self, number: int) -> None:
        self._arrived.remove(number)
        SIGNALS[number](self._target, _name(number))


_intakes: list[_Intake] = []
"""The one that is open: signals are the process's, and so is this."""


def install(target: Target) -> None:
    """Let the running loop dispatch the signals; what they ask for is done as a callback of it."""
    intake = _Intake(target)
    intake.open()
    _intakes.append(intake)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def uninstall() -> None:
    """Give the signals back; the kernel holds them until the next loop takes them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    while _intakes:
        _intakes.pop().close()
