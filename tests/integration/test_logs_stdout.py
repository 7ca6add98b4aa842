"""A daemon as containers run it: programs log to its stdout, and whoever reads that is slow."""

from __future__ import annotations

import os
import select
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Daemon

LINES = 40_000
SHOUT = f"""
import os
import select
for number in range({LINES}):
    os.write(1, b"%099d\\n" % number)
"""
PROGRAM = f"""
[program:shout]
command={sys.executable} %(here)s/shout.py
autostart=false
autorestart=false
startsecs=0
stdout_logfile=/dev/stdout
"""


@pytest.fixture
def fifo() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder:
        path = Path(folder, "fifo")
        os.mkfifo(path)
        yield path


def test_a_slow_reader_gets_every_byte_and_holds_up_only_the_program(fifo: Path) -> None:
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    # The shell ends as the daemon, whose stdout is the pipe.
    prefix = ["/bin/sh", "-c", f'exec "$@" >{fifo}', "sh"]
    with Daemon(PROGRAM, settings="silent=true", prefix=prefix) as daemon:
        (daemon.dir / "shout.py").write_text(SHOUT)
        daemon.ctl("start", "shout")
        # Nobody reads: the pipes fill up, the program waits, the daemon does not.
        assert daemon.state("shout") == "RUNNING"
        received = bytearray()

        def all_is_there() -> bool:
            try:
                received.extend(os.read(reader, 64 * 1024))
            except BlockingIOError:
                return False
            return len(received) >= LINES * 100

        daemon.wait(all_is_there, 60, "all lines")
        daemon.wait_state("shout", "EXITED")
        assert "cannot write" not in daemon.log()
    os.close(reader)
    assert bytes(received) == b"".join(b"%099d\n" % number for number in range(LINES))


def test_stop_and_shutdown_do_not_depend_on_the_reader(fifo: Path) -> None:
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    prefix = ["/bin/sh", "-c", f'exec "$@" >{fifo}', "sh"]
    program = PROGRAM.replace("startsecs=0", "startsecs=0\nstopwaitsecs=2")
    with Daemon(program, settings="silent=true", prefix=prefix) as daemon:
        (daemon.dir / "shout.py").write_text(SHOUT)
        daemon.ctl("start", "shout")
        daemon.wait(lambda: select.select([reader], [], [], 0)[0], 20, "output")
        assert daemon.ctl("stop", "shout").stdout == "shout: stopped\n"
        daemon.ctl("start", "shout")
        daemon.wait_state("shout", "RUNNING")
        assert daemon.terminate() == 0
    os.close(reader)
