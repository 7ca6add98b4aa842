"""Programs that write to the journal: a real daemon, before a socket that plays journald."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sdsuper.logs.rate import SUPPRESSED_ID
from tests.integration.harness import Daemon
from tests.journald import Journald

COUNT = 100_000


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder:
        yield f"{folder}/journal"


@pytest.fixture
def daemon(path: str) -> Daemon:
    """A daemon that is not started yet, whose journal is at `path`."""
    return Daemon(environment={"SDSUPER_JOURNAL_SOCKET": path})


@pytest.fixture
def journald(path: str) -> Iterator[Journald]:
    with Journald(path) as made:
        yield made


def wait_messages(daemon: Daemon, journald: Journald, wanted: list[bytes], **fields: str) -> None:
    daemon.wait(
        lambda: (
            len(journald.datagrams) >= len(wanted)
            and len(journald.messages(**fields)) >= len(wanted)
        ),
        60,
        "all lines in the journal",
    )
    assert journald.messages(**fields) == wanted


def test_each_line_has_its_fields(daemon: Daemon, journald: Journald) -> None:
    daemon.write(
        "[program:web]\n"
        "command=sh -c 'echo out; echo \"<3>bad\"; echo err >&2; printf end; exec sleep 600'\n"
        "process_name=web_%(process_num)d\nnumprocs=2\n"
        "stdout_logfile=%(here)s/%(process_num)d.log\nstdout_journal=true\n"
        "stderr_logfile=Journal\n"
        "[group:all]\nprograms=web\n"
    )
    with daemon:
        daemon.wait_state("all:web_1", "RUNNING")
        wait_messages(
            daemon, journald, [b"out", b"bad"], SDSUPER_PROCESS="web_1", SDSUPER_STREAM="stdout"
        )
        wait_messages(daemon, journald, [b"err"], SDSUPER_PROCESS="web_1", SDSUPER_STREAM="stderr")
        pid = daemon.pid_of("all:web_1")
        first, second, error = journald.found(SYSLOG_IDENTIFIER="web_1")
        assert (daemon.dir / "1.log").read_bytes() == b"out\n<3>bad\nend"
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    if error["SDSUPER_STREAM"] != b"stderr":
        second, error = error, second
    assert {**first, "SDSUPER_INVOCATION": b""} == {
        "MESSAGE": b"out",
        "PRIORITY": b"6",
        "SYSLOG_IDENTIFIER": b"web_1",
        "SYSLOG_PID": b"%d" % pid,
        "SDSUPER_PROGRAM": b"web",
        "SDSUPER_GROUP": b"all",
        "SDSUPER_PROCESS": b"web_1",
        "SDSUPER_STREAM": b"stdout",
        "SDSUPER_INVOCATION": b"",
    }
    assert (second["MESSAGE"], second["PRIORITY"]) == (b"bad", b"3")
    assert b"SDSUPER_INVOCATION=" + first["SDSUPER_INVOCATION"] in environment
    [end] = journald.found(SDSUPER_PROCESS="web_1", SDSUPER_LINE_BREAK="eof")
    assert end["MESSAGE"] == b"end"


def test_all_programs_by_one_key(path: str, journald: Journald) -> None:
    daemon = Daemon(
        "[program:a]\ncommand=sh -c 'echo a; exec sleep 600'\n"
        "[program:b]\ncommand=sh -c 'echo b; exec sleep 600'\nstdout_journal=false\n",
        settings="journal=true",
        environment={"SDSUPER_JOURNAL_SOCKET": path},
    )
    with daemon:
        daemon.wait_state("b", "RUNNING")
        daemon.wait(lambda: daemon.rpc.supervisor.readProcessLog("b", 0, 0) == "b\n")
        wait_messages(daemon, journald, [b"a"], SDSUPER_STREAM="stdout")
        assert daemon.rpc.supervisor.readProcessLog("a", 0, 0) == "a\n"
        assert not journald.found(SDSUPER_PROCESS="b", SDSUPER_STREAM="stdout")


def test_no_line_of_many_is_lost(daemon: Daemon, journald: Journald) -> None:
    daemon.write(
        f"[program:seq]\ncommand=seq {COUNT}\nstartsecs=0\nautorestart=false\n"
        "stdout_logfile=journal\n"
    )
    with daemon:
        daemon.wait_state("seq", "EXITED", timeout=60)
        wanted = [b"%d" % number for number in range(1, COUNT + 1)]
        wait_messages(daemon, journald, wanted, SYSLOG_IDENTIFIER="seq")


def test_lines_wait_for_a_journal_that_is_away(daemon: Daemon, path: str) -> None:
    daemon.write(
        "[program:count]\nstdout_logfile=journal\n"
        "command=sh -c 'for n in 1 2 3 4 5; do echo $n; read _; done'\n"
    )
    with Journald(path) as first, daemon:
        wait_messages(daemon, first, [b"1"])
        first.close()
        daemon.rpc.supervisor.sendProcessStdin("count", "\n")
        daemon.wait_log("no journal at")
        daemon.rpc.supervisor.sendProcessStdin("count", "\n")
        with Journald(path) as second:
            wait_messages(daemon, second, [b"2", b"3"], SYSLOG_IDENTIFIER="count")
            daemon.wait_log("takes output again")
        first.bind().serve()


FLOOD = "dd if=/dev/zero bs=1M count=40 status=none | tr '\\\\0' x | fold -w 999"


def test_a_stuck_journal_holds_nobody_up_and_drops_are_told(daemon: Daemon, path: str) -> None:
    daemon.write(
        f'[program:flood]\ncommand=sh -c "{FLOOD}"\nstartsecs=0\nautorestart=false\n'
        "stdout_logfile=journal\n"
        "[program:quiet]\ncommand=cat\nstdout_logfile=journal\n"
    )
    journald = Journald(path).bind()
    with daemon:
        daemon.wait_state("flood", "EXITED", timeout=60)
        daemon.wait_log("CRIT 'flood' stdout: cannot write the journal")
        before = daemon.pid_of("quiet")
        os.kill(before, signal.SIGKILL)
        daemon.wait(lambda: daemon.pid_of("quiet") not in (0, before), what="it is replaced")
        daemon.wait_state("quiet", "RUNNING")
        journald.serve()
        daemon.rpc.supervisor.sendProcessStdin("quiet", "hello\n")
        daemon.wait(lambda: journald.messages(SYSLOG_IDENTIFIER="quiet") == [b"hello"], 60)
        daemon.rpc.supervisor.startProcess("flood")
        line = daemon.wait_log("the journal works again")
        dropped = int(line.split()[-4])
        assert 30_000_000 < dropped < 40_000_000
    journald.close()


PADDED = 100
LINES = 60_000


def test_who_asked_to_wait_loses_nothing_to_a_stuck_journal(daemon: Daemon, path: str) -> None:
    daemon.write(
        f'[program:flood]\ncommand=sh -c "{FLOOD}"\nstartsecs=0\nautorestart=false\n'
        "stdout_logfile=journal\n"
        f"[program:waiter]\ncommand=seq -f %%0{PADDED}.0f {LINES}\nstartsecs=0\n"
        "autorestart=false\nstdout_logfile=%(here)s/waiter.log\nstdout_journal=true\n"
        "stdout_journal_full=wait\n"
    )
    with closing(Journald(path).bind()) as journald, daemon:
        # The one that asked for nothing comes to its end once the journal counts as stuck.
        daemon.wait_state("flood", "EXITED", timeout=60)
        assert daemon.state("waiter") == "RUNNING"
        held = (daemon.dir / "waiter.log").stat().st_size
        assert held < 1024 * 1024
        journald.serve()
        daemon.wait_state("waiter", "EXITED", timeout=60)
        wanted = [b"%0*d" % (PADDED, number) for number in range(1, LINES + 1)]
        wait_messages(daemon, journald, wanted, SYSLOG_IDENTIFIER="waiter")
        assert (daemon.dir / "waiter.log").stat().st_size == LINES * (PADDED + 1)
        assert "'waiter' stdout: cannot write" not in daemon.log()


def test_who_waits_for_a_journal_that_is_away_can_be_stopped(daemon: Daemon) -> None:
    settings = "stdout_logfile=journal\nstdout_journal_full=wait\n"
    daemon.write(
        f"[program:waiter]\ncommand=yes\n{settings}"
        f"[program:stubborn]\ncommand=sh -c 'trap \"\" TERM; yes'\nstopwaitsecs=1\n{settings}"
        "[program:quiet]\ncommand=cat\nstdout_logfile=%(here)s/quiet.log\n"
    )
    with daemon:
        daemon.wait_state("waiter", "RUNNING")
        daemon.wait_log("no journal at")
        daemon.wait(lambda: is_blocked(daemon.pid_of("waiter")), 20, "it waits")
        daemon.rpc.supervisor.sendProcessStdin("quiet", "hello\n")
        daemon.wait(lambda: (daemon.dir / "quiet.log").read_bytes() == b"hello\n")
        daemon.rpc.supervisor.stopProcess("waiter")
        assert daemon.state("waiter") == "STOPPED"
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_end(60) == 0
        assert "bytes did not reach the journal" in daemon.log()


def test_many_short_runs_do_not_pile_up_before_a_journal_that_is_away(daemon: Daemon) -> None:
    daemon.write(
        "[program:short]\ncommand=seq -f %%0999.0f 30\nstartsecs=0\nautorestart=true\n"
        "stdout_logfile=journal\nstdout_journal_full=wait\n"
    )
    with daemon:
        idle = len(os.listdir(f"/proc/{daemon.pid}/fd"))
        daemon.wait(lambda: daemon.log().count("exited: short") > 200, 60, "many runs")
        assert len(os.listdir(f"/proc/{daemon.pid}/fd")) < idle + 40
        daemon.wait_log("CRIT 'short' stdout: cannot write the journal", 60)


def is_blocked(pid: int) -> bool:
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text(encoding="ascii")


def test_levels_and_a_rate(daemon: Daemon, journald: Journald) -> None:
    klog = ["I1124 21:00:00.000001 1 a.go:1] up", "E1124 21:00:00.000001 1 a.go:2] bad", "plain"]
    (daemon.dir / "kube.txt").write_text("\n".join([*klog, ""]))
    daemon.write(
        "[program:kube]\nredirect_stderr=true\n"
        "command=sh -c 'cat kube.txt; exec cat'\ndirectory=%(here)s\n"
        "priority_pattern=^(?P<level>[IWEF])\\d{4} \n"
        "stdout_priority=notice\nstdout_logfile=%(here)s/kube.log\nstdout_journal=true\n"
        "[program:many]\ncommand=sh -c 'seq 100; exec cat'\nlog_rate=10/2s\n"
        "stdout_logfile=%(here)s/many.log\nstdout_journal=true\n"
    )
    with daemon:
        wait_messages(daemon, journald, [line.encode() for line in klog], SYSLOG_IDENTIFIER="kube")
        found = journald.found(SYSLOG_IDENTIFIER="kube")
        assert [entry["PRIORITY"] for entry in found] == [b"6", b"3", b"5"]
        assert (daemon.dir / "kube.log").read_text().splitlines() == klog
        # Nothing more is written, and yet it is told.
        daemon.wait(lambda: journald.found(MESSAGE_ID=SUPPRESSED_ID), 20, "it is told")
        [told] = journald.found(MESSAGE_ID=SUPPRESSED_ID)
        assert (told["N_DROPPED"], told["SDSUPER_PROCESS"]) == (b"90", b"many")
        assert (daemon.dir / "many.log").read_text().split() == list(map(str, range(1, 101)))
        daemon.rpc.supervisor.sendProcessStdin("many", "again\n")
        wanted = [*map(b"%d".__mod__, range(1, 11)), b"again"]
        wait_messages(daemon, journald, wanted, SYSLOG_IDENTIFIER="many", SDSUPER_STREAM="stdout")


def test_a_stopped_journal_does_not_delay_the_end_for_ever(daemon: Daemon, path: str) -> None:
    daemon.write("[program:flood]\ncommand=yes\nstdout_logfile=journal\n")
    journald = Journald(path).bind()
    with daemon:
        daemon.wait_state("flood", "RUNNING")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait_end(60) == 0
    journald.close()


def test_states_and_the_own_log_under_systemd(path: str, journald: Journald) -> None:
    daemon = Daemon("[program:once]\ncommand=sh -c 'exit 3'\nstartsecs=0\nautorestart=false\n")
    console = daemon.dir / "console"
    console.touch()
    stream = f"{console.stat().st_dev}:{console.stat().st_ino}"
    daemon.add_environment({"SDSUPER_JOURNAL_SOCKET": path, "JOURNAL_STREAM": stream})
    with daemon:
        daemon.wait_state("once", "EXITED")
        log = daemon.messages()
        pid = daemon.pid
        assert daemon.console() == ""
    own = journald.found(SYSLOG_IDENTIFIER="sdsuperd", SYSLOG_PID=str(pid))
    lines = [entry["MESSAGE"].decode() for entry in own if "MESSAGE_ID" not in entry]
    assert [line.split(" ", 1)[1] for line in log] == lines[: len(log)]
    critical = [entry["MESSAGE"] for entry in own if entry["PRIORITY"] == b"2"]
    assert critical[0].startswith(b"Supervisor is running as root")
    states = [entry["SDSUPER_STATE"] for entry in own if "MESSAGE_ID" in entry]
    assert states == [b"STARTING", b"RUNNING", b"EXITED"]
    [exited] = journald.found(MESSAGE_ID="4c561be70b9238126813346d0c13dc9c")
    assert exited["SDSUPER_EXIT_CODE"] == b"3"
    assert exited["SDSUPER_REASON"] == b"exit status 3, not expected (autorestart=false)"
    assert exited["PRIORITY"] == b"4"
    assert len({entry["SDSUPER_INVOCATION"] for entry in own if "MESSAGE_ID" in entry}) == 1
