"""What `why` says, from what the core remembers: the whole text of typical cases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from sdsuper.config.model import Autorestart
from sdsuper.core.facts import (
    Cleared,
    DaemonStarted,
    DeadlinePassed,
    Exited,
    Fact,
    GroupAdded,
    Notified,
    ShutdownRequested,
    SignalFailed,
    SignalRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from sdsuper.core.history import Requester, Via
from sdsuper.core.manager import Manager
from sdsuper.core.notice import Notice
from sdsuper.ctl.why import as_text, by_number, duration, who
from sdsuper.daemon.proctable import Entry
from sdsuper.server.history import history_info, requester_info
from sdsuper.values import ExitStatus
from tests.unit.core.builders import at, namespec, solo

A = namespec("a")
OPERATOR = Requester(
    Via.RPC, "supervisor.stopProcess", pid=12, uid=0, login_uid=1000, command="sdsuperctl"
)
REMOTE = Requester(Via.RPC, "supervisor.startProcess", address="10.0.0.9:4711", user="admin")
STRAY = Entry(pid=55, parent=1, group=55, started=1, zombie=False, exiting=False, comm="sleep")
LOOK = DeadlinePassed()


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def told(
    *facts: tuple[float, Fact], now: float, output: dict[str, str] | None = None, **options: Any
) -> str:
    """Return what `why a` says at `now`, after these facts at their times."""
    manager = Manager()
    manager.handle(DaemonStarted(), at(0))
    manager.handle(GroupAdded(solo("a", **options)), at(0))
    for moment, fact in facts:
        manager.handle(fact, at(moment))
    process, past = manager.processes[A], manager.histories.get(A, ())
    strays = [STRAY] if process.residue is not None else []
    struct = history_info(process, past, strays, {}, at(now))
    return as_text(cast("Any", struct), output or {}, {0: "root", 1000: "alice"}.__getitem__)


def failed(count: int) -> list[tuple[float, Fact]]:
    """Failed starts in a row: each spawned, and gone with status 3 a moment later."""
    facts: list[tuple[float, Fact]] = []
    moment = 0.0
    for number in range(1, count + 1):
        facts += [
            (moment, Spawned(A, number, 100 + number)),
            (moment + 0.02, Exited(A, number, ExitStatus(3))),
            (moment + 0.02, Cleared(A, number)),
        ]
        moment += 0.02 + number
        facts.append((moment, LOOK))
    return facts


def test_a_command_that_is_not_there() -> None:
    text = told((0.0, SpawnFailed(A, 1, "can't find command '/x'")), now=0.4)
    assert text == (
        "a: BACKOFF, its start failed: can't find command '/x'; "
        "tried again in 0.6 s, retry 1 of 3 (startretries)\n"
        "  latest exit:\n"
        "    Nov 14 22:13:20 (0.4 s ago): not started: can't find command '/x'\n"
        "      had been started by the daemon itself (autostart)\n"
        "      then to be started again: retry 1 of 3 (startretries)"
    )


def test_a_program_that_ends_at_once_until_it_is_given_up() -> None:
    output = {"stdout": "", "stderr": "starting\nno port\x1b[0m\n"}
    text = told(*failed(2), now=62.0, output=output, startretries=1)
    assert text == (
        "a: FATAL, given up: exit status 3 too early; 2 attempts failed (startretries)\n"
        "  nothing happens until somebody starts it: sdsuperctl start a\n"
        "  started again once without being asked, in the last 1 min 1 s\n"
        "  latest exits:\n"
        "    Nov 14 22:13:21 (1 min ago) after 20 ms: exit status 3, too early to count as up, "
        "pid 102\n"
        "      then given up: 2 attempts failed (startretries)\n"
        "    Nov 14 22:13:20 (1 min 1 s ago) after 20 ms: exit status 3, too early to count as up, "
        "pid 101\n"
        "      had been started by the daemon itself (autostart)\n"
        "      then started again: retry 1 of 1 (startretries)\n"
        "  the last on stderr before it ended:\n"
        "    | starting\n"
        "    | no port\ufffd[0m"
    )


def test_only_the_latest_exits_are_shown_and_the_others_counted() -> None:
    text = told(*failed(8), now=50.0, startretries=20)
    assert text.count("exit status 3, too early") == 5
    assert "    --json shows 3 more\n" in f"{text}\n"
    assert "started again 8 times without being asked, all in the last 49 s" in text


def test_a_program_that_puts_itself_into_the_background() -> None:
    text = told(
        (0.0, Spawned(A, 1, 100)), (0.1, Exited(A, 1, ExitStatus(0))), now=0.5, startretries=9
    )
    assert "BACKOFF, its start failed: exit status 0 too early" in text
    assert "hint: it ended well, but at once: a program must stay in the foreground" in text


def test_what_could_not_become_the_program_says_why() -> None:
    output = {
        "stderr": "supervisor: couldn't chdir to /x: ENOENT\n"
        "supervisor: child process was not spawned\n"
    }
    facts = ((0.0, Spawned(A, 1, 100)), (0.1, Exited(A, 1, ExitStatus(127))))
    text = told(*facts, now=0.5, output=output)
    assert text.startswith("a: BACKOFF, its start failed: couldn't chdir to /x: ENOENT; ")
    assert "hint" not in text
    assert "hint: 127 mostly means that a command was not found" in told(*facts, now=0.5)


UP: tuple[tuple[float, Fact], ...] = ((0.0, Spawned(A, 1, 100)), (1.0, LOOK))


def test_a_stop_that_needed_sigkill() -> None:
    text = told(
        *UP,
        (7200.0, StopRequested(A, OPERATOR)),
        (7210.0, LOOK),
        (7210.5, Exited(A, 1, ExitStatus(None, 9))),
        (7210.5, Cleared(A, 1, strays=2)),
        now=7220.0,
        output={"stdout": "", "stderr": ""},
    )
    asked = "sdsuperctl (pid 12, root, logged in as alice): supervisor.stopProcess"
    assert text == (
        f"a: STOPPED, as asked 20 s ago by {asked}\n"
        "  latest exit:\n"
        "    Nov 15 00:13:30 (9.5 s ago) after 2 h: terminated by SIGKILL, pid 100\n"
        f"      stopped by {asked}\n"
        "      it did not end when it was asked to, and got SIGKILL (stopwaitsecs)\n"
        "      had been started by the daemon itself (autostart)\n"
        "      2 processes that it left behind had to be ended\n"
        "  it wrote nothing before it ended"
    )


def test_a_crash_and_a_start_by_hand() -> None:
    text = told(
        *UP,
        (90.0, Exited(A, 1, ExitStatus(None, 11, core_dumped=True))),
        (90.0, Cleared(A, 1)),
        (95.0, StartRequested(A, REMOTE)),
        (95.0, Spawned(A, 2, 101)),
        (96.0, LOOK),
        now=97.0,
        autorestart=Autorestart.NEVER,
    )
    assert text == (
        "a: RUNNING, pid 101, up for 2.0 s\n"
        "  started Nov 14 22:14:55 (2.0 s ago) by 10.0.0.9:4711 (password of admin): "
        "supervisor.startProcess\n"
        "  latest exit:\n"
        "    Nov 14 22:14:50 (7.0 s ago) after 1 min 30 s: terminated by SIGSEGV (core dumped), "
        "not expected, pid 100\n"
        "      had been started by the daemon itself (autostart)\n"
        "      then left down: autorestart=false\n"
        "  hint: it dumped core: coredumpctl info 100"
    )


def test_a_kill_that_nobody_here_sent_and_one_for_want_of_memory() -> None:
    killed = ExitStatus(None, 9)
    text = told(*UP, (5.0, Exited(A, 1, killed)), now=6.0, autorestart=Autorestart.NEVER)
    assert "hint: the daemon did not send SIGKILL: somebody else did, or the kernel" in text
    text = told(*UP, (5.0, Exited(A, 1, killed, oom=True)), now=6.0)
    assert "terminated by SIGKILL, killed by the kernel: out of memory, not expected" in text
    assert "hint: it had more memory than it may have" in text


def test_a_signal_that_somebody_asked_for() -> None:
    facts = (*UP, (3.0, SignalRequested(A, 1, OPERATOR)))
    assert "  SIGHUP sent by sdsuperctl (pid 12" in told(*facts, now=4.0)
    text = told(
        *facts, (5.0, Exited(A, 1, ExitStatus(None, 1))), now=6.0, autorestart=Autorestart.NEVER
    )
    assert "EXITED, it ended by itself 1.0 s ago, not as expected: terminated by SIGHUP" in text
    assert "      SIGHUP sent by sdsuperctl (pid 12" in text


GIVEN_UP = (
    "FATAL, given up: exit status 0 too early; 1 attempt failed (startretries)\n"
    "  nothing happens until somebody starts it: sdsuperctl start a\n"
    "  what it left behind is being ended: sleep (pid 55)"
)
SPEAKS = {"notify": True, "start_timeout": 30, "watchdog": 5}


@pytest.mark.parametrize(
    ("facts", "options", "first"),
    [
        ([], {"autostart": False}, "STOPPED, never started (autostart=false)"),
        ([], {}, "STARTING, its child is being made"),
        (UP[:1], {"startsecs": 9}, "STARTING, pid 100 is up for 4.0 s, and must be for 9 s"),
        (
            UP[:1],
            SPEAKS,
            "STARTING, pid 100 is waited for to say that it is ready (READY=1), for 30 s",
        ),
        (
            UP[:1],
            {"notify": True, "start_timeout": 0},
            "STARTING, pid 100 is waited for to say that it is ready (READY=1), for as long as",
        ),
        (
            (*UP[:1], (3.0, Notified(A, 1, Notice(trigger=True)))),
            SPEAKS,
            "STARTING, it reported a failure (WATCHDOG=trigger); pid 100 gets SIGKILL in 9.0 s",
        ),
        (
            (*UP, (3.0, Notified(A, 1, Notice(stopping=True)))),
            {},
            "RUNNING, it said that it is stopping (STOPPING=1); pid 100 gets SIGKILL in 9.0 s",
        ),
        (
            (*UP, (3.0, Exited(A, 1, ExitStatus(1)))),
            {},
            "STARTING, held until what it left behind has ended: sleep (pid 55)",
        ),
        (
            (*UP, (3.0, StopRequested(A, OPERATOR))),
            {},
            "STOPPING, waiting for pid 100 to end; SIGKILL follows in 9.0 s (stopwaitsecs)",
        ),
        (
            (*UP, (3.0, StopRequested(A)), (3.5, LOOK)),
            {"stopwaitsecs": 0},
            "STOPPING, pid 100 got SIGKILL and has not ended yet",
        ),
        ([(1.0, StopRequested(A))], {}, "STOPPING, as soon as its child is made"),
        (
            (*UP, (3.0, StopRequested(A)), (3.5, Exited(A, 1, ExitStatus(0)))),
            {},
            "STOPPING, waiting for what it left behind to end: sleep (pid 55)",
        ),
        (
            (*UP, (3.0, StopRequested(A)), (3.0, SignalFailed(A, 1, "not permitted"))),
            {},
            "UNKNOWN, not permitted; nothing can be done until pid 100 has ended",
        ),
        (
            ((0.0, SpawnFailed(A, 1, "no")), (0.5, ShutdownRequested())),
            {},
            "FATAL, given up: no",
        ),
        (
            (*UP, (3.0, Exited(A, 1, ExitStatus(0)))),
            {},
            "EXITED, it ended by itself 1.0 s ago, as expected: exit status 0; not started again ",
        ),
        (
            (*UP, (3.0, Exited(A, 1, ExitStatus(0)))),
            {"startsecs": 9, "startretries": 0},
            GIVEN_UP,
        ),
    ],
)
def test_what_a_process_waits_for(
    facts: list[tuple[float, Fact]], options: dict[str, Any], first: str
) -> None:
    assert told(*facts, now=4.0, **options).startswith(f"a: {first}")


def test_restarts_long_ago_are_told_without_a_rate() -> None:
    facts = (*UP, (3.0, Exited(A, 1, ExitStatus(1))), (3.0, Cleared(A, 1)))
    text = told(*facts, (3.0, Spawned(A, 2, 101)), (4.0, LOOK), now=5000.0)
    assert "  started again once without being asked\n" in text


@pytest.mark.parametrize(
    ("requester", "words"),
    [
        (Requester(Via.SIGNAL, "SIGTERM"), "SIGTERM, sent to the daemon"),
        (Requester(), "the daemon itself"),
        (
            Requester(Via.PAGE, "restart", pid=3, uid=1000, login_uid=1000),
            "a client (pid 3, uid 1000): restart on the web page",
        ),
        (Requester(Via.RPC, "supervisor.restart"), "a client: supervisor.restart"),
    ],
)
def test_who_it_was(requester: Requester, words: str) -> None:
    assert who(cast("Any", requester_info(requester)), by_number) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1.0, "0 ms"),
        (0.0123, "12 ms"),
        (0.0996, "0.1 s"),
        (9.94, "9.9 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (3661.0, "1 h 1 min"),
        (86400.0, "1 d"),
        (90061.0, "1 d 1 h"),
    ],
)
def test_spans_of_time(seconds: float, words: str) -> None:
    assert duration(seconds) == words
