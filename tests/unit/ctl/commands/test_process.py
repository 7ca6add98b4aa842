"""Commands about processes, every outcome."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sdsuper.core.process import Process
from sdsuper.core.states import STOPPED_STATES
from sdsuper.ctl.commands.process import DOWN_STATES, OUR_SERVER
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.history import history_info
from sdsuper.values import Namespec
from tests.unit.core.builders import at, process_config
from tests.unit.ctl.fakes import Session, process, result

INFOS = [process("a"), process("b", "g", "STARTING"), process("c", "g", "BACKOFF")]
COLUMNS = {
    key: [info[key] for info in INFOS] for key in ("group", "name", "statename", "description")
}
A = "a                                RUNNING   pid 7, uptime 0:00:05\n"
B = "g:b                              STARTING  \n"
C = "g:c                              BACKOFF   \n"


def test_down_means_what_the_core_means() -> None:
    assert {state.name for state in STOPPED_STATES} == DOWN_STATES


@pytest.mark.parametrize(
    ("line", "out", "status"),
    [
        ("status", A + B + C, 0),
        ("status all", A + B + C, 0),
        ("status nosuch all", A + B + C, 0),
        ("status a", A, 0),
        ("status g:* a", B + C + A, 0),
        ("status g:", B + C, 0),
        ("status g:c g:b", C + B, 0),
        ("status g", "g: ERROR (no such process)\n", 4),
        ("status x:* a x:y", f"x: ERROR (no such group)\nx:y: ERROR (no such process)\n{A}", 4),
    ],
)
def test_status(line: str, out: str, status: int) -> None:
    assert Session({"getAllProcessInfo": INFOS}).run(line) == (out, status)
    ours = Session({"sdsuper.getStatus": COLUMNS})
    ours.client.server = OUR_SERVER
    assert ours.run(line) == (out, status)


def test_an_older_daemon_of_ours_is_asked_for_all() -> None:
    unknown = Fault(FaultCode.UNKNOWN_METHOD)
    session = Session({"getAllProcessInfo": INFOS, "sdsuper.getStatus": unknown})
    session.client.server = OUR_SERVER
    assert session.run("status") == (A + B + C, 0)
    assert session.client.calls == [("sdsuper.getStatus",), ("getAllProcessInfo",)]


def test_a_daemon_that_shuts_down_says_so_once() -> None:
    session = Session({"sdsuper.getStatus": Fault(FaultCode.SHUTDOWN_STATE)})
    session.client.server = OUR_SERVER
    out, status = session.run("status")
    assert out.startswith("error: <class 'xmlrpc.client.Fault'>, <Fault 6: 'SHUTDOWN_STATE'>")
    assert status == 1


def test_json_shows_what_only_the_whole_structs_have() -> None:
    session = Session({"getAllProcessInfo": INFOS}, json=True)
    session.client.server = OUR_SERVER
    out, _ = session.run("status a")
    assert json.loads(out)[0]["pid"] == INFOS[0]["pid"]


USAGE = [
    {
        "name": "b",
        "group": "g",
        "pid": 8,
        "processes": 12,
        "memory": 3.5 * 2**30,
        "cpu": 61.234,
        "tasks": 40,
        "pressure": {"cpu": {"some": 12.5, "full": 0.0}, "io": {"some": 0.0}},
        "cgroup": "/sys/fs/cgroup/u/programs/g:b",
    },
    {
        "name": "a",
        "group": "a",
        "pid": 7,
        "processes": 1,
        "memory": 900.0,
        "cpu": 0.0,
        "tasks": -1,
        "pressure": {},
        "cgroup": "",
    },
]
USAGE_TABLE = """\
NAME  PID  PROCESSES  TASKS     MEMORY      CPU  CPU WAIT  MEMORY WAIT  IO WAIT
a       7          1      -  900 bytes   0.00 s         -            -        -
g:b     8         12     40    3.5 GiB  61.23 s    12.5 %            -    0.0 %
g:c     -          -      -          -        -         -            -        -
"""


def test_usage() -> None:
    session = Session({"getAllProcessInfo": INFOS, "sdsuper.getUsage": USAGE})
    assert session.run("usage") == (USAGE_TABLE, 0)


def test_usage_of_some() -> None:
    session = Session({"getAllProcessInfo": INFOS, "sdsuper.getUsage": USAGE})
    out, status = session.run("usage nosuch g:c")
    assert out.splitlines()[0] == "nosuch: ERROR (no such process)"
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["NAME", "g:c"]
    assert status == 4


def test_usage_as_json() -> None:
    session = Session({"getAllProcessInfo": INFOS, "sdsuper.getUsage": USAGE}, json=True)
    a, b, c = json.loads(session.run("usage")[0])
    assert (a["memory"], a["tasks"], a["cgroup"], a["pressure"]) == (900, None, None, {})
    assert (b["memory"], b["tasks"]) == (3758096384, 40)
    assert b["pressure"]["cpu"]["some"] == 12.5
    assert (c["namespec"], c["pid"], c["memory"]) == ("g:c", None, None)


def test_usage_of_a_daemon_that_does_not_tell() -> None:
    unknown = Fault(FaultCode.UNKNOWN_METHOD, "UNKNOWN_METHOD")
    session = Session({"getAllProcessInfo": INFOS, "sdsuper.getUsage": unknown})
    assert session.run("usage") == ("ERROR: this daemon does not tell (it is no sdsuperd)\n", 1)


@pytest.mark.parametrize("state", sorted(DOWN_STATES))
def test_status_of_what_is_down(state: str) -> None:
    infos = [process("a", state=state)]
    out, status = Session({"getAllProcessInfo": infos}).run("status nosuch a")
    assert status == 3
    assert out == f"nosuch: ERROR (no such process)\na{' ' * 32}{state:<10}\n"


def test_status_without_processes_prints_nothing() -> None:
    assert Session({"getAllProcessInfo": []}).run("status") == ("", 0)


def test_status_as_json_has_nothing_else_on_stdout() -> None:
    session = Session({"getAllProcessInfo": INFOS}, json=True)
    out, status = session.run("status nosuch a")
    assert [entry["namespec"] for entry in json.loads(out)] == ["a"]
    assert session.errors == "nosuch: ERROR (no such process)\n"
    assert status == 4


def history(name: str, group: str, **values: Any) -> dict[str, Any]:
    """What the daemon tells of a process that was never started."""
    process = Process(name=Namespec(group, name), config=process_config(name, group))
    return {**history_info(process, (), (), {}, at(5.0)), **values}


HISTORIES = {"a": history("a", "a"), "g:b": history("b", "g"), "g:c": history("c", "g")}
NEVER = "STOPPED, never started\n"


@pytest.mark.parametrize(
    ("line", "out", "status"),
    [
        ("why a", f"a: {NEVER}", 0),
        ("why g:*", f"g:b: {NEVER}\ng:c: {NEVER}", 0),
        ("why all", f"a: {NEVER}\ng:b: {NEVER}\ng:c: {NEVER}", 0),
        ("why g", "g: ERROR (no such process)\n", 4),
        ("why x:* a", f"x: ERROR (no such group)\na: {NEVER}", 4),
    ],
)
def test_why(line: str, out: str, status: int) -> None:
    answers = {"getAllProcessInfo": INFOS, "sdsuper.getProcessHistory": HISTORIES.__getitem__}
    assert Session(answers).run(line) == (out, status)


def test_why_without_a_name_says_how_it_is_used() -> None:
    out, status = Session().run("why")
    assert out.startswith("Error: why requires a process name\nwhy <name> ...\t")
    assert status == 1


def test_why_of_a_server_without_history() -> None:
    answers = {
        "getAllProcessInfo": INFOS,
        "sdsuper.getProcessHistory": Fault(FaultCode.UNKNOWN_METHOD),
    }
    assert Session(answers).run("why all") == (
        "ERROR: this daemon keeps no history (it is no sdsuperd)\n",
        1,
    )


def test_why_of_a_process_that_goes_meanwhile() -> None:
    answers = {
        "getAllProcessInfo": INFOS,
        "sdsuper.getProcessHistory": Fault(FaultCode.BAD_NAME, "a"),
    }
    assert Session(answers).run("why a") == ("a: ERROR (no such process)\n", 4)


def test_why_reads_output_that_is_in_the_journal_alone() -> None:
    output = {
        "stdout": {"text": "said\n", "journal": False},
        "stderr": {"text": "", "journal": True},
    }
    answers = {
        "getAllProcessInfo": INFOS,
        "sdsuper.getProcessHistory": lambda name: history("a", "a", output=output),
        "readProcessStderrLog": "cried\n",
    }
    session = Session(answers, json=True)
    out, status = session.run("why a")
    (found,) = json.loads(out)
    assert (found["namespec"], found["statename"], status) == ("a", "STOPPED", 0)
    assert found["output"] == {"stdout": "said\n", "stderr": "cried\n"}
    assert session.client.calls[-1] == ("readProcessStderrLog", "a", -2048, 0)
    session = Session({**answers, "readProcessStderrLog": Fault(FaultCode.NO_FILE)}, json=True)
    (found,) = json.loads(session.run("why a")[0])
    assert found["output"] == {"stdout": "said\n", "stderr": ""}


START_FAULTS = [
    (FaultCode.BAD_NAME, "no such process", 1),
    (FaultCode.NO_FILE, "no such file", 1),
    (FaultCode.NOT_EXECUTABLE, "file is not executable", 1),
    (FaultCode.ALREADY_STARTED, "already started", 0),
    (FaultCode.SPAWN_ERROR, "spawn error", 7),
    (FaultCode.ABNORMAL_TERMINATION, "abnormal termination", 7),
]
STOP_FAULTS = [
    (FaultCode.BAD_NAME, "no such process", 1),
    (FaultCode.NOT_RUNNING, "not running", 0),
]
SIGNAL_FAULTS = [
    (FaultCode.BAD_NAME, "no such process", 1),
    (FaultCode.NOT_RUNNING, "not running", 7),
    (FaultCode.BAD_SIGNAL, "bad signal name", 1),
]
FAULTS = [
    *(("start", "start", *row) for row in START_FAULTS),
    *(("stop", "stop", *row) for row in STOP_FAULTS),
    *(("signal", "signal HUP", *row) for row in SIGNAL_FAULTS),
]


@pytest.mark.parametrize(("method", "typed", "code", "words", "status"), FAULTS)
def test_what_can_go_wrong(method: str, typed: str, code: int, words: str, status: int) -> None:
    line = f"g:p: ERROR ({words})\n"
    one = Session({f"{method}Process": Fault(code, "g:p")})
    assert one.run(f"{typed} g:p") == (line, status)
    results = [result("p", code, "g", "text")]
    group = Session({f"{method}ProcessGroup": results})
    assert group.run(f"{typed} g:*") == (line, status)
    every = Session({f"{method}AllProcesses": results})
    assert every.run(f"{typed} x all") == (line, status)


@pytest.mark.parametrize(
    ("method", "typed", "done", "params"),
    [
        ("start", "start", "started", ()),
        ("stop", "stop", "stopped", ()),
        ("signal", "signal HUP", "signalled", ("HUP",)),
    ],
)
def test_what_goes_well(method: str, typed: str, done: str, params: tuple[str, ...]) -> None:
    answers = {
        f"{method}Process": True,
        f"{method}ProcessGroup": [result("x", group="g"), result("g")],
        f"{method}AllProcesses": [result("z")],
    }
    session = Session(answers)
    out = f"a: {done}\nb:c: {done}\ng:x: {done}\ng: {done}\n"
    assert session.run(f"{typed} a:a b:c g:") == (out, 0)
    assert session.client.calls == [
        (f"{method}Process", "a", *params),
        (f"{method}Process", "b:c", *params),
        (f"{method}ProcessGroup", "g", *params),
    ]
    assert Session(answers).run(f"{typed} all") == (f"z: {done}\n", 0)


@pytest.mark.parametrize(("typed", "status"), [("start", 2), ("stop", 1), ("signal HUP", 1)])
def test_a_group_that_is_not_there(typed: str, status: int) -> None:
    method = f"{typed.split(maxsplit=1)[0]}ProcessGroup"
    session = Session({method: Fault(FaultCode.BAD_NAME, "g")})
    assert session.run(f"{typed} g:*") == ("g: ERROR (no such group)\n", status)


@pytest.mark.parametrize(("method", "typed"), [("stop", "stop"), ("signal", "signal HUP")])
def test_failed_is_told_in_the_servers_words(method: str, typed: str) -> None:
    session = Session({f"{method}Process": Fault(FaultCode.FAILED, "odd")})
    assert session.run(f"{typed} p") == ("FAILED: odd\n", 1)


def test_an_outcome_without_words_ends_the_command() -> None:
    session = Session({"startProcess": Fault(FaultCode.FAILED, "odd")})
    out, status = session.run("start p q")
    assert out.startswith("error: <class 'ValueError'>, Unknown result code 30 for p: file: ")
    assert status == 1
    assert session.client.calls == [("startProcess", "p")]


@pytest.mark.parametrize("method", ["startProcessGroup", "stopProcessGroup"])
def test_a_group_refused_for_another_reason(method: str) -> None:
    session = Session({method: Fault(FaultCode.SHUTDOWN_STATE)})
    out, status = session.run(f"{method[:-12]} g:*")
    assert out.startswith("error: <class 'xmlrpc.client.Fault'>, <Fault 6: 'SHUTDOWN_STATE'>")
    assert status == 1


@pytest.mark.parametrize(
    ("line", "first", "status"),
    [
        ("start", "Error: start requires a process name", 2),
        ("stop", "Error: stop requires a process name", 1),
        ("restart", "Error: restart requires a process name", 1),
        ("signal", "Error: signal requires a signal name and a process name", 1),
        ("signal HUP", "Error: signal requires a signal name and a process name", 1),
    ],
)
def test_too_few_words(line: str, first: str, status: int) -> None:
    session = Session()
    name = line.split(maxsplit=1)[0]
    help_text = session.control.commands[name].help
    assert session.run(line) == (f"{first}\n{help_text}\n", status)
    assert session.client.calls == []


def test_restart_stops_all_before_it_starts_any() -> None:
    session = Session({"stopProcess": Fault(FaultCode.NOT_RUNNING), "startProcess": True})
    out = "a: ERROR (not running)\nb: ERROR (not running)\na: started\nb: started\n"
    assert session.run("restart a b") == (out, 0)
    methods = [call[0] for call in session.client.calls]
    assert methods == ["stopProcess", "stopProcess", "startProcess", "startProcess"]


def test_pid() -> None:
    def info(name: str) -> Any:
        known = {"a": process("a"), "b": process("b", state="STOPPED")}
        return known.get(name, Fault(FaultCode.BAD_NAME, name))

    infos = [process("a"), process("b", state="STOPPED")]
    answers = {"getPID": 99, "getProcessInfo": info, "getAllProcessInfo": infos}
    assert Session(answers).run("pid") == ("99\n", 0)
    assert Session(answers).run("pid all") == ("7\n0\n", 0)
    assert Session(answers).run("pid a") == ("7\n", 0)
    assert Session(answers).run("pid b a") == ("0\n7\n", 7)
    assert Session(answers).run("pid b x:* a") == ("0\nNo such process x:*\n7\n", 1)
    refused = Session({"getProcessInfo": Fault(FaultCode.SHUTDOWN_STATE)})
    assert refused.run("pid a")[1] == 1
