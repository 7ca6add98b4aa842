"""What is refused before anything is stopped for it."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from sdsuper.config.model import Account, Config, DaemonConfig
from sdsuper.daemon.reload import Source
from sdsuper.errors import UsageError

CONFIG = Config(
    file="d.conf",
    here="/",
    daemon=DaemonConfig(logfile=None),
    groups=(),
    servers=(),
    rpcinterfaces=(),
)


def as_user(uid: int | None) -> Config:
    account = None if uid is None else Account(str(uid), uid, uid)
    return replace(CONFIG, daemon=replace(CONFIG.daemon, user=account))


@pytest.mark.parametrize(
    ("ours", "wanted", "works"),
    [(0, 7, True), (7, 7, True), (7, None, True), (7, 8, False), (7, 0, False)],
)
def test_who_is_no_longer_root_can_become_nobody_else(
    monkeypatch: pytest.MonkeyPatch, ours: int, wanted: int | None, works: bool
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: ours)
    monkeypatch.setattr(os, "geteuid", lambda: ours)
    config = as_user(wanted)
    source = Source(lambda: config, CONFIG)
    if works:
        source.prepare_restart(lambda *_: None)
        assert source.next is config
        return
    with pytest.raises(UsageError, match="nonroot"):
        source.prepare_restart(lambda *_: None)
    assert source.next is None
