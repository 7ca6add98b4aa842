"""The daemon's own log: Supervisor's lines to the file."""

from __future__ import annotations

from sdsuper.values import Level


class OwnLog:
    """Writes `YYYY-MM-DD HH:MM:SS,mmm LEVL message` to the file (rotated), stdout or syslog.

    Attributes:
        level: The least severe level that is written.
        path: The file's path, None where the log is not a file.
    """

    level: Level
    path: str | None

    def log(self, level: Level, message: str) -> None:
        """Write one message. Never raises: a log that cannot be written must harm nothing."""
        raise NotImplementedError

    def reopen(self) -> None:
        """Close and open the file again (after outside rotation)."""
        raise NotImplementedError

    def clear(self) -> None:
        """Delete the file and open it anew."""
        raise NotImplementedError

    def close(self) -> None:
        """Flush and close."""
        raise NotImplementedError
