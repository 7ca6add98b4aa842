"""Commands about the daemon itself, every outcome."""

from __future__ import annotations

from typing import Any

import pytest

import sdsuper
from sdsuper.rpc.client import ProtocolError
from sdsuper.rpc.faults import Fault, FaultCode
from tests.unit.ctl.fakes import FakeClient, Session, process

ENDING = Fault(FaultCode.SHUTDOWN_STATE)
URL = "unix:///run/d.sock"


@pytest.mark.parametrize("name", ["reload", "shutdown", "version"])
def test_no_arguments_are_taken(name: str) -> None:
    session = Session()
    help_text = session.control.commands[name].help
    expected = f"Error: {name} accepts no arguments\n{help_text}\n"
    assert session.run(f"{name} x") == (expected, 1)


@pytest.mark.parametrize(
    ("line", "method", "done", "question"),
    [
        (
            "reload",
            "restart",
            "Restarted supervisord\n",
            "Really restart the remote supervisord process y/N? ",
        ),
        (
            "shutdown",
            "shutdown",
            "Shut down\n",
            "Really shut the remote supervisord process down y/N? ",
        ),
    ],
)
def test_what_is_drastic_is_confirmed_where_somebody_is_there(
    line: str, method: str, done: str, question: str
) -> None:
    assert Session({method: True}).run(line) == (done, 0)
    for reply, out in (("y", done), ("Yes", done), ("n", ""), ("", ""), ("ok", "")):
        session = Session({method: True}, replies=[reply])
        assert session.run(line) == (out, 0)
        assert session.asked == [question]
        assert session.client.calls == ([(method,)] if out else [])


@pytest.mark.parametrize(
    ("line", "method", "error", "out", "status"),
    [
        ("reload", "restart", ENDING, "ERROR: already shutting down", 1),
        ("shutdown", "shutdown", ENDING, "ERROR: already shutting down", 0),
        (
            "reload",
            "restart",
            Fault(FaultCode.CANT_REREAD, "x"),
            "ERROR: CANT_REREAD: x",
            1,
        ),
        (
            "shutdown",
            "shutdown",
            ConnectionRefusedError(),
            f"ERROR: {URL} refused connection (already shut down?)",
            1,
        ),
        (
            "shutdown",
            "shutdown",
            FileNotFoundError(),
            f"ERROR: {URL} no such file (already shut down?)",
            1,
        ),
    ],
)
def test_what_is_refused(line: str, method: str, error: Exception, out: str, status: int) -> None:
    assert Session({method: error}).run(line) == (f"{out}\n", status)


@pytest.mark.parametrize(("line", "method"), [("reload", "restart"), ("shutdown", "shutdown")])
def test_what_nobody_expects(line: str, method: str) -> None:
    out, status = Session({method: Fault(FaultCode.FAILED)}).run(line)
    assert out.startswith("error: <class 'xmlrpc.client.Fault'>, <Fault 30: 'FAILED'>")
    assert status == 1


def test_version() -> None:
    answers = {"getSupervisorVersion": "4.3.0", "sdsuper.getVersion": "9.9"}
    assert Session(answers).run("version") == ("4.3.0\n", 0)
    ours = f"reported: 4.3.0\nsdsuperctl: {sdsuper.__version__}\nsdsuperd: "
    assert Session(answers).run("version --verbose") == (f"{ours}9.9\n", 0)
    answers["sdsuper.getVersion"] = Fault(FaultCode.UNKNOWN_METHOD)  # type: ignore[assignment]
    assert Session(answers).run("version --verbose") == (f"{ours}not this daemon\n", 0)


@pytest.mark.parametrize("url", ["", "x", "ftp://x", "https://x", "/run/d.sock"])
def test_open_takes_urls_only(url: str) -> None:
    said = "ERROR: url must be http:// or unix://\n"
    assert Session().run(f"open {url}") == (said, 1)


def test_open_shows_the_other_servers_status_and_keeps_ours() -> None:
    urls = []

    def connect(settings: object) -> FakeClient:
        urls.append(settings.url)  # type: ignore[attr-defined]
        return FakeClient({"getAllProcessInfo": [process("a", state="FATAL")]})

    session = Session(connect=connect)
    out, status = session.run("open http://h:1")
    assert out.startswith("a   ")
    assert status == 0
    assert urls == [URL, "http://h:1"]


def test_open_fails_where_the_other_server_cannot_be_asked() -> None:
    session = Session(connect=lambda _: FakeClient({"getVersion": OSError(5, "no")}))
    out, status = session.run("open http://h:1")
    assert out.startswith("error: <class 'OSError'>, [Errno 5] no: file: ")
    assert status == 1
    refused = Session(connect=lambda _: FakeClient({"getVersion": ConnectionRefusedError()}))
    assert refused.run("open http://h:1") == ("http://h:1 refused connection\n", 0)


@pytest.mark.parametrize("line", ["exit", "quit", "EOF", "exit now"])
def test_leaving(line: str) -> None:
    session = Session()
    assert session.run(line) == ("\n", 0)
    assert session.control.ended


# --- reexec -----------------------------------------------------------------------------------


def in_turn(*answers: Any) -> Any:
    """Answer each call with the next of these."""
    left = list(answers)
    return lambda *_: left.pop(0)


def incarnation(number: int, *, replacing: bool = False) -> dict[str, Any]:
    return {"number": number, "how": "start", "version": f"9.{number}", "replacing": replacing}


def reexec(*answers: Any, refusal: Any = True) -> tuple[str, int]:
    told = {"sdsuper.getIncarnation": in_turn(*answers), "sdsuper.reexec": refusal}
    return Session(told).run("reexec")


REPLACED = ProtocolError("x", 503, "Service Unavailable", is_replaced=True)


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsuper.ctl.commands.daemon._LOOK_SECONDS", 0)
    monkeypatch.setattr("sdsuper.ctl.control.LOOK_SECONDS", 0)


@pytest.mark.usefixtures("_at_once")
def test_reexec_waits_for_the_next_daemon() -> None:
    soon = incarnation(3, replacing=True)
    gone = ConnectionRefusedError(111, "no")
    assert reexec(incarnation(3), soon, REPLACED, gone, incarnation(4)) == (
        "sdsuperd 9.4 has taken over\n",
        0,
    )


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize(
    ("answers", "refusal", "said"),
    [
        ([incarnation(3)], Fault(FaultCode.FAILED, "too old"), "too old"),
        ([incarnation(3), incarnation(3)], True, "its log says why (maintail)"),
    ],
)
def test_reexec_tells_why_nobody_took_over(answers: Any, refusal: Any, said: str) -> None:
    told = f"ERROR: not replaced, everything goes on: {said}\n"
    assert reexec(*answers, refusal=refusal) == (told, 1)


def test_reexec_of_a_daemon_that_cannot() -> None:
    assert reexec(Fault(FaultCode.UNKNOWN_METHOD)) == ("ERROR: this daemon cannot re-exec\n", 1)


def test_reexec_gives_up_where_no_daemon_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsuper.ctl.commands.daemon.REEXEC_SECONDS", 0)
    assert reexec(incarnation(3)) == ("ERROR: no daemon answers any more\n", 1)


@pytest.mark.usefixtures("_at_once")
def test_what_a_daemon_began_that_is_replaced() -> None:
    said = "ERROR: the daemon is being replaced; what was asked for goes on: look at the status\n"
    assert Session({"startProcess": REPLACED}).run("start a") == (said, 1)
    assert Session({"stopProcess": REPLACED}).run("stop a") == (said, 1)


@pytest.mark.usefixtures("_at_once")
def test_a_restart_is_finished_by_the_next_daemon() -> None:
    session = Session(
        {
            "stopProcess": in_turn(REPLACED, Fault(FaultCode.NOT_RUNNING, "a")),
            "getAllProcessInfo": in_turn([process("a", state="STOPPING")], [process("a")]),
            "startProcess": True,
        }
    )
    assert session.run("restart a")[0] == "a: ERROR (not running)\na: started\n"
    assert [call[0] for call in session.client.calls] == [
        "stopProcess",
        "getAllProcessInfo",
        "getAllProcessInfo",
        "stopProcess",
        "startProcess",
    ]
