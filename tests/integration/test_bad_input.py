"""Bad input gets a clear error, and harms nothing that runs."""

from __future__ import annotations

import os
import shutil
import socket
import xmlrpc.client
from collections.abc import Iterator

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import PEERS, Daemon

CAT = "[program:cat]\ncommand=cat\n"

BROKEN = {
    "no equals sign": ("[program:x]\ncommand cat\n", 2),
    "no command": ("[program:x]\nautostart=true\n", 1),
    "not a number": ("[program:x]\ncommand=cat\nstartsecs=soon\n", 3),
    "not a boolean": ("[program:x]\ncommand=cat\nautostart=perhaps\n", 3),
    "not a signal": ("[program:x]\ncommand=cat\nstopsignal=BANG\n", 3),
    "not a size": ("[program:x]\ncommand=cat\nstdout_logfile_maxbytes=many\n", 3),
    "no such user": ("[program:x]\ncommand=cat\nuser=nosuchuser\n", 3),
    "no such variable": ("[program:x]\ncommand=%(ENV_NOSUCH)s\n", 2),
    "no such program": ("[group:g]\nprograms=nosuch\n", 2),
    "no log directory": ("[program:x]\ncommand=cat\nstdout_logfile=/nosuch/x.log\n", 3),
    "contradiction": ("[program:x]\ncommand=cat\nstopasgroup=1\nkillasgroup=0\n", 4),
}
"""Programs that do not load, and the line at fault, counted from their first."""

WORDED_ANEW = {"no such variable"}  # Supervisor's text lists the whole environment


@pytest.fixture(scope="module", params=sorted(PEERS))
def either(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon of each kind in turn, with `cat` running, for tests that change nothing."""
    with Daemon(CAT, peer=request.param) as daemon:
        daemon.wait_state("cat", "RUNNING")
        yield daemon


@pytest.fixture(scope="module")
def steady() -> Iterator[Daemon]:
    """A daemon with `cat` running, for tests that change nothing."""
    with Daemon(CAT) as daemon:
        daemon.wait_state("cat", "RUNNING")
        yield daemon


def lines_before(daemon: Daemon) -> int:
    """Return how many lines of the configuration stand before the programs."""
    daemon.write("")
    return daemon.ini.read_text(encoding="utf-8").count("\n")


def said_to(programs: str, peer: str) -> tuple[str, int]:
    """Return the first line that a start with these programs ends with, and the exit status."""
    daemon = Daemon(programs, peer=peer)
    said, status = daemon.refuse()
    return said.partition("\n")[0].replace(str(daemon.dir), "DIR"), status


# What is wrong when the daemon starts


@pytest.mark.parametrize("broken", BROKEN)
def test_a_start_with_a_broken_file_ends_with_file_and_line(broken: str) -> None:
    programs, line = BROKEN[broken]
    daemon = Daemon()
    place = f"d.conf:{lines_before(daemon) + line}"
    daemon.write(programs)
    said, status = daemon.refuse()
    assert status == 2
    assert said.startswith("Error: ")
    assert place in said


@pytest.mark.parametrize("broken", sorted(BROKEN.keys() - WORDED_ANEW))
def test_its_first_line_is_the_one_that_operators_know(broken: str) -> None:
    programs, _ = BROKEN[broken]
    assert said_to(programs, "sdsuper") == said_to(programs, "supervisor")


def test_every_error_of_a_file_is_told_at_once() -> None:
    daemon = Daemon()
    before = lines_before(daemon)
    daemon.write(
        "[program:x]\ncommand=cat\nstartsecs=soon\n[program:y]\ncommand=cat\npriority=high\n"
    )
    said, status = daemon.refuse()
    assert status == 2
    assert f"d.conf:{before + 3}" in said
    assert f"d.conf:{before + 6}" in said


@pytest.mark.parametrize("arguments", [["--nosuch"], ["-e", "nosuch"], ["-x"]])
def test_a_bad_option_of_the_daemon_ends_with_2(arguments: list[str]) -> None:
    said, status = Daemon(arguments=arguments).refuse()
    assert status == 2
    assert said.startswith("Error: ")


def test_a_missing_configuration_file_ends_with_2() -> None:
    daemon = Daemon()
    daemon.ini.unlink()
    said, status = daemon.refuse()
    assert status == 2
    assert str(daemon.ini) in said


def test_a_second_daemon_on_the_same_socket_ends_and_harms_nothing(
    start_daemon: StartDaemon,
) -> None:
    first = start_daemon(CAT)
    first.wait_state("cat", "RUNNING")
    pid = first.pid_of("cat")
    second = Daemon(CAT)
    shutil.copy(first.ini, second.ini)
    said, status = second.refuse()
    assert status == 2
    assert "Another program is already listening" in said
    assert (first.state("cat"), first.pid_of("cat")) == ("RUNNING", pid)
    assert first.ctl("status")[1] == 0


# What is wrong when it is to read its configuration again


@pytest.mark.parametrize("command", ["reread", "update", "reload"])
@pytest.mark.parametrize("broken", ["not a number", "no such user", "no equals sign"])
def test_a_broken_file_is_refused_and_nothing_changes(
    start_daemon: StartDaemon, command: str, broken: str
) -> None:
    daemon = start_daemon(CAT)
    daemon.wait_state("cat", "RUNNING")
    pid = daemon.pid_of("cat")
    daemon.write(BROKEN[broken][0])  # and no cat any more

    # By its URL: the client itself would trip over the broken file.
    done = daemon.run_ctl(command, options=["-s", daemon.server_url])
    assert done.returncode == 1
    assert "CANT_REREAD" in done.stdout
    assert "ERRO configuration refused: " in daemon.log()
    assert f"{daemon.ini}:" in daemon.wait_log("configuration refused")
    assert daemon.state("cat") == "RUNNING"
    assert daemon.pid_of("cat") == pid

    daemon.write(CAT + "[program:new]\ncommand=cat\nautostart=false\n")
    assert daemon.ctl("update") == ("new: added process group\n", 0)
    assert daemon.pid_of("cat") == pid


def test_an_unknown_key_warns_and_stops_nothing(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(CAT + "autorestrat=true\n")
    daemon.wait_state("cat", "RUNNING")
    line = daemon.wait_log("autorestrat")
    assert "WARN" in line
    assert "autorestart" in line  # the nearest name that exists
    daemon.write(CAT + "startsecz=1\n")
    assert daemon.ctl("reread") == ("No config updates to processes\n", 0)
    assert "WARN" in daemon.wait_log("startsecz")


# What is wrong on the command line of the client


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["frobnicate"], ("*** Unknown syntax: frobnicate\n", 1)),
        (["start", "nosuch"], ("nosuch: ERROR (no such process)\n", 1)),
        (["stop", "nosuch:*"], ("nosuch: ERROR (no such group)\n", 1)),
        (["status", "nosuch"], ("nosuch: ERROR (no such process)\n", 4)),
        (["signal", "BANG", "cat"], ("cat: ERROR (bad signal name)\n", 1)),
        (["tail", "-nosuch", "cat"], ("Error: bad argument -nosuch\n", 1)),
        (["pid", "nosuch"], ("No such process nosuch\n", 1)),
        (["remove", "nosuch"], ("ERROR: no such process/group: nosuch\n", 1)),
        (["add", "nosuch"], ("ERROR: no such process/group: nosuch\n", 1)),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_words_are_answered_as_operators_know(
    either: Daemon, words: list[str], expected: tuple[str, int]
) -> None:
    assert either.ctl(*words) == expected
    assert either.state("cat") == "RUNNING"


def test_a_client_without_a_daemon_says_what_is_missing() -> None:
    daemon = Daemon()  # never started
    socket_file = f"{daemon.server_url} no such file\n"
    try:
        assert daemon.ctl("status") == (socket_file, 4)
        assert daemon.ctl("pid") == (socket_file, 7)
        assert daemon.ctl("status", peer="supervisor") == (socket_file, 4)
    finally:
        shutil.rmtree(daemon.dir)


# What cannot be started


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("/nosuch/program", "no such file"),
        ("nosuchprogram", "no such file"),
        ("/etc/passwd", "file is not executable"),
        ("/etc", "file is not executable"),
        ('cat "unclosed', "file is not executable"),
    ],
)
def test_a_command_that_cannot_run_is_told_and_gives_up(
    start_daemon: StartDaemon, peer: str, command: str, answer: str
) -> None:
    bad = f"[program:bad]\ncommand={command}\nautostart=false\nstartretries=0\n"
    daemon = start_daemon(CAT + bad, peer=peer)
    daemon.wait_state("cat", "RUNNING")
    assert daemon.ctl("start", "bad") == (f"bad: ERROR ({answer})\n", 1)
    assert daemon.state("cat") == "RUNNING"


def test_a_bad_command_that_starts_by_itself_becomes_fatal(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        f"{CAT}[program:bad]\ncommand=/nosuch/program\nstartretries=0\n"
        "[program:interpreter]\ncommand=%(here)s/script\nstartretries=0\n"
    )
    script = daemon.dir / "script"
    script.write_text("#!/nosuch/interpreter\n", encoding="utf-8")
    script.chmod(0o755)
    daemon.wait_state("bad", "FATAL")
    daemon.wait_log("spawnerr: can't find command '/nosuch/program'")
    daemon.wait_state("interpreter", "FATAL")
    daemon.ctl("start", "interpreter")
    daemon.wait_state("interpreter", "FATAL")
    daemon.wait_state("cat", "RUNNING")


@pytest.mark.root  # only root may become another account at all
def test_a_directory_that_cannot_be_entered_is_told(start_daemon: StartDaemon) -> None:
    daemon = start_daemon("[program:lost]\ncommand=cat\ndirectory=/nosuch\nstartretries=0\n")
    daemon.wait_state("lost", "FATAL")
    daemon.wait_log("/nosuch")


# What cannot be written


def test_a_log_that_cannot_be_opened_costs_its_own_program_only(
    start_daemon: StartDaemon, peer: str
) -> None:
    daemon = start_daemon(
        f"{CAT}[program:mute]\ncommand=cat\nstdout_logfile=%(here)s\nstartretries=0\n", peer=peer
    )
    daemon.wait_state("mute", "FATAL")
    daemon.wait_log("EISDIR")
    daemon.wait_state("cat", "RUNNING")


def test_a_log_on_a_full_disk_stops_neither_the_program_nor_the_daemon(
    start_daemon: StartDaemon,
) -> None:
    loud = (
        '[program:loud]\ncommand=sh -c "head -c 3000000 /dev/zero; touch %(here)s/written; cat"\n'
        "stdout_logfile=/dev/full\nstdout_logfile_maxbytes=0\n"
    )
    daemon = start_daemon(loud + CAT)
    daemon.wait((daemon.dir / "written").exists, what="all is written, nothing blocked")
    daemon.wait_state("loud", "RUNNING")
    daemon.wait_state("cat", "RUNNING")
    assert daemon.ctl("stop", "all")[1] == 0


# What runs out


def test_a_full_table_of_descriptors_costs_a_start_and_is_got_over(
    start_daemon: StartDaemon,
) -> None:
    daemon = start_daemon(
        "[program:p]\ncommand=cat\nnumprocs=40\nprocess_name=%(process_num)d\n"
        "autostart=false\nstartsecs=0\nstartretries=0\nredirect_stderr=true\nstdout_logfile=NONE\n",
        settings="minfds=64",
        prefix=["prlimit", "--nofile=64:64"],
    )
    names = [f"p:{number}" for number in range(40)]
    started: list[str] = []
    refused = fault = ""
    for name in names:
        try:
            daemon.rpc.supervisor.startProcess(name)
        except xmlrpc.client.Fault as error:
            refused, fault = name, error.faultString
            break
        started.append(name)
    assert started
    assert refused, "40 programs fit into 64 descriptors"
    assert fault.startswith("SPAWN_ERROR")
    daemon.wait_state(refused, "FATAL")
    for name in started:
        assert daemon.state(name) == "RUNNING"

    assert daemon.rpc.supervisor.stopProcess(started.pop()) is True
    assert daemon.rpc.supervisor.startProcess(refused) is True
    assert daemon.state(refused) == "RUNNING"
    assert daemon.rpc.supervisor.stopAllProcesses()
    assert daemon.ctl("pid") == (f"{daemon.pid}\n", 0)


# What comes over the wire

MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "unknown method": b"BREW /RPC2 HTTP/1.1\r\nHost: x\r\n\r\n",
    "headers without end": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
    "a header as long as a book": b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    "negative length": b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "no length": b"POST /RPC2 HTTP/1.1\r\nHost: x\r\n\r\n",
    "length in words": b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    "endless body": b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
}


def post(body: bytes) -> bytes:
    """Return a request that calls with this body."""
    head = f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


MALFORMED |= {
    "empty body": post(b""),
    "no XML": post(b"hello"),
    "XML cut off": post(b"<?xml version='1.0'?><methodCall><methodName>"),
    "no method": post(b"<?xml version='1.0'?><methodCall></methodCall>"),
    "no UTF-8": post(b"<?xml version='1.0'?><methodCall><methodName>\xff</methodName>"),
    "an entity": post(
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><methodCall><methodName>&a;</methodName></methodCall>"
    ),
}


def answer_to(daemon: Daemon, request: bytes) -> bytes:
    """Send bytes and no more; return all that comes back until the daemon closes, or has said all.

    A client that half-closes tells that nothing else will come, so each answer ends.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(daemon.socket))
        received = b""
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65536):
                received += part
        except (BrokenPipeError, ConnectionResetError):
            pass  # it had heard enough
        return received


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_request_is_refused_and_disturbs_nobody(steady: Daemon, kind: str) -> None:
    pid = steady.pid_of("cat")
    answer = answer_to(steady, MALFORMED[kind])
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert (steady.state("cat"), steady.pid_of("cat")) == ("RUNNING", pid)
    assert "Traceback" not in steady.log() + steady.console()


def test_clients_that_come_and_go_disturb_nobody(steady: Daemon) -> None:
    pieces = [b"", b"POST", post(b"<methodCall>")[:-5], post(b"<methodCall>")]
    before = len(os.listdir(f"/proc/{steady.pid}/fd"))
    for turn in range(100):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(steady.socket))
            client.sendall(pieces[turn % len(pieces)])
    assert steady.state("cat") == "RUNNING"
    steady.wait(lambda: len(os.listdir(f"/proc/{steady.pid}/fd")) <= before, what="all are closed")


@pytest.mark.parametrize(
    ("method", "arguments", "fault"),
    [
        ("supervisor.nosuch", (), "UNKNOWN_METHOD"),
        ("nosuch.getState", (), "UNKNOWN_METHOD"),
        ("supervisor.__init__", (), "UNKNOWN_METHOD"),
        ("supervisor.getProcessInfo", (), "INCORRECT_PARAMETERS"),
        ("supervisor.getProcessInfo", ("a", "b"), "INCORRECT_PARAMETERS"),
        ("supervisor.getProcessInfo", ("nosuch",), "BAD_NAME"),
        ("supervisor.getProcessInfo", ("",), "BAD_NAME"),
        ("supervisor.signalProcess", ("cat", "BANG"), "BAD_SIGNAL"),
    ],
)
def test_a_bad_call_gets_its_fault(
    either: Daemon, method: str, arguments: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        getattr(either.rpc, method)(*arguments)
    assert caught.value.faultString.startswith(fault)
