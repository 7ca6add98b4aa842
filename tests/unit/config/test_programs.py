from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdsuper.config.model import Config, FcgiSocketConfig, GroupConfig, ListenerPoolConfig
from tests.unit.config.conftest import Load, Refuse


def shape(config: Config) -> dict[str, list[str]]:
    return {group.name: [p.name for p in group.processes] for group in config.groups}


def group_named(config: Config, name: str) -> GroupConfig:
    return next(group for group in config.groups if group.name == name)


# --- names, numbers, expansions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ("", ["x"]),
        ("process_name= other ", ["other"]),
        ("numprocs=0", []),
        ("numprocs=-1", []),
        ("numprocs=2\nprocess_name=%(program_name)s_%(process_num)02d", ["x_00", "x_01"]),
        ("numprocs=2\nnumprocs_start=-1\nprocess_name=%(process_num)d", ["-1", "0"]),
        ("numprocs=11\nprocess_name=p%(process_num)s",
         ["p0", "p1", "p10", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"]),
    ],
)  # fmt: skip
def test_process_names(lines: str, names: list[str], read: Load) -> None:
    assert shape(read(f"[program:x]\ncommand=x\n{lines}\n")) == {"x": names}


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        ("%(here)s", "{here}"),
        ("%(program_name)s/%(group_name)s", "x/x"),
        ("%(process_num)03d of %(numprocs)x", "000 of 1"),
        ("%(ENV_KEY)s", "value"),
        ("%(ENV_PERCENT)s", "100%"),
        ("%(ENV_OWN)s", "mine"),
        ("%(ENV_SHARED)s", "all"),
        ("%(host_node_name)s", os.uname().nodename),
        ("50%%", "50%"),
        ("%%(here)s", "%(here)s"),
        ("date +%s", "date +%s"),
    ],
)
def test_expansions(written: str, expanded: str, read: Load, tmp_path: Path) -> None:
    config = read(
        "[supervisord]\nenvironment=SHARED=all\n"
        f"[program:x]\ncommand={written}\nenvironment=OWN=mine\n"
    )
    process = config.groups[0].processes[0]
    assert process.command == expanded.format(here=tmp_path)
    assert process.environment == {"SHARED": "all", "OWN": "mine"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("%(zz)s", "contains names ('zz') which cannot be expanded. Available names: ENV_*, "),
        ("%(ENV_ZZ)s", "contains names ('ENV_ZZ') which cannot be expanded."),
        ("a%", "is badly formatted: incomplete format"),
        ("%d", "is badly formatted: %d format: a real number is required, not dict"),
        ("%(program_name)q", "is badly formatted: unsupported format character 'q'"),
        ("%(x", "is badly formatted: incomplete format key"),
    ],
)
def test_bad_expansions(written: str, said: str, refuse: Refuse) -> None:
    first = refuse(f"[program:x]\ncommand={written}\n").first
    assert first.startswith(f"Format string {written!r} for 'program:x.command' {said}")


def test_variables_of_the_environment_are_not_given_away(refuse: Refuse) -> None:
    assert "PERCENT" not in str(refuse("[program:x]\ncommand=%(zz)s\n").details)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/tmp/a%%b", "/tmp/a%b"),
        ("/tmp/a%%%%b", "/tmp/a%b"),
        ("/tmp/100%%", "/tmp/100%"),
        ("/tmp/%%(program_name)s", "/tmp/x"),
        ("/tmp/%(program_name)s", "/tmp/x"),
    ],
)
def test_the_path_of_a_log_may_be_escaped_once_or_twice(
    written: str, path: str, read: Load
) -> None:
    config = read(f"[program:x]\ncommand=x\nstdout_logfile={written}\n")
    assert config.groups[0].processes[0].stdout.logfile == path


def test_percent_in_the_daemons_environment(read: Load) -> None:
    config = read('[supervisord]\nenvironment=A="100%%",B="%(ENV_KEY)s"\n')
    assert config.daemon.environment == {"A": "100%", "B": "value"}


def test_a_variable_that_was_taken_out_is_gone(read: Load, refuse: Refuse) -> None:
    program = "[program:x]\ncommand=%(ENV_A)s\n"
    assert read(f"[supervisord]\nenvironment=A=1\n{program}").groups[0].processes[0].command == "1"
    assert "contains names ('ENV_A')" in refuse(f"[supervisord]\n{program}").first


def test_variables_of_one_process_are_seen_by_the_next(read: Load) -> None:
    text = (
        "[program:x]\ncommand=%(ENV_N)s\nnumprocs=2\nprocess_name=%(process_num)d\n"
        "environment=N=%(process_num)s\n"
    )
    assert [p.command for p in read(text).groups[0].processes] == ["0", "1"]


def test_the_group_is_known_to_members(read: Load) -> None:
    config = read(
        "[program:x]\ncommand=%(group_name)s\n[group:g]\nprograms=x\n[group:h]\nprograms=x"
    )
    assert [group.processes[0].command for group in config.groups] == ["g", "h"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("[program:x]\n", "program section program:x does not specify a command in section "),
        ("[program:x]\ncommand=x\nnumprocs=2\n",
         "%(process_num) must be present within process_name when numprocs > 1 in section "),
        ("[program:x]\ncommand=x\nstopasgroup=true\nkillasgroup=false\n",
         "Cannot set stopasgroup=true and killasgroup=false in section "),
        ("[program:x]\ncommand=x\npriority=q\n",
         "invalid literal for int() with base 10: 'q'"),
        ("[program:x]\ncommand=x\npriority=%(process_num)d\n",
         "Format string '%(process_num)d' for 'program:x.priority' contains names"),
        ("[program:a b]\ncommand=x\n", "Invalid name: 'a b' because of character: ' '"),
        ("[program:a:b]\ncommand=x\n", "Invalid name: 'a:b' because of character: ':'"),
        ("[group:a/b]\n", "Invalid name: 'a/b' because of character: '/'"),
        ("[eventlistener:a b]\ncommand=x\nevents=TICK\n",
         "Invalid name: 'a b' because of character: ' ' in section 'eventlistener:a b' (file: "),
        ("[program:x]\ncommand=x\nnumprocs=100001\nprocess_name=%(process_num)d\n",
         "numprocs must not be above 100000"),
    ],
)  # fmt: skip
def test_refused_programs(text: str, first: str, refuse: Refuse) -> None:
    assert refuse(text).first.startswith(first)


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("[program:]\ncommand=x\n", "the section has no name behind its colon"),
        ("[program:x]\ncommand=x\nprocess_name=%(ENV_KEY)s:\\\n[supervisord]\n", ""),
        ("[supervisord]\nenvironment=E='a b'\n[program:x]\ncommand=x\nprocess_name=%(ENV_E)s\n",
         "Invalid name: 'a b' because of character: ' '"),
        ("[program:x]\ncommand=x\n[program:y]\ncommand=y\n[group:x]\nprograms=y\n",
         "group x is left out, [group:x] in "),
        ("[program:x]\ncommand=x\n[group:g]\nprograms=x,x\n", "process x of "),
    ],
)  # fmt: skip
def test_doubted_programs(text: str, doubt: str, read: Load, refuse: Refuse) -> None:
    if not doubt:
        assert "because of character: ':'" in refuse(text).first
        return
    [found] = read(text).doubts
    assert str(found.reason).startswith(doubt)


def test_the_later_of_two_processes_with_one_name_stays(read: Load) -> None:
    config = read(
        "[program:a]\ncommand=a\nprocess_name=same\n[program:b]\ncommand=b\nprocess_name=same\n"
        "[group:g]\nprograms=a,b\n"
    )
    assert [process.command for process in config.groups[0].processes] == ["b"]


# --- logs -----------------------------------------------------------------------------------------

DEPRECATED = (
    "For [program:x], stderr_logfile=syslog but this is deprecated and will be removed.  "
    "Use stderr_syslog=true to enable syslog instead."
)
IGNORED = (
    "For [program:x], redirect_stderr=true but stderr_logfile has also been set to a filename, "
    "the filename has been ignored"
)
GROWS = (
    "For [program:x], AUTO logging used for stderr_logfile without rollover, set maxbytes > 0 to "
    "avoid filling up filesystem unintentionally"
)


@pytest.mark.parametrize(
    ("lines", "logfile", "auto", "syslog", "warnings"),
    [
        ("", None, True, False, []),
        ("stderr_logfile=auto", None, True, False, []),
        ("stderr_logfile=NONE", None, False, False, []),
        ("stderr_logfile=off", None, False, False, []),
        ("stderr_logfile=", None, False, False, []),
        ("stderr_logfile=Syslog", None, False, True, [DEPRECATED]),
        ("stderr_logfile=name", "name", False, False, []),
        ("stderr_logfile=/tmp/../tmp/x", "/tmp/../tmp/x", False, False, []),
        ("redirect_stderr=true", None, False, False, []),
        ("redirect_stderr=true\nstderr_logfile=NONE", None, False, False, []),
        ("redirect_stderr=true\nstderr_logfile=/tmp/x", None, False, False, [IGNORED]),
        ("stderr_logfile_maxbytes=0", None, True, False, [GROWS]),
        ("stderr_logfile_maxbytes=0\nstderr_logfile=/tmp/x", "/tmp/x", False, False, []),
    ],
)
def test_logs(
    lines: str, logfile: str | None, auto: bool, syslog: bool, warnings: list[str], read: Load
) -> None:
    config = read(f"[program:x]\ncommand=x\n{lines}\n")
    channel = config.groups[0].processes[0].stderr
    assert (channel.logfile, channel.auto, channel.syslog) == (logfile, auto, syslog)
    assert [note.message for note in config.notes] == warnings


@pytest.mark.parametrize(
    ("settings", "lines", "journal"),
    [
        ("", "", (False, False)),
        ("", "stdout_logfile=Journal", (True, False)),
        ("", "stderr_journal=yes", (False, True)),
        ("journal=true", "", (True, True)),
        ("journal=true", "stdout_journal=false", (False, True)),
        ("journal=true", "stdout_journal=false\nstdout_logfile=journal", (True, True)),
    ],
)
def test_the_journal(settings: str, lines: str, journal: tuple[bool, bool], read: Load) -> None:
    config = read(f"[supervisord]\n{settings}\n[program:x]\ncommand=x\n{lines}\n")
    process = config.groups[0].processes[0]
    assert (process.stdout.journal, process.stderr.journal) == journal
    alone = "logfile=" in lines.lower()
    assert (process.stdout.logfile, process.stdout.auto) == (None, not alone)
    assert not config.notes


def test_the_protocol_of_listeners_is_no_output(read: Load) -> None:
    text = "[supervisord]\njournal=true\n[eventlistener:x]\ncommand=x\nevents=TICK_5\n"
    process = read(text).groups[0].processes[0]
    assert (process.stdout.journal, process.stderr.journal) == (False, True)
    process = read(f"{text}stdout_journal=true\n").groups[0].processes[0]
    assert process.stdout.journal


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("A=1;B=2", "A ends at ';' where a comma is expected"),
        ("A=http://h/?q=1", "A ends at '?' where a comma is expected"),
        (r'A="a\"b"', "Supervisor 4.3 read A differently"),
        ('A=a"b"c', "Supervisor 4.3 read A differently"),
    ],
)
def test_variables_that_are_not_what_they_look_like(written: str, told: str, read: Load) -> None:
    config = read(f"[program:x]\ncommand=x\nenvironment={written}\n")
    [note] = config.notes
    assert note.message.startswith(f"{config.file}:3: [program:x] environment: ")
    assert told in note.message


@pytest.mark.parametrize("written", ['A="1",B="2"', "A='x y' , B=z", 'A="#x"'])
def test_variables_that_nobody_warns_of(written: str, read: Load) -> None:
    assert read(f"[program:x]\ncommand=x\nenvironment={written}\n").notes == ()


# --- groups ---------------------------------------------------------------------------------------


def test_groups_are_sorted_by_priority_and_name(read: Load) -> None:
    config = read(
        "[program:c]\ncommand=c\n[program:a]\ncommand=a\n[program:b]\ncommand=b\npriority=1\n"
        "[eventlistener:z]\ncommand=z\nevents=TICK\n[group:0]\nprograms=\n"
    )
    assert [(group.name, group.priority) for group in config.groups] == [
        ("z", -1), ("b", 1), ("0", 999), ("a", 999), ("c", 999),
    ]  # fmt: skip


def test_members_stand_by_priority_then_as_listed(read: Load) -> None:
    config = read(
        "[program:a]\ncommand=a\npriority=5\n[program:b]\ncommand=b\npriority=5\n"
        "[program:c]\ncommand=c\npriority=1\n[group:g]\nprograms=b , a,c\npriority=7\n"
    )
    assert shape(config) == {"g": ["c", "b", "a"]}
    assert (config.groups[0].priority, config.groups[0].programs) == (7, ("b", "a", "c"))


def test_a_program_may_be_in_several_groups(read: Load) -> None:
    config = read("[program:a]\ncommand=a\n[group:g]\nprograms=a\n[group:h]\nprograms=a\n")
    assert shape(config) == {"g": ["a"], "h": ["a"]}
    assert [group.processes[0].group for group in config.groups] == ["g", "h"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("[group:g]\nprograms=a\n", "[group:g] names unknown program or fcgi-program a"),
        ("[program:a]\ncommand=a\n[group:g]\nprograms=a,b\n",
         "[group:g] names unknown program or fcgi-program b"),
        (("[program:a]\ncommand=a\n[fcgi-program:a]\ncommand=a\nsocket=tcp://h:1\n"
         "[group:g]\nprograms=a\n"),
         "[group:g] name a is ambiguous (exists as program and fcgi-program)"),
        ("[eventlistener:a]\ncommand=a\nevents=TICK\n[group:g]\nprograms=a\n",
         "[group:g] names unknown program or fcgi-program a"),
        ("[group:g]\npriority=q\n", "invalid literal for int() with base 10: 'q'"),
    ],
)  # fmt: skip
def test_refused_groups(text: str, first: str, refuse: Refuse) -> None:
    assert refuse(text).first == first


def test_the_nearest_program_is_hinted_at(refuse: Refuse) -> None:
    error = refuse("[program:worker]\ncommand=a\n[group:g]\nprograms=wroker\n")
    assert error.problems[0].hint == "did you mean worker?"


# --- listeners ------------------------------------------------------------------------------------


def test_a_listener(read: Load) -> None:
    config = read("[eventlistener:l]\ncommand=l\nevents=tick_5, PROCESS_STATE,TICK_5\nnumprocs=2\n"
                  "process_name=%(process_num)d\n")  # fmt: skip
    [group] = config.groups
    assert (group.kind, group.priority) == ("eventlistener", -1)
    assert [process.priority for process in group.processes] == [999, 999]
    assert group.pool == ListenerPoolConfig(
        buffer_size=1000,
        events=("TICK_5", "PROCESS_STATE"),
        result_handler="supervisor.dispatchers:default_handler",
    )


def test_the_priority_of_a_listener_is_its_groups_too(read: Load) -> None:
    [group] = read("[eventlistener:l]\ncommand=l\nevents=TICK\npriority=5\n").groups
    assert (group.priority, group.processes[0].priority) == (5, 5)


def test_event_types_of_plugins(read: Load) -> None:
    config = read("[eventlistener:l]\ncommand=l\nevents=MINE\n", event_types={"MINE"})
    assert config.groups[0].pool is not None
    assert config.groups[0].pool.events == ("MINE",)


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        ("", '[eventlistener:l] section requires an "events" line'),
        ("events=TICK,", "Unknown event type  in [eventlistener:l] events"),
        ("events=NOPE", "Unknown event type NOPE in [eventlistener:l] events"),
        ("events=TICK\nbuffer_size=0", "[eventlistener:l] section sets invalid buffer_size (0)"),
        ("events=TICK\nbuffer_size=q", "invalid literal for int() with base 10: 'q'"),
        ("events=TICK\nresult_handler=nope", "nope cannot be resolved within [eventlistener:l]"),
        ("events=TICK\nredirect_stderr=true",
         ("[eventlistener:l] section sets redirect_stderr=true but this is not allowed because it "
         "will interfere with the eventlistener protocol")),
        ("events=TICK\nredirect_stderr=q", "not a valid boolean value: 'q'"),
    ],
)  # fmt: skip
def test_refused_listeners(lines: str, first: str, refuse: Refuse) -> None:
    assert refuse(f"[eventlistener:l]\ncommand=l\n{lines}\n").first == first


# --- fcgi -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "socket"),
    [
        ("socket=tcp://localhost:9", FcgiSocketConfig(url="tcp://localhost:9")),
        ("socket=unix:///%(program_name)s", FcgiSocketConfig(url="unix:///f", mode=0o700)),
        ("socket=unix:///x\nsocket_mode=0660\nsocket_owner=0:0\nsocket_backlog=5",
         FcgiSocketConfig(url="unix:///x", mode=0o660, owner=(0, 0), backlog=5)),
        ("socket=unix:///x\nsocket_owner=0", FcgiSocketConfig(url="unix:///x", mode=0o700,
                                                             owner=(0, -1))),
    ],
)  # fmt: skip
def test_fcgi_sockets(lines: str, socket: FcgiSocketConfig, read: Load) -> None:
    [group] = read(f"[fcgi-program:f]\ncommand=f\n{lines}\n").groups
    assert (group.kind, dict(group.sockets)) == ("fcgi-program", {"f": socket})


def test_the_owner_of_a_socket_is_the_account_of_the_program(
    read: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[fcgi-program:f]\ncommand=f\nsocket=unix:///x\nuser=root\n"
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert read(text).groups[0].sockets["f"].owner is None
    monkeypatch.setattr(os, "getuid", lambda: 5)
    assert read(text).groups[0].sockets["f"].owner == (0, 0)


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        ("", '[fcgi-program:f] section requires a "socket" line'),
        ("socket=foo", "Bad socket format foo in [fcgi-program:f] socket"),
        ("socket=tcp://:9", "Bad socket format tcp://:9 in [fcgi-program:f] socket"),
        ("socket=tcp://a b:9", "Bad socket format tcp://a b:9 in [fcgi-program:f] socket"),
        ("socket=tcp://h:0", "0 is below lower bound (1) in [fcgi-program:f] socket"),
        ("socket=tcp://h:99999",
         "99999 is above upper bound (65535) in [fcgi-program:f] socket"),
        ("socket=unix://x",
         "Unix socket path x is not an absolute path in [fcgi-program:f] socket"),
        ("socket=tcp://h:9\nsocket_mode=0700",
         ("socket_owner and socket_mode params should only be used with a Unix domain socket in "
         "[fcgi-program:f] socket")),
        ("socket=tcp://h:9\nsocket_backlog=0", "Invalid socket_backlog value 0"),
        ("socket=tcp://h:9\nsocket_backlog=65536", "Invalid socket_backlog value 65536"),
        ("socket=unix:///x\nsocket_owner=nobody-at-all",
         "Invalid socket_owner value nobody-at-all"),
        ("socket=unix:///x\nsocket_mode=9", "Invalid socket_mode value 9"),
        ("socket=tcp://h:9\nuser=nobody-at-all", "Invalid user name nobody-at-all"),
    ],
)  # fmt: skip
def test_refused_fcgi_programs(lines: str, first: str, refuse: Refuse) -> None:
    assert refuse(f"[fcgi-program:f]\ncommand=f\n{lines}\n").first == first


def test_an_fcgi_program_in_a_group_keeps_its_socket(read: Load) -> None:
    config = read(
        "[fcgi-program:f]\ncommand=f\nsocket=tcp://h:9\n[program:p]\ncommand=p\n"
        "[group:g]\nprograms=f,p\n"
    )
    group = group_named(config, "g")
    assert dict(group.sockets) == {"f": FcgiSocketConfig(url="tcp://h:9")}
    assert [process.kind for process in group.processes] == ["fcgi-program", "program"]


def test_a_bad_socket_in_a_group_is_no_more_than_a_doubt(read: Load) -> None:
    config = read("[fcgi-program:f]\ncommand=f\nsocket=bad\n[group:g]\nprograms=f\n")
    assert dict(config.groups[0].sockets) == {}
    assert [doubt.option for doubt in config.doubts] == ["socket"]
