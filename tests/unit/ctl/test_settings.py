"""Where the client finds the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdsuper.ctl.options import parse
from sdsuper.ctl.settings import load
from sdsuper.errors import ConfigError

FILE = """\
[supervisorctl]
serverurl=unix://%(here)s/./d.sock
username=u%%
password=p
prompt=mine
history_file=%(here)s/x/../history
"""


def test_the_file_tells(tmp_path: Path) -> None:
    (tmp_path / "d.conf").write_text(FILE)
    settings = load(parse(["-c", str(tmp_path / "d.conf")]), "sdsuperctl")
    assert settings.url == f"unix://{tmp_path}/d.sock"
    assert (settings.username, settings.password, settings.prompt) == ("u%", "p", "mine")
    assert settings.history_file == f"{tmp_path}/history"
    assert settings.interactive
    assert not settings.json


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "d.conf").write_text(FILE)
    line = f"-c {tmp_path}/d.conf -s unix:///a/../b -u v -p q -r /h/. --json status"
    settings = load(parse(line.split()), "sdsuperctl")
    assert (settings.url, settings.history_file) == ("unix:///b", "/h")
    assert (settings.username, settings.password) == ("v", "q")
    assert not settings.interactive
    assert settings.json


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsuper.ctl.settings.find_config", lambda _program: None)
    settings = load(parse(["-i", "status"]), "sdsuperctl")
    assert (settings.url, settings.prompt) == ("http://localhost:9001", "supervisor")
    assert (settings.username, settings.password, settings.history_file) == (None, None, None)
    assert settings.interactive


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="could not find config file"):
        load(parse(["-c", str(tmp_path / "none"), "status"]), "sdsuperctl")
