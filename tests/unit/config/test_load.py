from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from sdsuper.config.model import Account, Autorestart, Containment, Location, Note
from sdsuper.config.option import options_of
from sdsuper.config.sections import options_by_kind
from sdsuper.config.types import EVENT_TYPES
from sdsuper.core.events import event_types
from sdsuper.errors import ConfigError
from sdsuper.values import Level
from tests.unit.config.conftest import Load, Refuse

NOT_AN_INTEGER = "invalid literal for int() with base 10: 'no!'"
NOT_A_BOOLEAN = "not a valid boolean value: 'no!'"
NO_DIRECTORY = "The directory named as part of the path /nope/x does not exist"
UNKNOWN_NAME = (
    "Format string '%(zz)s' for {label!r} contains names ('zz') which cannot be expanded. "
    "Available names: {names}"
)
COMMON_NAMES = "ENV_*, here, host_node_name"
PROGRAM_NAMES = "ENV_*, group_name, here, host_node_name, program_name"
PROCESS_NAMES = "ENV_*, group_name, here, host_node_name, numprocs, process_num, program_name"

NOT_A_SIZE = "not bytes, or bytes with K, M, G or T, or infinity: 'no!'"
NOT_A_COUNT = "not a whole number or infinity: 'no!'"

DAEMON_ERRORS = {
    "minfds=no!": NOT_AN_INTEGER,
    "minprocs=no!": NOT_AN_INTEGER,
    "directory=/nope": "/nope is not an existing directory",
    "umask=9": "9 can not be converted to an octal type",
    "logfile=/nope/x": NO_DIRECTORY,
    "logfile_maxbytes=no!": NOT_AN_INTEGER,
    "logfile_backups=no!": NOT_AN_INTEGER,
    "loglevel=warning": "bad logging level name 'warning'",
    "pidfile=/nope/x": NO_DIRECTORY,
    "identifier=%(zz)s": UNKNOWN_NAME.format(label="supervisord.identifier", names=COMMON_NAMES),
    "nodaemon=no!": NOT_A_BOOLEAN,
    "plugin_path=/opt, lib": "'lib' is not an absolute path",
    "silent=no!": NOT_A_BOOLEAN,
    "childlogdir=/nope": "/nope is not an existing directory",
    "nocleanup=no!": NOT_A_BOOLEAN,
    "strip_ansi=no!": NOT_A_BOOLEAN,
    "environment=A=": "Unexpected end of key/value pairs in value 'A='",
    "ready=no!": "invalid 'ready' value 'no!'",
    "strict=no!": NOT_A_BOOLEAN,
    "journal=no!": NOT_A_BOOLEAN,
    "user=nobody-at-all": "Invalid user name nobody-at-all",
}

PROGRAM_ERRORS = {
    "sockets=no!": "'no!' is not NAME=ADDRESS",
    "autostart=no!": NOT_A_BOOLEAN,
    "autorestart=No!": "invalid 'autorestart' value 'no!'",
    "required=no!": NOT_A_BOOLEAN,
    "startsecs=no!": NOT_AN_INTEGER,
    "startretries=no!": NOT_AN_INTEGER,
    "stopsignal=no!": "value 'no!' is not a valid signal name",
    "stopwaitsecs=no!": NOT_AN_INTEGER,
    "stopasgroup=no!": NOT_A_BOOLEAN,
    "killasgroup=no!": NOT_A_BOOLEAN,
    "exitcodes=no!": "not a valid list of exit codes: 'no!'",
    "redirect_stderr=no!": NOT_A_BOOLEAN,
    "numprocs=no!": NOT_AN_INTEGER,
    "numprocs_start=no!": NOT_AN_INTEGER,
    "environment=A=": "Unexpected end of key/value pairs in value 'A='",
    "directory=%(zz)s": UNKNOWN_NAME.format(label="program:x.directory", names=PROCESS_NAMES),
    "stdout_capture_maxbytes=no!": NOT_AN_INTEGER,
    "stdout_events_enabled=no!": NOT_A_BOOLEAN,
    "stdout_logfile=/nope/x": NO_DIRECTORY,
    "stdout_logfile_backups=no!": NOT_AN_INTEGER,
    "stdout_logfile_maxbytes=no!": NOT_AN_INTEGER,
    "stdout_syslog=no!": NOT_A_BOOLEAN,
    "stdout_journal=no!": NOT_A_BOOLEAN,
    "stdout_journal_full=no!": "neither drop nor wait: 'no!'",
    "stdout_priority=no!": "not a priority: 'no!'",
    "stderr_capture_maxbytes=no!": NOT_AN_INTEGER,
    "stderr_events_enabled=no!": NOT_A_BOOLEAN,
    "stderr_logfile=/nope/x": NO_DIRECTORY,
    "stderr_logfile_backups=no!": NOT_AN_INTEGER,
    "stderr_logfile_maxbytes=no!": NOT_AN_INTEGER,
    "stderr_syslog=no!": NOT_A_BOOLEAN,
    "stderr_journal=no!": NOT_A_BOOLEAN,
    "stderr_journal_full=no!": "neither drop nor wait: 'no!'",
    "stderr_priority=no!": "not a priority: 'no!'",
    "priority_pattern=no!": "the group (?P<level>...) is missing in 'no!'",
    "log_rate=no!": "not a rate: 'no!'",
    "serverurl=%(zz)s": UNKNOWN_NAME.format(label="program:x.serverurl", names=PROGRAM_NAMES),
    "user=99999999": "Invalid user id 99999999",
    "umask=9": "9 can not be converted to an octal type",
    "user_environment=no!": NOT_A_BOOLEAN,
    "containment=no!": "invalid 'containment' value 'no!'",
    "notify=no!": NOT_A_BOOLEAN,
    "start_timeout=no!": "not a valid span of time: 'no!'",
    "watchdog=no!": "not a valid span of time: 'no!'",
    "memory_max=no!": NOT_A_SIZE,
    "memory_high=no!": NOT_A_SIZE,
    "oom_policy=no!": "neither kill nor continue: 'no!'",
    "cpu_quota=no!": "not a percentage of one processor, such as 50% or 150%, or infinity: 'no!'",
    "cpu_weight=no!": "not a whole number from 1 to 10000: 'no!'",
    "pids_max=no!": NOT_A_COUNT,
    "io_weight=no!": "not a whole number from 1 to 10000: 'no!'",
    "nice=no!": "not a whole number from -20 to 19: 'no!'",
    "oom_score_adjust=no!": "not a whole number from -1000 to 1000: 'no!'",
    "cpu_affinity=no!": "not a processor or a range of them, such as 0-3: 'no!'",
    "no_new_privileges=no!": NOT_A_BOOLEAN,
    "capabilities=no!": "not a capability: 'no!'",
    "rlimit_as=no!": NOT_A_SIZE,
    "rlimit_core=no!": NOT_A_SIZE,
    "rlimit_data=no!": NOT_A_SIZE,
    "rlimit_fsize=no!": NOT_A_SIZE,
    "rlimit_memlock=no!": NOT_A_SIZE,
    "rlimit_msgqueue=no!": NOT_A_SIZE,
    "rlimit_rss=no!": NOT_A_SIZE,
    "rlimit_stack=no!": NOT_A_SIZE,
    "rlimit_locks=no!": NOT_A_COUNT,
    "rlimit_nice=no!": NOT_A_COUNT,
    "rlimit_nofile=no!": NOT_A_COUNT,
    "rlimit_nproc=no!": NOT_A_COUNT,
    "rlimit_rtprio=no!": NOT_A_COUNT,
    "rlimit_sigpending=no!": NOT_A_COUNT,
    "rlimit_cpu=no!": "not a valid span of time: 'no!'",
    "rlimit_rttime=no!": "not microseconds, or a number with us, ms or s, or infinity: 'no!'",
    "command=%(zz)s": UNKNOWN_NAME.format(label="program:x.command", names=PROCESS_NAMES),
    "process_name=a b": "Invalid name: 'a b' because of character: ' '",
}


@pytest.mark.parametrize("line", DAEMON_ERRORS)
def test_what_supervisord_refuses(line: str, refuse: Refuse, main_file: Path) -> None:
    error = refuse(f"[supervisord]\n{line}\n")
    assert str(error) == error.first == DAEMON_ERRORS[line]
    [problem] = error.problems
    key, _, found = line.partition("=")
    where = (problem.file, problem.line, problem.section, problem.option, problem.found)
    assert where == (str(main_file), 2, "supervisord", key, found)


@pytest.mark.parametrize("line", PROGRAM_ERRORS)
def test_what_programs_refuse(line: str, refuse: Refuse, main_file: Path) -> None:
    text = "[program:x]\ncommand=x\n" if not line.startswith("command") else "[program:x]\n\n"
    error = refuse(f"{text}{line}\n")
    suffix = f" in section 'program:x' (file: '{main_file}')"
    assert error.first == PROGRAM_ERRORS[line] + suffix
    [problem] = error.problems
    key, _, found = line.partition("=")
    where = (problem.file, problem.line, problem.section, problem.option, problem.found)
    assert where == (str(main_file), 3, "program:x", key, found)


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP", None])
def test_child_logs_are_where_temporary_files_are(
    name: str | None, read: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("TMPDIR", "/nope")  # what is not there is passed over
    if name is not None:
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert read("[supervisord]").daemon.childlogdir == tempfile.gettempdir()
    assert tempfile.gettempdir() == ("/tmp" if name is None else str(tmp_path))


def test_every_option_has_its_error() -> None:
    kinds = options_by_kind()
    tested = {line.partition("=")[0] for line in DAEMON_ERRORS}
    assert tested == {option.key for option in kinds["supervisord"]}
    tested = {line.partition("=")[0] for line in PROGRAM_ERRORS}
    assert tested == {option.key for option in kinds["program"]} - {"priority"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("startsecs=soon", '="soon": not a whole number of seconds'),
        ("autorestart=unexpectd", "; did you mean unexpected?"),
        ("stopsignal=SIGTRM", "accepted: a signal's name"),
        ("autostart=ture", "; did you mean true?"),
        ("stdout_logfile_maxbytes=5K", "not a whole number of bytes, or one with KB, MB or GB"),
    ],
)
def test_errors_tell_what_is_accepted(line: str, told: str, refuse: Refuse) -> None:
    [detail] = refuse(f"[program:x]\ncommand=x\n{line}\n").details
    assert ":3: [program:x] " in detail
    assert told in detail


def test_all_errors_are_told_in_supervisors_order(refuse: Refuse) -> None:
    error = refuse(
        "[inet_http_server]\nport=x\n"
        "[eventlistener:l]\ncommand=l\nevents=NOPE\n"
        "[program:z]\ncommand=%(zz)s\numask=z\nstartsecs=z\n"
        "[group:g]\nprograms=missing\n"
        "[rpcinterface:r]\n"
        "[supervisord]\nuser=nobody-at-all\nloglevel=z\nminfds=z\n"
    )
    options = [problem.option or problem.section for problem in error.problems]
    assert options == [
        "minfds", "loglevel", "rpcinterface:r", "programs", "startsecs", "umask", "command",
        "events", "port", "user",
    ]  # fmt: skip


def test_one_mistake_in_many_processes_is_told_once(refuse: Refuse) -> None:
    error = refuse(
        "[program:x]\ncommand=x\nnumprocs=9\nprocess_name=%(process_num)d\nstdout_syslog=q\n"
        "[group:a]\nprograms=x\n[group:b]\nprograms=x\n"
    )
    assert len(error.problems) == 1


def test_no_supervisord_section(refuse: Refuse) -> None:
    error = refuse("[program:x]\nstartsecs=q\ncommand=x\n", bare=True)
    assert error.first == ".ini file does not include supervisord section"
    assert len(error.problems) == 2


def test_defaults(read: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = read("[program:x]\ncommand=x y\n")
    daemon = config.daemon
    assert daemon.logfile == str(tmp_path / "supervisord.log")
    assert daemon.pidfile == str(tmp_path / "supervisord.pid")
    assert (daemon.loglevel, daemon.umask, daemon.minfds) == (Level.INFO, 0o22, 1024)
    assert (daemon.identifier, daemon.strict, daemon.user) == ("supervisor", False, None)
    [group] = config.groups
    [process] = group.processes
    assert (group.name, group.kind, group.priority, group.pool) == ("x", "program", 999, None)
    assert (process.name, process.group, process.program) == ("x", "x", "x")
    assert process.location == Location(config.file, 1)
    for option in options_of(type(process)):
        if option.key not in ("process_name", "command", "stdout_logfile", "stderr_logfile"):
            assert option.value_in(process) == option.default
    assert process.stdout.auto
    assert process.stderr.auto
    assert (config.servers, config.rpcinterfaces, config.notes) == ((), (), ())
    assert config.files == (config.file,)
    assert config.here == str(tmp_path)


def test_values(read: Load) -> None:
    config = read(
        "[supervisord]\nlogfile=syslog\nloglevel=TRACE\nnodaemon=on\nstrict=true\nuser=0\n"
        "[program:x]\ncommand=x ; y\nautorestart=TRUE\nexitcodes=\nstopsignal=rtmin+1\n"
        "startsecs= 5\numask=027\nuser=root\nstopasgroup=1\nserverurl= auto\n"
        "containment=None\nuser_environment=yes\ndirectory=~\n"
        "stdout_logfile=Off\nstderr_logfile=/tmp/e\nstderr_logfile_maxbytes=1KB\n"
    )
    daemon = config.daemon
    assert (daemon.logfile, daemon.logfile_syslog, daemon.loglevel) == (None, True, Level.TRACE)
    assert (daemon.nodaemon, daemon.strict, daemon.user) == (True, True, Account("0", 0, 0))
    process = config.groups[0].processes[0]
    assert process.command == "x"
    assert process.autorestart is Autorestart.ALWAYS
    assert process.exitcodes == ()
    assert process.stopsignal == signal.SIGRTMIN + 1
    assert (process.startsecs, process.umask) == (5, 0o27)
    assert process.user == Account("root", 0, 0)
    assert (process.stopasgroup, process.killasgroup) == (True, True)
    assert process.serverurl is None
    assert process.containment is Containment.NONE
    assert process.user_environment
    assert process.directory == "~"
    assert (process.stdout.logfile, process.stdout.auto) == (None, False)
    assert (process.stderr.logfile, process.stderr.logfile_maxbytes) == ("/tmp/e", 1024)


def test_the_command_line_wins(read: Load) -> None:
    overrides: dict[str, Any] = {"loglevel": Level.DEBUG, "user": "root", "logfile": "/tmp/l"}
    config = read("[supervisord]\nloglevel=info\nuser=nobody-at-all\n", overrides=overrides)
    assert config.daemon.loglevel is Level.DEBUG
    assert config.daemon.user == Account("root", 0, 0)
    assert config.daemon.logfile == "/tmp/l"


def test_a_bad_value_counts_though_the_command_line_sets_it(refuse: Refuse) -> None:
    error = refuse("[supervisord]\nloglevel=q\n", overrides={"loglevel": Level.DEBUG})
    assert error.first == "bad logging level name 'q'"


def test_a_bad_user_of_the_command_line(refuse: Refuse) -> None:
    assert refuse("", overrides={"user": "nobody-at-all"}).first == (
        "Invalid user name nobody-at-all"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[supervisord]\nlogevel=x\n", (':2: [supervisord] logevel="x": unknown option logevel; '
         "did you mean loglevel?")),
        ("[program:x]\ncommand=x\nstartsec=1\n", "did you mean startsecs?"),
        ("[program:x]\ncommand=x\nevents=TICK\n", "unknown option events"),
        ("[progam:x]\ncommand=x\n", ": unknown section [progam:x]; did you mean program?"),
        ("[eventlistener:x]\ncommand=x\nevents=TICK\nbuffersize=1\n", "did you mean buffer_size?"),
        ("[unix_http_server]\nfile=/tmp/x\nport=1\n", "unknown option port"),
        ("[group:g]\nprogram=\n", "did you mean programs?"),
        ("[supervisorctl]\nserver_url=x\n", "did you mean serverurl?"),
        ("[include]\nfiles=\nfile=x\n", "did you mean files?"),
    ],
)  # fmt: skip
def test_unknown_keys_are_doubted(text: str, told: str, read: Load) -> None:
    config = read(text)
    [doubt] = config.doubts
    assert told in str(doubt)
    assert Note(Level.WARN, str(doubt)) in config.notes


@pytest.mark.parametrize(
    "text",
    [
        "[unknown]\nx=y\n",
        "[program]\nx=y\n",
        "[rpcinterface:x]\nsupervisor.rpcinterface_factory=a:b\nanything=y\n",
        "[ctlplugin:x]\nsupervisor.ctl_factory=a:b\nanything=y\n",
        "[DEFAULT]\nanything=y\n[program:x]\ncommand=x\n",
        "[supervisord]\nprofile_options=calls\n",
    ],
)
def test_what_nobody_doubts(text: str, read: Load) -> None:
    assert read(text).doubts == ()


def test_doubts_are_told_beside_errors(refuse: Refuse) -> None:
    error = refuse("[supervisord]\nlogevel=x\nminfds=x\n")
    assert [doubt.option for doubt in error.doubts] == ["logevel"]


def test_a_program_written_twice_is_warned_of(read: Load, main_file: Path) -> None:
    text = "[program:x]\ncommand=a\nstartsecs=2\n[program:x]\n"
    assert read(f"{text}command=a\nstartsecs=3\n").notes == ()
    config = read(
        f"{text}command=b\n[group:g]\nprograms=x\n[group:g]\nprograms=y\n[program:y]\ncommand=y\n"
    )
    assert config.doubts == ()
    assert [note.message for note in config.notes] == [
        f"{main_file}:5: [program:x] command: takes the place of the one in {main_file}:2",
        f"{main_file}:9: [group:g] programs: takes the place of the one in {main_file}:7",
    ]


def test_a_header_without_its_end_is_told(read: Load, main_file: Path) -> None:
    (doubt,) = read("[program:x]\ncommand=x\n[program:y\nstartsecs=2\n").doubts
    assert str(doubt) == (
        f'{main_file}:3: [program:x] [program="y": unknown option [program; '
        "a section is written [NAME]"
    )


def test_names_that_lack_their_number_are_told_once(refuse: Refuse) -> None:
    error = refuse("[program:x]\ncommand=x\nnumprocs=3\nstartsecs=q\npriority=q\n")
    assert [problem.option for problem in error.problems if problem.option != "priority"] == [
        "startsecs", "numprocs",
    ]  # fmt: skip
    assert error.doubts == ()


def test_notes_are_ordered_by_severity(read: Load, tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("[program:a]\ncommand=a\nstdout_logfile=syslog\n")
    config = read("[include]\nfiles=more.conf none*.conf\n")
    assert [note.level for note in config.notes] == [Level.WARN, Level.WARN, Level.INFO]


def test_event_types_are_those_that_are_published() -> None:
    assert set(EVENT_TYPES) == set(event_types())


def test_environ_is_that_of_the_process_where_none_is_given(
    main_file: Path, read: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_TEST", "here")
    config = read("[program:x]\ncommand=%(ENV_OF_THE_TEST)s\n", environ=None)
    assert config.groups[0].processes[0].command == "here"
    assert os.environ["OF_THE_TEST"] == "here"


def test_config_error_is_a_usage_error() -> None:
    assert ConfigError.exit_code == 2
