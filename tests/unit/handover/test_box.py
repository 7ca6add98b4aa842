"""Descriptors in a box outlive whoever put them there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from sdsuper.errors import HandoverError
from sdsuper.handover.box import GARBAGE_MAX, Box, BoxFullError, read


@pytest.fixture
def box() -> Iterator[Box]:
    made = Box()
    yield made
    made.close()


def pipe_with(text: bytes) -> int:
    """Return the reading end of a pipe that holds a text and has no writer."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


def taken(box: Box, *, turned: bool = False) -> dict[str, bytes]:
    """Return what the pipes in a box hold; as a stranger sees it."""
    ends = [end.fileno() for end in box.ends]
    texts = {}
    for name, fd in read(ends[::-1] if turned else ends).items():
        assert not os.get_inheritable(fd)
        texts[name] = os.read(fd, 100)
        os.close(fd)
    return texts


def look(box: Box, *, turned: bool = False) -> list[str]:
    ends = [end.fileno() for end in box.ends]
    found = read(ends[::-1] if turned else ends)
    for fd in found.values():
        os.close(fd)
    return list(found)


def test_what_was_put_in_is_there_for_whoever_holds_the_ends(box: Box) -> None:
    first, second = pipe_with(b"one"), pipe_with(b"two")
    box.put({"1/stdout": first})
    box.put({"2/stdout": second})
    os.close(first)
    os.close(second)
    assert set(look(box)) == set(look(box, turned=True)) == {"1/stdout", "2/stdout"}
    assert taken(box) == {"1/stdout": b"one", "2/stdout": b"two"}


def test_an_empty_box_is_empty(box: Box) -> None:
    assert taken(box) == {}


def test_the_later_one_of_a_name_counts(box: Box) -> None:
    old, new = pipe_with(b"old"), pipe_with(b"new")
    box.put({"a": old})
    box.put({"a": new})
    assert box.dead == 1
    assert taken(box) == {"a": b"new"}
    os.close(old)
    os.close(new)


def test_more_than_one_message_holds_go_in(box: Box) -> None:
    fd = pipe_with(b"x")
    names = [f"{number}/stdout" for number in range(600)]
    box.put(dict.fromkeys(names, fd))
    assert look(box) == names
    os.close(fd)


def _fill(box: Box, fd: int) -> int:
    for count in range(10_000):
        try:
            box.put({f"{count}/stdout": fd})
        except BoxFullError:
            return count
    raise AssertionError("it takes everything")


def test_a_full_box_is_packed_into_a_new_one(box: Box) -> None:
    fd = pipe_with(b"x")
    box.ends[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    count = _fill(box, fd)
    for number in range(count - 1):
        box.drop(f"{number}/stdout")
    box.drop("never there")
    assert (list(box.live), box.dead) == ([f"{count - 1}/stdout"], count - 1)
    assert box.is_mostly_garbage is (count - 1 > 1 + GARBAGE_MAX)
    fresh = box.packed()
    assert (fresh.generation, fresh.dead, look(fresh)) == (2, 0, [f"{count - 1}/stdout"])
    fresh.close()
    os.close(fd)


def test_what_was_dropped_is_open_until_the_box_is_gone() -> None:
    box = Box()
    reading, writing = os.pipe()
    box.put({"1/stdin": writing})
    os.close(writing)
    box.drop("1/stdin")
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    fresh = box.packed()
    box.close()
    assert os.read(reading, 1) == b""
    fresh.close()
    os.close(reading)


def test_what_is_no_box_is_told() -> None:
    before = set(os.listdir("/proc/self/fd"))
    for ends, told in (
        ([], "two ends, not 0"),
        ([os.open("/dev/null", os.O_RDONLY) for _ in range(2)], "is no socket"),
        ([each.detach() for each in socket.socketpair()], "another kind of socket"),
    ):
        with pytest.raises(HandoverError, match=told):
            read(ends)
        for fd in ends:
            os.close(fd)
    assert set(os.listdir("/proc/self/fd")) == before


def test_descriptors_that_are_too_many_are_told_and_stay_in_the_box(box: Box) -> None:
    import resource

    fd = pipe_with(b"x")
    box.put({f"{number}/x": fd for number in range(200)})
    before = set(os.listdir("/proc/self/fd"))
    ends = [end.fileno() for end in box.ends]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, limits[1]))
    try:
        with pytest.raises(HandoverError, match="more descriptors than may be open"):
            read(ends)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert set(os.listdir("/proc/self/fd")) == before
    assert len(look(box)) == 200
    os.close(fd)
