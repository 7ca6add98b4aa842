"""The daemon's command: wiring and exit codes only."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from sdsuper import SUPERVISOR_VERSION, __version__, eventloop
from sdsuper.config.commandline import CommandLine, parse_command_line, usage
from sdsuper.config.find import require_config
from sdsuper.config.load import load
from sdsuper.config.model import Config, DaemonConfig, Note, Ready
from sdsuper.config.servers import is_main
from sdsuper.config.strict import refuse_unsafe
from sdsuper.core.process import STRAYS_GRACE_MIN
from sdsuper.core.states import ManagerState
from sdsuper.daemon import handover, malloc, proctable, reexec, setup, signals, succession
from sdsuper.daemon.containment import Containment
from sdsuper.daemon.handover import Inheritance, Keeper
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.loop import Daemon, End
from sdsuper.daemon.ownjournal import OwnJournal, is_on_stderr
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.daemon.plugins import MODULES
from sdsuper.daemon.pools import DEFAULT_HANDLER
from sdsuper.daemon.records import cgroups_of, restored_config
from sdsuper.daemon.reload import Source, refusal
from sdsuper.dataclass import dataclass, replace
from sdsuper.errors import ConfigError, HandoverError, SdsuperError, StartError, UsageError
from sdsuper.handover.codec import Codec, codec_of
from sdsuper.logs.auto import clean_auto_logs
from sdsuper.logs.journal import ADDRESS, JOURNAL
from sdsuper.server.kept import KeptSockets, server_address
from sdsuper.server.sockets import (
    Listener,
    control_server,
    open_control,
    open_listeners,
    server_url,
    startup_notes,
)
from sdsuper.systemd import fdstore
from sdsuper.systemd.notify import Notifier, status
from sdsuper.systemd.sockets import Passed, passed, runtime_directory
from sdsuper.values import Level

if TYPE_CHECKING:
    from sdsuper.server.web import Client, WebServer

PIDFDS_VARIABLE = "SDSUPER_PIDFDS"
"""Set to 0 it forces the way of kernels without pidfds: exits are told by SIGCHLD alone."""

JOURNAL_VARIABLE = "SDSUPER_JOURNAL_SOCKET"
"""The socket of the journal, where it is another than systemd's."""

JOURNAL_DIRECTORY_VARIABLE = "SDSUPER_JOURNAL_DIRECTORY"
"""Where the journal's files are, where that is another place than systemd's."""

_REFUSED = "cannot go on with what an earlier daemon left, its programs are ended: {}"

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
    if isinstance(error, StartError | HandoverError):
        return f"Error: {error}\n"
    lines = [f"Error: {error}", f"For help, use {program} -h"]
    if isinstance(error, ConfigError):
        lines += map(str, error.problems)
    return "\n".join(lines) + "\n"


def _run(program: str, words: Sequence[str]) -> int:
    if words[:1] == [reexec.CHECK]:
        deque(_import_server(), 0)
        succession.check_descriptor(reexec.descriptor_of(words[1:]))
        return 0
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


_SERVER_PARTS = (
    "sdsuper.rpc.codec",
    "sdsuper.server.info",
    "sdsuper.server.http",
    "sdsuper.server.page.pages",
    "sdsuper.server.web",
)
"""What answers clients, in portions that each take some milliseconds."""


def _import_server() -> Iterator[None]:
    """Import what answers clients, portion by portion: what programs do meanwhile is not missed.

    It is a third of all that is imported, and programs are started before. All of it is there
    before anybody is told that the daemon is up: from then on other files may take their place.
    """
    for part in _SERVER_PARTS:
        yield
        import_module(part)
    yield
    from sdsuper.server import registry

    registry.declared_methods()


def _supervise(program: str, command_line: CommandLine) -> int:
    """Run daemons in this process until one ends for good, and tell systemd what ends it."""
    setup.keep_descriptors_to_ourselves()
    gc.freeze()  # what is imported stays: no collection of garbage needs to look at it again
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
    command = reexec.Command.of_this_process()
    found = _receive(notifier)
    left = found.left
    if left is None:
        given = command_line.config or require_config(program)
        config = load(given, overrides=command_line.overrides, plugins=MODULES)
    else:
        config = restored_config(left)
        # Not as the command line has it: we may be in another directory by now.
        given = os.path.join(config.here, os.path.basename(config.file))
        MODULES.open(config.daemon.plugin_path, strict=False)
    if command_line.profile_options is not None:
        # A profiler that hooks every call does not get on with a storm of SIGCHLD.
        told = "profile_options has no effect; look at the running daemon with a sampling profiler"
        config = replace(config, notes=(*config.notes, Note(Level.WARN, told)))
    # A working directory that is entered later must not change which file is meant.
    read = functools.partial(_read_again, os.path.abspath(given), command_line.overrides)
    if found.refusal is not None:
        refused = Note(Level.CRITICAL, _REFUSED.format(found.refusal))
        config = replace(config, notes=(refused, *config.notes))
    directory = runtime_directory(os.environ, os.getpid())
    kept = KeptSockets(found.others, directory, notifier)
    JOURNAL.address = os.environ.get(JOURNAL_VARIABLE, ADDRESS)
    journal = OwnJournal() if is_on_stderr(os.environ) else None
    # A traceback on stderr for whoever ends a daemon that hangs by SIGABRT, as systemd does.
    with contextlib.suppress(ValueError, OSError, RuntimeError):  # there is no stderr
        faulthandler.enable()
    outcome = None
    while True:
        source = Source(read, config)
        outcome = _run_once(source, notifier, journal, kept, outcome, command, left)
        left = None
        if not outcome.restart:
            kept.close()
            return 0
        config = source.next or read()


@dataclass(frozen=True)
class _Found:
    """What was found at the start.

    Attributes:
        left: What an earlier daemon left, None where nothing can be gone on with.
        others: Descriptors that systemd passed for other purposes.
        refusal: Why nothing of it can be gone on with, None where it can or where there is none.
    """

    left: Inheritance | None
    others: Sequence[Passed]
    refusal: str | None


def _receive(notifier: Notifier) -> _Found:
    """Look for what an earlier daemon left, and read all of it."""
    limits = DescriptorLimit()
    limits.raise_own()  # there may be more descriptors than the soft limit allows
    received = handover.receive(os.environ, passed(os.environ, os.getpid()))
    left, refused = received.inheritance, received.refusal
    ended = handover.was_ended(runtime_directory(os.environ, os.getpid()))
    if ended and not received.in_place:
        refused = None
        if left is not None:
            left.close()
            left = None
    if left is not None:
        try:
            succession.check(left)
        except HandoverError as error:
            left.close()
            left, refused = None, str(error)
        else:
            left.limits = limits
    if left is None:
        limits.close()
        for name in received.stored:
            notifier.send(fdstore.remove(name))
        if received.in_place:
            setup.end_children()
    return _Found(left, received.others, refused)


def _notes_of(read: Callable[[], Config]) -> tuple[Note, ...]:
    """Return what to say of files that are not read: whether they could be."""
    try:
        return tuple(note for note in read().notes if note.level >= Level.WARN)
    except UsageError as error:
        told = [f"going on with the configuration that was in force: {error}"]
        return tuple(Note(Level.CRITICAL, each) for each in (*told, *refusal(error)))


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
    command: reexec.Command,
    left: Inheritance | None,
) -> Outcome:
    """Run one daemon from its setup to its end.

    Whatever can refuse the start comes before the first file is touched.

    Args:
        source: The configuration.
        notifier: The way to systemd.
        journal: The way to the journal, None where the log does not go there.
        kept: Sockets that systemd passed, or holds for the next daemon.
        before: What came of the daemon before this one.
        command: How this process was started.
        left: What an earlier daemon left to go on with, None for nothing.

    Raises:
        StartError: A required program did not come up.
    """
    config, settings = source.config, source.config.daemon
    first = before is None
    early: list[Note] = []

    def note(level: Level, message: str) -> None:
        early.append(Note(level, message))

    with contextlib.ExitStack() as last, contextlib.ExitStack() as stack:
        if left is None:
            refuse_unsafe(config)
        in_place = left is not None and left.in_place
        if not in_place:
            setup.take_user(settings.user, note)
        if left is not None and left.limits is not None:
            left.limits.close()
        if first:
            with _unless_it_goes_on(left, note):
                setup.demand_limits(settings, note)
        limits = DescriptorLimit()
        stack.callback(limits.close)
        limits.raise_own()
        locks = setup.Locks()
        stack.callback(locks.release)
        control = control_server(kept.directory, config.servers)
        servers = config.servers if control is None else (*config.servers, control)
        if left is not None:
            for path, fd in _taken(left, _LOCK).items():
                locks.adopt(path, fd)
            _hand_on_listeners(left, kept)
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
        keeper = Keeper(
            log.log, notifier, enabled=_is_kept(), generation=left.generation if left else 0
        )
        _write_notes(log, [*early, *config.notes])
        if not settings.nocleanup and left is None:
            clean_auto_logs(settings.childlogdir, settings.identifier, report=log.log)
        parent = None
        if left is not None and (told := left.take(_PARENT)) is not None:
            parent = setup.Parent(told)
        elif first and not settings.nodaemon and not in_place:
            parent = setup.daemonize(settings, log.log)
        if parent is not None:
            last.enter_context(_released_by_failure(parent))
        # Not before: a child of ours, as the daemon is by now, would not inherit it.
        setup.become_subreaper()
        if not proctable.is_readable():
            log.log(Level.WARN, _NO_PROC)
        # After daemonizing: a parent that waits in the daemon's leaf would not be the daemon.
        cgroups = Containment.settle(log.log)
        if cgroups is not None:
            stack.callback(cgroups.close)
            adopted = () if left is None else cgroups_of(left)
            cgroups.end_leftovers(STRAYS_GRACE_MIN, adopted)
        pidfile = setup.PidFile(settings.pidfile)
        if in_place:
            pidfile.adopt()
        stack.callback(pidfile.remove)
        clients = () if left is None else _handed_clients(left)
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
            keeper=keeper,
            left=left,
            command=command,
        )
        read_later = None if left is None else source.read
        serving = _serve(daemon, listeners, clients, pidfile, parent, locks, limits, read_later)
        return eventloop.run(serving)


_LOCK, _PARENT, _LISTENER, _LISTENERS = "lock/", "parent", "listener/", "listeners"
_CLIENT, _CLIENTS = "client/", "clients"


def _is_kept() -> bool:
    """Whether systemd keeps descriptors for us: where it says so, it says how many (FDSTORE)."""
    own = str(os.getpid())
    return os.environ.get("FDSTORE") != "0" and os.environ.get("SYSTEMD_EXEC_PID", own) == own


def _taken(left: Inheritance, prefix: str) -> dict[str, int]:
    names = [name for name in left.fds if name.startswith(prefix)]
    return {name.removeprefix(prefix): left.fds.pop(name) for name in names}


def _hand_on_listeners(left: Inheritance, kept: KeptSockets) -> None:
    known = left.records.get(_LISTENERS, {})
    for number, fd in _taken(left, _LISTENER).items():
        address, lasts = known.get(number, ("", False))
        kept.hand_on(address, fd, lasts=lasts)


def _clients_codec() -> Codec[dict[str, Client]]:
    from sdsuper.server.web import Client

    return codec_of(dict[str, Client])


def _handed_clients(left: Inheritance) -> Sequence[tuple[Client, int]]:
    """Return the clients of the daemon whose successor we are, and their sockets."""
    fds = _taken(left, _CLIENT)
    if not fds:
        return ()
    told = left.records.get(_CLIENTS, {})
    try:
        known = _clients_codec().decode(told, _CLIENTS)
    except HandoverError as error:  # they can connect again
        left.notes.append(str(error))
        known = {}
    for number in fds.keys() - known.keys():
        os.close(fds.pop(number))
    return [(known[number], fd) for number, fd in fds.items()]


@contextlib.contextmanager
def _unless_it_goes_on(
    left: Inheritance | None, report: Callable[[Level, str], None]
) -> Iterator[None]:
    """Let nothing refuse the start of a daemon that programs are waiting for."""
    try:
        yield
    except UsageError as error:
        if left is None:
            raise
        report(Level.CRITICAL, str(error))


@contextlib.contextmanager
def _released_by_failure(parent: setup.Parent) -> Iterator[None]:
    """Tell the parent of a failed start when nothing of the daemon is left: it may be tried again.

    Raises:
        StartError: What comes through.
    """
    try:
        yield
    except StartError as error:
        parent.release(error.exit_code)
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
    clients: Sequence[tuple[Client, int]],
    pidfile: setup.PidFile,
    parent: setup.Parent | None,
    locks: setup.Locks,
    limits: DescriptorLimit,
    read_later: Callable[[], Config] | None = None,
) -> Outcome:
    signals.install(daemon)
    eventloop.get_running_loop().on_error = daemon.report_stray_exception
    config = daemon.config
    for note in startup_notes(config.servers, config.rpcinterfaces):
        daemon.report(note.level, note.message)
    if not pidfile.is_ours:
        pidfile.write(daemon.report)
    service = daemon.service
    if parent is not None:
        service.on_up = functools.partial(parent.release, 0)
        if daemon.settings.ready is Ready.STARTED:
            parent.release(0)
    # The code of others is called before anything is started, as it expects.
    web = _web_server(daemon, listeners) if _has_code_of_others(config) else None
    # Before anything is awaited: no signal and no call may come to a daemon that is not started.
    daemon.start()
    try:
        for _ in _import_server():  # a program that fails at once must not pass for one that is up
            await eventloop.sleep(0)
        web = web or _web_server(daemon, listeners)
    except Exception:  # a part of our own code is missing: nobody would look after the programs
        daemon.request_shutdown()
        await daemon.finished()
        signals.uninstall()
        daemon.close()
        raise
    daemon.announce()
    try:
        if read_later is not None:
            for _ in range(2):  # the pipes have waited for this daemon: they come first
                await eventloop.sleep(0)
            for note in _notes_of(read_later):
                daemon.report(note.level, note.message)
        web.start()
        web.welcome(clients)
        malloc.trim()
        while await daemon.finished() is End.SUCCESSION:
            await web.suspend()
            _succeed(daemon, web, parent, locks, limits)
            web.resume()  # nobody has taken over
    finally:
        await web.close()
        signals.uninstall()
        daemon.close()
    if service.failure is not None:
        raise StartError(f"the start failed: required process {service.failure}")
    if parent is not None:
        parent.release(0)
    # Asked at the very end: while replies were finished a restart may have become a shutdown.
    return Outcome(daemon.state is ManagerState.RESTARTING, service.up)


def _has_code_of_others(config: Config) -> bool:
    """Whether methods or result handlers of plugins may be called: they see what methods show."""
    pools = [group.pool for group in config.groups if group.pool is not None]
    return any(pool.result_handler != DEFAULT_HANDLER for pool in pools) or not all(
        map(is_main, config.rpcinterfaces)
    )


def _web_server(daemon: Daemon, listeners: Sequence[Listener]) -> WebServer:
    """Return what answers clients, on sockets that listen already."""
    from sdsuper.server.registry import build_registry
    from sdsuper.server.web import WebServer

    registry = build_registry(daemon)
    daemon.pools.shown = registry.shown
    web = WebServer(daemon, listeners, registry)
    daemon.on_reopen.append(web.check_sockets)
    return web


def _succeed(
    daemon: Daemon,
    web: WebServer,
    parent: setup.Parent | None,
    locks: setup.Locks,
    limits: DescriptorLimit,
) -> None:
    """Execute the successor; returns if that fails."""
    listeners = web.listeners
    known = {
        str(number): (server_address(each.config), each.kept)
        for number, each in enumerate(listeners)
    }
    clients = web.clients()
    fds = {f"{_LISTENER}{number}": each.socket.fileno() for number, each in enumerate(listeners)}
    fds |= {f"{_CLIENT}{number}": fd for number, (_, fd) in enumerate(clients)}
    fds |= {f"{_LOCK}{path}": fd for path, fd in locks.held.items()}
    if parent is not None and parent.fd is not None:
        fds[_PARENT] = parent.fd
    # What comes from here on is the successor's: the kernel holds it.
    signals.uninstall()
    limits.close()
    told = _clients_codec().encode({str(number): each for number, (each, _) in enumerate(clients)})
    daemon.succeed({_LISTENERS: known, _CLIENTS: told}, fds)
    limits.raise_own()
    signals.install(daemon)
