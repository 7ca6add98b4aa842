"""One line at a time: what is typed, the call before, logins, errors, exit statuses."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from sdsuper.ctl.commands import all_commands
from sdsuper.ctl.control import NO_NAMESPACE, Output, OutputClosed, split_command
from sdsuper.ctl.settings import Settings
from sdsuper.ctl.shell import converse
from sdsuper.rpc.client import ProtocolError
from sdsuper.rpc.faults import Fault, FaultCode
from tests.unit.ctl.fakes import FakeClient, Session, process

UNAUTHORIZED = ProtocolError("127.0.0.1/RPC2", 401, "Unauthorized")


@pytest.mark.parametrize(
    ("line", "command", "rest"),
    [
        ("status a b", "status", " a b"),
        ("status:a", "status", ":a"),
        ("?", "help", ""),
        ("? start", "help", " start"),
        ("?start", "help", "start"),
        ("!ls", "", "!ls"),
        ("a_1-b", "a_1", "-b"),
        ("é", "", "é"),
    ],
)
def test_a_line_is_a_command_and_the_rest(line: str, command: str, rest: str) -> None:
    assert split_command(line) == (command, rest)


@pytest.mark.parametrize("line", ["nonsense", "!ls", "-", "é", "sta", "statuss x"])
def test_what_is_no_command(line: str) -> None:
    assert Session().run(f" {line} ") == (f"*** Unknown syntax: {line}\n", 1)


def test_an_empty_line_is_nothing() -> None:
    assert Session().run("   ") == ("", 0)


URL = "unix:///run/d.sock"


@pytest.mark.parametrize(
    ("answer", "text", "status", "of_status"),
    [
        (ConnectionRefusedError(), f"{URL} refused connection", 4, 4),
        (ConnectionResetError(), f"{URL} refused connection", 4, 4),
        (BrokenPipeError(), f"{URL} refused connection", 4, 4),
        (FileNotFoundError(), f"{URL} no such file", 7, 4),
        (Fault(FaultCode.UNKNOWN_METHOD), NO_NAMESPACE, 3, 4),
        ("2.0", None, 5, 4),
        (Fault(FaultCode.SHUTDOWN_STATE), None, 1, 1),
        (PermissionError(13, "Permission denied"), None, 1, 1),
        (ValueError("Unknown protocol for serverurl foo:bar"), None, 1, 1),
    ],
)
def test_the_call_before_a_command(
    answer: Any, text: str | None, status: int, of_status: int
) -> None:
    session = Session({"getVersion": answer})
    out, code = session.run("pid")
    assert code == status
    assert session.client.calls == []
    if text is not None:
        assert out == f"{text}\n"
    elif isinstance(answer, Exception):
        assert out.startswith("error: <class '")
    else:
        assert "but the remote version is 2.0." in out
    assert Session({"getVersion": answer}).run("status")[1] == of_status


def test_who_may_not_use_the_socket_is_told_who_may(tmp_path: Path) -> None:
    session = Session({"getVersion": PermissionError(13, "Permission denied")})
    path = tmp_path / "d.sock"
    session.control.settings.url = f"unix://{path}"
    session.run("status")
    assert session.errors == ""  # nobody can see whose it is
    path.touch(mode=0o660)
    session.run("status")
    assert session.errors.startswith(f"{path} is open only to root")


@pytest.mark.parametrize("line", ["avail", "reread", "update", "add a", "remove a", "reload"])
def test_commands_without_that_call_say_both(line: str) -> None:
    class Nobody(FakeClient):
        def call(self, method: str, *params: Any) -> Any:
            raise ConnectionRefusedError(111, "Connection refused")

    session = Session(connect=lambda _settings: Nobody({}))
    out, status = session.run(line)
    first, second = out.splitlines()
    assert first == f"{URL} refused connection"
    assert second.startswith("error: <class 'ConnectionRefusedError'>, [Errno 111]")
    assert status == 1


def test_a_login_that_is_missing_is_told_once() -> None:
    session = Session({"getVersion": UNAUTHORIZED})
    assert session.run("status") == ("Server requires authentication\n", 1)


def test_with_somebody_to_ask_a_login_is_asked_for_until_it_is_right() -> None:
    seen = []

    def connect(settings: Settings) -> FakeClient:
        seen.append((settings.username, settings.password))
        right = settings.password == "right"
        return FakeClient({"getVersion": "3.0" if right else UNAUTHORIZED, "getPID": 5})

    session = Session(connect=connect, replies=["me", "wrong", "me", "right"])
    out, status = session.run("pid")
    told = "Server requires authentication\n\n"
    assert (out, status) == (f"{told}{told}5\n", 0)
    assert session.asked == ["Username:", "Password:"] * 2
    assert seen == [(None, None), ("me", "wrong"), ("me", "right")]


def test_nobody_answers_who_was_to_be_asked() -> None:
    session = Session({"getVersion": UNAUTHORIZED}, replies=[])
    assert session.run("pid") == ("Server requires authentication\n\n", 1)


def test_other_http_errors_are_told_as_they_are() -> None:
    out, status = Session({"getPID": ProtocolError("127.0.0.1/RPC2", 500, "Oops")}).run("pid")
    assert out.startswith("error: <class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127")
    assert status == 1


def test_a_later_failure_overwrites_and_success_does_not() -> None:
    session = Session({"getPID": 1, "getAllProcessInfo": [process("a", state="FATAL")]})
    assert session.run("nonsense")[1] == 1
    assert session.run("pid")[1] == 1
    assert session.run("status")[1] == 3


def test_every_command_has_help_but_the_end_of_input() -> None:
    commands = all_commands()
    assert {name for name, found in commands.items() if not found.forms} == {"EOF"}
    listed = Session().run("help")[0]
    assert listed.split()[5:] != []
    for name in commands.keys() - {"EOF", "help"}:
        assert f"{name} " in listed or f"{name}\n" in listed
        assert commands[name].forms[0][0].startswith(name)
        assert Session().run(f"help {name}") == (f"{commands[name].help}\n", 0)


def test_help_as_a_list() -> None:
    expected = """
default commands (type help <topic>):
=====================================
add    exit      open  reexec  reread    signal  stop    usage\x20\x20
avail  fg        pid   reload  restart   start   tail    version
clear  maintail  quit  remove  shutdown  status  update  why\x20\x20\x20\x20

"""
    assert Session().run("help") == (expected, 0)
    assert Session().run("?") == (expected, 0)


def test_help_for_what_is_not_there() -> None:
    assert Session().run("help nope") == ("*** No help on nope\n", 0)
    assert Session().run("help help")[0].count("\n") == 2


def test_the_shell_shows_the_status_and_runs_what_is_typed() -> None:
    answers = {"getAllProcessInfo": [process("a")], "getPID": 5}
    session = Session(answers, replies=["pid", "", "nonsense", "exit", "pid"])
    converse(session.control)
    table = "a                                RUNNING   pid 7, uptime 0:00:05\n"
    assert session.out == f"{table}5\n*** Unknown syntax: nonsense\n\n"
    assert session.asked == ["supervisor> "] * 4


def test_the_shell_ends_with_its_input_and_with_ctrl_c() -> None:
    session = Session({"getAllProcessInfo": []}, replies=[])
    converse(session.control)
    assert session.out == "\n"
    session = Session({"getAllProcessInfo": KeyboardInterrupt()}, replies=["pid"])
    converse(session.control)
    assert session.out == "\n"


def test_output_is_utf_8_and_what_came_as_bytes_goes_as_bytes() -> None:
    stream = io.BytesIO()
    Output(stream).line("é\udcff")
    assert stream.getvalue() == b"\xc3\xa9\xff\n"


def test_nobody_reads_what_we_print() -> None:
    class Closed(io.BytesIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with pytest.raises(OutputClosed):
        Output(Closed()).line("x")
