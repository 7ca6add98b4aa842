"""Read the configuration again and say what it would change."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sdsuper.config.diff import Changes, diff
from sdsuper.config.model import Config, GroupConfig
from sdsuper.values import Level


class Source:
    """Where the configuration comes from; the same file and command line each time.

    Args:
        read: Reads it anew; raises UsageError where it cannot be used.
        first: What was read at the start.

    Attributes:
        config: What was read last.
        next: What a restart will use, None before `prepare_restart`.
    """

    def __init__(self, read: Callable[[], Config], first: Config) -> None:
        self._read = read
        self.config = first
        self.next: Config | None = None

    def prepare_restart(self) -> None:
        """Read what the daemon after this one will use, before anything is stopped for it.

        Raises:
            UsageError: It does not load, or `strict` refuses it.
        """
        self.next = self._read()

    def reread(
        self, active: Iterable[GroupConfig], report: Callable[[Level, str], None]
    ) -> Changes:
        """Read it, keep it, and compare it with the active groups.

        Raises:
            UsageError: It does not load, or `strict` refuses it; what was read last is kept.
        """
        self.config = self._read()
        for note in self.config.notes:
            if note.level >= Level.WARN:
                report(note.level, note.message)
        return diff(active, self.config.groups)
