from __future__ import annotations

import os
import pwd

import pytest

from sdsuper.config.model import Account
from sdsuper.daemon.identity import IdentityError, take_identity

NOBODY = pwd.getpwnam("nobody")
ACCOUNT = Account("nobody", NOBODY.pw_uid, NOBODY.pw_gid)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What would change the identity of this process, in order; nothing does."""
    made: list[tuple[str, object]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: made.append((name, value)))
    return made


def test_groups_that_only_a_directory_service_knows_count(
    calls: list[tuple[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getgrouplist", lambda _name, gid: [gid, 70001, 70002])
    take_identity(ACCOUNT)
    assert calls == [
        ("setgroups", [NOBODY.pw_gid, 70001, 70002]),
        ("setgid", NOBODY.pw_gid),
        ("setuid", NOBODY.pw_uid),
    ]


def test_who_is_not_root_cannot(
    calls: list[tuple[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 5)
    with pytest.raises(IdentityError, match=r"^Can't drop privilege as nonroot user$"):
        take_identity(ACCOUNT)
    assert calls == []


def test_an_account_that_is_gone(calls: list[tuple[str, object]]) -> None:
    with pytest.raises(IdentityError, match=r"^Can't find uid 4000000000$"):
        take_identity(Account("x", 4_000_000_000, 0))
    assert calls == []
