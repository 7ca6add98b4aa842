"""What is kept for a successor, whatever PID 1 does and whatever goes wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import pytest

from sdsuper.daemon.handover import Keeper
from sdsuper.errors import HandoverError
from sdsuper.handover import store as stores
from sdsuper.handover.codec import Plain
from sdsuper.systemd.notify import Notifier
from sdsuper.values import Level


class Systemd(Notifier):
    """Keeps what it is given: name -> descriptors. `deaf`: its queue is full."""

    def __init__(self) -> None:
        super().__init__({})
        self.deaf = False
        self.asked = 0
        self.stored: dict[str, list[int]] = {}

    @property
    def enabled(self) -> bool:
        return True

    def send(self, *messages: str) -> None:
        if self.deaf:
            return
        for message in messages:
            if message.startswith("FDSTOREREMOVE=1\n"):
                for fd in self.stored.pop(message.partition("FDNAME=")[2], []):
                    os.close(fd)

    def send_descriptors(self, message: str, fds: Sequence[int], patience: float = 0.0) -> bool:
        self.asked += 1
        if not self.deaf:
            name = message.partition("FDNAME=")[2].partition("\n")[0]
            self.stored[name] = [os.dup(fd) for fd in fds]
        return not self.deaf


class Part:
    def export(self) -> Mapping[str, Plain]:
        return {"part": 1}

    def descriptors(self) -> Mapping[str, int]:
        return {}


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    made = Systemd()
    yield made
    made.deaf = False
    for name in list(made.stored):
        made.send(f"FDSTOREREMOVE=1\nFDNAME={name}")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def keeper(systemd: Systemd, told: list[str]) -> Iterator[Keeper]:
    def report(level: Level, text: str) -> None:
        told.append(f"{level.name} {text}")

    made = Keeper(report, systemd, enabled=True)
    made.register(Part())
    made.begin()
    yield made
    made.forget()


def records(systemd: Systemd) -> dict[str, Plain]:
    (name,) = [each for each in systemd.stored if each.startswith("handover-")]
    return stores.read(systemd.stored[name][0], stores.boot_id()).records


def change(keeper: Keeper, number: int) -> None:
    keeper.changed("big", lambda: f"{number}" * 10_000)
    keeper.flush()


def test_memory_stays_bounded_however_much_changes(keeper: Keeper, systemd: Systemd) -> None:
    for number in range(1000):
        change(keeper, number % 10)
        keeper.hold("fd", 0)
    # Ten times as much was written.
    assert sum(os.fstat(fds[0]).st_size for fds in systemd.stored.values()) < 1_000_000
    assert len(systemd.stored) == 2
    assert records(systemd)["big"] == "9" * 10_000


def test_a_deaf_pid_1_is_not_waited_for_at_each_turn(
    keeper: Keeper, systemd: Systemd, told: list[str]
) -> None:
    systemd.deaf = True
    before = systemd.asked
    for number in range(1000):
        change(keeper, number % 10)
        keeper.hold("fd", 0)
    assert systemd.asked - before < 20
    assert told == []
    systemd.deaf = False
    size_then = os.fstat(systemd.stored["handover-1"][0]).st_size
    for number in range(1000):
        change(keeper, number % 10)
    assert records(systemd)["big"] == "9" * 10_000
    assert sum(os.fstat(fds[0]).st_size for fds in systemd.stored.values()) < size_then


def test_an_unexpected_error_ends_the_recording_and_nothing_else(
    keeper: Keeper, systemd: Systemd, told: list[str]
) -> None:
    keeper.changed("odd", lambda: {1, 2})
    keeper.flush()
    assert not keeper.recording
    assert len(told) == 1
    assert "programs do not outlive this daemon" in told[0]
    assert systemd.stored == {}


def test_what_is_not_true_any_more_is_not_gone_on_with_though_it_is_still_stored(
    keeper: Keeper, systemd: Systemd
) -> None:
    systemd.deaf = True
    keeper.forget()
    with pytest.raises(HandoverError, match="that is no snapshot"):
        records(systemd)
