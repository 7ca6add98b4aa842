"""Structs to text, to the letter."""

from __future__ import annotations

import cmd
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.ctl import render
from sdsuper.rpc.client import ProtocolError
from sdsuper.rpc.faults import Fault
from tests.unit.ctl.fakes import process


@pytest.mark.parametrize(
    ("text", "group", "name"),
    [
        ("a", "a", "a"),
        ("a:b", "a", "b"),
        ("a:a", "a", "a"),
        ("a:*", "a", None),
        ("a:", "a", None),
        (":b", "", "b"),
        ("a:b:c", "a", "b:c"),
    ],
)
def test_names(text: str, group: str, name: str | None) -> None:
    assert render.split_namespec(text) == (group, name)
    assert render.namespec("a", "a") == "a"
    assert render.namespec("a", "b") == "a:b"


def test_status_table() -> None:
    infos: list[Any] = [
        process("cat", description="pid 11381, uptime 0:00:28"),
        process("multi_03", "multi", "STARTING"),
        process("quick", state="FATAL", description="Exited too quickly"),
    ]
    assert render.status_table(infos).split("\n") == [
        "cat                              RUNNING   pid 11381, uptime 0:00:28",
        "multi:multi_03                   STARTING  ",
        "quick                            FATAL     Exited too quickly",
    ]
    assert render.status_table([]) == ""


def test_status_table_is_as_wide_as_its_longest_name_in_characters() -> None:
    infos: list[Any] = [process("ä" * 40), process("b")]
    first, second = render.status_table(infos).split("\n")
    assert first.index("RUNNING") == second.index("RUNNING") == 43


def test_avail_table() -> None:
    base = {"group": "g", "name": "n", "inuse": True, "autostart": True}
    info: Any = {**base, "group_prio": 5, "process_prio": 999}
    other: Any = {**info, "name": "g", "inuse": False, "autostart": False}
    assert render.avail_table([info, other]).split("\n") == [
        "g:n                              in use    auto      5:999",
        "g                                avail     manual    5:999",
    ]


def test_changes() -> None:
    text = render.changes(["b"], ["c"], ["a"])
    assert text == "a: disappeared\nb: available\nc: changed"
    assert render.changes([], [], []) == "No config updates to processes"


def test_json_keeps_its_shape() -> None:
    info: Any = process("n", "é", state="EXITED", exitstatus=3, stop=5)
    assert json.loads(render.as_json(render.status_json([info]))) == [
        {
            "namespec": "é:n",
            "group": "é",
            "name": "n",
            "state": "EXITED",
            "pid": 0,
            "start": 1,
            "stop": 5,
            "now": 6,
            "exitstatus": 3,
            "spawnerr": "",
            "description": "",
            "stdout_logfile": "/o",
            "stderr_logfile": "",
        }
    ]
    base = {"group": "g", "name": "n", "inuse": True, "autostart": False}
    configured: Any = {**base, "group_prio": 5, "process_prio": 6}
    assert render.avail_json([configured]) == [
        {"namespec": "g:n", **base, "group_priority": 5, "process_priority": 6}
    ]


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=30), min_size=1, max_size=40))
def test_columns_are_those_of_the_standard_library(words: list[str]) -> None:
    out = io.StringIO()
    cmd.Cmd(stdout=out).columnize(words, 80)
    assert render.columns(words) + "\n" == out.getvalue()


def test_help_forms_stand_in_columns() -> None:
    text = render.help_forms((("a <b>", "one"), ("a <b> <cdef>", "two"), ("a note", "")))
    assert text == "a <b>\t\tone\na <b> <cdef>\ttwo\na note"
    lines = text.expandtabs().split("\n")
    assert lines[0].index("one") == lines[1].index("two") == 16


def test_errors_are_called_what_scripts_know() -> None:
    try:
        raise Fault(6)
    except Fault as error:
        text = render.unexpected(error)
    front = "error: <class 'xmlrpc.client.Fault'>, <Fault 6: 'SHUTDOWN_STATE'>: file: "
    assert text.startswith(front)
    assert __file__ in text
    text = render.unexpected(ProtocolError("127.0.0.1/RPC2", 500, "Oops"))
    assert "<class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: 500" in text
    text = render.unexpected(FileNotFoundError(2, "No such file or directory"))
    assert text.startswith("error: <class 'FileNotFoundError'>, [Errno 2] No such file")


def test_who_is_not_there() -> None:
    assert render.unreachable("u", ConnectionRefusedError()) == "u refused connection"
    assert render.unreachable("u", FileNotFoundError()) == "u no such file"
    assert render.unreachable("u", PermissionError()) is None


def test_denied() -> None:
    assert render.denied("/s", "root", "ops") == (
        "/s is open only to root and the members of group ops"
    )
    assert render.denied("/s", "joe", None) == "/s is open only to root, joe"
