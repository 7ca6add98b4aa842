"""Reading logs back: windows, tails, text for XML, and following."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.logs import tail
from sdsuper.logs.tail import Follower, Position, Window, WindowError, read_window, tail_window


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    return path


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 0, b"0123456789"),
        (4, 0, b"456789"),
        (0, 4, b"0123"),
        (4, 4, b"4567"),
        (8, 4, b"89"),
        (10, 0, b""),
        (99, 5, b""),
        (-3, 0, b"789"),
        (-99, 0, b"0123456789"),
    ],
)
def test_read_log(log: Path, offset: int, length: int, expected: bytes) -> None:
    assert tail.read_log(str(log), offset, length) == expected


@pytest.mark.parametrize(("offset", "length"), [(0, -1), (5, -1), (-1, 1), (-1, -1)])
def test_windows_that_make_no_sense(log: Path, offset: int, length: int) -> None:
    with pytest.raises(WindowError):
        tail.read_log(str(log), offset, length)


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 100, (b"out\n", 4, False)),
        (0, 2, (b"t\n", 4, True)),
        (0, 4, (b"out\n", 4, False)),
        (0, 0, (b"", 4, True)),
        (4, 100, (b"", 4, False)),
        (100, 100, (b"", 4, False)),
        (0, 2**40, (b"out\n", 4, False)),
        (-10, 2, (b"t\n", 4, True)),
    ],
)
def test_tail_log(log: Path, offset: int, length: int, expected: tuple[bytes, int, bool]) -> None:
    log.write_bytes(b"out\n")
    assert tail.tail_log(str(log), offset, length) == expected


@given(st.integers(0, 50), st.integers(-60, 60), st.integers(-60, 60))
def test_windows_lie_within_the_file(size: int, offset: int, length: int) -> None:
    window, _ = tail_window(size, offset, length)
    assert window.start >= 0
    assert window.length >= 0
    if length >= 0 and (offset >= 0 or length == 0):
        window = read_window(size, offset, length)
        assert 0 <= window.start <= window.start + window.length <= size


def test_reading_is_bounded(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "READ_MAX_BYTES", 3)
    assert tail.read_log(str(log), 2, 0) == b"234"
    assert tail.read_log(str(log), -5, 0) == b"789"
    assert tail.tail_log(str(log), 0, 8) == (b"789", 10, True)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, number in (("fifo", errno.ESPIPE), ("", errno.EISDIR), ("none", errno.ENOENT)):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is checked
            tail.read_log(str(tmp_path / path), 0, 0)
        assert caught.value.errno == number


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\t\r\n", "plain\t\r\n"),
        ("é€😀".encode(), "é€😀"),
        (b"\xa9 cut \xc3", "\ufffd cut \ufffd"),
        (b"\x1b[31mred\x00", "\ufffd[31mred\ufffd"),
        ("\ufffe\uffff\x7f".encode(), "\ufffd\ufffd\x7f"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    ],
)
def test_text_for_xml(data: bytes, text: str) -> None:
    assert tail.to_text(data) == text


# --- following --------------------------------------------------------------------------------


@pytest.fixture
def follower(log: Path) -> Iterator[Follower]:
    made = Follower(str(log))
    yield made
    made.close()


def append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


def test_following_begins_with_the_last_bytes(log: Path) -> None:
    log.write_bytes(b"x" * 500 + b"y" * 1024)
    follower = Follower(str(log))
    assert follower.mtime == log.stat().st_mtime
    assert follower.read() == b"y" * 1024
    assert follower.read() == b""
    follower.close()


def test_following_growth_in_bounded_parts(log: Path, follower: Follower) -> None:
    assert follower.read(6) == b"012345"
    assert follower.read(6) == b"6789"
    append(log, b"more")
    assert follower.read() == b"more"


def test_following_truncation_in_place(log: Path, follower: Follower) -> None:
    follower.read()
    log.write_bytes(b"new")
    assert follower.read() == b"==> File truncated <==\n"
    assert follower.read() == b"new"
    assert follower.read() == b""


def test_following_rotation_reads_the_old_file_to_its_end(log: Path, follower: Follower) -> None:
    follower.read()
    append(log, b"last of the old")
    log.rename(log.with_name("log.1"))
    assert follower.read() == b"last of the old"
    assert follower.read() == b""
    log.write_bytes(b"first of the new")
    assert follower.read() == b"first of the new"


def test_a_last_line_between_two_looks_is_not_lost(
    log: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.read()
    moved = log.rename(log.with_name("log.1"))
    log.write_bytes(b"new")
    open_log = tail.open_log

    def open_late(path: str) -> int:
        append(moved, b"late")
        return open_log(path)

    monkeypatch.setattr(tail, "open_log", open_late)
    assert follower.read() == b"late"
    monkeypatch.undo()
    assert follower.read() == b"new"


def test_a_directory_or_fifo_at_the_name_is_not_followed(log: Path, follower: Follower) -> None:
    follower.read()
    log.unlink()
    os.mkfifo(log)
    assert follower.read() == b""


def test_windows_are_plain_values() -> None:
    assert read_window(10, 2, 3) == Window(2, 3)


# --- going on ---------------------------------------------------------------------------------


def rest_of(log: Path, after: Position | None) -> tuple[bytes, int]:
    """What comes behind a position, and how many jumps that takes."""
    follower = Follower(str(log), after=after)
    data = b"".join(iter(follower.read, b""))
    jumps = follower.jumps
    follower.close()
    return data, jumps


def test_going_on_behind_what_was_given(log: Path, follower: Follower) -> None:
    follower.read(4)
    info = log.stat()
    assert follower.position == (info.st_dev, info.st_ino, 4)
    assert rest_of(log, follower.position) == (b"456789", 0)
    follower.read()
    assert rest_of(log, follower.position) == (b"", 0)


def test_going_on_after_a_rotation_and_after_two(log: Path, follower: Follower) -> None:
    follower.read(4)
    log.rename(log.with_name("log.1"))
    log.write_bytes(b"new")
    assert rest_of(log, follower.position) == (b"456789new", 1)
    log.with_name("log.1").rename(log.with_name("log.2"))
    assert rest_of(log, follower.position) == (b"new", 0)
    log.with_name("log.1").mkdir()
    assert rest_of(log, follower.position) == (b"new", 0)


def test_going_on_after_a_truncation(log: Path, follower: Follower) -> None:
    follower.read()
    log.write_bytes(b"new")
    assert rest_of(log, follower.position) == (b"==> File truncated <==\nnew", 1)


def test_positions_as_text() -> None:
    position = Position(2**63, 12, 0)
    assert Position.parse(str(position)) == position
    for text in (
        "",
        "1-2",
        "1-2-",
        "1-2--3",
        "1-2-3-4",
        "1-2-x",
        " 1-2-3",
        "1-2-\u0663",
        "1-2-3\n",
    ):
        assert Position.parse(text) is None
    assert Position.parse(f"1-2-{'9' * 19}") is None
