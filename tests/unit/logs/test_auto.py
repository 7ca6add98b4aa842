"""Generated logs: their names, and that only those of dead owners are deleted."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from sdsuper.logs.auto import clean_auto_logs, create_auto_log
from sdsuper.logs.files import OpenFiles
from sdsuper.logs.sinks.file import FileSink
from sdsuper.values import Level


def report(level: Level, text: str) -> None:
    raise AssertionError(text)


def hold(path: str, maxbytes: int = 0) -> FileSink:
    sink = FileSink(path, maxbytes=maxbytes, backups=2, private=True, files=OpenFiles())
    sink.open()
    return sink


def clean(folder: Path, identifier: str = "supervisor") -> set[str]:
    clean_auto_logs(str(folder), identifier, report=report)
    return set(os.listdir(folder))


def test_name_and_mode(tmp_path: Path) -> None:
    path = create_auto_log("cat", "stderr", "super.visor", str(tmp_path))
    pattern = r"cat-stderr---super\.visor-[a-z0-9_]{8}\.log"
    assert re.fullmatch(pattern, os.path.basename(path))
    info = os.stat(path)
    assert (stat.S_IMODE(info.st_mode), info.st_size) == (0o600, 0)
    assert os.path.isabs(path)


def test_names_differ(tmp_path: Path) -> None:
    paths = {create_auto_log("cat", "stdout", "x", str(tmp_path)) for _ in range(50)}
    assert len(paths) == 50


def test_a_taken_name_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    create_auto_log("cat", "stdout", "x", str(tmp_path))
    with pytest.raises(FileExistsError, match="no free name"):
        create_auto_log("cat", "stdout", "x", str(tmp_path))


def test_a_missing_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create_auto_log("cat", "stdout", "x", str(tmp_path / "none"))


def test_logs_of_the_dead_are_deleted_with_their_backups(tmp_path: Path) -> None:
    path = create_auto_log("cat", "stdout", "supervisor", str(tmp_path))
    for suffix in (".1", ".10"):
        Path(path + suffix).touch()
    assert clean(tmp_path) == set()


def test_logs_of_the_living_stay_with_their_backups(tmp_path: Path) -> None:
    path = create_auto_log("cat", "stdout", "supervisor", str(tmp_path))
    sink = hold(path)
    Path(path + ".1").touch()
    names = {os.path.basename(path), os.path.basename(path) + ".1"}
    assert clean(tmp_path) == names
    sink.close()
    assert clean(tmp_path) == set()


def test_a_rotated_log_is_still_held(tmp_path: Path) -> None:
    path = create_auto_log("cat", "stdout", "supervisor", str(tmp_path))
    sink = hold(path, maxbytes=1)
    sink.write(b"x")
    sink.write(b"y")
    assert len(clean(tmp_path)) == 3
    # Between two steps of a rotation the name is free.
    os.unlink(path + ".1")
    os.rename(path, path + ".1")
    assert os.path.basename(path) + ".1" in clean(tmp_path)
    sink.close()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    names = {
        "cat-stdout---other-abcdefgh.log",
        "cat-stdout---supervisor-abcdefgh.log.gz",
        "cat-stdout---supervisor-abcdefgh.log.12345",
        "cat-stdout---supervisor-b-abcdefgh.log",
        "cat-stdout---supervisor-ABCDEFGH.log",
        "cat-stdout--supervisor-abcdefgh.log",
        "---supervisor-abcdefgh.log",
    }
    for name in names:
        (tmp_path / name).touch()
    assert clean(tmp_path) == names


def test_the_identifier_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "cat-stdout---aXb-abcdefgh.log").touch()
    assert len(clean(tmp_path, "a.b")) == 1
    assert clean(tmp_path, "aXb") == set()


def test_a_link_is_deleted_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"x")
    (tmp_path / "cat-stdout---supervisor-abcdefgh.log").symlink_to(tmp_path / "victim")
    assert clean(tmp_path) == {"victim"}


def test_what_is_to_be_kept_is_kept(tmp_path: Path) -> None:
    path = create_auto_log("cat", "stdout", "supervisor", str(tmp_path))
    Path(path + ".1").touch()
    clean_auto_logs(str(tmp_path), "supervisor", report=report, keep=[path])
    assert len(os.listdir(tmp_path)) == 2


def test_problems_are_reported(tmp_path: Path) -> None:
    reports: list[tuple[Level, str]] = []

    def collect(level: Level, text: str) -> None:
        reports.append((level, text))

    clean_auto_logs(str(tmp_path / "none"), "x", report=collect)
    stuck = tmp_path / "cat-stdout---x-abcdefgh.log"
    stuck.mkdir()
    clean_auto_logs(str(tmp_path), "x", report=collect)
    assert reports == [
        (Level.WARN, "Could not clear childlog dir"),
        (Level.WARN, f"Failed to clean up {str(stuck)!r}"),
    ]
