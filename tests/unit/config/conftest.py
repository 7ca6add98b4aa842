"""Configurations for tests, from a few lines of text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdsuper.config.load import load
from sdsuper.config.model import Config
from sdsuper.errors import ConfigError

Load = Callable[..., Config]
Refuse = Callable[..., ConfigError]

ENVIRON = {"HOME": "/home-of-test", "KEY": "value", "PERCENT": "100%", "TMPDIR": "/tmp"}


@pytest.fixture
def main_file(tmp_path: Path) -> Path:
    """Where the main file is written."""
    return tmp_path / "main.conf"


@pytest.fixture
def read(main_file: Path) -> Load:
    """Write a text and load it; a [supervisord] is put in front where it has none."""

    def read_text(text: str, **options: Any) -> Config:
        if "[supervisord]" not in text and not options.pop("bare", False):
            text += "\n[supervisord]\n"
        main_file.write_text(text, encoding="utf-8")
        return load(str(main_file), **{"environ": ENVIRON, **options})

    return read_text


@pytest.fixture
def refuse(read: Load) -> Refuse:
    """Load a text that must be refused, and return the error."""

    def refuse_text(text: str, **options: Any) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            read(text, **options)
        return caught.value

    return refuse_text
