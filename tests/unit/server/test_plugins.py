"""Plugins of others: what of them may be called, what they mean, and that they end nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import pytest

from sdsuper import eventloop
from sdsuper.config.model import Location, RpcInterfaceConfig
from sdsuper.core.events import ProcessRunning
from sdsuper.core.states import ManagerState, ProcessState
from sdsuper.daemon.plugins import MODULES
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server import plugins
from sdsuper.server.facade import Supervisord
from sdsuper.server.plugins import Plugin, Unsupported, load_plugins, promised
from sdsuper.values import Level, Namespec
from tests.unit.server.calls import solo
from tests.unit.server.fakes import FakeDaemon


class RPCError(Exception):
    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text


class NOT_DONE_YET:  # noqa: N801
    pass


class Base:
    def inherited(self) -> str:
        return "inherited"


class Target(Base):
    """What a factory might return."""

    other = Base()
    number = 3

    def __init__(self) -> None:
        self.function = lambda: 1
        self.left = 2

    def add(self, one: int, two: int = 2) -> int:
        """Add.

        @param int one  a number
        @param int two  another
        @return int     the sum
        """
        return one + two

    def untold(self) -> tuple[str]:
        return ("alone",)

    def _private(self) -> int:
        return 1

    def refuse(self) -> None:
        raise RPCError(777, "MINE: no")

    def refuse_as_we_do(self) -> None:
        raise Fault(FaultCode.BAD_NAME, "x")

    def reach(self) -> None:
        raise Unsupported("sdsuper has no such thing")

    def end(self) -> None:
        sys.exit(0)

    def fail(self) -> None:
        raise KeyError("x")

    def mistake(self) -> object:
        return len(3)  # type: ignore[arg-type]

    def later(self) -> Callable[[], object]:
        def ask() -> object:
            self.left -= 1
            return "done" if self.left < 0 else NOT_DONE_YET

        ask.delay = 0.0  # type: ignore[attr-defined]
        return ask


@pytest.fixture
def plugin() -> Plugin:
    return Plugin("x", Target())


def fault_of(plugin: Plugin, name: str, params: Sequence[object] = ()) -> Fault:
    with pytest.raises(Fault) as raised:
        plugin.call(name, params)
    return raised.value


def test_what_may_be_called(plugin: Plugin) -> None:
    assert plugin.call("x.add", [1]) == 3
    assert plugin.call("x.inherited", []) == "inherited"
    assert plugin.call("x.untold", []) == "alone"


@pytest.mark.parametrize(
    "name", ["x", "x.", "x._private", "x.__init__", "x.other.inherited", "x.number", "x.function",
             "x.other", "x.nosuch", "y.add", "x.__class__", "x.add.__func__"],
)  # fmt: skip
def test_what_may_not_be_called(plugin: Plugin, name: str) -> None:
    assert fault_of(plugin, name).code == FaultCode.UNKNOWN_METHOD


def test_what_is_told_of_methods(plugin: Plugin) -> None:
    assert sorted(plugin.methods) == [
        f"x.{name}"
        for name in ("add", "end", "fail", "later", "mistake", "reach", "refuse",
                     "refuse_as_we_do", "untold")
    ]  # fmt: skip
    assert plugin.methods["x.add"].signature == ["int", "int", "int"]
    assert plugin.methods["x.add"].help.startswith("Add.\n\n@param int one")
    assert plugin.methods["x.untold"].help == ""
    with pytest.raises(Fault) as raised:
        _ = plugin.methods["x.untold"].signature
    assert raised.value.code == FaultCode.SIGNATURE_UNSUPPORTED


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("x.refuse", 777, "MINE: no"),
        ("x.refuse_as_we_do", FaultCode.BAD_NAME, "BAD_NAME: x"),
        ("x.reach", FaultCode.FAILED, "FAILED: sdsuper has no such thing"),
    ],
)
def test_refusals_are_faults(plugin: Plugin, name: str, code: int, text: str) -> None:
    fault = fault_of(plugin, name)
    assert (fault.code, fault.text) == (code, text)


@pytest.mark.parametrize("params", [[], [1, 2, 3]])
def test_wrong_parameters_are_the_callers_mistake(plugin: Plugin, params: list[object]) -> None:
    assert fault_of(plugin, "x.add", params).code == FaultCode.INCORRECT_PARAMETERS


def test_a_mistake_of_the_plugin_is_not(plugin: Plugin) -> None:
    with pytest.raises(TypeError, match="has no len"):
        plugin.call("x.mistake", [])


def test_nothing_ends_the_daemon(plugin: Plugin) -> None:
    with pytest.raises(RuntimeError, match="wanted to end the daemon"):
        plugin.call("x.end", [])
    with pytest.raises(KeyError):
        plugin.call("x.fail", [])


def test_a_promise_is_asked_until_it_is_kept(plugin: Plugin) -> None:
    assert eventloop.run(plugin.call("x.later", [])) == "done"


def test_a_coroutine_may_wait_for_nothing_of_another_loop() -> None:
    class Target:
        async def plain(self) -> str:
            return "done"

        async def sleeping(self) -> None:
            import asyncio

            await asyncio.sleep(1)

    plugin = Plugin("x", Target())
    assert eventloop.run(plugin.call("x.plain", [])) == "done"
    with pytest.raises(RuntimeError, match="no running event loop"):
        eventloop.run(plugin.call("x.sleeping", []))


def test_a_promise_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "PATIENCE", -1.0)
    with pytest.raises(Fault, match=r"FAILED: x\.y has given no result"):
        eventloop.run(promised("x.y", lambda: NOT_DONE_YET))


@pytest.mark.parametrize(
    ("delay", "pace"),
    [(0, 0.05), (0.2, 0.2), (1e9, 10.0), ("no", 0.5), (float("nan"), 0.5), (None, 0.5), (-1, 0.05)],
)
def test_the_pace_of_a_promise_is_bounded(delay: object, pace: float) -> None:
    def ask() -> None:
        pass

    ask.delay = delay  # type: ignore[attr-defined]
    assert isinstance(ask, FunctionType)
    assert plugins._pace(ask) == pace


# -- loading ---------------------------------------------------------------------------------------


def interface(name: str, **options: str) -> RpcInterfaceConfig:
    return RpcInterfaceConfig(
        name=name, factory=f"m:{name}", options=options, location=Location("c.conf", 7)
    )


def test_a_factory_that_fails_costs_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(supervisord: object) -> None:
        raise ValueError("no\nway")

    factories: dict[str, Callable[..., object]] = {
        "m:bad": bad,
        "m:ends": lambda supervisord: sys.exit(1),
        "m:good": lambda supervisord, **options: options["key"] and Target(),
    }
    daemon: Any = FakeDaemon()
    daemon.report = daemon.log.log
    names = ("bad", "ends", "absent", "good")
    monkeypatch.setattr(MODULES, "find", lambda spec: factories.get(spec) or sys.exit(1))
    found = load_plugins(
        daemon,
        [interface(name, **({"key": "v"} if name == "good" else {})) for name in names],
        lambda: Supervisord(daemon, lambda name, params: None),
    )
    assert list(found) == ["good"]
    assert daemon.log.at(Level.CRITICAL) == [
        f"c.conf:7: Could not make {told}; everything else goes on without it"
        for told in (
            "bad rpc interface: ValueError: no way",
            "ends rpc interface: SystemExit: 1",
        )
    ]
    assert daemon.log.at(Level.INFO) == ["RPC interface 'good' initialized"]


# -- supervisord -----------------------------------------------------------------------------------


@pytest.fixture
def daemon() -> Any:
    daemon: Any = FakeDaemon(solo("cat", autostart=False))
    daemon.report = daemon.log.log
    daemon.state = ManagerState.RUNNING
    return daemon


@pytest.fixture
def supervisord(daemon: Any) -> Supervisord:
    return Supervisord(daemon, lambda name, params: (name, params))


def test_processes_are_shown_as_they_are_now(supervisord: Supervisord, daemon: Any) -> None:
    group = supervisord.process_groups["cat"]
    process = group.processes["cat"]
    assert (process.get_state(), process.pid, process.laststart) == (ProcessState.STOPPED, 0, 0)
    process.spawn()
    assert process.pid == daemon.manager.processes[Namespec("cat", "cat")].pid != 0
    assert process.laststart == daemon.now().wall
    assert (process.group.config.name, process.config.command) == ("cat", process.config.command)
    process.stop()
    assert process.state == ProcessState.STOPPING
    assert type(process.state) is type(supervisord.get_state()) is int
    assert [config.name for config in group.config.process_configs] == ["cat"]
    assert (list(supervisord.process_groups), len(supervisord.process_groups)) == (["cat"], 1)
    assert "nosuch" not in supervisord.process_groups


def test_what_is_not_there_says_so(supervisord: Supervisord) -> None:
    with pytest.raises(Unsupported, match=r"sdsuper has no Supervisord\.stop_groups for plugins"):
        supervisord.stop_groups  # noqa: B018
    with pytest.raises(Unsupported, match=r"ShownGroup\.transition"):
        supervisord.process_groups["cat"].transition()
    assert getattr(supervisord.options, "nosuch", None) is None


def test_options_and_log(supervisord: Supervisord, daemon: Any) -> None:
    options = supervisord.options
    assert (options.identifier, options.mood, options.loglevel) == ("unit", 1, Level.INFO)
    options.logger.warn("a %(b)s", b="c")
    options.logger.log(39, "d %s")
    options.logger.info("100%")
    assert daemon.log.lines[-3:] == [
        (Level.WARN, "a c"), (Level.ERROR, "d %s"), (Level.INFO, "100%")
    ]  # fmt: skip


def test_a_group_is_removed_when_it_is_down(supervisord: Supervisord) -> None:
    process = supervisord.process_groups["cat"].processes["cat"]
    process.spawn()
    assert not supervisord.remove_process_group("cat")
    assert not supervisord.remove_process_group("nosuch")
    assert supervisord.process_groups["cat"].config.name == "cat"


def test_an_event_is_shown_with_its_process(supervisord: Supervisord) -> None:
    event = ProcessRunning(Namespec("cat", "cat"), ProcessState.STARTING, 5)
    shown: Any = supervisord.shown(event)
    assert isinstance(shown, ProcessRunning)
    assert shown.process.config.name == "cat"
    assert shown.payload() == event.payload()
    assert event.process == Namespec("cat", "cat")


def test_own_methods_are_called(supervisord: Supervisord) -> None:
    assert supervisord.call("getPID", []) == ("supervisor.getPID", [])
