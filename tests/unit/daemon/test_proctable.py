"""What is read of /proc, of processes that may not mean well."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from sdsuper.daemon import proctable

FORGED_BYTES = 64 * 1024 * 1024


def redirect(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Let a file stand for the environment of process 1."""
    real_open = os.open

    def open_forged(path: str, flags: int) -> int:
        assert path == "/proc/1/environ"
        return real_open(file, flags)

    monkeypatch.setattr(os, "open", open_forged)


def test_an_environment_that_was_forged_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = tmp_path / "environ"
    forged.touch()
    os.truncate(forged, FORGED_BYTES)
    redirect(monkeypatch, forged)
    monkeypatch.setattr(proctable, "_ENVIRON_MAX_BYTES", 1000)
    tracemalloc.start()
    try:
        assert not proctable.has_variable(1, b"A=b")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FORGED_BYTES


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        (b"A=b\0C=d\0", True),
        (b"C=d\0A=b\0", True),
        (b"C=d\0A=b", True),
        (b"A=bc\0", False),
        (b"CA=b\0", False),
        (b"", False),
    ],
)
def test_a_variable_is_found_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: bytes, found: bool
) -> None:
    (tmp_path / "environ").write_bytes(environ)
    redirect(monkeypatch, tmp_path / "environ")
    assert proctable.has_variable(1, b"A=b") is found
