from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdsuper.config import ini
from sdsuper.config.commandline import CommandLine
from sdsuper.config.commands import config_group
from sdsuper.config.show import MASK, render_check, render_ini, render_json
from tests.unit.config.conftest import Load

TEXT = """\
[supervisord]
loglevel=debug
logfile=/tmp/l
pidfile=/tmp/p
environment=DB_PASSWORD="hush",PLAIN=1
[unix_http_server]
file=/tmp/s
username=u
password=hush
[inet_http_server]
port=[::1]:80
[rpcinterface:x]
supervisor.rpcinterface_factory=a:b
token=hush
[program:p]
command=date +%%Y
  more
numprocs=2
process_name=%(program_name)s%(process_num)d
stdout_logfile=NONE
stopsignal=HUP
user=root
[eventlistener:l]
command=l
events=TICK
[fcgi-program:f]
command=f
socket=unix:///f
[group:g]
programs=p
"""


def test_ini(read: Load, main_file: Path) -> None:
    text = render_ini(read(TEXT))
    sections = {section.name: section.values for section in ini.parse(text)}
    assert list(sections) == [
        "supervisord", "inet_http_server", "unix_http_server", "rpcinterface:x",
        "eventlistener:l", "fcgi-program:f", "group:g", "program:g:p0", "program:g:p1",
    ]  # fmt: skip
    values = {key: value.text for key, value in sections["program:g:p1"].items()}
    assert values["command"] == "date +%%Y\nmore"
    assert (values["stopsignal"], values["user"]) == ("HUP", "root")
    assert (values["stdout_logfile"], values["stderr_logfile"]) == ("NONE", "AUTO")
    assert (values["startsecs"], values["stderr_logfile_maxbytes"]) == ("1", "50MB")
    assert sections["eventlistener:l"]["buffer_size"].text == "1000"
    assert sections["fcgi-program:f"]["socket"].text == "unix:///f"
    assert sections["inet_http_server"]["port"].text == "[::1]:80"
    assert f"; {main_file}:15\n[program:g:p0]" in text


@pytest.mark.parametrize("render", [render_ini, render_json])
def test_secrets_are_masked(render: object, read: Load) -> None:
    assert callable(render)
    text = render(read(TEXT))
    assert "hush" not in text
    assert text.count(MASK) >= 3


def test_json(read: Load) -> None:
    plain = json.loads(render_json(read(TEXT)))
    assert plain["supervisord"]["loglevel"] == "debug"
    assert plain["supervisord"]["umask"] == "022"
    assert plain["supervisord"]["environment"] == {"DB_PASSWORD": MASK, "PLAIN": "1"}
    assert plain["servers"][0] == {
        "section": "inet_http_server", "username": None, "password": None, "port": "[::1]:80",
        "get_actions": False,
    }  # fmt: skip
    assert plain["rpcinterfaces"][0]["options"] == {"token": MASK}
    listener, fcgi, group = plain["groups"]
    assert (listener["events"], listener["buffer_size"]) == ("TICK", 1000)
    assert fcgi["sockets"]["f"]["socket"] == "unix:///f"
    assert group["programs"] == ["p"]
    process = group["processes"][1]
    assert (process["name"], process["process_num"], process["line"]) == ("p1", 1, 15)
    assert (process["startsecs"], process["autostart"], process["numprocs"]) == (1, True, 2)


def test_a_clean_check(read: Load, main_file: Path) -> None:
    text, clean = render_check(read("[program:x]\ncommand=x\nstdout_logfile=syslog\n"))
    assert clean
    warning, summary = text.splitlines()
    assert warning.startswith("warning: For [program:x], stdout_logfile=syslog but this is")
    assert summary == f"{main_file}: ok (1 file, 1 group, 1 process, 0 servers)"


def run(*words: str) -> int:
    return config_group(["config", *words], CommandLine())


def test_the_commands(main_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_file.write_text(TEXT)
    assert run("check", "-c", str(main_file)) == 0
    assert capsys.readouterr().out.endswith(": ok (1 file, 3 groups, 4 processes, 2 servers)\n")
    assert run("show", "-c", str(main_file)) == 0
    assert capsys.readouterr().out.startswith("[supervisord]\n")
    assert config_group(
        ["config", "show", "--format", "json"],
        CommandLine(config=str(main_file), overrides={"nodaemon": True}),
    ) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["supervisord"]["nodaemon"] is True


def test_check_tells_everything(main_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_file.write_text("[supervisord]\nlogevel=info\nminfds=many\n[program:x]\n")
    assert run("check", "-c", str(main_file)) == 2
    assert capsys.readouterr().out.splitlines() == [
        (
            f'{main_file}:2: [supervisord] logevel="info": unknown option logevel; '
            "did you mean loglevel?"
        ),
        f'{main_file}:3: [supervisord] minfds="many": not a whole number',
        f"{main_file}:4: [program:x]: program section program:x does not specify a command",
        "3 errors",
    ]
    assert run("show", "-c", str(main_file)) == 2
    captured = capsys.readouterr()
    assert (captured.out, "3 errors" in captured.err) == ("", True)


def test_check_tells_nothing_twice(main_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_file.write_text("[supervisord]\n[program:x]\ncommand=x\npriority=q\nautostart=q\n")
    assert run("check", "-c", str(main_file)) == 2
    assert capsys.readouterr().out.splitlines() == [
        f'{main_file}:4: [program:x] priority="q": not a whole number',
        (
            f"{main_file}:5: [program:x] autostart=\"q\": not a valid boolean value: 'q'; "
            "accepted: true, yes, on, 1, false, no, off or 0"
        ),
        "2 errors",
    ]
    missing = main_file.with_name("missing")
    assert run("check", "-c", str(missing)) == 2
    assert capsys.readouterr().out.splitlines() == [f"{missing}: no such file", "1 error"]


def test_check_refuses_what_strict_refuses(
    main_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main_file.write_text("[supervisord]\nstrict=true\n[inet_http_server]\nport=*:1\n")
    main_file.chmod(0o666)
    open_server = (
        "[inet_http_server]: strict=true: can be reached from other machines without a password; "
        "set username and password, or listen on 127.0.0.1"
    )
    for uid, files in ((0, [main_file]), (7, [])):
        monkeypatch.setattr("os.geteuid", lambda uid=uid: uid)
        assert run("check", "-c", str(main_file)) == 2
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == open_server
        assert [line.partition(": strict=true: can be changed")[0] for line in lines[1:-1]] == [
            str(file) for file in files
        ]
    main_file.write_text("[supervisord]\n[inet_http_server]\nport=*:1\n")
    assert run("check", "-c", str(main_file)) == 0


def test_an_unknown_key_is_an_error(main_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_file.write_text("[supervisord]\nlogevel=info\n")
    assert run("check", "-c", str(main_file)) == 2
    assert capsys.readouterr().out.endswith("did you mean loglevel?\n1 error\n")


@pytest.mark.parametrize("words", [["nonsense"], ["check", "--nonsense"], ["show", "--format=x"]])
def test_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert "Error: " in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "check" in capsys.readouterr().out
