"""The same calls to Supervisor and to us, in the same run: structs, faults and texts must be equal.

The two daemons get the same programs and the same script of calls. What differs by nature (pids,
times, directories, random parts of names) is made alike; what differs by intent is in DIFFERENCES,
with the reason, and is checked to differ in just that way.
"""

from __future__ import annotations

import http.client
import re
import threading
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from xml.parsers.expat import ExpatError

import pytest
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface
from supervisor.xmlrpc import SystemNamespaceRPCInterface

from sdsuper.server.registry import declared_methods
from tests.integration.harness import Daemon, UnixTransport

PROGRAMS = r"""
[program:cat]
command=/bin/cat
priority=10
stdout_logfile=%(here)s/cat.log
stderr_logfile=NONE

[program:never]
command=/bin/cat
autostart=false
stdout_logfile=%(here)s/never.log
stderr_logfile=%(here)s/never.err

[program:missing]
command=/no/such/file
autostart=false

[program:directory]
command=/usr
autostart=false

[program:unparsable]
command=cat "
autostart=false

[program:dies]
command=/bin/false
autostart=false
startretries=0

[program:bye]
command=sh -c "printf 'to out\n'; printf 'to err\n' >&2; sleep 0.5; exit 3"
autostart=false
autorestart=false
startsecs=0
stdout_logfile=%(here)s/bye.out
stderr_logfile=%(here)s/bye.err

[program:deaf]
command=sh -c "trap '' TERM; echo ready; while :; do sleep 0.1; done"
stdout_logfile=%(here)s/deaf.log
autostart=false
stopwaitsecs=1
stopasgroup=true
startsecs=0

[program:options]
command=/bin/cat --
autostart=false
autorestart=true
priority=3
startsecs=2
startretries=9
exitcodes=0,2,77
stopsignal=USR2
stopwaitsecs=44
stopasgroup=true
user=root
directory=/tmp
umask=027
environment=SECRET="x"
serverurl=http://somewhere:1
redirect_stderr=true
stdout_logfile=NONE
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=3
stdout_capture_maxbytes=2KB
stdout_events_enabled=true
stderr_events_enabled=true
stdout_syslog=false

[program:caté]
command=/bin/cat
autostart=false

[program:x]
command=/bin/cat
autostart=false
priority=2

[program:y]
command=/bin/cat
autostart=false
priority=1
process_name=%(program_name)s_%(process_num)02d
numprocs=2

[group:g]
programs=x,y
priority=20

[group:empty]
programs=
"""

LATER = PROGRAMS.replace("priority=10", "priority=11") + "[program:added]\ncommand=/bin/cat\n"
LATER = LATER.replace("[group:empty]\nprograms=\n", "")
BROKEN = LATER + "startsecs=soon\n"


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        shape_only: Compare only the types of what is returned: the text is everybody's own.
        unordered: Sort the list that is returned.
    """

    method: str
    params: tuple[Any, ...] = ()
    shape_only: bool = False
    unordered: bool = False

    def __str__(self) -> str:
        return f"{self.method}({', '.join(map(repr, self.params))})"


@dataclass(frozen=True)
class Await:
    """Wait until a process has a state."""

    name: str
    state: str


@dataclass(frozen=True)
class Grow:
    """Wait until the log of a process holds so many bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Back:
    """Wait until a restart is over."""


@dataclass(frozen=True)
class Put:
    """Write the configuration anew."""

    programs: str


def s(method: str, *params: Any, **how: bool) -> Call:
    return Call(f"supervisor.{method}", params, **how)


def sys(method: str, *params: Any, **how: bool) -> Call:
    return Call(f"system.{method}", params, **how)


def multi(*calls: tuple[str, list[Any]]) -> Call:
    structs = [{"methodName": name, "params": params} for name, params in calls]
    return Call("system.multicall", (structs,))


METHODS = [
    *(f"supervisor.{name}" for name in sorted(vars(SupervisorNamespaceRPCInterface))),
    *(f"system.{name}" for name in sorted(vars(SystemNamespaceRPCInterface))),
]
METHODS = [name for name in METHODS if "._" not in name]
"""Every method that Supervisor has."""

BAD_NAMES = ("nope", "nope:cat", "cat:nope", "g", "nope:*", "nope:", "g:nope", "", ":", "*", "all")

SCRIPT: tuple[Call | Await | Grow | Back | Put, ...] = (
    Await("cat", "RUNNING"),
    # Who it is
    s("getAPIVersion"),
    s("getVersion"),
    s("getSupervisorVersion"),
    s("getIdentification"),
    s("getState"),
    s("getPID", shape_only=True),
    # Methods about methods
    sys("listMethods"),
    *[sys("methodSignature", name) for name in METHODS],
    sys("methodHelp", "supervisor.startProcess", shape_only=True),
    sys("methodHelp", "supervisor.nope"),
    sys("methodSignature", "nope"),
    sys("methodSignature", ""),
    # Names that reach nothing
    Call("nope"),
    Call("supervisor"),
    Call("supervisor.nope"),
    Call("supervisor.getPID.real"),
    Call("supervisor._update", ("x",)),
    Call("supervisor.__init__"),
    Call("nope.getPID"),
    # Numbers of arguments
    s("getPID", 1),
    s("getProcessInfo"),
    s("getProcessInfo", "cat", 1),
    s("startProcess"),
    s("startProcess", "cat", True, 3),
    s("readLog", 0),
    s("signalProcess", "cat"),
    # As it is after the start
    s("getAllProcessInfo"),
    s("getAllConfigInfo"),
    s("getProcessInfo", "cat"),
    s("getProcessInfo", "cat:cat"),
    s("getProcessInfo", "g:y_01"),
    s("getProcessInfo", "caté"),
    *[s("getProcessInfo", name) for name in (*BAD_NAMES, "cat:*", "g:*")],
    # start
    *[s("startProcess", name) for name in BAD_NAMES],
    s("startProcess", "cat"),
    s("startProcess", "cat:cat"),
    s("startProcess", "cat", False),
    s("startProcess", "cat:*"),
    s("startProcess", "empty:*"),
    s("startProcess", "missing"),
    s("startProcess", "directory"),
    s("startProcess", "unparsable"),
    s("startProcess", "dies"),
    Await("dies", "FATAL"),
    s("getProcessInfo", "dies"),
    s("startProcess", "never", False),
    Await("never", "RUNNING"),
    s("getProcessInfo", "never"),
    s("startProcess", "bye"),
    Await("bye", "EXITED"),
    s("getProcessInfo", "bye"),
    s("startProcess", "g:x"),
    s("startProcess", "g:*"),
    s("startProcessGroup", "g", unordered=True),
    s("startProcessGroup", "empty"),
    s("startProcessGroup", "nope"),
    s("startProcessGroup", "g:*"),
    s("startProcessGroup", "missing"),
    # signal
    s("signalProcess", "cat", "CONT"),
    s("signalProcess", "cat", "SIGCONT"),
    s("signalProcess", "cat", "cont"),
    s("signalProcess", "cat", "18"),
    s("signalProcess", "cat", 18),
    s("signalProcess", "cat", "NOPE"),
    s("signalProcess", "cat", 9999),
    s("signalProcess", "cat", -1),
    s("signalProcess", "missing", "CONT"),
    s("signalProcess", "missing", "NOPE"),
    s("signalProcess", "nope", "NOPE"),
    s("signalProcess", "g:*", "CONT"),
    s("signalProcess", "g:*", "NOPE"),
    s("signalProcess", "nope:*", "CONT"),
    s("signalProcessGroup", "g", "CONT"),
    s("signalProcessGroup", "empty", "CONT"),
    s("signalProcessGroup", "nope", "CONT"),
    s("signalAllProcesses", "CONT"),
    s("signalAllProcesses", "NOPE"),
    # stdin and logs
    s("sendProcessStdin", "cat", "hé"),
    s("sendProcessStdin", "cat", "llo\n"),
    s("sendProcessStdin", "cat", ""),
    s("sendProcessStdin", "cat", 5),
    s("sendProcessStdin", "missing", "x"),
    s("sendProcessStdin", "nope", "x"),
    s("sendProcessStdin", "g:*", "x"),
    Grow("cat", 7),
    *[
        s("readProcessStdoutLog", "cat", offset, length)
        for offset, length in (
            (0, 0),
            (0, 1),
            (3, 0),
            (3, 2),
            (7, 0),
            (8, 5),
            (-3, 0),
            (-7, 0),
            (-100, 0),
            (0, -1),
            (-1, 1),
            (-1, -1),
            (0, 100),
        )
    ],
    s("readProcessStdoutLog", "cat", "3", "2"),
    s("readProcessLog", "cat", 0, 0),
    s("readProcessStderrLog", "cat", 0, 0),
    s("readProcessStderrLog", "bye", 0, 0),
    s("readProcessStdoutLog", "missing", 0, 0),
    s("readProcessStderrLog", "never", 0, 0),
    *[s("readProcessStdoutLog", name, 0, 0) for name in ("nope", "g:*", "cat:nope")],
    *[
        s("tailProcessStdoutLog", "cat", offset, length)
        for offset, length in (
            (0, 100),
            (0, 7),
            (0, 2),
            (3, 4),
            (3, 2),
            (7, 100),
            (8, 100),
            (100, 100),
            (0, 0),
            (-1, 5),
            (0, -5),
            (-100, 3),
        )
    ],
    s("tailProcessLog", "cat", 0, 100),
    s("tailProcessStderrLog", "cat", 0, 100),
    s("tailProcessStderrLog", "bye", 0, 100),
    s("tailProcessStderrLog", "never", 5, 100),
    s("tailProcessStdoutLog", "nope", 0, 100),
    s("tailProcessStdoutLog", "g:*", 0, 100),
    s("clearProcessLogs", "cat"),
    s("readProcessStdoutLog", "cat", 0, 0),
    s("clearProcessLog", "cat:cat"),
    s("clearProcessLogs", "missing"),
    s("clearProcessLogs", "nope"),
    s("clearProcessLogs", "g:*"),
    s("startProcessGroup", "caté"),
    Await("caté", "RUNNING"),
    s("stopProcess", "caté"),
    s("removeProcessGroup", "caté"),
    s("clearAllProcessLogs"),
    s("readLog", -20, 0, shape_only=True),
    s("readMainLog", 0, 10, shape_only=True),
    s("readLog", 0, -1),
    s("readLog", -1, 1),
    s("clearLog"),
    # Many in one
    multi(
        ("supervisor.getAPIVersion", []),
        ("supervisor.stopProcess", ["never"]),
        ("supervisor.stopProcess", ["never"]),
        ("supervisor.startProcess", ["missing"]),
        ("supervisor.getProcessInfo", ["never"]),
        ("nope", []),
        ("system.multicall", [[]]),
        ("system.listMethods", [1]),
        ("supervisor.startProcess", []),
    ),
    sys("multicall", []),
    sys("multicall", [{}, {"params": []}, {"methodName": "supervisor.getAPIVersion"}]),
    # Events from outside
    s("sendRemoteCommEvent", "type", "data"),
    s("sendRemoteCommEvent", "", ""),
    s("sendRemoteCommEvent", "type", 5),
    # stop
    *[s("stopProcess", name) for name in BAD_NAMES],
    s("stopProcess", "missing"),
    s("stopProcess", "dies"),
    s("stopProcess", "bye"),
    s("stopProcess", "empty:*"),
    s("stopProcessGroup", "empty"),
    s("stopProcessGroup", "nope"),
    s("stopProcess", "cat"),
    s("stopProcess", "cat"),
    s("getProcessInfo", "cat"),
    s("startProcess", "deaf"),
    Grow("deaf", 6),
    s("stopProcess", "deaf", False),
    s("getProcessInfo", "deaf"),
    s("stopProcess", "deaf"),
    s("startProcess", "deaf"),
    s("sendProcessStdin", "deaf", "x"),
    Await("deaf", "STOPPED"),
    s("getProcessInfo", "deaf"),
    s("stopProcess", "g:x"),
    s("startProcess", "g:x", False),
    Await("g:x", "RUNNING"),
    s("stopProcess", "g:*", unordered=True),
    s("startProcessGroup", "g", False),
    *[Await(f"g:{name}", "RUNNING") for name in ("x", "y_00", "y_01")],
    s("stopProcessGroup", "g", unordered=True),
    s("startProcess", "cat"),
    s("stopAllProcesses", unordered=True),
    s("stopAllProcesses"),
    s("startAllProcesses", unordered=True),
    Await("dies", "FATAL"),
    s("removeProcessGroup", "dies"),  # whether it dies at once or a moment later is chance
    s("startAllProcesses", False, unordered=True),
    s("addProcessGroup", "dies"),
    s("signalAllProcesses", "CONT", unordered=True),
    Await("bye", "EXITED"),
    s("stopAllProcesses", False, unordered=True),
    *[Await(name, "STOPPED") for name in ("cat", "never", "deaf", "options", "g:x", "g:y_00")],
    s("getAllProcessInfo"),
    # Configuration
    s("reloadConfig"),
    s("addProcessGroup", "cat"),
    s("addProcessGroup", "nope"),
    s("addProcessGroup", "x"),
    s("removeProcessGroup", "nope"),
    s("removeProcessGroup", "g:*"),
    s("startProcess", "cat"),
    s("removeProcessGroup", "cat"),
    Put(BROKEN),
    s("reloadConfig"),
    Put(LATER),
    s("reloadConfig"),
    s("addProcessGroup", "added"),
    s("addProcessGroup", "added"),
    Await("added", "RUNNING"),
    s("removeProcessGroup", "empty"),
    s("addProcessGroup", "empty"),
    s("stopProcess", "cat"),
    s("removeProcessGroup", "cat"),
    s("getProcessInfo", "cat"),
    s("reloadConfig"),
    s("addProcessGroup", "cat"),
    Await("cat", "RUNNING"),
    s("reloadConfig"),
    s("getAllConfigInfo"),
    # The end, twice
    s("restart"),
    Back(),
    Await("cat", "RUNNING"),
    Await("added", "RUNNING"),
    s("getAllProcessInfo"),
    s("startProcess", "deaf"),
    Grow("deaf", 18),  # its third line: it holds the shutdown up for a second
    s("shutdown"),
    *[s(name) for name in ("getState", "getPID", "getAllProcessInfo", "shutdown", "restart")],
    s("startProcess", "nope"),
    s("sendRemoteCommEvent", "a", "b"),
    sys("methodSignature", "supervisor.getPID"),
    multi(("supervisor.getAPIVersion", [])),
)


@dataclass(frozen=True)
class Difference:
    """A difference that is meant.

    Attributes:
        reason: Why we differ.
        ours: What we answer, given what Supervisor answers.
    """

    reason: str
    ours: Callable[[Any], Any]


AUTORESTART = {"bye": False, "options": True}


def _completed(theirs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return getAllConfigInfo as it is with us."""
    return [_complete(item) for item in theirs]


def _complete(item: dict[str, Any]) -> dict[str, Any]:
    shown = {**item, "autorestart": AUTORESTART.get(item["name"], "unexpected")}
    for channel in ("stdout", "stderr"):
        if item["inuse"] and item[f"{channel}_logfile"] == "auto":
            path = f"DIR/{item['name']}-{channel}---supervisor-RANDOM.log"
            shown[f"{channel}_logfile"] = path
    return shown


def _always(ours: Any) -> Callable[[Any], Any]:
    return lambda _theirs: ours


EMPTY_NAME = Difference(
    "An empty name is not repeated behind an empty colon.",
    _always(["fault", 10, "BAD_NAME"]),
)

OWN_METHODS = [
    name for item in declared_methods() for name in item.names if name.startswith("sdsuper.")
]

DIFFERENCES = {
    "system.listMethods()": Difference(
        "We have a namespace of our own.", lambda theirs: sorted([*OWN_METHODS, *theirs])
    ),
    "supervisor.getAllConfigInfo()": Difference(
        "autorestart is shown, as in Supervisor's next version, and the logs that are in use are "
        "shown after a reread too, not the word that asked for them.",
        _completed,
    ),
    "supervisor.getProcessInfo('')": EMPTY_NAME,
    "supervisor.startProcess('')": EMPTY_NAME,
    "supervisor.stopProcess('')": EMPTY_NAME,
    "supervisor.startProcessGroup('caté')": Difference(
        "Names beyond ASCII do not cut a reply short.",
        _always([{"name": "caté", "group": "caté", "status": 80, "description": "OK"}]),
    ),
    "supervisor.tailProcessStdoutLog('cat', -1, 5)": Difference(
        "A window that cuts a character is no error.", _always(["\ufffdllo\n", 7, True])
    ),
}
"""The one list of what we answer otherwise than Supervisor 4.3, by the call."""


class Pulse(threading.Thread):
    """Calls again and again: Supervisor does one step of much of its work each time it wakes."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self._transport = UnixTransport(daemon.socket)
        self._ended = threading.Event()

    def run(self) -> None:
        server = xmlrpc.client.ServerProxy("http://localhost", transport=self._transport)
        while not self._ended.wait(0.01):
            try:
                server.supervisor.getPID()
            except xmlrpc.client.Fault:
                continue  # it is shutting down
            except (OSError, http.client.HTTPException):
                self._transport.close()  # it is restarting, or gone

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        self._transport.close()


def run(daemon: Daemon, outcomes: list[Any]) -> None:
    for step in SCRIPT:
        match step:
            case Call():
                outcomes.append(_alike(_made(daemon, step), daemon))
            case Await(name, state):
                daemon.wait_state(name, state)
            case Grow(name, size):
                _wait_for_size(daemon, daemon.info(name)["stdout_logfile"], size)
            case Back():
                daemon.wait(lambda: _answers(daemon), what="the restart is over")
            case Put(text):
                daemon.write(text)
            case _:
                raise AssertionError(step)


def _answers(daemon: Daemon) -> bool:
    try:
        daemon.rpc.supervisor.getState()
    except (OSError, http.client.HTTPException, xmlrpc.client.Fault):
        daemon.rpc("close")()
        return False
    return True


def _wait_for_size(daemon: Daemon, path: str, size: int) -> None:
    daemon.wait(lambda: _size(path) >= size)


def _size(path: str) -> int:
    with open(path, "rb") as file:
        return len(file.read())


def _made(daemon: Daemon, step: Call) -> Any:
    method: Any = getattr(daemon.rpc, step.method)
    try:
        value = method(*step.params)
    except xmlrpc.client.Fault as fault:
        return ("fault", fault.faultCode, fault.faultString)
    except xmlrpc.client.ProtocolError as error:
        return ("http", error.errcode)
    except ExpatError:
        daemon.rpc("close")()
        return "no XML"
    if step.shape_only:
        return type(value).__name__
    if step.unordered and isinstance(value, list):
        return sorted(value, key=lambda item: (item["group"], item["name"]))
    return value


def _alike(value: Any, daemon: Daemon) -> Any:
    """Make alike what differs by nature."""
    match value:
        case dict():
            return {key: _member(key, item, daemon) for key, item in value.items()}
        case list() | tuple():
            return [_alike(item, daemon) for item in value]
        case str():
            return _text(value, daemon)
        case _:
            return value


def _member(key: str, value: Any, daemon: Daemon) -> Any:
    if key in {"pid", "start", "stop", "now"}:
        return value > 0
    return _alike(value, daemon)


def _text(text: str, daemon: Daemon) -> str:
    text = text.replace(str(daemon.dir), "DIR")
    text = re.sub(r"(---supervisor-).{8}\.log$", r"\1RANDOM.log", text)
    text = re.sub(r"^pid \d+, uptime 0:00:\d\d$", "pid PID, uptime", text)
    return re.sub(r"^[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M$", "DATE", text)


@pytest.fixture(scope="module")
def both() -> dict[str, list[Any]]:
    """The outcomes of the script, by peer; the two daemons run side by side."""
    outcomes: dict[str, list[Any]] = {"supervisor": [], "sdsuper": []}
    failures: list[BaseException] = []

    def drive(peer: str) -> None:
        try:
            with Daemon(PROGRAMS, peer=peer) as daemon, Pulse(daemon):
                run(daemon, outcomes[peer])
                daemon.wait_end()
        except BaseException as error:  # noqa: BLE001 - raised again by the fixture
            failures.append(error)

    threads = [threading.Thread(target=drive, args=(peer,)) for peer in outcomes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return outcomes


CALLS = [step for step in SCRIPT if isinstance(step, Call)]


@pytest.mark.parametrize("index", range(len(CALLS)), ids=[str(step) for step in CALLS])
def test_call(both: dict[str, list[Any]], index: int) -> None:
    theirs, ours = both["supervisor"][index], both["sdsuper"][index]
    difference = DIFFERENCES.get(str(CALLS[index]))
    if difference is None:
        assert ours == theirs
    else:
        assert ours == difference.ours(theirs), difference.reason
        assert ours != theirs, f"no difference any more: {difference.reason}"


def test_every_difference_is_of_a_call_that_is_made() -> None:
    assert set(DIFFERENCES) <= {str(step) for step in CALLS}


def test_every_method_is_called() -> None:
    assert set(METHODS) <= {step.method for step in CALLS}
