"""The daemon as a service: when it is up, what its status line says, whether it needs more time.

What is known to be right is decided elsewhere, from plain values: who is waited for and what fails
a start (`core.readiness`), whether anything moves (`core.progress`), the words (`systemd.notify`).
Here is when it is said: after changes, several told as one, and again only while a process is
in a state that it should leave soon. An idle daemon is not woken.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sdsuper import eventloop
from sdsuper.config.model import Ready
from sdsuper.core import progress
from sdsuper.core.events import Event
from sdsuper.core.manager import Manager
from sdsuper.core.process import Process
from sdsuper.core.readiness import Failure, HeldReadiness, Readiness
from sdsuper.core.states import ManagerState
from sdsuper.daemon.heartbeat import Heartbeat
from sdsuper.dataclass import dataclass
from sdsuper.handover.codec import Plain, codec_of
from sdsuper.systemd import notify, watchdog
from sdsuper.systemd.notify import Shown
from sdsuper.systemd.watchdog import Health
from sdsuper.values import Level, Namespec

_PAUSE = 0.2
"""Seconds between a change and its status line; bursts of changes are told as one."""

_REFRESH_MAX = 10.0
"""Seconds after which more time is asked for again at the latest."""


@dataclass(frozen=True, slots=True)
class HeldService:
    """What is handed on of a daemon as a service.

    Attributes:
        up: Whether it was told that it is up.
        start: How far the start has come that somebody waits for, None where nobody does.
    """

    up: bool
    start: HeldReadiness | None = None


SERVICE = "service"
SERVICE_CODEC = codec_of(HeldService)


class Service:
    """What is told of the daemon to whoever started it.

    Args:
        manager: The core, which is only looked at.
        ready: The policy.
        notifier: The way to systemd.
        report: Writes to the daemon's log.
        shut_down: Begins the ordered shutdown.
        up: Whether a daemon before this one, in the same process, has been up: this one is a
            restart, which nobody waits for and which therefore does not fail.

    Attributes:
        up: Whether it was told that the daemon is up.
        failure: Why the start failed, None while it has not.
        on_up: Called when the daemon is up.
        on_held: Called when a record for a successor has changed, with what makes it.
    """

    up: bool
    failure: Failure | None
    on_up: Callable[[], None]
    on_held: Callable[[str, Callable[[], Plain]], None]

    def __init__(
        self,
        manager: Manager,
        ready: Ready,
        notifier: notify.Notifier,
        report: Callable[[Level, str], None],
        shut_down: Callable[[], None],
        *,
        up: bool,
    ) -> None:
        self.up = up
        self.failure = None
        self.on_up = lambda: None
        self.on_held = lambda key, export: None
        self._manager = manager
        self._ready = ready
        self._notifier = notifier
        self._report = report
        self._shut_down = shut_down
        self._start: Readiness | None = None
        self._timer: eventloop.TimerHandle | None = None
        self._heartbeat: Heartbeat | None = None
        self._choosing: eventloop.Handle | None = None
        self._started = False
        self._resumed = False

    # --- what a successor needs ---------------------------------------------------------------

    def export(self) -> Mapping[str, Plain]:
        """Return whether the daemon is up, and how far its start has come where it is not."""
        return {SERVICE: self._held()}

    def _held(self) -> Plain:
        held = None if self._start is None else self._start.held()
        return SERVICE_CODEC.encode(HeldService(self.up, held))

    def descriptors(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}

    def resume(self, held: HeldService, health: Callable[[], Health]) -> None:
        """Go on as an earlier daemon was; everything else has been restored."""
        self._resumed = True
        self.up = held.up
        self._beat(health)
        if not self.up and self._ready is Ready.RUNNING:
            self._start = Readiness()
            self._start.restore(held.start or HeldReadiness())
            self._start.choose(self._manager.processes)

    def making_way(self) -> None:
        """A successor is about to take the place of this daemon."""
        self._tell(notify.reloading(time.monotonic()))

    def staying(self) -> None:
        """No successor takes the place of this daemon after all."""
        self._tell(*((notify.READY,) if self.up else ()))

    # --- life ---------------------------------------------------------------------------------

    def starting(self, health: Callable[[], Health]) -> None:
        """Everything is set up, and nothing was started yet.

        Args:
            health: Looks at the daemon, for the watchdog.
        """
        self._beat(health)
        awaited = not self.up or self._notifier.enabled
        if self._ready is Ready.RUNNING and awaited:
            self._start = Readiness()
            self._start.choose(self._manager.processes)

    def _beat(self, health: Callable[[], Health]) -> None:
        period = watchdog.period(os.environ, os.getpid())
        if period is not None and self._notifier.enabled:
            self._heartbeat = Heartbeat(period, self._notifier, health, self._report)

    def started(self) -> None:
        """Everything that starts by itself was started, or is gone on with; clients are served.

        Nobody is told before that the daemon is up, however fast its programs are.
        """
        self._started = True
        if self._ending:
            if self._resumed:
                self.end_resumed()
            return
        if self._ready is Ready.STARTED or (self._resumed and self.up):
            self._tell_up()
        elif self._start is not None:
            self._settle()
        self._tell_soon()

    def end_resumed(self) -> None:
        """An earlier daemon has begun to stop everything: tell it anew."""
        if self._manager.state is ManagerState.SHUTDOWN:
            self.stopping()
        else:
            self.restarting()

    def restarting(self) -> None:
        """Everything is being stopped in order to be started anew."""
        self._start = None
        first = (notify.reloading(time.monotonic()),) if self.up else ()
        self._tell(*first)

    def stopping(self) -> None:
        """The end has begun. There must be no way back."""
        self._start = None
        failed = (notify.errno(errno.ESRCH),) if self.failure is not None else ()
        self._tell(notify.STOPPING, *failed)

    def close(self) -> None:
        """Fall silent. What the daemon still has to write may take a moment."""
        self._tell(notify.extend_timeout(progress.MARGIN))
        if self._heartbeat is not None:
            self._heartbeat.close()
        for handle in (self._timer, self._choosing):
            if handle is not None:
                handle.cancel()

    # --- what happened ------------------------------------------------------------------------

    def saw(self, event: Event) -> None:
        """Take an event into account, in the order of events."""
        if self._start is not None:
            self._start.saw(event)

    def changed(self, names: Iterable[Namespec]) -> None:
        """Look at processes that changed; all that followed from it has been handled."""
        if self._start is not None and not self._ending:
            processes = self._manager.processes
            found = [self._start.look(processes[name]) for name in names if name in processes]
            self._judge(failure for failure in found if failure is not None)
            self.on_held(SERVICE, self._held)
            if self._choosing is None:
                self._settle()
        self._tell_soon()

    def groups_changed(self) -> None:
        """Work out anew who is waited for: in a moment, when all groups of a change are there."""
        if self._start is not None:
            self._start.forget_gone(self._manager.processes)
            if self._choosing is None:
                self._choosing = eventloop.get_running_loop().call_soon(self._choose)

    def _choose(self) -> None:
        self._choosing = None
        if self._start is not None and not self._ending:
            self._judge(self._start.choose(self._manager.processes))
            self._settle()

    def _judge(self, failures: Iterable[Failure]) -> None:
        for failure in failures:
            if self.up:
                self._report(Level.CRITICAL, f"required process {failure}; the others go on")
            else:
                self._report(Level.CRITICAL, f"the start failed: required process {failure}")
                self.failure = self.failure or failure

    def _settle(self) -> None:
        """Draw the consequences: the daemon is up, or its start has failed."""
        if self.failure is not None:
            self._shut_down()
        elif self._started and self._start is not None and not self._start.waiting:
            self._tell_up()

    def _tell_up(self) -> None:
        self._start = None
        self.up = True
        self.on_held(SERVICE, self._held)
        self._tell(notify.READY)
        self.on_up()

    # --- the status line ----------------------------------------------------------------------

    @property
    def _ending(self) -> bool:
        return self._manager.state in (ManagerState.SHUTDOWN, ManagerState.RESTARTING)

    def _tell_soon(self) -> None:
        self._schedule(_PAUSE)

    def _schedule(self, seconds: float | None) -> None:
        """See to it that the line is told within some seconds."""
        if seconds is None or not self._notifier.enabled:
            return
        loop = eventloop.get_running_loop()
        if self._timer is not None:
            if self._timer.when <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._tell)

    def _tell(self, *first: str) -> None:
        """Send the status line, and ask for more time where something moves.

        Args:
            first: Messages in front of it.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._notifier.enabled:
            return
        now = time.monotonic()
        told, waited_for = self._processes()
        shown = [notify.shown(process, now) for process in told]
        more = progress.more_time(waited_for, now)
        extension = () if more is None else (notify.extend_timeout(more),)
        held = self._start is not None and more is None
        self._notifier.send(*first, notify.status(self._line(shown, held=held)), *extension)
        self._schedule(notify.refresh_after(shown))
        if more is not None:
            self._schedule(_REFRESH_MAX)
        elif held and self.up:
            self._report(Level.WARN, "the restart is over, though not all required programs run")
            self._tell_up()

    def _processes(self) -> tuple[Collection[Process], Collection[Process]]:
        """Return the processes to tell of, and those that a start or an end waits for."""
        manager = self._manager
        if self._ending:
            waited_for = manager.waited_for()
            return waited_for, waited_for
        waiting = self._start.waiting if self._start is not None else ()
        return manager.processes.values(), [manager.processes[name] for name in waiting]

    def _end(self) -> str:
        if self.failure is not None:
            return f"start failed: {self.failure}"
        restarting = self._manager.state is ManagerState.RESTARTING
        return "restarting" if restarting else "shutting down"

    def _line(self, shown: Sequence[Shown], *, held: bool) -> str:
        if self.failure is not None or self._ending:
            return notify.waiting(self._end(), shown)
        line = notify.summary(shown)
        if held and self._start is not None:
            return f"{line}; the start waits for {', '.join(sorted(map(str, self._start.waiting)))}"
        return line
