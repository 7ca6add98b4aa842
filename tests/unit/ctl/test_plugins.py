"""Commands that plugins add, with a plugin of every kind."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any
from xmlrpc.client import ProtocolError as TheirProtocolError

import pytest

from sdsuper.config.client import ClientPluginConfig
from sdsuper.ctl.shell import Completer
from tests.unit.ctl.fakes import Session, process


class Plugin:
    """Written as plugins are; from the base class it needs nothing."""

    def __init__(self, controller: Any, **options: str) -> None:
        self.ctl = controller
        self.options = options
        self.refused = 0

    def do_say(self, arg: str) -> None:
        self.ctl.output(f"{arg}|{sorted(self.options.items())}")

    def help_say(self) -> None:
        self.ctl.output("say it")

    def do_status(self, _arg: str) -> None:
        raise AssertionError("hides our own")

    def do_help(self, _arg: str) -> None:
        raise AssertionError("hides our own")

    def do_leave(self, _arg: str) -> bool:
        """Leave the shell."""
        return True

    def do_fail(self, arg: str) -> None:
        self.ctl.set_exitstatus_from_xmlrpc_fault(int(arg), 60)

    def do_raise(self, _arg: str) -> None:
        raise KeyError("x")

    def do_twice(self, arg: str) -> None:
        self.ctl.onecmd(arg)
        self.ctl.onecmd(arg)

    def do_up(self, _arg: str) -> None:
        if self.ctl.upcheck():
            self.ctl.output(self.ctl.options.serverurl)

    def do_login(self, _arg: str) -> None:
        self.refused += 1
        if self.refused == 1:
            raise TheirProtocolError("127.0.0.1/RPC2", 401, "Unauthorized", {})
        self.ctl.output(f"{self.ctl.options.username}:{self.ctl.options.password}")

    def do_plainly(self, _arg: str) -> None:
        self.ctl.stdout.write("plain")
        self.ctl.exitstatus = 9


def refuse(_controller: Any) -> None:
    raise ValueError("I will not")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session with the plugin, and with one that cannot be loaded."""
    return with_plugins(monkeypatch, ("mine", "plugin_of_test:Plugin"))


def with_plugins(
    monkeypatch: pytest.MonkeyPatch, *plugins: tuple[str, str], **answers: Any
) -> Session:
    module = ModuleType("plugin_of_test")
    vars(module).update(Plugin=Plugin, refuse=refuse, number=5)
    monkeypatch.setitem(sys.modules, "plugin_of_test", module)
    session = Session({"getAllProcessInfo": [process("a")], "getPID": 5, **answers}, replies=[])
    session.control.settings.plugins = tuple(
        ClientPluginConfig(name, factory, {"key": "value"} if name == "mine" else {}, "c.conf:7")
        for name, factory in plugins
    )
    return session


@pytest.mark.parametrize(
    ("line", "out", "status"),
    [
        ("say  two  words ", "two  words|[('key', 'value')]\n", 0),
        ("status", "a                                RUNNING   pid 7, uptime 0:00:05\n", 0),
        ("help say", "say it\n", 0),
        ("help leave", "Leave the shell.\n", 0),
        ("help fail", "*** No help on fail\n", 0),
        ("fail 70", "", 7),
        ("fail 10", "", 1),
        ("fail 60", "", 0),
        ("fail 80", "", 0),
        ("twice pid", "5\n5\n", 0),
        ("twice nonsense", "*** Unknown syntax: nonsense\n" * 2, 1),
        ("up", "unix:///run/d.sock\n", 0),
        ("plainly", "plain", 9),
        ("sa", "*** Unknown syntax: sa\n", 1),
    ],
)
def test_commands(session: Session, line: str, out: str, status: int) -> None:
    assert session.run(line) == (out, status)


def test_what_a_plugin_returns_says_whether_the_shell_ends(session: Session) -> None:
    session.run("say x")
    assert not session.control.ended
    session.run("leave")
    assert session.control.ended


def test_exit_from_within_a_plugin_ends_the_shell(session: Session) -> None:
    session.run("twice exit")
    assert session.control.ended


def test_an_error_of_a_plugin_is_told_and_the_shell_lives_on(session: Session) -> None:
    out, status = session.run("raise")
    assert out.startswith("error: <class 'KeyError'>, 'x': file: ")
    assert status == 1
    assert not session.control.ended


def test_a_plugin_that_is_asked_for_a_login_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    session = with_plugins(monkeypatch, ("mine", "plugin_of_test:Plugin"))
    session.control.keyboard = Session(replies=["me", "secret"]).control.keyboard
    assert session.run("login") == ("Server requires authentication\n\nme:secret\n", 0)


def test_help_lists_what_a_plugin_documents(session: Session) -> None:
    listed = session.run("help")[0]
    assert listed.endswith(f"\nmine commands (type help <topic>):\n{'=' * 34}\nleave  say\n\n")


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("nosuch.module:make", "ModuleNotFoundError: No module named 'nosuch'"),
        (
            "plugin_of_test:nosuch",
            "AttributeError: module 'plugin_of_test' has no attribute 'nosuch'",
        ),
        ("plugin_of_test:number", "TypeError: number cannot be called"),
        ("plugin_of_test:refuse", "ValueError: I will not"),
        ("plugin_of_test", "ValueError: not of the form module:callable"),
        (":x", "ValueError: not of the form module:callable"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_told_once(
    monkeypatch: pytest.MonkeyPatch, factory: str, reason: str
) -> None:
    session = with_plugins(monkeypatch, ("bad", factory), ("mine", "plugin_of_test:Plugin"))
    assert session.run("status")[1] == 0
    assert session.errors == ""
    assert session.run("say x")[0].endswith("x|[('key', 'value')]\n")
    session.run("nonsense")
    assert session.errors == (
        f"Error: {factory} cannot be resolved within [ctlplugin:bad]\nc.conf:7: {reason}\n"
    )


def test_commands_of_plugins_are_completed_with_help_or_without(session: Session) -> None:
    completer = Completer(session.control)
    assert completer.offer("sa", "sa", 0) == "say "
    assert completer.offer("rai", "rai", 0) == "raise "


def test_of_two_plugins_the_first_has_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = "plugin_of_test:Plugin"
    session = with_plugins(monkeypatch, ("mine", plugin), ("other", plugin))
    assert session.run("say x") == ("x|[('key', 'value')]\n", 0)
