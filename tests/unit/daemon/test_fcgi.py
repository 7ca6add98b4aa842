"""Sockets of fcgi-programs in directories that others may write to."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdsuper.config.model import FcgiSocketConfig
from sdsuper.daemon.fcgi import FcgiSockets
from tests.unit.core.builders import group_config

if TYPE_CHECKING:
    import pytest


def test_a_link_in_the_place_of_the_file_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mode is there from the beginning: to set it later would follow the link."""
    path, other = tmp_path / "s", tmp_path / "other"
    other.touch(mode=0o600)
    seen: list[int] = []

    def chown_and_swap(name: str, *_: object, **__: Any) -> None:
        seen.append(stat.S_IMODE(os.lstat(name).st_mode))
        os.unlink(name)
        os.symlink(other, name)

    monkeypatch.setattr(os, "chown", chown_and_swap)
    url = f"unix://{path}"
    config = FcgiSocketConfig(url=url, owner=(os.geteuid(), os.getegid()), mode=0o770)
    sockets = FcgiSockets(lambda *_: None)
    sockets.add(replace(group_config("php"), sockets={"php": config}))
    assert seen == [0o770]
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    assert path.is_symlink()  # it is not ours to remove
