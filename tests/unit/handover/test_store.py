"""The snapshot survives whatever happens to its writer, byte by byte."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from sdsuper.errors import HandoverError
from sdsuper.handover import store
from sdsuper.handover.store import Store, read

BOOT = "b" * 36


@pytest.fixture
def log() -> Iterator[Store]:
    made = Store(BOOT)
    yield made
    made.close()


def copy_of(data: bytes) -> int:
    fd = os.memfd_create("copy")
    os.pwrite(fd, data, 0)
    return fd


def contents(log: Store) -> bytes:
    return os.pread(log.fd, 1 << 20, 0)


def test_the_last_record_of_a_key_counts(log: Store) -> None:
    log.append({"a": 1, "b": {"x": ["\udcff", None, 1.5]}})
    log.append({"a": 2}, gone=["b", "never there"])
    log.append({"c": [True]})
    found = read(log.fd, BOOT)
    assert found.records == {"a": 2, "c": [True]}
    assert (found.generation, found.whole, found.torn) == (1, log.size, False)


def test_a_key_that_comes_and_goes_at_once_is_gone(log: Store) -> None:
    log.append({"a": 1}, gone=["a"])
    assert read(log.fd, BOOT).records == {}
    assert log.garbage > 0


@pytest.mark.parametrize("seed", range(5))
def test_cut_off_anywhere_it_holds_all_that_was_whole(log: Store, seed: int) -> None:
    rng = random.Random(seed)
    expected: dict[int, dict[str, int]] = {log.size: {}}
    state: dict[str, int] = {}
    for number in range(12):
        key = f"key {rng.randrange(4)}"
        if rng.random() < 0.3:
            log.append({}, gone=[key])
            state.pop(key, None)
        else:
            log.append({key: number})
            state[key] = number
        expected[log.size] = dict(state)
    data = contents(log)
    for length in range(len(data) + 1):
        fd = copy_of(data[:length])
        try:
            ends = [end for end in expected if end <= length]
            if not ends:
                with pytest.raises(HandoverError):
                    read(fd, BOOT)
                continue
            found = read(fd, BOOT)
            assert found.records == expected[max(ends)]
            assert (found.whole, found.torn) == (max(ends), max(ends) < length)
        finally:
            os.close(fd)


def test_no_damaged_byte_is_believed(log: Store) -> None:
    log.append({"a": 1})
    log.append({"b": 2})
    data = contents(log)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        fd = copy_of(bytes(damaged))
        try:
            found = read(fd, BOOT)
        except HandoverError:
            continue
        finally:
            os.close(fd)
        assert found.torn
        assert found.records in ({}, {"a": 1})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "that is no snapshot"),
        (b"#!/bin/sh\n" * 100, "that is no snapshot"),
        (b"sdsuper\0\1\0", "the header of the snapshot is not whole"),
    ],
)
def test_what_is_no_snapshot_is_told(data: bytes, told: str) -> None:
    fd = copy_of(data)
    with pytest.raises(HandoverError, match=told):
        read(fd, BOOT)
    os.close(fd)


def test_a_descriptor_that_cannot_be_read_is_told() -> None:
    fd = os.open("/", os.O_RDONLY)
    with pytest.raises(HandoverError, match="cannot be read"):
        read(fd, BOOT)
    os.close(fd)


def test_another_boot_is_refused(log: Store) -> None:
    with pytest.raises(HandoverError, match="another boot"):
        read(log.fd, "c" * 36)
    assert len(store.boot_id()) == 36


def test_another_format_is_refused_by_name(log: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FORMAT", 77)
    theirs = Store(BOOT)
    monkeypatch.undo()
    with pytest.raises(HandoverError, match=r"format 77 .* is not known here, 1 is"):
        read(theirs.fd, BOOT)
    theirs.close()


def test_a_copy_holds_what_lives_and_grows_from_there(log: Store) -> None:
    for number in range(100):
        log.append({f"k{number % 3}": [number] * 100})
    log.append({}, gone=["k0"])
    live = read(log.fd, BOOT).records
    fresh = log.copy()
    try:
        assert (fresh.garbage, fresh.generation) == (0, 2)
        assert fresh.size < log.size / 20
        fresh.append({"new": 1}, gone=["k1"])
        found = read(fresh.fd, BOOT)
        assert found.records == {"k2": live["k2"], "new": 1}
        assert found.generation == 2
        assert read(log.fd, BOOT).records == live
    finally:
        fresh.close()


def test_garbage_is_counted(log: Store) -> None:
    assert log.garbage == 0
    for _ in range(3):
        log.append({"a": "x" * 1000})
    assert 2000 < log.garbage < 2200
    assert not log.is_mostly_garbage
    for _ in range(530):
        log.append({"a": "x" * 1000})
    assert log.is_mostly_garbage
