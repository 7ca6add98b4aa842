"""Lines and bytes from a pipe, in whatever pieces they come."""

from __future__ import annotations

import io
import os

import pytest

from sdsuper.ctl.control import Output
from sdsuper.ctl.keyboard import Keyboard


def keyboard(data: bytes) -> tuple[Keyboard, io.BytesIO]:
    """Return a keyboard that types these bytes and then no more, and what it prints."""
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    shown = io.BytesIO()
    return Keyboard(Output(shown), read), shown


def test_lines_then_the_end() -> None:
    typed, shown = keyboard("é\n\nlast".encode() + b"\xff")
    assert [typed.ask("> ") for _ in range(3)] == ["é", "", "last\udcff"]
    with pytest.raises(EOFError):
        typed.ask("> ")
    assert shown.getvalue() == b"> " * 4


def test_what_stands_behind_a_line_is_for_whoever_asks_next() -> None:
    typed, _ = keyboard(b"fg cat\nhello\n")
    assert not typed.pending
    assert typed.ask_secret("") == "fg cat"
    assert typed.pending
    assert typed.read() == b"hello\n"
    assert typed.read() == b""


def test_a_pipe_is_no_terminal() -> None:
    assert not keyboard(b"")[0].is_terminal
