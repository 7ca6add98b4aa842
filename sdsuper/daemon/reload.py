"""Read the configuration again and say what it would change."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sdsuper.config.diff import Changes, diff
from sdsuper.config.model import Config, GroupConfig
from sdsuper.daemon import setup
from sdsuper.errors import ConfigError, UsageError
from sdsuper.values import Level

TOLD_MAX = 10
"""How many problems of one reading are told; `config check` tells all."""


def refusal(error: UsageError) -> list[str]:
    """Return what the log says of a configuration that is not used: file, line, what is wrong."""
    details = error.details if isinstance(error, ConfigError) else (str(error),)
    lines = [f"configuration refused: {detail}" for detail in details[:TOLD_MAX]]
    if len(details) > TOLD_MAX:
        more = len(details) - TOLD_MAX
        lines.append(f"configuration refused: {more} more, see `sdsuperd config check`")
    return lines


class Source:
    """Where the configuration comes from; the same file and command line each time.

    Args:
        read: Reads it anew; raises UsageError where it cannot be used. An attribute, too.
        first: What was read at the start.

    Attributes:
        config: What was read last.
        next: What a restart will use, None before `prepare_restart`.
    """

    def __init__(self, read: Callable[[], Config], first: Config) -> None:
        self.read = read
        self.config = first
        self.next: Config | None = None

    def prepare_restart(self, report: Callable[[Level, str], None]) -> None:
        """Read what the daemon after this one will use, before anything is stopped for it.

        Raises:
            UsageError: It does not load, or `strict` refuses it; the log says where. Or it names a
                user whom we, who have given up root, cannot become.
        """
        config = self._read_or_tell(report)
        setup.refuse_other_user(config.daemon.user)
        self.next = config

    def _read_or_tell(self, report: Callable[[Level, str], None]) -> Config:
        try:
            return self.read()
        except UsageError as error:
            for line in refusal(error):
                report(Level.ERROR, line)
            raise

    def reread(
        self, active: Iterable[GroupConfig], report: Callable[[Level, str], None]
    ) -> Changes:
        """Read it, keep it, and compare it with the active groups.

        Raises:
            UsageError: It does not load, or `strict` refuses it; what was read last is kept,
                and the log says where.
        """
        self.config = self._read_or_tell(report)
        for note in self.config.notes:
            if note.level >= Level.WARN:
                report(note.level, note.message)
        return diff(active, self.config.groups)
