"""What is kept stays small, and systemd is seldom told, however often a program starts anew."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest

from sdsuper.daemon.handover import Keeper
from sdsuper.handover import box, store
from sdsuper.systemd.notify import Notifier
from sdsuper.values import Level


class Systemd(Notifier):
    """Keeps the latest snapshot and box, and counts what it is told."""

    def __init__(self) -> None:
        super().__init__({})
        self.told = 0
        self.snapshot: list[int] = []
        self.ends: list[int] = []

    @property
    def enabled(self) -> bool:
        return True

    def send(self, *messages: str) -> None:
        self.told += len(messages)

    def send_descriptors(self, message: str, fds: Sequence[int], patience: float = 0.0) -> bool:
        self.told += 1
        kept = self.snapshot if len(fds) == 1 else self.ends
        forget(kept)
        kept += map(os.dup, fds)
        return True

    def close(self) -> None:
        forget(self.snapshot)
        forget(self.ends)


def forget(fds: list[int]) -> None:
    while fds:
        os.close(fds.pop())


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    made = Systemd()
    yield made
    made.close()


def refuse(level: Level, message: str) -> None:
    raise AssertionError(message)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_it_does_not_grow_with_restarts(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_GARBAGE_MIN", 4096)
    monkeypatch.setattr(box, "GARBAGE_MAX", 40)
    keeper = Keeper(refuse, systemd, enabled=True)
    keeper.begin()
    open_then, told_then = open_descriptors(), systemd.told
    restarts, largest, most = 1000, 0, 0
    for number in range(restarts):
        ends = os.pipe()
        keeper.changed(f"invocation/{number}", lambda: {"mark": "m" * 50})
        keeper.hold_all({f"{number}/stdin": ends[1], f"{number}/stdout": ends[0]})
        keeper.flush()
        keeper.changed("process/p", lambda: {"state": "RUNNING", "text": "x" * 100})
        keeper.flush()
        largest = max(largest, os.fstat(systemd.snapshot[0]).st_size)
        if number % 7 == 0:
            found = box.read(systemd.ends)
            most = max(most, len(found))
            forget(list(found.values()))
        for name, fd in zip(("stdout", "stdin"), ends, strict=True):
            keeper.drop(f"{number}/{name}")
            os.close(fd)
        keeper.gone(f"invocation/{number}")
    assert largest < 3 * 4096
    assert 4 < most <= 2 * 2 + 40 + 2
    assert open_descriptors() == open_then
    assert systemd.told - told_then < restarts / 4
    keeper.forget()
