"""One queue of facts, one owner: handle, execute, sleep until the next deadline."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sdsuper.config.diff import Changes
from sdsuper.config.model import Config, DaemonConfig, GroupConfig
from sdsuper.core.facts import Fact
from sdsuper.core.manager import Manager
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.values import Instant, Namespec


class Daemon:
    """The running daemon: the only owner of a Manager. All calls are made from its loop.

    Attributes:
        manager: The core. Others read it (`state`, `groups`, `processes`), never change it.
        config: The configuration as read last (what `avail` and `add` look at).
        settings: [supervisord] as in force since the start; a reread does not change it.
        log: The daemon's own log.
        server_url: What children get as SUPERVISOR_SERVER_URL, None without a server.
    """

    manager: Manager
    config: Config
    settings: DaemonConfig
    log: OwnLog
    server_url: str | None

    def now(self) -> Instant:
        """Return the present moment on both clocks."""
        raise NotImplementedError

    def submit(self, fact: Fact) -> None:
        """Handle a fact and all that follows from it at once (a spawn has happened on return)."""
        raise NotImplementedError

    async def until(self, done: Callable[[], bool], watch: Collection[Namespec]) -> None:
        """Return when `done()`; it is asked after each change of a process in `watch`."""
        raise NotImplementedError

    def reread(self) -> Changes:
        """Read the configuration again and compare it with the active groups.

        Raises:
            ConfigError: It does not load; nothing has changed.
        """
        raise NotImplementedError

    def add_group(self, config: GroupConfig) -> None:
        """Make a group active; its autostart programs start at once."""
        raise NotImplementedError

    def remove_group(self, name: str) -> None:
        """Forget a group, all of whose processes must be in STOPPED_STATES."""
        raise NotImplementedError

    def request_shutdown(self) -> None:
        """Begin the ordered shutdown."""
        raise NotImplementedError

    def request_restart(self) -> None:
        """Validate the configuration, then stop everything and start anew.

        Raises:
            ConfigError: It does not load; nothing has changed.
        """
        raise NotImplementedError

    def check_command(self, name: Namespec) -> None:
        """Look the command up as a start would.

        Raises:
            CommandNotFound, CommandNotExecutable: with the text operators see.
        """
        raise NotImplementedError

    def log_path(self, name: Namespec, channel: str) -> str | None:
        """Return the path of a process's "stdout" or "stderr" log, None where it has none."""
        raise NotImplementedError

    def clear_logs(self, name: Namespec) -> None:
        """Truncate both logs of a process, running or not. Raises OSError."""
        raise NotImplementedError

    def write_stdin(self, name: Namespec, data: bytes) -> None:
        """Queue bytes for a child's stdin.

        Raises:
            BrokenPipeError: It has no stdin, or closed it.
            BufferError: More than 1 MiB is waiting already.
        """
        raise NotImplementedError
