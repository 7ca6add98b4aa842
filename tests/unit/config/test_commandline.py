from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdsuper.config.commandline import parse_command_line, usage
from sdsuper.config.model import DaemonConfig
from sdsuper.config.option import options_of
from sdsuper.errors import UsageError
from sdsuper.values import Level


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ("", {}),
        ("-n", {"nodaemon": True}),
        ("-nst", {"nodaemon": True, "silent": True, "strip_ansi": True}),
        ("--nod --nocleanup", {"nodaemon": True, "nocleanup": True}),
        ("-u nobody-at-all", {"user": "nobody-at-all"}),
        ("-m 027", {"umask": 0o27}),
        ("-d /tmp -q /", {"directory": "/tmp", "childlogdir": "/"}),
        ("-l/tmp/x", {"logfile": "/tmp/x"}),
        ("--logfile=syslog", {"logfile": "syslog"}),
        ("-y 1KB -z 3", {"logfile_maxbytes": 1024, "logfile_backups": 3}),
        ("-e BLATHER", {"loglevel": Level.BLATHER}),
        ("-j x.pid -i me", {"pidfile": "x.pid", "identifier": "me"}),
        ("-a 5 --minprocs 6 -k", {"minfds": 5, "minprocs": 6, "nocleanup": True}),
        ("--identifier=", {"identifier": ""}),
        ("-n --", {"nodaemon": True}),
    ],
)
def test_overrides(words: str, overrides: dict[str, Any]) -> None:
    assert parse_command_line(words.split()).overrides == overrides


def test_the_rest() -> None:
    found = parse_command_line(["-c", "x", "-n", "config", "check", "-c", "y"])
    assert (found.config, found.nodaemon) == ("x", True)
    assert found.words == ("config", "check", "-c", "y")


@pytest.mark.parametrize("words", [["-h"], ["-?"], ["--help"], ["-n", "--he", "-m", "9"]])
def test_help_ends_it(words: list[str]) -> None:
    assert parse_command_line(words).help


@pytest.mark.parametrize("words", [["-v"], ["--version", "-n", "-n"]])
def test_version_ends_it(words: list[str]) -> None:
    assert parse_command_line(words).version


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-x"], "option -x not recognized"),
        (["--foo"], "option --foo not recognized"),
        (["-l"], "option -l requires argument"),
        (["--logfile"], "option --logfile requires argument"),
        (["--logf", "/x"], "option --logf not a unique prefix"),
        (["--min", "1"], "option --min not a unique prefix"),
        (["--nodaemon=1"], "option --nodaemon must not have an argument"),
        (["-n", "-n"], "conflicting command line option '-n'"),
        (["-n", "--nodaemon"], "conflicting command line option '--nodaemon'"),
        (["-a", "1", "--minfds", "2"], "conflicting command line option '--minfds'"),
        (["-c", "a", "-c", "b"], "conflicting command line option '-c'"),
        (["-e", "foo"], "invalid value for -e 'foo': bad logging level name 'foo'"),
        (["-m", "9", "-v"], "invalid value for -m '9': 9 can not be converted to an octal type"),
        (["--minp", "x"],
         "invalid value for --minprocs 'x': invalid literal for int() with base 10: 'x'"),
        (["-d", "/nope"], "invalid value for -d '/nope': /nope is not an existing directory"),
        (["--logfile=/nope/x"],
         ("invalid value for --logfile '/nope/x': The directory named as part of the path /nope/x "
         "does not exist")),
        (["pos", "-n"], "positional arguments are not supported: ['pos', '-n']"),
        (["-h", "pos"], "positional arguments are not supported: ['pos']"),
        (["-x", "pos"], "option -x not recognized"),
    ],
)  # fmt: skip
def test_refused(words: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_command_line(words)
    assert str(caught.value) == text


def test_usage_names_every_option() -> None:
    lines = usage("some/sdsuperd").splitlines()
    assert lines[0].startswith("supervisord -- run a set of applications")
    assert any("-l/--logfile FILENAME -- use FILENAME as" in line for line in lines)
    assert "Usage: some/sdsuperd " in lines[2]
    told = "\n".join(lines)
    for option in options_of(DaemonConfig):
        assert option.flag is None or f"--{option.key} " in told


def test_a_log_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_command_line(["-l", "~/x"]).overrides == {"logfile": f"{tmp_path}/x"}
