"""The queue of facts: whatever one of them does, the others are handled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import patch

from sdsuper.config.model import Config, DaemonConfig
from sdsuper.core.actions import Action, Log
from sdsuper.core.facts import Fact, GroupRemoved, StartRequested
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.daemon.reload import Source
from sdsuper.systemd.notify import Notifier
from sdsuper.values import Instant, Level, Namespec


def test_a_defect_about_one_fact_is_told_and_spares_the_others(tmp_path: Path) -> None:
    path = tmp_path / "d.log"
    log = OwnLog(level=Level.INFO, path=str(path), maxbytes=0, backups=0, echo=False, syslog=False)
    log.open()
    config = Config(
        file="d.conf",
        here=str(tmp_path),
        daemon=DaemonConfig(logfile=None),
        groups=(),
        servers=(),
        rpcinterfaces=(),
    )

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

    asyncio.run(scenario())
    log.close()
    written = path.read_text()
    assert "CRIT unexpected error about StartRequested" in written
    assert "RuntimeError: a defect" in written
    assert "handled GroupRemoved(group='next')" in written
