"""The file sink: appending, rotation, what others do to the file meanwhile, odd targets."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.logs.files import WAITING_MAX_BYTES, OpenFiles
from sdsuper.logs.outlet import names_descriptor, own_descriptor
from sdsuper.logs.sinks.file import FileSink


@pytest.fixture
def files() -> OpenFiles:
    return OpenFiles()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def sink_at(path: Path, files: OpenFiles, maxbytes: int = 0, backups: int = 0) -> FileSink:
    sink = FileSink(str(path), maxbytes=maxbytes, backups=backups, files=files)
    sink.open()
    return sink


def backup(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def oldest_first(log: Path) -> list[bytes]:
    numbers = sorted((int(p.suffix[1:]) for p in log.parent.glob("log.*")), reverse=True)
    return [*(backup(log, number).read_bytes() for number in numbers), log.read_bytes()]


def test_a_private_log_has_mode_0600(log: Path, files: OpenFiles) -> None:
    sink = FileSink(str(log), maxbytes=0, backups=0, private=True, files=files)
    sink.open()
    assert log.stat().st_mode & 0o777 == 0o600


# --- rotation ---------------------------------------------------------------------------------


def test_it_rotates_after_the_record_that_made_the_file_too_long(
    log: Path, files: OpenFiles
) -> None:
    sink = sink_at(log, files, maxbytes=25, backups=2)
    for number in range(11):
        assert sink.write(b"%010d\n" % number) is None
    contents = oldest_first(log)
    assert [len(each) for each in contents] == [33, 33, 22]
    assert contents[0].startswith(b"0000000003\n")


@given(
    records=st.lists(st.binary(min_size=1, max_size=40), max_size=40),
    maxbytes=st.integers(1, 60),
)
def test_rotation_loses_no_byte_and_splits_no_record(records: list[bytes], maxbytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        sink = sink_at(log, OpenFiles(), maxbytes, backups=len(records) + 1)
        for record in records:
            assert sink.write(record) is None
        sink.close()
        contents = oldest_first(log)
    assert b"".join(contents) == b"".join(records)
    ends = {sum(map(len, records[:count])) for count in range(len(records) + 1)}
    position = 0
    for content in contents:
        position += len(content)
        assert position in ends
        assert len(content) < maxbytes + 40


def test_without_backups_it_is_truncated(log: Path, files: OpenFiles) -> None:
    sink = sink_at(log, files, maxbytes=10)
    sink.write(b"0123456789")
    sink.write(b"after")
    assert log.read_bytes() == b"after"
    assert os.listdir(log.parent) == ["log"]


def test_what_was_in_the_file_counts(log: Path, files: OpenFiles) -> None:
    log.write_bytes(b"x" * 9)
    sink_at(log, files, maxbytes=10, backups=1).write(b"y")
    assert backup(log, 1).read_bytes() == b"x" * 9 + b"y"


def test_a_gap_in_the_numbers_is_filled_and_nothing_beyond_it_moves(
    log: Path, files: OpenFiles
) -> None:
    backup(log, 1).write_bytes(b"one")
    backup(log, 3).write_bytes(b"three")
    sink_at(log, files, maxbytes=1, backups=5).write(b"new")
    assert oldest_first(log) == [b"three", b"one", b"new", b""]


def test_the_new_file_has_the_mode_of_the_old(log: Path, files: OpenFiles) -> None:
    log.touch()
    log.chmod(0o600)
    sink_at(log, files, maxbytes=1, backups=1).write(b"x")
    assert log.stat().st_mode & 0o777 == 0o600


def test_links_planted_at_a_private_log_are_not_followed(
    log: Path, files: OpenFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = log.with_name("victim")
    sink = FileSink(str(log), maxbytes=1, backups=1, private=True, files=files)
    sink.open()
    rename = os.rename

    def plant(source: str, target: str) -> None:
        rename(source, target)
        os.symlink(victim, source)

    monkeypatch.setattr(os, "rename", plant)
    for _ in range(2):
        trouble = sink.write(b"x")
        assert trouble is not None
        assert (trouble.error.errno, trouble.lost) == (errno.ELOOP, 0)
    assert not victim.exists()


def test_failing_rotation_is_told_and_the_file_goes_on(log: Path, files: OpenFiles) -> None:
    backup(log, 1).mkdir()
    backup(log, 1).joinpath("full").touch()
    sink = sink_at(log, files, maxbytes=1, backups=1)
    for record in (b"a", b"b"):
        trouble = sink.write(record)
        assert trouble is not None
        assert (trouble.lost, trouble.doing) == (0, "rotate")
    assert log.read_bytes() == b"ab"


# --- what others do to the file ---------------------------------------------------------------


def test_after_an_outside_truncation_it_does_not_rotate_too_early(
    log: Path, files: OpenFiles
) -> None:
    sink = sink_at(log, files, maxbytes=10, backups=1)
    sink.write(b"12345678")
    os.truncate(log, 0)
    sink.write(b"abcd")
    assert log.read_bytes() == b"abcd"
    assert not backup(log, 1).exists()
    sink.write(b"efghij")
    assert backup(log, 1).read_bytes() == b"abcdefghij"


def test_a_file_rotated_by_others_is_left_to_them(log: Path, files: OpenFiles) -> None:
    sink = sink_at(log, files, maxbytes=12, backups=3)
    sink.write(b"old")
    log.rename(log.with_name("moved"))
    log.write_bytes(b"theirs ")
    sink.write(b"still here")
    sink.write(b"new")
    assert log.with_name("moved").read_bytes() == b"oldstill here"
    assert log.read_bytes() == b"theirs new"


@pytest.mark.parametrize("how", ["open", "reopen"])
def test_open_and_reopen_make_a_missing_file_anew(log: Path, files: OpenFiles, how: str) -> None:
    sink = sink_at(log, files)
    log.unlink()
    getattr(sink, how)()
    sink.write(b"x")
    assert log.read_bytes() == b"x"


def test_a_failed_reopen_keeps_the_old_file(log: Path, files: OpenFiles) -> None:
    sink = sink_at(log, files)
    log.unlink()
    log.mkdir()
    with pytest.raises(IsADirectoryError):
        sink.reopen()
    assert sink.write(b"x") is None


@pytest.mark.parametrize("is_open", [True, False])
def test_clear_truncates_and_leaves_backups(log: Path, files: OpenFiles, is_open: bool) -> None:
    backup(log, 1).write_bytes(b"kept")
    sink = sink_at(log, files, maxbytes=100)
    sink.write(b"x")
    if not is_open:
        sink.close()
    sink.clear()
    assert log.read_bytes() == b""
    assert backup(log, 1).read_bytes() == b"kept"


def test_clear_of_a_missing_file_is_no_error(log: Path, files: OpenFiles) -> None:
    FileSink(str(log), maxbytes=0, backups=0, files=files).clear()
    assert not log.exists()


def test_delete_makes_a_new_file(log: Path, files: OpenFiles) -> None:
    sink = sink_at(log, files)
    sink.write(b"x")
    before = log.stat().st_ino
    with log.open("rb") as watcher:
        sink.delete()
        assert log.stat().st_ino != before
        assert watcher.read() == b"x"


# --- sharing ----------------------------------------------------------------------------------


def test_two_sinks_of_one_path_both_go_on_after_a_rotation(log: Path, files: OpenFiles) -> None:
    one = sink_at(log, files, maxbytes=10, backups=2)
    two = sink_at(log.parent / "." / "log", files)
    two.write(b"two ")
    one.write(b"one and done")
    two.write(b"two again")
    assert oldest_first(log) == [b"two one and done", b"two again"]
    one.close()
    assert two.write(b"!") is None
    two.close()
    trouble = two.write(b"closed")
    assert trouble is not None
    assert trouble.lost == 6


# --- what cannot be written -------------------------------------------------------------------


def test_a_full_disk_counts_what_is_lost(files: OpenFiles) -> None:
    sink = sink_at(Path("/dev/full"), files)
    trouble = sink.write(b"12345")
    assert trouble is not None
    assert (trouble.error.errno, trouble.lost) == (errno.ENOSPC, 5)


@pytest.mark.parametrize(
    ("path", "error"),
    [("", IsADirectoryError), ("missing/log", FileNotFoundError), ("log/x", NotADirectoryError)],
)
def test_open_raises(tmp_path: Path, files: OpenFiles, path: str, error: type[OSError]) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(error):
        sink_at(tmp_path / path, files)


# --- FIFOs, terminals, descriptors ------------------------------------------------------------


def test_a_fifo_that_nobody_reads_blocks_nobody(log: Path, files: OpenFiles) -> None:
    os.mkfifo(log)
    sink = sink_at(log, files, maxbytes=1, backups=1)
    assert sink.write(b"early") is None
    with open(os.open(log, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        assert reader.read(100) == b"early"
    assert sink.write(b"while nobody reads") is None
    assert os.listdir(log.parent) == ["log"]
    sink.close()


def test_what_a_full_fifo_does_not_take_waits_then_is_dropped(log: Path, files: OpenFiles) -> None:
    os.mkfifo(log)
    begun: list[None] = []
    files.on_waiting = lambda: begun.append(None)
    sink = sink_at(log, files)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    record = bytes(range(256)) * 256
    written = lost = 0
    while not lost:
        trouble = sink.write(record)
        written += len(record)
        lost = 0 if trouble is None else trouble.lost
        assert written < 4 * WAITING_MAX_BYTES
    assert sink.stalled
    assert len(begun) == 1
    assert lost == len(record)
    received = b""
    while not sink.flush():
        received += os.read(reader, 1 << 20)
    sink.close()
    received += os.read(reader, 1 << 20)
    os.close(reader)
    assert received == record * (written // len(record) - 1)


def test_what_waits_outlives_the_sink(log: Path, files: OpenFiles) -> None:
    os.mkfifo(log)
    sink = sink_at(log, files)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    sink.write(b"x" * 100_000)
    sink.close()
    assert files.finish(0.0) > 0
    received = 0
    while not files.flush():
        received += len(os.read(reader, 1 << 20))
    received += len(os.read(reader, 1 << 20))
    os.close(reader)
    assert received == 100_000
    assert files.finish(1.0) == 0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_descriptor_that_is_a_pipe(pipe: tuple[int, int], files: OpenFiles) -> None:
    sink = sink_at(Path(f"/proc/self/fd/{pipe[1]}"), files, maxbytes=1, backups=1)
    assert sink.write(b"hello") is None
    assert os.read(pipe[0], 100) == b"hello"
    assert os.get_blocking(pipe[1])
    sink.clear()
    sink.delete()
    sink.close()


def test_a_descriptor_that_is_a_socket(files: OpenFiles) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sink = sink_at(Path(f"/dev/fd/{ours.fileno()}"), files, maxbytes=1, backups=1)
        assert sink.write(b"hello") is None
        assert theirs.recv(100) == b"hello"
        size = 8 * 1024 * 1024
        assert sink.write(bytes(size)) is None  # more than it takes: the rest waits
        assert sink.stalled
        assert ours.getblocking()
        received = 0
        while not sink.flush():
            received += len(theirs.recv(1 << 20))
        theirs.setblocking(False)
        while received < size:
            received += len(theirs.recv(1 << 20))
        sink.close()


def test_a_descriptor_that_is_a_file_is_never_rotated_or_cleared(
    log: Path, files: OpenFiles
) -> None:
    with log.open("wb", buffering=0) as out:
        sink = sink_at(Path(f"/proc/self/fd/{out.fileno()}"), files, maxbytes=1, backups=1)
        out.write(b"first ")
        sink.write(b"second ")
        out.write(b"third")
        sink.clear()
        sink.delete()
        sink.close()
        sink.clear()
    assert log.read_bytes() == b"first second third"
    assert os.listdir(log.parent) == ["log"]


def test_a_closed_descriptor_cannot_be_opened(files: OpenFiles) -> None:
    fd = os.dup(0)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sink_at(Path(f"/proc/self/fd/{fd}"), files)


def test_names_of_descriptors(tmp_path: Path) -> None:
    link = tmp_path / "access.log"
    link.symlink_to("/dev/stdout")
    assert own_descriptor(str(link)) == 1
    assert own_descriptor("/dev/stderr") == 2
    assert own_descriptor("/dev/fd/7") == 7
    assert own_descriptor(f"/proc/{os.getpid()}/fd/3") == 3
    assert own_descriptor("/proc/1/fd/1") is None
    assert names_descriptor("/proc/1/fd/1")
    assert not names_descriptor(str(tmp_path / "x"))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert not names_descriptor(str(loop))
