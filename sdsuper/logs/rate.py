"""How many lines a process may send to the journal, and what is said of the others."""

from __future__ import annotations

import time
from collections.abc import Callable

from sdsuper.config.model import Rate
from sdsuper.logs.held import HeldRate
from sdsuper.logs.journal import JOURNAL, Journal, fields
from sdsuper.logs.origin import Origin

SUPPRESSED_ID = "a2dfb57c58d24a9fba21f3fcd0dfcd7a"
"""MESSAGE_ID of the entry that tells of suppressed lines, for good."""

_WARNING = 4  # syslog(3)


class Window:
    """So many lines in each interval, the first of which begins with a line. Pure.

    Args:
        rate: How many.

    Attributes:
        ends: The monotonic second at which the present interval is over.
        left: Lines that may still go out in it.
        suppressed: Lines that were refused and are not told yet; whoever tells counts down.
    """

    def __init__(self, rate: Rate) -> None:
        self.ends = float("-inf")
        self.left = 0
        self.suppressed = 0
        self._rate = rate

    def admit(self, now: float) -> bool:
        """Return whether one more line may go out.

        Args:
            now: Monotonic seconds.
        """
        if now >= self.ends:
            self.ends = now + self._rate.seconds
            self.left = self._rate.lines
        if self.left:
            self.left -= 1
            return True
        self.suppressed += 1
        return False


class LineFilter:
    """Leaves out lines; one that has begun is not cut. Pure.

    Args:
        admit: Asked at the beginning of each line that is not empty.

    Attributes:
        passes: Whether the line that has begun does, None where none has.
    """

    def __init__(self, admit: Callable[[], bool]) -> None:
        self._admit = admit
        self.passes: bool | None = None

    def feed(self, data: bytes) -> bytes:
        """Return what may pass."""
        *lines, tail = data.split(b"\n")
        kept = []
        for line in lines:
            passes = self.passes
            if passes is None:
                passes = not line or self._admit()
            self.passes = None
            if passes:
                kept.append(line + b"\n")
        if tail:
            if self.passes is None:
                self.passes = self._admit()
            if self.passes:
                kept.append(tail)
        return b"".join(kept)

    def flush(self) -> None:
        """The stream has ended: what comes next begins a line."""
        self.passes = None


class LogRate:
    """The rate of one process, both channels together, and the entry that tells of the rest.

    It is told when the interval is over, or the output; where nothing was suppressed nothing is
    told, and nobody is woken up.

    Args:
        rate: How many lines.
        origin: The process; its pid and invocation are those of its latest writer.
        journal: The way there.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        rate: Rate,
        origin: Origin,
        journal: Journal = JOURNAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._origin = origin
        self._journal = journal
        self._clock = clock
        self._window = Window(rate)
        self._reminded_at = float("-inf")

    def admit(self, writer: Origin) -> bool:
        """Return whether one more line may go out.

        Args:
            writer: Whose line it is.
        """
        window, now = self._window, self._clock()
        if window.suppressed and now >= window.ends:
            self.tell()
        self._origin.pid, self._origin.invocation = writer.pid, writer.invocation
        admitted = window.admit(now)
        if not admitted and self._reminded_at < window.ends:
            self._reminded_at = window.ends
            self._journal.remind(window.ends, self.tell)
        return admitted

    def held(self) -> HeldRate | None:
        """Return how far the interval is used up; None before the first line."""
        window, origin = self._window, self._origin
        if window.ends == float("-inf"):
            return None
        return HeldRate(window.ends, window.left, window.suppressed, origin.pid, origin.invocation)

    def restore(self, held: HeldRate) -> None:
        """Go on from there; what is to be told is, when the interval is over."""
        window = self._window
        window.ends, window.left, window.suppressed = held.ends, held.left, held.suppressed
        self._origin.pid, self._origin.invocation = held.pid, held.invocation
        if held.suppressed:
            self._journal.remind(held.ends, self.tell)

    def tell(self) -> None:
        """Tell how many lines were suppressed, if any were."""
        if not self.send_waiting(1):
            self._journal.await_turn(self)

    def send_waiting(self, limit: int) -> bool:
        """Send the entry if there is something to tell; return whether that is done."""
        count = self._window.suppressed
        if count and not self._journal.send(self._entry(count)):
            return False
        self._window.suppressed -= count
        return True

    def _entry(self, count: int) -> bytes:
        origin = self._origin
        return fields(
            (
                (
                    "MESSAGE",
                    f"Suppressed {count} messages of {origin.process} (log_rate={self._rate})",
                ),
                ("MESSAGE_ID", SUPPRESSED_ID),
                ("PRIORITY", _WARNING),
                ("N_DROPPED", count),
                ("SYSLOG_IDENTIFIER", origin.process),
                ("SYSLOG_PID", origin.pid),
                ("SDSUPER_PROGRAM", origin.program),
                ("SDSUPER_GROUP", origin.group),
                ("SDSUPER_PROCESS", origin.process),
                ("SDSUPER_INVOCATION", origin.invocation),
            )
        )
