"""Commands about the daemon itself, every outcome."""

from __future__ import annotations

import pytest

import sdsuper
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
