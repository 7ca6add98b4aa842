"""The daemon's command: wiring and exit codes only."""

from __future__ import annotations

from sdsuper.daemon.lean import asyncio

# isort: split
import contextlib
import dataclasses
import faulthandler
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sdsuper import SUPERVISOR_VERSION, __version__
from sdsuper.config.commandline import CommandLine, parse_command_line, usage
from sdsuper.config.find import require_config
from sdsuper.config.load import load
from sdsuper.config.model import Config, DaemonConfig, Note, Ready
from sdsuper.config.strict import refuse_unsafe
from sdsuper.core.process import STRAYS_GRACE_MIN
from sdsuper.core.states import ManagerState
from sdsuper.daemon import proctable, setup, signals
from sdsuper.daemon.containment import Containment
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.ownjournal import OwnJournal, is_on_stderr
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.daemon.plugins import MODULES
from sdsuper.daemon.reload import Source
from sdsuper.errors import ConfigError, SdsuperError, StartError, UsageError
from sdsuper.logs.auto import clean_auto_logs
from sdsuper.logs.journal import ADDRESS, JOURNAL
from sdsuper.server.kept import KeptSockets
from sdsuper.server.registry import build_registry, startup_notes
from sdsuper.server.sockets import (
    Listener,
    control_server,
    open_control,
    open_listeners,
    server_url,
)
from sdsuper.server.web import WebServer
from sdsuper.systemd.notify import Notifier, status
from sdsuper.systemd.sockets import passed, runtime_directory
from sdsuper.values import Level

PIDFDS_VARIABLE = "SDSUPER_PIDFDS"
"""Set to 0 it forces the way of kernels without pidfds: exits are told by SIGCHLD alone."""

JOURNAL_VARIABLE = "SDSUPER_JOURNAL_SOCKET"
"""The socket of the journal, where it is another than systemd's."""

JOURNAL_DIRECTORY_VARIABLE = "SDSUPER_JOURNAL_DIRECTORY"
"""Where the journal's files are, where that is another place than systemd's."""

_NO_PROC = "/proc cannot be read: what programs leave behind is neither found nor ended"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon, or one of its `config` commands; return the exit status."""
    program, *words = sys.argv if argv is None else argv
    try:
        return _run(program, words)
    except SdsuperError as error:
        sys.stderr.write(error_text(error, program))
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def error_text(error: SdsuperError, program: str) -> str:
    """Return what is said of a fatal error: Supervisor's two lines, then all that we know."""
    if isinstance(error, StartError):
        return f"Error: {error}\n"
    lines = [f"Error: {error}", f"For help, use {program} -h"]
    if isinstance(error, ConfigError):
        lines += map(str, error.problems)
    return "\n".join(lines) + "\n"


def _run(program: str, words: Sequence[str]) -> int:
    command_line = parse_command_line(words)
    if command_line.help:
        sys.stdout.write(usage(program))
        return 0
    if command_line.version:
        sys.stdout.write(f"{SUPERVISOR_VERSION}\n")
        return 0
    if command_line.words:
        from sdsuper.config.commands import config_group

        return config_group(command_line.words, command_line, MODULES)
    return _supervise(program, command_line)


def _supervise(program: str, command_line: CommandLine) -> int:
    """Run daemons in this process until one ends for good, and tell systemd what ends it."""
    setup.keep_descriptors_to_ourselves()
    notifier = Notifier(os.environ)
    try:
        return _live(program, command_line, notifier)
    except StartError:  # it has told everything
        raise
    except SdsuperError as error:
        first = error.problems[0] if isinstance(error, ConfigError) else error
        notifier.send(status(f"cannot start: {first}"))
        raise


def _live(program: str, command_line: CommandLine, notifier: Notifier) -> int:
    """Run one daemon after another, until one ends for good."""
    given = command_line.config or require_config(program)
    config = load(given, overrides=command_line.overrides, plugins=MODULES)
    if command_line.profile_options is not None:
        # A profiler that hooks every call does not get on with a storm of SIGCHLD.
        told = "profile_options has no effect; look at the running daemon with a sampling profiler"
        config = dataclasses.replace(config, notes=(*config.notes, Note(Level.WARN, told)))
    # A working directory that is entered later must not change which file is meant.
    read = functools.partial(_read_again, os.path.abspath(given), command_line.overrides)
    directory = runtime_directory(os.environ, os.getpid())
    kept = KeptSockets(passed(os.environ, os.getpid()), directory, notifier)
    JOURNAL.address = os.environ.get(JOURNAL_VARIABLE, ADDRESS)
    journal = OwnJournal() if is_on_stderr(os.environ) else None
    # A traceback on stderr for whoever ends a daemon that hangs by SIGABRT, as systemd does.
    with contextlib.suppress(ValueError, OSError, RuntimeError):  # there is no stderr
        faulthandler.enable()
    outcome = None
    while True:
        source = Source(read, config)
        outcome = _run_once(source, notifier, journal, kept, outcome)
        if not outcome.restart:
            kept.close()
            return 0
        config = source.next or read()


def _read_again(path: str, overrides: Mapping[str, object]) -> Config:
    """Read the configuration while programs run: what the start would refuse is refused now."""
    config = load(path, overrides=overrides, plugins=MODULES)
    refuse_unsafe(config)
    return config


class Outcome(NamedTuple):
    """What came of a daemon.

    Attributes:
        restart: Whether to start anew.
        up: Whether it has been up, it or one before it.
    """

    restart: bool
    up: bool


def _run_once(
    source: Source,
    notifier: Notifier,
    journal: OwnJournal | None,
    kept: KeptSockets,
    before: Outcome | None,
) -> Outcome:
    """Run one daemon from its setup to its end.

    Whatever can refuse the start comes before the first file is touched.

    Args:
        source: The configuration.
        notifier: The way to systemd.
        journal: The way to the journal, None where the log does not go there.
        kept: Sockets that systemd passed, or holds for the next daemon.
        before: What came of the daemon before this one.

    Raises:
        StartError: A required program did not come up.
    """
    config, settings = source.config, source.config.daemon
    first = before is None
    early: list[Note] = []

    def note(level: Level, message: str) -> None:
        early.append(Note(level, message))

    with contextlib.ExitStack() as last, contextlib.ExitStack() as stack:
        refuse_unsafe(config)
        setup.take_user(settings.user, note)
        if first:
            setup.demand_limits(settings, note)
        limits = DescriptorLimit()
        stack.callback(limits.close)
        limits.raise_own()
        locks = setup.Locks()
        stack.callback(locks.release)
        control = control_server(kept.directory, config.servers)
        servers = config.servers if control is None else (*config.servers, control)
        locks.take(servers)
        kept.drop_others(servers, note)
        listeners = open_listeners(config.servers, kept)
        if control is not None:
            listeners += open_control(control, kept, note)
        for listener in listeners:
            stack.callback(listener.close)
        log = _open_log(settings, journal)
        stack.callback(log.close)
        log.log(Level.INFO, f"sdsuperd {__version__}")
        _write_notes(log, [*early, *config.notes])
        if not settings.nocleanup:
            clean_auto_logs(settings.childlogdir, settings.identifier, report=log.log)
        release_parent = None
        if first and not settings.nodaemon:
            release_parent = setup.daemonize(settings, log.log)
            last.enter_context(_released_by_failure(release_parent))
        # Not before: a child of ours, as the daemon is by now, would not inherit it.
        setup.become_subreaper()
        if not proctable.is_readable():
            log.log(Level.WARN, _NO_PROC)
        # After daemonizing: a parent that waits in the daemon's leaf would not be the daemon.
        cgroups = Containment.settle(log.log)
        if cgroups is not None:
            stack.callback(cgroups.close)
            cgroups.end_leftovers(STRAYS_GRACE_MIN)
        pidfile = setup.PidFile(settings.pidfile)
        stack.callback(pidfile.remove)
        daemon = Daemon(
            source,
            log,
            notifier,
            limits,
            server_url(config.servers or servers),
            use_pidfds=os.environ.get(PIDFDS_VARIABLE) != "0",
            up=before is not None and before.up,
            journal_directory=os.environ.get(JOURNAL_DIRECTORY_VARIABLE, ""),
            cgroups=cgroups,
        )
        return asyncio.run(_serve(daemon, listeners, pidfile, release_parent))


@contextlib.contextmanager
def _released_by_failure(release_parent: Callable[[int], None]) -> Iterator[None]:
    """Tell the parent of a failed start when nothing of the daemon is left: it may be tried again.

    Raises:
        StartError: What comes through.
    """
    try:
        yield
    except StartError as error:
        release_parent(error.exit_code)
        raise


def _open_log(settings: DaemonConfig, journal: OwnJournal | None) -> OwnLog:
    log = OwnLog(
        level=settings.loglevel,
        path=settings.logfile,
        maxbytes=settings.logfile_maxbytes,
        backups=settings.logfile_backups,
        echo=settings.nodaemon and not settings.silent and journal is None,
        syslog=settings.logfile_syslog,
        journal=journal,
    )
    try:
        log.open()
    except OSError as error:
        raise UsageError(f"could not open logfile {settings.logfile}: {error.strerror}") from None
    return log


def _write_notes(log: OwnLog, notes: Iterable[Note]) -> None:
    """Write what was collected before the log was open: the gravest first."""
    for level in (Level.CRITICAL, Level.WARN, Level.INFO):
        for each in notes:
            if each.level is level:
                log.log(each.level, each.message)


async def _serve(
    daemon: Daemon,
    listeners: Sequence[Listener],
    pidfile: setup.PidFile,
    release_parent: Callable[[int], None] | None,
) -> Outcome:
    signals.install(daemon)
    asyncio.get_running_loop().set_exception_handler(daemon.report_stray_exception)
    config = daemon.config
    registry = build_registry(daemon)
    daemon.pools.shown = registry.shown
    for note in startup_notes(config.servers, config.rpcinterfaces):
        daemon.report(note.level, note.message)
    web = WebServer(daemon, listeners, registry)
    daemon.on_reopen.append(web.check_sockets)
    pidfile.write(daemon.report)
    service = daemon.service
    if release_parent is not None:
        service.on_up = functools.partial(release_parent, 0)
        if daemon.settings.ready is Ready.STARTED:
            release_parent(0)
    # Before anything is awaited: no signal and no call may come to a daemon that is not started.
    daemon.start()
    try:
        await web.start()
        await daemon.finished()
    finally:
        await web.close()
        signals.uninstall()
        daemon.close()
    if service.failure is not None:
        raise StartError(f"the start failed: required process {service.failure}")
    if release_parent is not None:
        release_parent(0)
    # Asked at the very end: while replies were finished a restart may have become a shutdown.
    return Outcome(daemon.state is ManagerState.RESTARTING, service.up)
