"""Signals and calls that come at the edges of a daemon's life: before it starts, while it ends."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import sys
import tempfile
import termios
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from sdsuper import eventloop, sdsuperd
from sdsuper.config.load import load
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.ownlog import OwnLog
from sdsuper.daemon.reload import Source
from sdsuper.daemon.setup import Locks, PidFile
from sdsuper.daemon.signals import SIGNALS
from sdsuper.sdsuperd import _serve
from sdsuper.server.sockets import open_listeners
from sdsuper.systemd.notify import Notifier

SECONDS = 30.0  # a daemon that does not end is told from a slow one

Meanwhile = Callable[[], Awaitable[None]]


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(autouse=True)
def held_signals() -> Iterator[None]:
    """As between two lives of a daemon: the kernel holds what comes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    yield
    while signal.sigtimedwait(SIGNALS, 0):
        pass  # what a failed test left would end all tests
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send(number: signal.Signals) -> None:
    """Send a signal to this thread: another may not hold it, and would end all tests."""
    signal.pthread_kill(threading.get_ident(), number)


def own_address(number: int) -> str:
    """Return an address that no other test has, whatever runs beside this one."""
    high, low = divmod(os.getpid() % 0x10000, 0x100)
    return f"127.{high}.{low}.{number + 1}:9001"


def serve(directory: Path, meanwhile: Meanwhile, programs: str = "") -> bool:
    """Let a daemon live; return whether it wants to start anew."""
    ini = directory / "d.conf"
    ini.write_text(
        f"[supervisord]\nlogfile={directory}/d.log\npidfile={directory}/d.pid\n"
        f"[unix_http_server]\nfile={directory}/d.sock\n"
        # Each server gives the loop a turn before the next one accepts.
        + programs
        + "".join(f"[inet_http_server:{n}]\nport={own_address(n)}\n" for n in range(3))
    )
    config = load(str(ini))
    log = OwnLog(
        level=config.daemon.loglevel,
        path=config.daemon.logfile,
        maxbytes=0,
        backups=0,
        echo=False,
        syslog=False,
    )
    log.open()
    pidfile = PidFile(config.daemon.pidfile)
    source = Source(lambda: config, config)
    daemon = Daemon(source, log, Notifier({}), DescriptorLimit(), None)

    async def live() -> bool:
        listeners = open_listeners(config.servers)
        serving = _serve(daemon, listeners, (), pidfile, None, Locks(), DescriptorLimit(), None)
        try:
            with eventloop.timeout(SECONDS):
                outcome, _ = await eventloop.gather([serving, meanwhile()])
        finally:
            for listener in listeners:
                listener.close()
        return outcome.restart

    try:
        return eventloop.run(live())
    finally:
        log.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await eventloop.sleep(0.01)


def waiting_bytes(sock: socket.socket) -> int:
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)


async def nothing() -> None:
    return None


def test_a_shutdown_asked_for_before_the_start_is_not_lost(directory: Path) -> None:
    send(signal.SIGTERM)
    assert serve(directory, nothing) is False


def test_a_restart_becomes_a_shutdown_to_the_very_end(directory: Path) -> None:
    path = directory / "d.sock"
    log = directory / "d.log"

    async def restart_then_stop() -> None:
        with socket.socket(socket.AF_UNIX) as stuck:  # asks for much, and reads none of it
            stuck.setblocking(False)
            stuck.connect(str(path))
            stuck.send(b"GET /mainlogtail HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: waiting_bytes(stuck) > 0)
            stuck.recv(1)
            with log.open("a") as file:
                file.write("a line\n" * 1_000_000)
            await until(lambda: waiting_bytes(stuck) > 64 * 1024)
            send(signal.SIGHUP)
            await until(lambda: not path.exists())  # replies are finished from here on
            send(signal.SIGTERM)
            await until(lambda: b"received SIGTERM" in log.read_bytes())

    assert serve(directory, restart_then_stop) is False


def test_a_restart_is_told_from_a_shutdown(directory: Path) -> None:
    send(signal.SIGHUP)
    assert serve(directory, nothing) is True


def test_a_daemon_that_lacks_a_part_of_itself_leaves_no_program_behind(directory: Path) -> None:
    programs = f"[program:p]\ncommand=sleep 4711\nstdout_logfile={directory}/p\nstartsecs=0\n"
    missing = patch.object(sdsuperd, "_import_server", side_effect=ImportError("no such part"))
    with missing, pytest.raises(ImportError, match="no such part"):
        serve(directory, nothing, programs)
    log = (directory / "d.log").read_text()
    assert re.search(r"spawned: 'p'(.|\n)*stopped: p", log)


@pytest.mark.parametrize(
    ("section", "has"),
    [
        ("[program:a]\ncommand=cat\n", False),
        ("[eventlistener:a]\ncommand=cat\nevents=TICK_5\n", False),
        ("[eventlistener:a]\ncommand=cat\nevents=TICK_5\nresult_handler=mine:handler\n", True),
        ("[rpcinterface:mine]\nsupervisor.rpcinterface_factory=mine:factory\n", True),
    ],
)
def test_code_of_others_finds_what_methods_show_before_anything_is_started(
    directory: Path, section: str, has: bool
) -> None:
    path = directory / "sdsuper.conf"
    path.write_text(f"[supervisord]\n{section}")
    assert sdsuperd._has_code_of_others(load(str(path))) is has
