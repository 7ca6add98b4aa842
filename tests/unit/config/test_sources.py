from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sdsuper.config import reading
from sdsuper.config.load import load
from sdsuper.config.model import Config, Note
from sdsuper.config.reading import read_text
from sdsuper.errors import ConfigError
from sdsuper.values import Level
from tests.unit.config.conftest import Load, Refuse

PROGRAM = "[program:{0}]\ncommand={0} %(here)s\n"


def commands(config: Config) -> dict[str, str]:
    return {p.name: p.command for group in config.groups for p in group.processes}


def test_includes_are_read_in_sorted_order_over_one_another(read: Load, tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "b.ini").write_text("[program:x]\nstartsecs=2\n[program:b]\ncommand=b %(here)s\n")
    (folder / "a.ini").write_text("[program:x]\nstartsecs=1\nstartretries=9\n")
    (folder / ".hidden.ini").write_text("broken")
    config = read("[program:x]\ncommand=x %(here)s\n[include]\nfiles = conf.d/*.ini\n  none/*\n")
    assert commands(config) == {"x": f"x {tmp_path}", "b": f"b {folder}"}
    process = next(g for g in config.groups if g.name == "x").processes[0]
    assert (process.startsecs, process.startretries) == (2, 9)
    assert config.files == (config.file, f"{folder}/a.ini", f"{folder}/b.ini")
    assert config.notes == (
        Note(Level.WARN, f'No file matches via include "{tmp_path}/none/*"'),
        Note(Level.INFO, f'Included extra file "{folder}/a.ini" during parsing'),
        Note(Level.INFO, f'Included extra file "{folder}/b.ini" during parsing'),
    )


def test_here_is_the_folder_of_each_value(read: Load, tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "a.ini").write_text("[program:x]\ndirectory=%(here)s/%%(here)s\n")
    config = read("[program:x]\ncommand=%(here)s\n[include]\nfiles=%(here)s/sub/*.ini\n")
    process = config.groups[0].processes[0]
    assert (process.command, process.directory) == (str(tmp_path), f"{folder}/%(here)s")


def test_an_included_file_may_hold_the_daemon(read: Load, tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[supervisord]\nidentifier=inner\n[include]\nfiles=b.ini\n")
    (tmp_path / "b.ini").write_text("not ini")
    config = read("[include]\nfiles=a.ini\n", bare=True)
    assert config.daemon.identifier == "inner"


def test_errors_name_the_file_that_opened_the_section(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[program:x]\nstartsecs=q\n[program:y]\ncommand=y\numask=q\n")
    error = refuse("[program:x]\ncommand=x\n[include]\nfiles=a.ini\n")
    first, second = error.problems
    assert first.message.endswith(f"in section 'program:x' (file: '{tmp_path}/main.conf')")
    assert second.message.endswith(f"in section 'program:y' (file: '{tmp_path}/a.ini')")
    assert (first.file, first.line) == (f"{tmp_path}/a.ini", 2)


def test_folders_and_unreadable_files_are_told_and_skipped(read: Load, tmp_path: Path) -> None:
    (tmp_path / "a.ini").mkdir()
    (tmp_path / "b.ini").symlink_to("b.ini")
    config = read("[include]\nfiles=*.ini\n")
    reasons = {"a": os.strerror(errno.EISDIR), "b": os.strerror(errno.ELOOP)}
    assert [note.message for note in config.notes] == [
        f"could not read included file {tmp_path}/{name}.ini: {reason}"
        for name, reason in reasons.items()
    ]
    assert config.files == (config.file,)


def test_broken_includes_are_all_told(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "a.ini").write_text("[x]\nbroken\n")
    (tmp_path / "b.ini").write_text("broken\n")
    error = refuse("[include]\nfiles=*.ini\n")
    assert error.first == (
        f"Source contains parsing errors: '{tmp_path}/a.ini'\n\t[line  2]: 'broken\\n'"
    )
    assert [problem.file for problem in error.problems] == [
        f"{tmp_path}/a.ini",
        f"{tmp_path}/b.ini",
    ]


def test_an_include_of_nothing(refuse: Refuse) -> None:
    error = refuse("[include]\n")
    assert error.first == ".ini file has [include] section, but no files setting"


def test_an_include_of_an_unknown_name(refuse: Refuse) -> None:
    assert refuse("[include]\nfiles=%(zz)s\n").first == (
        "Format string '%(zz)s' for 'include.files' contains names ('zz') which cannot be "
        "expanded. Available names: ENV_*, here, host_node_name"
    )


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^could not find config file "):
        load(str(tmp_path / "none"))


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path))
    assert str(caught.value) == f"could not read config file {tmp_path}"


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes(b"[supervisord]\nidentifier=a\n; caf\xe9\n")
    with pytest.raises(ConfigError, match="can't decode byte 0xe9") as caught:
        load(str(path))
    assert caught.value.problems[0].line == 3


def test_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "bom"
    path.write_bytes(b"\xef\xbb\xbf[supervisord]\nidentifier=x\r\n")
    assert load(str(path)).daemon.identifier == "x"


def test_a_file_that_is_being_written_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing"
    path.write_text("[a]\n")
    stats = 0

    def stat(name: str) -> os.stat_result:
        nonlocal stats
        stats += 1
        if stats == 2:  # between reading and looking again
            path.write_text("[a]\nx=1\n")
        return os.stat(name)

    class Watched:
        path = os.path

    monkeypatch.setattr(Watched, "stat", staticmethod(stat), raising=False)
    monkeypatch.setattr(reading, "os", Watched)
    assert read_text(str(path)) == "[a]\nx=1\n"


def test_a_file_that_never_rests_is_read_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "restless"
    path.write_text("x")

    class Watched:
        @staticmethod
        def stat(name: str) -> os.stat_result:
            path.write_text(path.read_text() + "x")
            return os.stat(name)

    monkeypatch.setattr(reading, "os", Watched)
    assert set(read_text(str(path))) == {"x"}
