"""What lives in a cgroup is ended: SIGTERM, some grace, `cgroup.kill`, until nothing is there.

A cgroup holds all that descends from a process, whatever it has done to get away: by fork, by
setsid(2), without its environment, and as a child of anybody. The kernel tells when the last one
is gone (`populated 0` in cgroup.events), so nothing is polled and nothing is guessed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence

from sdsuper import eventloop
from sdsuper.daemon import proctable
from sdsuper.systemd.cgroup import Cgroup, keyed
from sdsuper.values import Level

Report = Callable[[Level, str], None]

_KILL = "cgroup.kill"
_KILL_AGAIN_AFTER = 0.05
"""Seconds between two rounds of SIGKILL, where the kernel refuses to kill the cgroup as a whole."""

_AT_ONCE = 100
"""Processes that are signalled with one look at where they are; each takes a descriptor."""

_NAMED_MAX = 20
_READ_BYTES = 4096
_PATIENCE = 5.0


class Watch:
    """Tells when a cgroup is empty; its descriptor becomes readable when it may have become so.

    Raises:
        OSError: There is no such cgroup.
    """

    def __init__(self, cgroup: Cgroup) -> None:
        self._events = os.open(f"{cgroup.path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            # The file itself counts as readable at any time; only its change is exceptional.
            self._epoll = select.epoll(1)
            self._epoll.register(self._events, select.EPOLLPRI)
        except OSError:
            os.close(self._events)
            raise

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._epoll.fileno()

    def is_empty(self) -> bool:
        """Whether nothing lives in the cgroup or below it; the next change is told anew."""
        try:
            text = os.pread(self._events, _READ_BYTES, 0)
        except OSError:  # ENODEV: it was removed, and only an empty one can be
            return True
        return keyed(text.decode()).get("populated") != "1"

    def wait(self, seconds: float) -> bool:
        """Block until it is empty, at most for some seconds; return whether it is."""
        deadline = time.monotonic() + seconds
        while not self.is_empty():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._epoll.poll(left)
        return True

    def close(self) -> None:
        """Watch no longer."""
        self._epoll.close()
        os.close(self._events)


class Emptying:
    """Ends what lives in the cgroup of a process whose main process is gone.

    Args:
        cgroup: The cgroup.
        name: Of the process, for the log.
        pid: Its main process had.
        grace: Seconds between SIGTERM and SIGKILL.
        report: Writes to the daemon's log.
        done: Called once, when nothing is left; not at once.
    """

    def __init__(
        self,
        cgroup: Cgroup,
        name: str,
        pid: int,
        grace: float,
        report: Report,
        done: Callable[[], None],
    ) -> None:
        self._cgroup = cgroup
        self._whose = f"what '{name}' ({pid}) left behind"
        self._report = report
        self._done = done
        self._watch = Watch(cgroup)
        loop = eventloop.get_running_loop()
        loop.add_reader(self._watch.fileno(), self._changed)
        self._timer = loop.call_later(grace, self._kill)
        ask_to_end(cgroup, lambda left: report(Level.WARN, f"ending {self._whose}: {left}"))

    def _changed(self) -> None:
        if self._watch.is_empty():
            self.close()
            self._done()

    def _kill(self) -> None:
        left = named(self._cgroup.all_pids())
        if left:
            self._report(Level.WARN, f"killing {self._whose} with SIGKILL: {left}")
        self._kill_all()

    def _kill_all(self) -> None:
        if not kill(self._cgroup):
            loop = eventloop.get_running_loop()
            self._timer = loop.call_later(_KILL_AGAIN_AFTER, self._kill_all)

    def close(self) -> None:
        """Stop; what lives goes on."""
        eventloop.get_running_loop().remove_reader(self._watch.fileno())
        self._watch.close()
        self._timer.cancel()


def end(cgroup: Cgroup, grace: float, whose: str, report: Report) -> None:
    """End what lives in a cgroup and below it, and return when it is gone.

    What does not go within some seconds of its SIGKILL is told and given up.

    Args:
        cgroup: The cgroup.
        grace: Seconds between SIGTERM and SIGKILL.
        whose: What is ended, for the log.
        report: Writes to the daemon's log.
    """
    try:
        watch = Watch(cgroup)
    except OSError:
        return
    with contextlib.closing(watch):
        if watch.is_empty():
            return
        ask_to_end(cgroup, lambda left: report(Level.WARN, f"ending {whose}: {left}"))
        if watch.wait(grace):
            return
        report(Level.WARN, f"killing {whose} with SIGKILL: {named(cgroup.all_pids())}")
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            rest = deadline - time.monotonic()
            if watch.wait(rest if kill(cgroup) else min(rest, _KILL_AGAIN_AFTER)):
                return
        report(Level.CRITICAL, f"cannot end {whose}: {named(cgroup.all_pids())}")


def ask_to_end(cgroup: Cgroup, tell: Callable[[str], None]) -> None:
    """Send SIGTERM to what lives in a cgroup and below it.

    Args:
        cgroup: The cgroup.
        tell: Called with what is there, before it is signalled, unless nothing is.
    """
    pids = cgroup.all_pids()
    left = named(pids)
    if not left:
        return
    tell(left)
    # Frozen or stopped processes do not act on SIGTERM before they go on.
    for each in [*cgroup.below(), cgroup]:
        each.thaw()
    for start in range(0, len(pids), _AT_ONCE):
        _signal(cgroup, pids[start : start + _AT_ONCE], (signal.SIGTERM, signal.SIGCONT))


def kill(cgroup: Cgroup) -> bool:
    """Send SIGKILL to what lives in a cgroup and below it; return whether that reached all.

    The kernel refuses it for a cgroup that was made threaded; there each process is signalled,
    and one that is born meanwhile is missed.
    """
    try:
        cgroup.write(_KILL, "1")
    except OSError:
        pids = cgroup.all_pids()
        for start in range(0, len(pids), _AT_ONCE):
            _signal(cgroup, pids[start : start + _AT_ONCE], (signal.SIGKILL,))
        return False
    return True


def _signal(cgroup: Cgroup, pids: Sequence[int], numbers: Iterable[signal.Signals]) -> None:
    """Signal processes of a cgroup, and none that has taken the pid of one meanwhile.

    A process that lives, that a pidfd was opened for, and that is still in the cgroup after that
    is the one that is meant: nobody else can have had its pid in between.
    """
    opened = {}
    try:
        for pid in pids:
            with contextlib.suppress(OSError):  # it is gone
                opened[pid] = os.pidfd_open(pid)
        still = set(cgroup.all_pids())
        for pid, pidfd in opened.items():
            if pid in still:
                for number in numbers:
                    with contextlib.suppress(
                        OSError
                    ):  # gone, or another user's: SIGKILL reaches it
                        signal.pidfd_send_signal(pidfd, number)
    finally:
        for pidfd in opened.values():
            os.close(pidfd)


def named(pids: Sequence[int]) -> str:
    """Return the names of processes, for the log; "" where all are gone."""
    entries = [entry for entry in map(proctable.look_up, pids[:_NAMED_MAX]) if entry is not None]
    text = ", ".join(str(entry) for entry in entries if not entry.zombie)
    more = len(pids) - _NAMED_MAX
    return f"{text} and {more} more" if more > 0 else text
