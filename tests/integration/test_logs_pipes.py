"""Real children, real pipes, real files, at scale: every byte arrives, in order, once."""

from __future__ import annotations

import fcntl
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from sdsuper.config.model import ChannelConfig
from sdsuper.logs.channel import Channel
from sdsuper.logs.reader import Reader
from sdsuper.values import Level

MIB = 1024 * 1024

# Writes numbered lines of 100 bytes, `batch` of them at a time.
WRITER = """
import os, sys
lines, batch = int(sys.argv[1]), int(sys.argv[2])
for first in range(0, lines, batch):
    last = min(first + batch, lines)
    data = memoryview(b"".join(b"%099d\\n" % number for number in range(first, last)))
    while data:
        data = data[os.write(1, data):]
"""


def expected(lines: int) -> Iterator[bytes]:
    for first in range(0, lines, 10_000):
        numbers = range(first, min(first + 10_000, lines))
        yield b"".join(b"%099d\n" % number for number in numbers)


def digest(chunks: Iterator[bytes]) -> str:
    total = sha256()
    for chunk in chunks:
        total.update(chunk)
    return total.hexdigest()


def contents(log: Path) -> Iterator[bytes]:
    numbers = sorted((int(path.suffix[1:]) for path in log.parent.glob("log.*")), reverse=True)
    for path in [*(Path(f"{log}.{number}") for number in numbers), log]:
        with path.open("rb") as file:
            while chunk := file.read(MIB):
                yield chunk


def make_channel(path: Path, maxbytes: int = 0, backups: int = 0) -> Channel:
    def report(level: Level, text: str) -> None:
        raise AssertionError(text)

    channel = Channel(
        process="writer",
        channel="stdout",
        config=ChannelConfig(logfile_maxbytes=maxbytes, logfile_backups=backups),
        path=str(path),
        strip_ansi=False,
        report=report,
    )
    channel.open()
    return channel


@contextmanager
def writer(channel: Channel, lines: int, batch: int) -> Iterator[Reader]:
    fd, end = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(lines), str(batch)], stdout=end)
    os.close(end)
    reader = Reader(fd, channel)
    try:
        yield reader
    finally:
        reader.close()
        assert child.wait() == 0


def read_all(*readers: Reader, between: Callable[[], object] = lambda: None) -> None:
    """Read as a loop would, until every stream has ended."""
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader.fd, selectors.EVENT_READ, reader)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.read_ready():
                    selector.unregister(key.fd)
                between()


@pytest.mark.parametrize(
    ("lines", "batch", "maxbytes"),
    [(2_000_000, 1000, 7 * MIB), (200_000, 1, MIB)],
    ids=["big writes", "a write per line"],
)
def test_every_byte_arrives_over_rotations(
    tmp_path: Path, lines: int, batch: int, maxbytes: int
) -> None:
    log = tmp_path / "log"
    channel = make_channel(log, maxbytes, backups=99)
    with writer(channel, lines, batch) as reader:
        read_all(reader)
    channel.close()
    assert digest(contents(log)) == digest(expected(lines))
    assert len(list(tmp_path.iterdir())) > 15
    assert channel.dropped == 0


def test_two_programs_share_a_file_that_rotates(tmp_path: Path) -> None:
    log = tmp_path / "log"
    one = make_channel(log, MIB, backups=99)
    two = make_channel(log)
    with writer(one, 100_000, 1) as first, writer(two, 100_000, 1) as second:
        read_all(first, second)
    one.close()
    two.close()
    lines = b"".join(contents(log)).split(b"\n")[:-1]
    assert sorted(map(int, lines)) == sorted([*range(100_000), *range(100_000)])


def test_reopening_between_reads_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    channel = make_channel(log)
    moved = 0

    def rotate_outside() -> None:
        nonlocal moved
        if log.stat().st_size > 2 * MIB:
            for number in range(moved, 0, -1):
                os.rename(f"{log}.{number}", f"{log}.{number + 1}")
            moved += 1
            log.rename(f"{log}.1")
            channel.reopen()

    with writer(channel, 300_000, 100) as reader:
        read_all(reader, between=rotate_outside)
    channel.close()
    assert moved > 3
    assert digest(contents(log)) == digest(expected(300_000))


def test_what_a_dead_child_left_in_a_large_pipe_is_drained(tmp_path: Path) -> None:
    log = tmp_path / "log"
    channel = make_channel(log)
    fd, end = os.pipe()
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, MIB)
    subprocess.run([sys.executable, "-c", WRITER, "9000", "1000"], stdout=end, check=True)
    os.close(end)
    reader = Reader(fd, channel)
    assert not reader.drain()
    reader.close()
    channel.close()
    assert digest(contents(log)) == digest(expected(9000))
