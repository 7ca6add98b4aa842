"""What a process wrote last is its own, bounded, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

from sdsuper.daemon.lastoutput import OUTPUT_BYTES, LastOutput
from sdsuper.values import Namespec

A = Namespec("a", "a")


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def kept(path: Path, before: bytes, then: bytes) -> bytes:
    last = LastOutput()
    append(path, before)
    last.begin(A, {"stdout": str(path)})
    append(path, then)
    last.end(A, {"stdout": str(path)})
    return last.of(A)["stdout"]


def test_what_an_earlier_invocation_wrote_is_not_taken_for_its_own(tmp_path: Path) -> None:
    assert kept(tmp_path / "a", b"before\n", b"mine\n") == b"mine\n"
    assert kept(tmp_path / "b", b"before\n", b"") == b""


def test_no_more_is_kept_than_the_bound(tmp_path: Path) -> None:
    assert kept(tmp_path / "a", b"", b"x" * 9000 + b"end") == b"x" * (OUTPUT_BYTES - 3) + b"end"


def test_a_file_that_was_rotated_or_truncated_is_all_its_own(tmp_path: Path) -> None:
    last, path = LastOutput(), tmp_path / "log"
    append(path, b"before\n")
    last.begin(A, {"stdout": str(path)})
    path.rename(tmp_path / "log.1")
    append(path, b"mine, after the rotation\n")
    last.end(A, {"stdout": str(path)})
    assert last.of(A) == {"stdout": b"mine, after the rotation\n"}
    last.begin(A, {"stdout": str(path)})
    os.truncate(path, 0)
    append(path, b"short\n")
    last.end(A, {"stdout": str(path)})
    assert last.of(A) == {"stdout": b"short\n"}


def test_a_pipe_is_not_read_and_a_missing_file_is_nothing(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    last = LastOutput()
    paths = {"stdout": str(fifo), "stderr": str(tmp_path / "none")}
    last.begin(A, paths)
    last.end(A, paths)
    assert last.of(A) == {"stdout": b"", "stderr": b""}


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    last, path = LastOutput(), tmp_path / "log"
    append(path, b"mine\n")
    last.end(A, {"stdout": str(path)})
    assert last.of(A) == {"stdout": b"mine\n"}
    last.forget(A)
    assert last.of(A) == {}
