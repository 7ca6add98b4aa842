"""The queue of facts: whatever one of them does, the others are handled."""

from __future__ import annotations

import errno
from pathlib import Path
from unittest.mock import patch

import pytest

from sdsuper import eventloop
from sdsuper.config.model import Config, DaemonConfig
from sdsuper.core.actions import Action, Log
from sdsuper.core.facts import Fact, GroupRemoved, StartRequested
from sdsuper.daemon import reexec
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.loop import Daemon, End
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.daemon.reload import Source
from sdsuper.errors import HandoverError
from sdsuper.systemd.notify import Notifier
from sdsuper.values import Instant, Level, Namespec


def opened_log(path: Path) -> OwnLog:
    log = OwnLog(level=Level.INFO, path=str(path), maxbytes=0, backups=0, echo=False, syslog=False)
    log.open()
    return log


def config_in(folder: Path) -> Config:
    return Config(
        file="d.conf",
        here=str(folder),
        daemon=DaemonConfig(logfile=None),
        groups=(),
        servers=(),
        rpcinterfaces=(),
    )


def test_a_defect_about_one_fact_is_told_and_spares_the_others(tmp_path: Path) -> None:
    path = tmp_path / "d.log"
    log, config = opened_log(path), config_in(tmp_path)

    async def scenario() -> None:
        daemon = Daemon(Source(lambda: config, config), log, Notifier({}), DescriptorLimit(), None)

        def handle(fact: Fact, now: Instant) -> list[Action]:
            if isinstance(fact, StartRequested):
                daemon.submit(GroupRemoved("next"))  # as an answer that comes meanwhile
                raise RuntimeError("a defect")
            return [Log(Level.INFO, f"handled {fact}")]

        with patch.object(daemon.manager, "handle", handle):
            daemon.submit(StartRequested(Namespec("g", "p")))
        daemon.close()

    eventloop.run(scenario())
    log.close()
    written = path.read_text()
    assert "CRIT unexpected error about StartRequested" in written
    assert "RuntimeError: a defect" in written
    assert "handled GroupRemoved(group='next')" in written


class Told(Notifier):
    """Keeps what systemd is told."""

    def __init__(self) -> None:
        super().__init__({})
        self.messages: list[str] = []

    @property
    def enabled(self) -> bool:
        return True

    def send(self, *messages: str) -> None:
        self.messages += messages


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (RuntimeError("a defect"), "unexpected error"),
    ],
)
def test_whatever_goes_wrong_when_new_code_is_asked_ends_the_reload(
    tmp_path: Path, error: Exception, told: str
) -> None:
    path = tmp_path / "d.log"
    log, config, systemd = opened_log(path), config_in(tmp_path), Told()

    async def scenario() -> None:
        daemon = Daemon(Source(lambda: config, config), log, systemd, DescriptorLimit(), None)
        daemon.start()
        daemon.announce()
        systemd.messages.clear()
        asked = patch.object(reexec, "ask", side_effect=error)
        with asked, pytest.raises(HandoverError, match=told):
            await daemon.make_way()
        daemon.close()

    eventloop.run(scenario())
    log.close()
    first = [each.partition("\n")[0] for each in systemd.messages]
    assert first.index("RELOADING=1") < first.index("READY=1")
    assert "CRIT re-exec refused, everything goes on as it was" in path.read_text()


def test_a_shutdown_that_ends_while_a_successor_cannot_be_executed_is_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "d.log"
    log, config = opened_log(path), config_in(tmp_path)
    nowhere = reexec.Command("/no/such/file", ("sdsuperd",), ())

    async def scenario() -> End:
        daemon = Daemon(
            Source(lambda: config, config), log, Notifier({}), DescriptorLimit(), None,
            command=nowhere,
        )  # fmt: skip
        daemon.start()
        daemon.announce()
        with patch.object(reexec, "ask"):
            await daemon.make_way()
        assert await daemon.finished() is End.SUCCESSION
        daemon.request_shutdown()
        daemon.succeed({}, {})
        try:
            with eventloop.timeout(20):
                return await daemon.finished()
        finally:
            daemon.close()

    assert eventloop.run(scenario()) is End.STOP
    log.close()
    assert "re-exec failed" in path.read_text()
