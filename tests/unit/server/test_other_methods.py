"""The daemon, its configuration, logs, and methods about methods."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdsuper import SUPERVISOR_VERSION, __version__, eventloop
from sdsuper.config.diff import Changes
from sdsuper.config.model import Autorestart, ChannelConfig
from sdsuper.core.facts import StartRequested
from sdsuper.errors import UsageError
from sdsuper.rpc.codec import dumps_response, loads_response
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.registry import Registry, method
from sdsuper.values import Level
from tests.unit.server.calls import Caller, group, outcome, program, result, settle, solo


def call(caller: Caller, name: str, *params: object) -> Any:
    async def once() -> Any:
        return await caller(name, *params)

    return eventloop.run(once())


# -- the daemon ------------------------------------------------------------------------------------


def test_who_the_daemon_is() -> None:
    caller = Caller()
    assert call(caller, "getAPIVersion") == "3.0"
    assert call(caller, "getVersion") == "3.0"
    assert call(caller, "getSupervisorVersion") == SUPERVISOR_VERSION
    assert call(caller, "getIdentification") == "unit"
    assert call(caller, "getPID") == os.getpid()
    assert call(caller, "getState") == {"statecode": 1, "statename": "RUNNING"}
    assert caller.registry.call("sdsuper.getVersion", []) == __version__


def test_what_status_shows_is_told_in_columns() -> None:
    caller = Caller(solo("b"), solo("a"))
    told = loads_response(dumps_response(caller.registry.call("sdsuper.getStatus", [])))
    assert told == {
        "group": ["a", "b"],
        "name": ["a", "b"],
        "statename": ["STOPPED", "STOPPED"],
        "description": ["Not started", "Not started"],
    }


def test_what_a_plugin_tells_of_all_processes_is_not_told_by_us() -> None:
    every = Caller().registry
    without = {
        name: each for name, each in every.methods.items() if not name.startswith("supervisor.")
    }
    with pytest.raises(Fault) as told:
        Registry(every.daemon, without).call("sdsuper.getStatus", [])
    assert told.value.code == FaultCode.UNKNOWN_METHOD


def test_what_is_taken_is_told_of_what_runs() -> None:
    caller = Caller(solo("up"), solo("down"))
    process = caller.fake.process("up")
    caller.fake.submit(StartRequested(process.name))
    process = caller.fake.process("up")
    caller.fake.manager.processes[process.name] = replace(process, pid=os.getpid())
    (told,) = caller.registry.call("sdsuper.getUsage", [])
    assert (told["name"], told["group"], told["pid"]) == ("up", "up", os.getpid())
    assert told["processes"] >= 1
    assert told["memory"] > 0
    assert told["cpu"] > 0
    assert (told["tasks"], told["pressure"], told["cgroup"]) == (-1, {}, "")


def test_a_restart_into_a_broken_configuration_is_refused() -> None:
    caller = Caller()
    caller.fake.config_error = UsageError("no such section")
    assert call(caller, "restart") == "CANT_REREAD: no such section"
    assert call(caller, "getState") == {"statecode": 1, "statename": "RUNNING"}


def test_remote_events_carry_what_was_sent() -> None:
    caller = Caller()
    assert call(caller, "sendRemoteCommEvent", "kind", "line 1\nline 2") is True
    assert call(caller, "sendRemoteCommEvent", 5, 6) is True
    assert [event.payload() for event in caller.fake.events[-2:]] == [
        "type:kind\nline 1\nline 2",
        "type:5\n6",
    ]


# -- configuration ---------------------------------------------------------------------------------


def test_reload_nests_its_lists_twice() -> None:
    caller = Caller()
    caller.fake.changes = Changes(added=("a",), changed=("b", "c"), removed=())
    assert call(caller, "reloadConfig") == [[["a"], ["b", "c"], []]]
    caller.fake.config_error = UsageError("broken")
    assert call(caller, "reloadConfig") == "CANT_REREAD: broken"


def test_groups_come_and_go() -> None:
    caller = Caller(solo("a"), solo("b"))
    assert call(caller, "addProcessGroup", "a") == "ALREADY_ADDED: a"
    assert call(caller, "addProcessGroup", "nope") == "BAD_NAME: nope"
    assert call(caller, "removeProcessGroup", "nope") == "BAD_NAME: nope"
    caller.fake.submit(StartRequested(caller.fake.process("a").name))
    assert call(caller, "removeProcessGroup", "a") == "STILL_RUNNING: a"
    assert call(caller, "removeProcessGroup", "b") is True
    assert list(caller.fake.manager.groups) == ["a"]
    assert call(caller, "addProcessGroup", "b") is True
    assert sorted(caller.fake.manager.groups) == ["a", "b"]


def test_config_info_has_every_key_of_supervisor_and_no_environment() -> None:
    configured = program(
        "a",
        "g",
        priority=7,
        environment={"SECRET": "x"},
        autorestart=Autorestart.ALWAYS,
        exitcodes=(0, 2),
        stdout=ChannelConfig(auto=True),
        stderr=ChannelConfig(logfile="/var/log/a.err", syslog=True),
    )
    caller = Caller(group("g", configured, priority=5), solo("0", startsecs=4))
    caller.fake.logfiles["a", "stdout"] = "/tmp/a-stdout---unit-1.log"
    first, second = call(caller, "getAllConfigInfo")
    assert (first["name"], second["name"]) == ("0", "a")
    assert second == {
        "autorestart": True,
        "autostart": True,
        "command": "/bin/a",
        "directory": "none",
        "exitcodes": [0, 2],
        "group": "g",
        "group_prio": 5,
        "inuse": True,
        "killasgroup": False,
        "name": "a",
        "process_prio": 7,
        "redirect_stderr": False,
        "serverurl": "none",
        "startretries": 3,
        "startsecs": 1,
        "stderr_capture_maxbytes": 0,
        "stderr_events_enabled": False,
        "stderr_logfile": "/var/log/a.err",
        "stderr_logfile_backups": 10,
        "stderr_logfile_maxbytes": 52428800,
        "stderr_syslog": True,
        "stdout_capture_maxbytes": 0,
        "stdout_events_enabled": False,
        "stdout_logfile": "/tmp/a-stdout---unit-1.log",
        "stdout_logfile_backups": 10,
        "stdout_logfile_maxbytes": 52428800,
        "stdout_syslog": False,
        "stopsignal": 15,
        "stopwaitsecs": 10,
        "uid": "none",
    }


@pytest.mark.parametrize(
    ("channel", "shown"),
    [(ChannelConfig(auto=True), "auto"), (ChannelConfig(), "none")],
)
def test_logs_that_are_not_there_yet(channel: ChannelConfig, shown: str) -> None:
    caller = Caller(solo("a", stdout=channel))
    caller.fake.remove_group("a")
    (info,) = call(caller, "getAllConfigInfo")
    assert (info["inuse"], info["stdout_logfile"]) == (False, shown)


@pytest.mark.parametrize(
    ("autorestart", "shown"),
    [
        (Autorestart.ALWAYS, True),
        (Autorestart.NEVER, False),
        (Autorestart.UNEXPECTED, "unexpected"),
    ],
)
def test_autorestart_has_three_values(autorestart: Autorestart, shown: object) -> None:
    (info,) = call(Caller(solo("a", autorestart=autorestart)), "getAllConfigInfo")
    assert info["autorestart"] == shown


# -- logs ------------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    return str(path)


def test_text_that_is_none_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes("a\u00e9".encode() + b"\xff\x1b[1m")
    caller = Caller(solo("a"))
    caller.fake.logfiles["a", "stdout"] = str(path)
    assert call(caller, "readProcessLog", "a", 2, 0) == "\ufffd\ufffd\ufffd[1m"
    assert call(caller, "tailProcessLog", "a", 0, 3) == ["[1m", 8, True]


READERS = ["readProcessStdoutLog", "readProcessLog", "readProcessStderrLog"]


@pytest.mark.parametrize("name", READERS)
def test_reading_a_process_log(log: str, name: str) -> None:
    caller = Caller(solo("a"))
    channel = "stderr" if "Stderr" in name else "stdout"
    caller.fake.logfiles["a", channel] = log
    assert call(caller, name, "a", 2, 3) == "234"
    assert call(caller, name, "a", "-2", "0") == "89"
    assert call(caller, name, "a", 0, -1) == "BAD_ARGUMENTS"
    assert call(caller, name, "a", -1, 1) == "BAD_ARGUMENTS"
    assert call(caller, name, "a", "x", 1) == "INCORRECT_PARAMETERS"
    assert call(caller, name, "nope", 0, 0) == "BAD_NAME: nope"
    assert call(caller, name, "a:*", 0, 0) == "BAD_NAME: a:*"
    caller.fake.logfiles["a", channel] = "/no/such/file"
    assert call(caller, name, "a", -1, 1) == "NO_FILE: /no/such/file"
    del caller.fake.logfiles["a", channel]
    assert call(caller, name, "a", 0, 0) == "NO_FILE"


@pytest.mark.parametrize("name", ["tailProcessStdoutLog", "tailProcessStderrLog"])
def test_following_a_process_log(log: str, name: str) -> None:
    caller = Caller(solo("a"))
    channel = "stderr" if "Stderr" in name else "stdout"
    assert call(caller, name, "a", 0, 5) == ["", 0, False]
    caller.fake.logfiles["a", channel] = log
    assert call(caller, name, "a", 0, 5) == ["56789", 10, True]
    assert call(caller, name, "nope", 0, 5) == "BAD_NAME: nope"
    caller.fake.logfiles["a", channel] = "/no/such/file"
    assert call(caller, name, "a", 7, 5) == ["", 0, False]


def test_a_log_that_is_a_directory_fails(tmp_path: Path) -> None:
    caller = Caller(solo("a"))
    caller.fake.logfiles["a", "stdout"] = str(tmp_path)
    assert call(caller, "readProcessLog", "a", 0, 0) == "FAILED"
    assert call(caller, "tailProcessLog", "a", 0, 0) == ["", 0, False]


def test_the_main_log(log: str) -> None:
    caller = Caller()
    assert call(caller, "readLog", 0, 0) == "NO_FILE"
    assert call(caller, "clearLog") == "NO_FILE"
    caller.fake.log.path = log
    assert call(caller, "readLog", -4, 0) == "6789"
    assert call(caller, "readMainLog", 0, 4) == "0123"
    assert call(caller, "readLog", 0, -1) == "BAD_ARGUMENTS"
    assert call(caller, "clearLog") is True
    assert caller.fake.log.cleared == 1
    caller.fake.log.clear_error = PermissionError()
    assert call(caller, "clearLog") == "FAILED"


@pytest.mark.parametrize("name", ["clearProcessLogs", "clearProcessLog"])
def test_clearing_logs(name: str) -> None:
    caller = Caller(solo("a", priority=1), solo("b"))
    assert call(caller, name, "a") is True
    assert caller.fake.cleared == [("a", "a")]
    assert call(caller, name, "nope") == "BAD_NAME: nope"
    assert call(caller, name, "a:*") == "BAD_NAME: a:*"
    caller.fake.clear_errors["a"] = PermissionError()
    assert call(caller, name, "a") == "FAILED: a"
    assert call(caller, "clearAllProcessLogs") == [
        result("a", FaultCode.FAILED, "FAILED: a"),
        result("b"),
    ]


# -- system ----------------------------------------------------------------------------------------


def test_list_methods_is_sorted() -> None:
    names = Caller().registry.call("system.listMethods", [])
    assert names == sorted(names)


def test_multicall_gives_bare_values_and_faults_in_order() -> None:
    @method("test.broken")
    def broken(_registry: Registry) -> int:
        """Fail."""
        raise KeyError("x")

    async def test() -> None:
        caller = Caller(solo("a"))
        caller.registry.methods["test.broken"] = broken
        calls: list[object] = [
            {"methodName": "supervisor.startProcess", "params": ["a"]},
            {"methodName": "supervisor.getAPIVersion"},
            {"methodName": "supervisor.startProcess", "params": ["nope"]},
            {"methodName": "nope"},
            {"params": []},
            "not a struct",
            {"methodName": "system.multicall", "params": [[]]},
            {"methodName": "supervisor.startProcess", "params": []},
            {"methodName": "supervisor.startProcess", "params": "a"},
            {"methodName": 5},
            {"methodName": "test.broken"},
        ]
        task = await caller.begin("system.multicall", calls)
        assert not task.done()  # each call waits for the one before it
        caller.fake.advance(1.0)
        await settle()
        assert outcome(task) == [
            True,
            "3.0",
            {"faultCode": 10, "faultString": "BAD_NAME: nope"},
            {"faultCode": 1, "faultString": "UNKNOWN_METHOD"},
            {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS: No methodName"},
            {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS: No methodName"},
            {
                "faultCode": 2,
                "faultString": "INCORRECT_PARAMETERS: Recursive system.multicall forbidden",
            },
            {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS"},
            {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS"},
            {"faultCode": 2, "faultString": "INCORRECT_PARAMETERS"},
            {"faultCode": 30, "faultString": "FAILED: <class 'KeyError'>:'x'"},
        ]
        (said,) = caller.fake.log.at(Level.CRITICAL)
        assert said.endswith("KeyError: 'x'\n")

    eventloop.run(test())
