"""What TAB offers."""

from __future__ import annotations

from typing import Any

import pytest

from sdsuper.ctl.commands import all_commands
from sdsuper.ctl.complete import candidates
from sdsuper.ctl.shell import Completer
from tests.unit.ctl.fakes import Session, process

INFOS: Any = [process("a", "both"), process("b", "both"), process("cat"), process("dog")]
GROUPS = {"add", "remove", "update"}
OURS = {"usage", "why"}
PROCESSES = {"clear", "fg", "pid", "restart", "signal", "start", "status", "stop", "tail"}


@pytest.mark.parametrize(
    ("line", "text", "offered"),
    [
        ("re", "re", ["remove", "reread", "reexec", "reload", "restart"]),
        ("  EO", "EO", []),
        ("stop ", "", ["both:a", "both:*", "both:b", "cat", "dog"]),
        ("stop b", "b", ["both:a", "both:*", "both:b"]),
        ("stop cat:", "cat:", ["cat:cat", "cat:*"]),
        ("stop cat d", "d", ["dog"]),
        ("update ", "", ["both", "cat", "dog"]),
        ("help sto", "sto", ["stop"]),
        ("reread ", "", []),
        ("nonsense ", "", []),
        ("open u", "u", []),
    ],
)
def test_what_is_offered(line: str, text: str, offered: list[str]) -> None:
    found = candidates(line, text, all_commands().values(), lambda: INFOS)
    assert sorted(found) == sorted(f"{each} " for each in offered)


def test_what_each_action_takes_is_what_supervisor_completes() -> None:
    commands = all_commands()
    offered = {
        name: candidates(f"{name} ", "", commands.values(), lambda: INFOS) for name in commands
    }
    assert {name for name, found in offered.items() if "cat " in found} == GROUPS | PROCESSES | OURS
    assert {name for name, found in offered.items() if "both " in found} == GROUPS
    assert {name for name, found in offered.items() if "stop " in found} == {"help"}


def test_the_daemon_is_asked_once_between_two_commands() -> None:
    session = Session({"getAllProcessInfo": INFOS})
    completer = Completer(session.control)
    assert [completer.offer("fg c", "c", number) for number in range(2)] == ["cat ", None]
    assert completer.offer("fg d", "d", 0) == "dog "
    assert len(session.client.calls) == 1
    completer.forget()
    assert completer.offer("fg d", "d", 0) == "dog "
    assert len(session.client.calls) == 2


def test_nothing_is_offered_where_the_daemon_cannot_be_asked() -> None:
    session = Session({"getAllProcessInfo": ConnectionRefusedError()})
    assert Completer(session.control).offer("stop ", "", 0) is None
    assert session.out == ""
