"""Sequences of commands that both clients run against both daemons, and how answers are compared.

A scenario is run as a whole by one client against one daemon; what it printed and how it ended,
step by step, is its transcript. Every pair must write the transcript that Supervisor's own two
write, but for what `decided` rewrites, where our client is meant to differ.
"""

from __future__ import annotations

import functools
import http.client
import os
import re
import signal
import xmlrpc.client
from pathlib import Path
from typing import NamedTuple

from tests.integration.harness import Daemon


class Step(NamedTuple):
    """One run of a client, or something done between two runs.

    Attributes:
        words: The action and its arguments.
        stdin: What the client reads.
        options: In place of `-c FILE`; `{dir}` and `{port}` are filled in.
        programs: A new configuration, written before.
        without: A file to remove before.
        wait: Processes and the state they must reach before.
        end: Whether to wait, afterwards, until the daemon has ended.
        again: A process to wait for, afterwards, until it runs anew.
        brief: Compare the first line only: what follows is help, whose wording is free.
        unordered: Compare the lines in any order: that of completion is up to chance.
    """

    words: tuple[str, ...] = ()
    stdin: str | None = None
    options: tuple[str, ...] | None = None
    programs: str | None = None
    without: str = ""
    wait: tuple[tuple[str, str], ...] = ()
    end: bool = False
    again: str = ""
    brief: bool = False
    unordered: bool = False

    @property
    def key(self) -> str:
        """What a transcript calls it."""
        options = " ".join(self.options or ())
        typed = f" < {self.stdin!r}" if self.stdin else ""
        return f"{options} {' '.join(self.words)}{typed}".strip()


class Scenario(NamedTuple):
    """A daemon, and what is typed.

    Attributes:
        programs: Ini text.
        steps: What is typed.
        credentials: What its servers ask for.
        held: A process that ignores to be stopped, killed behind the last step.
    """

    programs: str
    steps: tuple[Step, ...]
    credentials: tuple[str, str] | None = None
    held: str = ""


class Answer(NamedTuple):
    """What one step gave, made comparable."""

    key: str
    stdout: str
    stderr: str
    status: int


def typed(*lines: str, brief: bool = False) -> tuple[Step, ...]:
    """Return a step for each line. Groups are stopped in no order that could be promised."""
    steps = []
    for line in lines:
        words = tuple(line.split(" "))
        unordered = words[0] in {"stop", "restart"} and line.endswith((":*", ":", " all"))
        steps.append(Step(words, brief=brief, unordered=unordered))
    return tuple(steps)


CAT = "command=cat\nstartsecs=0\n"
PROGRAMS = f"""\
[program:cat]
{CAT}
[program:say]
command=sh -c "printf 'out \\303\\251\\n'; printf 'err\\n' >&2; exec cat"
startsecs=0
[program:quiet]
{CAT}autostart=false
stdout_logfile=NONE
priority=5
[program:multi]
{CAT}process_name=%(program_name)s_%(process_num)02d
numprocs=2
[program:one]
{CAT}
[program:two]
{CAT}
[group:both]
programs=two,one
priority=7
[program:brief]
command=true
startsecs=0
autorestart=false
[program:dead]
command=false
startretries=0
autostart=false
[program:nofile]
command=/nonexistent/program
autostart=false
[program:noexec]
command=/etc/passwd
autostart=false
"""
UP = tuple(
    (name, "RUNNING")
    for name in ("cat", "say", "multi:multi_00", "multi:multi_01", "both:one", "both:two")
)

# Apart from the others, since Supervisor's daemon cuts what it says of groups with such names.
BEYOND_ASCII = f"[program:späti]\n{CAT}"

LOOKING = Scenario(
    PROGRAMS + BEYOND_ASCII,
    (
        Step(("status",), wait=(*UP, ("brief", "EXITED"))),
        *typed(
            "status all",
            "status all nosuch",
            "status cat",
            "status  cat  brief cat",
            "status quiet",
            "status multi:*",
            "status both: späti",
            "status multi",
            "status nosuch nosuch:* nosuch:x nosuch:nosuch cat",
            "status nosuch quiet",
            "status:cat",
            "pid",
            "pid all",
            "pid cat",
            "pid quiet",
            "pid cat nosuch both:one",
            "pid multi:*",
            "avail",
            "tail say",
            "tail say stderr",
            "tail say STDOUT",
            "tail -4 say",
            "tail -0 say",
            "tail -1 say stderr",
            "tail x say",
            "tail say x stderr",
            "tail quiet",
            "tail nosuch",
            "tail multi:*",
            "tail nosuch:x stderr",
            "tail -x say",
            "tail -f",
            "tail -5",
            "tail say -5",
            "tail say sterr",
            "tail -f say sterr",
            "tail -x say sterr",
            "maintail -x",
            "maintail x",
            "version",
            "add",
            "remove",
            "update",
            "reread",
            "exit",
            "quit",
            "EOF",
            "help",
            "?",
            "? nosuch",
            "help nosuch",
            "help EOF",
            "help start stop",
            "fg a b",
            "fg nosuch",
            "fg multi:*",
            "fg quiet",
            "open ftp://x",
            "open",
            "open x",
            "!ls",
            "statuss",
            "status;pid",
            "-",
            "start nosuch:*",
            "signal BOGUS cat",
            "signal HUP nosuch nosuch:* quiet",
            "signal BOGUS multi:*",
            "signal BOGUS all",
            "signal 99 cat",
            "open http://nosuch.invalid:1",
            "",
        ),
        *typed(
            "tail",
            "tail a b c d",
            "maintail -1 -2",
            "start",
            "stop",
            "restart",
            "signal",
            "signal HUP",
            "clear",
            "fg",
            "avail x",
            "reread x",
            "reload x",
            "shutdown x",
            "version x",
            brief=True,
        ),
        Step(("tail -100000 say",)),
        Step(("open", "unix://{dir}/d.sock")),
        Step(("open", "unix://{dir}/none.sock")),
    ),
)

ACTING = Scenario(
    PROGRAMS,
    (
        Step(("start", "cat"), wait=(*UP, ("brief", "EXITED"))),
        *typed(
            "start quiet",
            "start quiet:quiet multi:multi_00",
            "start multi:*",
            "stop multi:*",
            "stop multi:",
            "status multi:*",
            "start multi:*",
            "stop multi:multi_01 cat cat nosuch nosuch:* brief",
            "restart cat",
            "restart cat nosuch",
            "restart nosuch:* cat",
            "restart cat both:*",
            "start nosuch cat multi:multi_01",
            "start nosuch:nosuch nosuch:x nosuch:",
            "start nofile",
            "start noexec",
            "start dead",
            "start nofile noexec cat nosuch:*",
            "status dead nofile",
            "signal HUP brief",
            "signal 0 cat",
            "signal CONT multi:* both:one",
            "signal SIGCONT cat brief nosuch",
            "signal cont cat",
            "clear say",
            "tail say",
            "clear multi:*",
            "tail -f nosuch",
            "tail -f quiet",
            "clear nosuch",
            "clear say nosuch quiet",
            "clear all",
            "stop all",
            "stop all",
            "signal CONT all",
            "start both:* multi:*",
            "stop nosuch all",
            "status",
        ),
    ),
)

CHANGED = f"""\
[program:cat]
{CAT}
[program:quiet]
{CAT}autostart=false
[program:multi]
{CAT}process_name=%(program_name)s_%(process_num)02d
numprocs=3
[program:new]
{CAT}
[program:newer]
{CAT}
"""
CONFIGURING = Scenario(
    PROGRAMS,
    (
        Step(("reread",), wait=UP),
        Step(("reread",), programs=CHANGED),
        *typed(
            "avail",
            "add new",
            "add new nosuch newer",
            "status new newer",
            "remove cat",
            "remove nosuch nofile",
            "update nosuch",
            "update nosuch multi",
            "status multi:*",
            "update cat",
            "update both dead",
            "update",
            "update",
            "status",
            "stop new",
            "remove new newer",
            "avail",
            "add new",
        ),
        Step(("reread",), programs="[program:cat]\ncommand=cat\nautostart=perhaps\n"),
        *typed("update", "status cat", "avail"),
        Step(("reload",), programs=CHANGED, again="cat"),
        *typed("status cat quiet", "avail"),
    ),
)

ENDING = Scenario(
    PROGRAMS,
    (
        Step(("shutdown",), wait=UP, end=True),
        *typed(
            "status",
            "status x",
            "start cat",
            "pid",
            "shutdown",
            "version",
            "tail -f cat",
            "help",
            "avail",
            "reread",
            "update",
            "add cat",
            "remove cat",
            "reload",
        ),
        Step(("status",), options=("-s", "http://127.0.0.1:{port}")),
        Step(("pid",), options=("-s", "http://127.0.0.1:{port}")),
        Step(("shutdown",), options=("-s", "http://127.0.0.1:{port}")),
        Step(("pid",), options=("-s", "https://127.0.0.1:{port}")),
        Step(("pid",), options=("-s", "http:x")),
        Step(("pid",), options=("-s", "ftp://x")),
        Step((), stdin="pid\n\nexit\npid\n"),
    ),
)

LEAVING = Scenario(
    f"""\
[program:cat]
{CAT}
[program:held]
command=sh -c "trap '' TERM; echo up; while :; do read line; done"
startsecs=0
stopwaitsecs=3600
""",
    (
        Step(("shutdown",), wait=(("cat", "RUNNING"), ("held", "RUNNING"))),
        *typed(
            "status",
            "status nosuch",
            "start cat",
            "stop all",
            "restart held",
            "signal HUP held",
            "pid",
            "pid held",
            "tail held",
            "tail -f held nosuch",
            "maintail",
            "fg held",
            "clear held",
            "version",
            "avail",
            "reread",
            "update",
            "update cat",
            "add cat",
            "remove cat",
            "reload",
            "shutdown",
        ),
    ),
    held="held",
)

ALL = Scenario(
    f"""\
[program:cat]
{CAT}
[program:multi]
{CAT}process_name=%(program_name)s_%(process_num)02d
numprocs=2
autostart=false
""",
    (
        Step(("start", "all"), wait=(("cat", "RUNNING"),), unordered=True),
        *typed("start all", "restart all", "restart multi:*", "stop cat all", "restart all"),
    ),
)

EMPTY = Scenario(
    "",
    (
        *typed("status", "status all", "pid all", "avail", "start all", "clear all"),
        Step(("maintail",), without="d.log"),
        *typed("maintail -5", "maintail -0"),
    ),
)

INET = ("-s", "http://127.0.0.1:{port}")
LOGIN = (*INET, "-u", "user", "-p", "pass word:")
LOCKED = Scenario(
    PROGRAMS,
    (
        Step(("status",), wait=UP),
        Step(("status", "cat"), options=LOGIN),
        Step(("tail", "say"), options=LOGIN),
        Step(("status",), options=INET),
        Step(("avail",), options=INET),
        Step(("status",), options=(*INET, "-u", "user", "-p", "wrong")),
        Step(("status",), options=(*INET, "-u", "user")),
    ),
    credentials=("user", "pass word:"),
)

TYPING = Scenario(
    PROGRAMS,
    (
        Step((), stdin="", wait=(*UP, ("brief", "EXITED"))),
        Step((), stdin="version\npid quiet\n\n  \nnonsense\nstop cat\nstart cat\n"),
        Step((), stdin="exit\nversion\n"),
        Step((), stdin="quit"),
        Step((), stdin="reload\nn\n"),
        Step((), stdin="shutdown\nno\nversion\n"),
        Step(("-i", "shutdown"), options=("-s", "unix://{dir}/d.sock", "-i"), stdin="n\n"),
        Step((), stdin="open unix://{dir}/d.sock\nversion\n"),
    ),
)

WRONG_LINES = tuple(
    Step((), options=tuple(line.split()), stdin="")
    for line in (
        "-x",
        "-c",
        "--conf",
        "--h",
        "--help=3",
        "--interactive=1 x",
        "-i -i status",
        "-ii status",
        "-s a status",
        "--server=a status",
        "-s : status",
        "-s a: status",
        "-s :a status",
        "-s unix: status",
        "-s unix:// status",
        "-s http:// status",
        "-s unix:///a -s b status",
        "-s unix:///a -s unix:///b status",
        "-u a --username b status",
        "-c /nonexistent status",
        "-c / status",
        "-c /etc/passwd status",
        "-p",
        "--nonsense",
        "--in=x",
        "-s unix:///nonexistent/x -- status",
        "-sunix:///nonexistent/x status",
        "--serverurl=unix:///nonexistent/x status -x",
        "--se unix:///nonexistent/x pid",
    )
)
MISUSING = Scenario("", WRONG_LINES)

SCENARIOS = {
    "looking": LOOKING,
    "acting": ACTING,
    "configuring": CONFIGURING,
    "ending": ENDING,
    "leaving": LEAVING,
    "all": ALL,
    "empty": EMPTY,
    "locked": LOCKED,
    "typing": TYPING,
    "misusing": MISUSING,
}


def run(scenario: Scenario, client: str, daemon: Daemon) -> list[Answer]:
    """Return the transcript of a scenario."""
    answers = []
    held = 0
    for step in scenario.steps:
        if step.programs is not None:
            daemon.write(step.programs)
        if step.without:
            (daemon.dir / step.without).unlink()
        for name, state in step.wait:
            daemon.wait_state(name, state)
        if scenario.held and not held:
            daemon.wait(lambda: Path(daemon.info(scenario.held)["stdout_logfile"]).read_bytes())
            held = daemon.pid_of(scenario.held)
        before = daemon.pid_of(step.again) if step.again else 0
        fill = functools.partial(_fill, daemon=daemon)
        options = None if step.options is None else [fill(option) for option in step.options]
        stdin = None if step.stdin is None else fill(step.stdin)
        done = daemon.run_ctl(*map(fill, step.words), peer=client, options=options, stdin=stdin)
        if step.end:
            daemon.wait_end()
        if step.again:
            daemon.wait(functools.partial(_runs_anew, daemon, step.again, before))
        stdout = normalise(done.stdout, daemon)
        if step.brief:
            stdout = stdout.partition("\n")[0]
        if step.unordered:
            stdout = "".join(sorted(stdout.splitlines(keepends=True)))
        stderr = normalise(done.stderr, daemon)
        answers.append(Answer(step.key, stdout, stderr, done.returncode))
    if held:
        os.kill(held, signal.SIGKILL)
    return answers


def _runs_anew(daemon: Daemon, name: str, before: int) -> bool:
    try:
        info = daemon.info(name)
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        daemon.rpc("close")()
        return False
    return bool(info["statename"] == "RUNNING" and info["pid"] != before)


def _fill(text: str, daemon: Daemon) -> str:
    return text.replace("{dir}", str(daemon.dir)).replace("{port}", str(daemon.port))


@functools.cache
def transcript(name: str, client: str, daemon: str) -> tuple[Answer, ...]:
    """Return what a client said, all through a scenario, of a daemon of its own."""
    scenario = SCENARIOS[name]
    login = scenario.credentials
    with Daemon(scenario.programs, peer=daemon, inet=True, credentials=login) as running:
        return tuple(run(scenario, client, running))


LOGIN_NEEDED = "Server requires authentication\n"
UNCHECKED = ("avail", "reread", "update", "add cat", "remove cat", "reload")
NO_SOCKET = "error: <class 'FileNotFoundError'>"


def undisturbed(theirs: Answer) -> Answer:
    """Return what our client answers with our daemon where Supervisor's pair answers this.

    Beside what is `decided`, an update leaves alone what goes on: a group that grows does not stop.
    """
    answer = decided(theirs)
    if "multi: updated" in answer.stdout:
        return answer._replace(stdout=answer.stdout.replace("multi: stopped\n", ""))
    return answer


def decided(theirs: Answer) -> Answer:
    """Return what our client answers where Supervisor's answers this.

    - A login that is missing is told once, without the protocol error that it leads to.
    - A configuration that cannot be read is told by `update` in words, as `reread` does.
    - An ini file that is none is an error of usage, not a traceback.
    - Commands that call no server beforehand say in words too that there is none.
    - A log that cannot be followed is a failure to scripts too.
    - The logs of a group can be cleared.
    """
    stdout = theirs.stdout
    if stdout.startswith(LOGIN_NEEDED):
        return theirs._replace(stdout=LOGIN_NEEDED)
    if theirs.key == "update" and (fault := re.match(r".*<Fault 92: \"(.*)\">: file", stdout)):
        return theirs._replace(stdout=f"ERROR: {fault[1]}\n")
    if theirs.stderr.startswith("Traceback"):
        text = theirs.stderr.rpartition("MissingSectionHeaderError: ")[2]
        told = f"Error: {text}For help, use COMMAND -h\n"
        return theirs._replace(stderr=told, status=2)
    if theirs.key in UNCHECKED and stdout.startswith(NO_SOCKET):
        return theirs._replace(stdout=f"unix://DIR/d.sock no such file\n{stdout}")
    if "Cannot read" in theirs.stderr:
        return theirs._replace(status=1)
    if theirs.key == "clear multi:*":
        return theirs._replace(
            stdout="multi:multi_00: cleared\nmulti:multi_01: cleared\n", status=0
        )
    return theirs


OUR_COMMANDS = frozenset({"reexec", "usage", "why"})
"""What Supervisor's client does not have."""

_HELP_LIST = re.compile(r"(default commands [^\n]*\n=+\r?\n)(.*?\S)\s*?((?:\r?\n){2})", re.DOTALL)

_CHANGING = (
    (r"pid [1-9]\d*, uptime (\d+ days?, )?\d+:\d\d:\d\d", "pid N, uptime T"),
    (r"(?m)^(supervisor> )?[1-9]\d*$", r"\1N"),
    (r"\b[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M\b", "TIME"),
    (r": file: \S+ line: \d+", ": file: F line: L"),
    (r"(?s)^(Error: .*?\nFor help, use )[^\n]* -h\n.*", r"\1COMMAND -h\n"),  # details follow
)


def without_our_commands(text: str) -> str:
    """Return output with the list of `help` without what is ours; the words in a row."""

    def listed(found: re.Match[str]) -> str:
        words = sorted(word for word in found[2].split() if word not in OUR_COMMANDS)
        return f"{found[1]}{' '.join(words)}{found[3]}"

    return _HELP_LIST.sub(listed, text)


def normalise(text: str, daemon: Daemon) -> str:
    """Return a client's output without what differs from run to run."""
    text = text.replace(str(daemon.dir), "DIR").replace(f":{daemon.port}", ":PORT")
    for pattern, replacement in _CHANGING:
        text = re.sub(pattern, replacement, text)
    return without_our_commands(text)
