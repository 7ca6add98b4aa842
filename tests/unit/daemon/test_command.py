"""`command=` -> executable and arguments, with the texts that operators see."""

import shlex
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdsuper.config.model import ChannelConfig, Location, ProcessConfig
from sdsuper.daemon import command as commands
from sdsuper.daemon.command import (
    CommandNotExecutableError,
    CommandNotFoundError,
    recent_command,
    resolve_command,
    split_command,
)


def process(command: str, **options: Any) -> ProcessConfig:
    return ProcessConfig(
        name="p",
        group="p",
        program="p",
        location=Location("test.ini", 1),
        command=command,
        stdout=ChannelConfig(),
        stderr=ChannelConfig(),
        **options,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, mode in (("tool", 0o755), ("plain", 0o644)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    (tmp_path / "folder").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner").write_text("#!/bin/sh\n")
    (tmp_path / "sub" / "inner").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_argv_stays_as_written_and_the_file_is_absolute(folder: Path) -> None:
    found = resolve_command(process("./tool 'a b' \"c\"\n  d"), {})
    assert found.argv == ["./tool", "a b", "c", "d"]
    assert found.file == str(folder / "tool")


def test_the_programs_own_path_comes_first(folder: Path) -> None:
    own = process("tool", environment={"PATH": str(folder)})
    assert resolve_command(own, {"PATH": "/nonexistent"}).file == str(folder / "tool")


def test_the_search_goes_on_past_what_cannot_be_executed(folder: Path) -> None:
    shadow = folder / "shadow"
    shadow.mkdir()
    (shadow / "tool").mkdir()
    environ = {"PATH": f"{shadow}:{folder}"}
    assert resolve_command(process("tool"), environ).file == str(folder / "tool")


def test_an_empty_path_falls_back_to_the_usual_folders() -> None:
    assert resolve_command(process("sh"), {"PATH": ""}).file in ("/bin/sh", "/usr/bin/sh")


def test_a_relative_command_is_also_looked_for_in_its_directory(folder: Path) -> None:
    found = resolve_command(process("./inner", directory=str(folder / "sub")), {})
    assert found.file == str(folder / "sub" / "inner")


def test_the_daemons_directory_comes_before_the_programs(folder: Path) -> None:
    (folder / "sub" / "tool").write_text("#!/bin/sh\n")
    (folder / "sub" / "tool").chmod(0o755)
    found = resolve_command(process("./tool", directory=str(folder / "sub")), {})
    assert found.file == str(folder / "tool")


@pytest.mark.parametrize(
    ("command", "kind", "text"),
    [
        ("", CommandNotExecutableError, "command is empty"),
        (
            "sh -c 'x",
            CommandNotExecutableError,
            "can't parse command \"sh -c 'x\": No closing quotation",
        ),
        ("nosuchtool -v", CommandNotFoundError, "can't find command 'nosuchtool'"),
        ("/no/such", CommandNotFoundError, "can't find command '/no/such'"),
        ("./folder", CommandNotExecutableError, "command at './folder' is a directory"),
        ("./plain", CommandNotExecutableError, "command at './plain' is not executable"),
    ],
)
def test_refusals(folder: Path, command: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        resolve_command(process(command), {"PATH": str(folder)})
    assert str(caught.value) == text


def test_what_was_found_but_cannot_run_is_named(folder: Path) -> None:
    with pytest.raises(CommandNotExecutableError) as caught:
        resolve_command(process("plain"), {"PATH": f"/nonexistent:{folder}"})
    assert str(caught.value) == f"command at '{folder}/plain' is not executable"


@given(st.text(st.sampled_from("ab \t\r\n\v\f\x85\u2003#;\"'\\")))
@example("sleep 60")
@example("")
def test_words_are_those_of_shlex(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        with pytest.raises(ValueError, match=f"^{error}$"):
            split_command(command)
    else:
        assert split_command(command) == words


def test_a_command_is_looked_for_anew_when_a_moment_has_passed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic() + 60
    monkeypatch.setattr(commands.time, "monotonic", lambda: now)
    path = {"PATH": f"{folder}/sub:{folder}"}
    assert recent_command(process("tool a"), path).file == f"{folder}/tool"
    (folder / "tool").rename(folder / "sub" / "tool")
    assert recent_command(process("tool b"), path).argv == ["tool", "b"]
    assert recent_command(process("tool"), path).file == f"{folder}/tool"
    assert resolve_command(process("tool"), path).file == f"{folder}/sub/tool"
    now += 1.5
    (folder / "sub" / "tool").rename(folder / "tool")
    assert recent_command(process("tool"), path).file == f"{folder}/tool"


def test_what_was_found_is_not_taken_for_another_command_or_path(folder: Path) -> None:
    (folder / "here").mkdir()
    (folder / "here" / "inner").write_text("#!/bin/sh\n")
    (folder / "here" / "inner").chmod(0o755)
    for place in ("sub", "here"):
        path = {"PATH": f"{folder}/{place}"}
        assert recent_command(process("inner"), path).file == f"{folder}/{place}/inner"
        given = process("./inner", directory=f"{folder}/{place}")
        assert recent_command(given, {}).file == f"{folder}/{place}/inner"
        chosen = process("inner", environment={"PATH": path["PATH"]})
        assert recent_command(chosen, {}).file == f"{folder}/{place}/inner"
    with pytest.raises(CommandNotFoundError):
        recent_command(process("inner"), {"PATH": str(folder)})
