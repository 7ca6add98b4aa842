"""The shell at a terminal: what is typed and seen there is the same with either client."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.ctl_scenarios import OUR_COMMANDS, normalise
from tests.integration.harness import Daemon
from tests.integration.terminal import CTRL_C, CTRL_D, ENTER, PROMPT, Terminal

StartDaemon = Callable[..., Daemon]

CAT = "command=cat\nstartsecs=0\n"
PROGRAMS = f"""\
[program:cat]
{CAT}
[program:say]
command=sh -c "echo said; exec cat"
startsecs=0
[program:dash-ed]
{CAT}autostart=false
[program:multi]
{CAT}process_name=%(program_name)s_%(process_num)02d
numprocs=2
[program:one]
{CAT}
[program:two]
{CAT}
[group:both]
programs=one,two
"""
UP = ("cat", "say", "multi:multi_00", "multi:multi_01", "both:one", "both:two")
LOGIN = ("user", "pass word")
PAIRS = [("supervisor", "sdsuper"), ("sdsuper", "supervisor"), ("sdsuper", "sdsuper")]


def run_daemon(peer: str, credentials: tuple[str, str] | None = None) -> Daemon:
    """Return a daemon to be entered, with our programs; its clients keep a history."""
    daemon = Daemon(PROGRAMS, peer=peer, credentials=credentials)
    text = daemon.ini.read_text().replace(
        "[supervisorctl]\n", f"[supervisorctl]\nhistory_file={daemon.dir}/history\n"
    )
    daemon.ini.write_text(text)
    return daemon


def plain(text: str, daemon: Daemon) -> str:
    """Return what a terminal shows as a pipe would, without what differs from run to run."""
    return normalise(text.replace("\r\n", "\n"), daemon)


def conversation(terminal: Terminal, daemon: Daemon) -> Iterator[str]:
    """Type what people type; yield what they see."""
    yield terminal.until(PROMPT)
    for line in (
        "status cat",
        "",
        "   ",
        "pid",
        "pid nosuch",
        "nonsense",
        "!ls",
        "stop nosuch",
        "help",
        "help nosuch",
        "open nowhere",
        f"open {daemon.server_url}",
        "tail say",
        "stop multi:multi_00",
        "start multi:multi_00",
        "start",
        "version",
    ):
        seen = terminal.command(line)
        yield line
        yield seen.partition("\r\n")[0] if line == "start" else seen  # help comes behind it
    yield from completion(terminal)
    yield terminal.command("tail -f say", "said\r\n")
    terminal.interrupt()
    yield terminal.until(PROMPT)
    for question in ("shutdown", "reload"):
        yield terminal.command(question, "y/N? ")
        yield terminal.command("n")
    terminal.command("shutdown", "y/N? ")
    yield terminal.command("y")
    daemon.wait_end()
    yield terminal.command("status")
    terminal.press(CTRL_D)
    yield str(terminal.end())


def completion(terminal: Terminal) -> Iterator[str]:
    """Press TAB where names can be completed; yield what is offered."""
    for typed, to in (
        ("resta", "restart "),
        ("help sig", "help signal "),
        ("stop da", "stop dash-ed "),
        ("fg cat:c", "fg cat:cat "),
        ("restart both:o", "restart both:one "),
        ("update mu", "update multi "),
        ("start cat say multi:multi_00 dash", "dash-ed "),
    ):
        terminal.completed(typed, to)
        yield to
    for typed in ("", "st", "help ", "status ", "signal multi", "start both:", "add ", "tail cat:"):
        offered = [each for each in terminal.offered(typed) if each.strip() not in OUR_COMMANDS]
        yield " ".join((f"{typed}:", *offered))


@functools.cache
def seen(client: str, peer: str) -> tuple[str, ...]:
    """Return what a client shows of a daemon all through the conversation, and what it keeps."""
    with run_daemon(peer) as daemon:
        for name in UP:
            daemon.wait_state(name, "RUNNING")
        with Terminal(daemon, client) as terminal:
            shown = [plain(each, daemon) for each in conversation(terminal, daemon)]
        history = plain(Path(daemon.dir, "history").read_text(), daemon)
    return (*shown, history)


@pytest.mark.parametrize(("client", "peer"), PAIRS)
def test_the_same_is_seen_completed_and_remembered(client: str, peer: str) -> None:
    theirs = seen("supervisor", "supervisor")
    assert list(seen(client, peer)) == list(theirs)
    assert "open unix://DIR/d.sock\ntail say\n" in theirs[-1]


@functools.cache
def logging_in(client: str, peer: str) -> tuple[str, ...]:
    """Return what a client shows of a daemon that asks for a login."""
    with run_daemon(peer, LOGIN) as daemon:
        for name in UP:
            daemon.wait_state(name, "RUNNING")
        options = ["-s", daemon.server_url]
        with Terminal(daemon, client, options=options) as terminal:
            for password in ("wrong", LOGIN[1]):
                terminal.until("Username:")
                terminal.press(LOGIN[0] + ENTER)
                terminal.until("Password:")
                terminal.press(password + ENTER)
            terminal.until(PROMPT)
            terminal.command("pid dash-ed")
            terminal.press("quit" + ENTER)
            statuses = [terminal.end()]
        with Terminal(daemon, client, "pid", "dash-ed", options=[*options, "-i"]) as once:
            once.until("Username:")
            once.press(LOGIN[0] + ENTER)
            once.until("Password:")
            once.press(LOGIN[1] + ENTER)
            statuses.append(once.end())
        return plain(terminal.seen, daemon), plain(once.seen, daemon), str(statuses)


@pytest.mark.parametrize(("client", "peer"), PAIRS)
def test_a_login_is_asked_for_until_it_is_right(client: str, peer: str) -> None:
    theirs = logging_in("supervisor", "supervisor")
    assert logging_in(client, peer) == theirs
    assert theirs[0].count("Server requires authentication") == 2
    assert LOGIN[1] not in theirs[0] + theirs[1]
    assert theirs[-1] == "[0, 7]"


@pytest.fixture
def daemon(start_daemon: StartDaemon, peer: str) -> Daemon:
    """Either daemon."""
    started = start_daemon(PROGRAMS, peer=peer)
    for name in UP:
        started.wait_state(name, "RUNNING")
    return started


@pytest.mark.parametrize("client", ["sdsuper", "supervisor"])
def test_the_foreground_echoes_and_gives_the_prompt_back(daemon: Daemon, client: str) -> None:
    with Terminal(daemon, client) as terminal:
        terminal.until(PROMPT)
        terminal.command("fg cat", "<==\r\n")
        terminal.press("typed" + ENTER)
        terminal.until("typed\r\n")  # by the terminal
        terminal.until("typed\r\n")  # by the program
        terminal.interrupt()
        terminal.until("Exiting foreground\r\n")
        terminal.until(PROMPT)
        assert terminal.command("pid").endswith(f"{daemon.pid}\r\n")  # theirs may say more


def test_leaving_after_the_foreground_takes_no_time_to_wait_for(daemon: Daemon) -> None:
    with Terminal(daemon, "sdsuper") as terminal:
        terminal.until(PROMPT)
        terminal.command("fg cat", "<==\r\n")
        terminal.press(CTRL_D)
        terminal.until("Exiting foreground\r\n")
        terminal.until(PROMPT)
        terminal.press("exit" + ENTER)
        assert terminal.end() == 0


def test_several_logs_are_followed_each_line_behind_its_name(daemon: Daemon) -> None:
    with Terminal(daemon, "sdsuper", "-r", "kept") as terminal:
        terminal.until(PROMPT)
        assert terminal.command("tail -f cat sterr") == "Error: bad channel 'sterr'\r\n"
        terminal.command("tail -f say both:* nosuch", "<==\r\n")
        terminal.until("say      | said\r\n")
        daemon.rpc.supervisor.sendProcessStdin("both:two", "half")
        daemon.rpc.supervisor.sendProcessStdin("both:one", "first\nsecond\n")
        terminal.until("both:one | first\r\nboth:one | second\r\n")
        daemon.rpc.supervisor.sendProcessStdin("both:two", " and half\n")
        terminal.until("both:two | half and half\r\n")
        terminal.press(CTRL_C)
        terminal.until(PROMPT)
        assert "nosuch: ERROR (no such process name)\r\n" in terminal.seen
        terminal.command("maintail -f", "<==\r\n")
        terminal.press(CTRL_C)
        terminal.until(PROMPT)
        terminal.press(CTRL_C)
        assert terminal.end() == 0
    assert Path(daemon.dir, "kept").read_text().splitlines()[-1] == "maintail -f"


def test_a_login_that_nobody_gives_leaves_the_prompt(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(credentials=LOGIN)
    with Terminal(daemon, "sdsuper", options=["-s", daemon.server_url]) as terminal:
        terminal.until("Username:")
        terminal.press(CTRL_D)
        terminal.until(PROMPT)
        assert terminal.command("open x") == "ERROR: url must be http:// or unix://\r\n"
