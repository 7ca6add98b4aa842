"""Commands about output, every outcome."""

from __future__ import annotations

from typing import Any

import pytest

from sdsuper.ctl.commands.logs import quote
from sdsuper.rpc.client import ProtocolError
from sdsuper.rpc.faults import Fault, FaultCode
from tests.unit.ctl.fakes import FakeStream, Session, process, result

TAILS = {
    "readProcessStdoutLog": lambda *params: f"out{params}",
    "readProcessStderrLog": lambda *params: f"err{params}",
    "readLog": lambda *params: f"main{params}",
}


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("tail a", "out('a', -1600, 0)"),
        ("tail a stderr", "err('a', -1600, 0)"),
        ("tail a STDOUT", "out('a', -1600, 0)"),
        ("tail -5 a", "out('a', -5, 0)"),
        ("tail -0 a stderr", "err('a', 0, 0)"),
        ("tail a ignored stderr", "err('a', -1600, 0)"),
        ("maintail", "main(-1600, 0)"),
        ("maintail -7", "main(-7, 0)"),
    ],
)
def test_the_end_of_a_log(line: str, out: str) -> None:
    assert Session(TAILS).run(line) == (f"{out}\n", 0)


@pytest.mark.parametrize(
    ("line", "said", "helps"),
    [
        ("tail", "Error: too few arguments", True),
        ("tail a b c d", "Error: too many arguments", True),
        ("tail -5", "Error: tail requires process name", False),
        ("tail a b", "Error: bad channel 'b'", False),
        ("tail -x a B", "Error: bad channel 'b'", False),
        ("tail -x a", "Error: bad argument -x", False),
        ("maintail a b", "Error: too many arguments", True),
        ("maintail x", "Error: bad argument x", False),
        ("maintail -x", "Error: bad argument -x", False),
        ("clear", "Error: clear requires a process name", True),
        ("fg", "ERROR: no process name supplied", True),
        ("fg a b", "ERROR: too many process names supplied", False),
    ],
)
def test_wrong_words(line: str, said: str, *, helps: bool) -> None:
    session = Session()
    name = line.split(maxsplit=1)[0]
    help_text = f"{session.control.commands[name].help}\n" if helps else ""
    assert session.run(line) == (f"{said}\n{help_text}", 1)
    assert session.client.calls == []


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(FaultCode.NO_FILE, "x"), "no log file"),
        (Fault(FaultCode.FAILED), "unknown error reading log"),
        (Fault(FaultCode.FAILED, "the search took long"), "the search took long"),
        (Fault(FaultCode.BAD_NAME, "x"), "no such process name"),
    ],
)
def test_logs_that_cannot_be_read(fault: Fault, text: str) -> None:
    session = Session({"readProcessStdoutLog": fault})
    assert session.run("tail a:b") == (f"a:b: ERROR ({text})\n", 1)


def test_a_main_log_that_cannot_be_read() -> None:
    session = Session({"readLog": Fault(FaultCode.NO_FILE)})
    assert session.run("maintail") == ("supervisord: ERROR (no log file)\n", 1)
    out, status = Session({"readLog": Fault(FaultCode.BAD_ARGUMENTS)}).run("maintail")
    assert out.startswith("error: <class 'xmlrpc.client.Fault'>, <Fault 3: 'BAD_ARGUMENTS'>")
    assert status == 1


def test_a_terminal_that_may_not_show_all_is_told() -> None:
    session = Session({"readLog": "é"})
    session.control.encoding = "ANSI_X3.4-1968"
    out, status = session.run("maintail")
    first, second = out.splitlines()
    assert first.startswith("Warning: sys.stdout.encoding is set to ANSI_X3.4-1968, so Unicode")
    assert (second, status) == ("é", 0)


PRESS = "==> Press Ctrl-C to exit <==\n"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("tail -f a", "/logtail/a/stdout"),
        ("tail -f g:p stderr", "/logtail/g:p/stderr"),
        ("tail -f é%", "/logtail/%C3%A9%25/stdout"),
        ("maintail -f", "/mainlogtail"),
    ],
)
def test_following_a_log(line: str, path: str) -> None:
    stream = FakeStream([b"\xff one", b" two"])
    session = Session(streams={path: stream})
    session.control.run(line)
    assert session.control.out._stream.getvalue() == f"{PRESS}".encode() + b"\xff one two"  # type: ignore[attr-defined]
    assert session.control.status == 0
    assert stream.closed


def test_ctrl_c_ends_following() -> None:
    stream = FakeStream([b"one\n", KeyboardInterrupt()])
    session = Session(streams={"/mainlogtail": stream})
    assert session.run("maintail -f") == (f"{PRESS}one\n\n", 0)
    assert stream.closed


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ProtocolError("x", 404, "Not Found"), "Cannot read, status code 404"),
        (
            ConnectionRefusedError(111, "no"),
            "Cannot connect, error: <class 'ConnectionRefusedError'> ([Errno 111] no)",
        ),
    ],
)
def test_a_log_that_cannot_be_followed(error: Exception, said: str) -> None:
    session = Session(streams={"/logtail/a/stdout": error})
    assert session.run("tail -f a") == (PRESS, 1)
    assert session.errors == f"unix:///run/d.sock/logtail/a/stdout {said}\n"


PRESENT = {
    "getAllProcessInfo": [process("a"), process("x", "g"), process("y", "g")],
    "readProcessStdoutLog": "said",
}


@pytest.mark.parametrize(
    ("line", "paths", "said", "status"),
    [
        ("tail -f a g:x", ["a/stdout", "g:x/stdout"], PRESS, 0),
        ("tail -f a g:x STDERR", ["a/stderr", "g:x/stderr"], PRESS, 0),
        ("tail -f g:*", ["g:x/stdout", "g:y/stdout"], PRESS, 0),
        ("tail -f g: g:y a stderr", ["g:x/stderr", "g:y/stderr", "a/stderr"], PRESS, 0),
        ("tail -f a a", ["a/stdout"], PRESS, 0),
        (
            "tail -f nosuch a h:*",
            ["a/stdout"],
            (f"nosuch: ERROR (no such process name)\nh:*: ERROR (no such process name)\n{PRESS}"),
            1,
        ),
        ("tail -f h:*", [], "h:*: ERROR (no such process name)\n", 1),
        ("tail -f a sterr", [], "Error: bad channel 'sterr'\n", 1),
        ("tail -f g:* sterr", [], "Error: bad channel 'sterr'\n", 1),
    ],
)
def test_several_logs_are_followed(line: str, paths: list[str], said: str, status: int) -> None:
    missing = ProtocolError("x", 404, "Not Found")
    session = Session(PRESENT, streams={f"/logtail/{path}": missing for path in paths})
    session.run(line)
    assert [call[1] for call in session.client.calls if call[0] == "GET"] == [
        f"/logtail/{path}" for path in paths
    ]
    assert session.out == said
    assert session.control.status == (1 if paths else status)
    assert session.errors.count("Cannot read, status code 404") == len(paths)


def test_a_bound_of_logs_is_followed() -> None:
    infos = [process(f"p{number}", "g") for number in range(65)]
    session = Session({"getAllProcessInfo": infos})
    said = "Error: too many logs to follow: 65, at most 64\n"
    assert session.run("tail -f g:*") == (said, 1)


def test_a_login_is_asked_for_before_following_too() -> None:
    session = Session(streams={"/mainlogtail": ProtocolError("x", 401, "Unauthorized")})
    assert session.run("maintail -f") == (f"{PRESS}Server requires authentication\n", 1)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("a-b_c.d~", "a-b_c.d~"), ("g:*", "g:*"), ("ü ?#", "%C3%BC%20%3F%23"), ("\udcff", "%FF")],
)
def test_names_in_urls(name: str, quoted: str) -> None:
    assert quote(name) == quoted


def test_clear() -> None:
    infos = [process("x", "g"), process("g"), process("other")]
    answers = {
        "clearProcessLogs": True,
        "clearAllProcessLogs": [result("a"), result("b", FaultCode.FAILED)],
        "getAllProcessInfo": infos,
    }
    assert Session(answers).run("clear a g:x") == ("a: cleared\ng:x: cleared\n", 0)
    assert Session(answers).run("clear all") == ("a: cleared\nb: ERROR (failed)\n", 1)
    assert Session(answers).run("clear g:*") == ("g:x: cleared\ng: cleared\n", 0)
    assert Session(answers).run("clear h:*") == ("h: ERROR (no such group)\n", 1)


@pytest.mark.parametrize(
    ("code", "text"), [(FaultCode.BAD_NAME, "no such process"), (FaultCode.FAILED, "failed")]
)
def test_logs_that_cannot_be_cleared(code: int, text: str) -> None:
    session = Session({"clearProcessLogs": Fault(code, "a")})
    assert session.run("clear a") == (f"a: ERROR ({text})\n", 1)


@pytest.mark.parametrize(
    ("answer", "out", "status"),
    [
        (Fault(FaultCode.BAD_NAME, "a"), "ERROR: bad process name supplied", 1),
        (Fault(FaultCode.FAILED, "x"), "ERROR: <Fault 30: 'FAILED: x'>", 0),
        (process("a", state="STARTING"), "ERROR: process not running", 1),
    ],
)
def test_what_cannot_be_had_in_the_foreground(answer: Any, out: str, status: int) -> None:
    assert Session({"getProcessInfo": answer}).run("fg a") == (f"{out}\n", status)
