"""The daemon's own log: its lines, its levels, and that nothing it meets can harm the daemon."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdsuper.daemon.ownlog import OwnLog
from sdsuper.values import Level


def own_log(path: Path | None, level: Level = Level.INFO, **settings: int) -> OwnLog:
    values = {"maxbytes": 0, "backups": 0, "echo": False, "syslog": False, **settings}
    log = OwnLog(
        level=level,
        path=None if path is None else str(path),
        maxbytes=values["maxbytes"],
        backups=values["backups"],
        echo=bool(values["echo"]),
        syslog=bool(values["syslog"]),
    )
    log.open()
    return log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own.log"


def test_the_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = own_log(path)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        monkeypatch.setattr("sdsuper.daemon.ownlog.time.time_ns", lambda: 1_700_000_000_999_999_999)
        log.log(Level.INFO, "spawned: 'cat' with pid 7")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert path.read_text() == "2023-11-15 03:43:20,999 INFO spawned: 'cat' with pid 7\n"
    log.close()


def test_every_level_has_its_code(path: Path) -> None:
    log = own_log(path, Level.BLATHER)
    for level in Level:
        log.log(level, level.name)
    codes = re.findall(r",\d{3} (\w{4}) (\w+)$", path.read_text(), re.MULTILINE)
    assert codes == [
        ("BLAT", "BLATHER"),
        ("TRAC", "TRACE"),
        ("DEBG", "DEBUG"),
        ("INFO", "INFO"),
        ("WARN", "WARN"),
        ("ERRO", "ERROR"),
        ("CRIT", "CRITICAL"),
    ]
    log.close()


def test_what_is_less_severe_is_not_written(path: Path) -> None:
    log = own_log(path, Level.WARN)
    log.log(Level.INFO, "no")
    log.log(Level.WARN, "yes")
    assert path.read_text().endswith("WARN yes\n")
    assert path.read_text().count("\n") == 1
    log.close()


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("é 😀", "é 😀".encode()),
        (os.fsdecode(b"raw \xff byte"), b"raw \xff byte"),
        ("lone \ud800", b"lone \\ud800"),
        ("two\nlines", b"two\nlines"),
        ("\x00", b"\x00"),
    ],
)
def test_any_text_survives(path: Path, message: str, written: bytes) -> None:
    log = own_log(path)
    log.log(Level.INFO, message)
    assert path.read_bytes().endswith(b" INFO " + written + b"\n")
    log.close()


def test_it_rotates(path: Path) -> None:
    log = own_log(path, maxbytes=10, backups=1)
    log.log(Level.INFO, "one")
    log.log(Level.INFO, "two")
    assert path.read_bytes() == b""
    assert path.with_name("own.log.1").read_text().endswith("INFO two\n")
    log.close()


def test_reopen_and_clear(path: Path) -> None:
    log = own_log(path)
    log.log(Level.INFO, "one")
    path.rename(path.with_name("moved"))
    log.reopen()
    log.log(Level.INFO, "two")
    assert path.read_text().endswith("INFO two\n")
    log.clear()
    assert path.read_bytes() == b""
    log.log(Level.INFO, "three")
    assert path.read_text().endswith("INFO three\n")
    log.close()


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        own_log(tmp_path)
    with pytest.raises(FileNotFoundError):
        own_log(tmp_path / "none" / "log")


def test_what_cannot_be_written_is_counted(path: Path) -> None:
    log = own_log(Path("/dev/full"))
    log.log(Level.INFO, "x")
    assert log.dropped == len("2023-11-15 03:43:20,999 INFO x\n")
    log.close()
    before = log.dropped
    log.log(Level.INFO, "after the end")
    assert log.dropped > before


ECHO = """
import os, sys
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.values import Level
log = OwnLog(level=Level.INFO, path=sys.argv[1], maxbytes=0, backups=0, echo=True, syslog=False)
log.open()
for number in range(int(sys.argv[2])):
    log.log(Level.INFO, "x" * 1000)
os.write(2, b"done")
"""


def test_the_echo_is_the_same_text(path: Path) -> None:
    command = [sys.executable, "-c", ECHO, str(path), "3"]
    ended = subprocess.run(command, capture_output=True, check=True)
    assert ended.stdout == path.read_bytes()
    assert ended.stdout.count(b"\n") == 3


@pytest.mark.parametrize("reads", [True, False])
def test_an_echo_that_nobody_reads_holds_nothing_up(path: Path, reads: bool) -> None:
    reader, writer = os.pipe()
    if not reads:
        os.close(reader)
    command = [sys.executable, "-c", ECHO, str(path), "3000"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=True)
    os.close(writer)
    assert ended.stderr == b"done"
    assert path.stat().st_size == 3000 * len("2023-11-15 03:43:20,999 INFO \n") + 3_000_000
    if reads:
        os.close(reader)


def test_it_does_without_slow_imports() -> None:
    code = "import sys, sdsuper.daemon.ownlog; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    assert {"logging", "datetime", "asyncio", "tempfile"}.isdisjoint(loaded)
