"""Takes the counts that `limits.py` bounds: `python -m benchmarks.counts` shows them.

Nothing here depends on how fast the machine is. strace and valgrind do the counting.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import installed, processes
from benchmarks.limits import LIMITS
from tests.integration.harness import Daemon, clean_environment, wait_until

_SLEEP = shutil.which("sleep") or "/bin/sleep"  # a path: the length of PATH is no matter
_PROGRAM = """\
[program:w]
command={sleep} 100000
numprocs={count}
process_name=%(program_name)s_%(process_num)05d
autostart={autostart}
autorestart=true
startsecs=0
"""
_FEW, _MANY, _VERY_MANY = 10, 60, 300
_RESTARTS = 20
_CALLS = 50
_IDLE_SECONDS = 61.0  # more than a TICK_60 takes
_STILL_SECONDS = 0.1
_SETTLED_SECONDS = 1.5  # RUNNING has been told, connections are closed
_VALGRIND_SECONDS = 120
_LINES = 81_920  # of 128 bytes: 10 MB
_WRITER = f"import os; line = b'x' * 127 + b'\\n'; [os.write(1, line) for _ in range({_LINES})]"
_LOGGED = """\
[program:w]
command={python} -ISc "{writer}"
autostart=false
autorestart=false
startsecs=0
stdout_logfile_maxbytes=0
"""


class Calls:
    """What strace has counted.

    Attributes:
        total: All system calls.
        names: System call -> how often.
    """

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.names.values())

    def read(self, table: str) -> None:
        """Read what `strace -c` writes: calls in the fourth column, the name in the last."""
        for line in table.splitlines():
            words = line.split()
            if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
                self.names[words[-1]] = int(words[3])


@contextlib.contextmanager
def traced(pid: int) -> Iterator[Calls]:
    """Count the system calls of a process, without its children, in a block."""
    calls = Calls()
    with tempfile.NamedTemporaryFile("r") as table:
        strace = subprocess.Popen(
            ["strace", "-c", "-p", str(pid), "-o", table.name],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            wait_until(lambda: _tracer(pid) == strace.pid, what="strace is attached")
            yield calls
            wait_until(functools.partial(is_still, pid), what="the daemon is still")
        finally:
            strace.send_signal(signal.SIGINT)
            strace.communicate(timeout=30)
        calls.read(table.read())


def _tracer(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^TracerPid:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def is_still(pid: int) -> bool:
    """Whether a process does nothing for a moment."""
    before = processes.usage([pid])
    time.sleep(_STILL_SECONDS)
    return processes.usage([pid]) == before


@contextlib.contextmanager
def _daemon(count: int, *, autostart: bool = True, programs: str = "") -> Iterator[Daemon]:
    text = programs or _PROGRAM.format(sleep=_SLEEP, count=count, autostart=str(autostart).lower())
    with Daemon(text, settings="minfds=4096") as daemon:
        if autostart:
            wait_until(functools.partial(_are_up, daemon, count), 60, "all are up")
        daemon.rpc("close")()
        wait_until(functools.partial(is_still, daemon.pid), what="the daemon is still")
        yield daemon


def _are_up(daemon: Daemon, count: int) -> bool:
    return _sleepers(daemon) == count


def _sleepers(daemon: Daemon) -> int:
    """Return how many children have executed their program."""
    return sum(_is_sleep(pid) for pid in processes.children(daemon.pid))


def _is_sleep(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe") == os.path.realpath(_SLEEP)
    return False


def restart() -> float:
    """Kill a program again and again; the calls until the next one runs."""
    with _daemon(_FEW) as daemon, traced(daemon.pid) as calls:
        for _ in range(_RESTARTS):
            known = set(processes.children(daemon.pid))
            processes.kill([min(known)])
            replaced = functools.partial(_is_replaced, daemon.pid, known)
            wait_until(replaced, what="the next one runs")
    return calls.total / _RESTARTS


def _is_replaced(pid: int, known: set[int]) -> bool:
    return any(_is_sleep(child) for child in set(processes.children(pid)) - known)


def start() -> float:
    """Start many programs by one call."""
    with _daemon(_MANY, autostart=False) as daemon:
        with traced(daemon.pid) as calls:
            daemon.rpc.supervisor.startProcessGroup("w")
        assert _sleepers(daemon) == _MANY
    return calls.total / _MANY


def stop() -> float:
    """Stop many programs by one call."""
    with _daemon(_MANY) as daemon:
        with traced(daemon.pid) as calls:
            daemon.rpc.supervisor.stopProcessGroup("w")
        assert _sleepers(daemon) == 0
    return calls.total / _MANY


def rpc() -> float:
    """Call again and again over one connection."""
    with _daemon(_FEW) as daemon:
        daemon.rpc.supervisor.getAllProcessInfo()
        with traced(daemon.pid) as calls:
            for _ in range(_CALLS):
                assert len(daemon.rpc.supervisor.getAllProcessInfo()) == _FEW
    return calls.total / _CALLS


def log() -> float:
    """Let a program write lines, a write for each."""
    programs = _LOGGED.format(python=sys.executable, writer=_WRITER)
    with _daemon(0, autostart=False, programs=programs) as daemon:
        with traced(daemon.pid) as calls:
            daemon.rpc.supervisor.startProcess("w")
            daemon.wait_state("w", "EXITED", timeout=60)
        assert daemon.rpc.supervisor.getProcessInfo("w")["exitstatus"] == 0
        (file,) = daemon.dir.glob("w-stdout*")
        assert file.stat().st_size == _LINES * 128
    moved = ("read", "readv", "write", "writev", "splice")
    return sum(calls.names.get(name, 0) for name in moved) / (_LINES * 128 / 1e6)


@functools.cache
def _idle() -> tuple[int, int]:
    """Return system calls and context switches while nothing happens."""
    with _daemon(_MANY) as daemon:
        time.sleep(_SETTLED_SECONDS)
        with traced(daemon.pid) as calls:
            wait_until(functools.partial(is_still, daemon.pid), what="strace has settled")
            before = processes.usage([daemon.pid])
            time.sleep(_IDLE_SECONDS)
            used = processes.usage([daemon.pid]).since(before)
    return calls.total, used.switches


def daemon_modules() -> float:
    """Start a daemon and ask it something; the modules that were imported."""
    with Daemon(_PROGRAM.format(sleep=_SLEEP, count=1, autostart="true"),
                environment={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:  # fmt: skip
        return _imports(daemon.console())


def client_modules() -> float:
    """Run `status`; the modules that were imported."""
    with _daemon(1) as daemon:
        done = subprocess.run(
            _status(daemon, "-X", "importtime"), capture_output=True, check=True,
            encoding="utf-8", env=clean_environment(),
        )  # fmt: skip
        return _imports(done.stderr)


def _imports(said: str) -> int:
    return len(re.findall(r"^import time:\s+\d+ \|", said, re.MULTILINE))


def _status(daemon: Daemon, *options: str) -> list[str]:
    """Return the command as the package's launcher begins, with more options of Python."""
    launcher = installed.packaged() / "sdsuperctl"
    python = launcher.read_text().partition("\n")[0].removeprefix("#!").split()
    return [*python, *options, str(launcher), "-c", str(daemon.ini), "status"]


def descriptors() -> float:
    """Compare the descriptors of a daemon with few programs to those of one with many."""
    return (_holds(_VERY_MANY)[0] - _holds(_FEW)[0]) / (_VERY_MANY - _FEW)


def private() -> float:
    """Compare the private memory of a daemon with few programs to that of one with many."""
    return (_holds(_VERY_MANY)[1] - _holds(_FEW)[1]) / (_VERY_MANY - _FEW)


@functools.cache
def _holds(count: int) -> tuple[int, int]:
    """Return how many descriptors, and KiB of private memory, a daemon has."""
    with _daemon(count) as daemon:
        text = Path(f"/proc/{daemon.pid}/smaps_rollup").read_text()
        found = re.search(r"^Private_Dirty:\s+(\d+) kB", text, re.MULTILINE)
        assert found
        return len(os.listdir(f"/proc/{daemon.pid}/fd")), int(found[1])


@functools.cache
def _instructions(count: int) -> float:
    """Return the million instructions of `status`, in user space."""
    with _daemon(count) as daemon:
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        done = subprocess.run(
            [*command, *_status(daemon)],
            capture_output=True, check=True, encoding="utf-8", timeout=_VALGRIND_SECONDS,
            env=clean_environment({"PYTHONHASHSEED": "0"}),
        )  # fmt: skip
        assert done.stdout.count("RUNNING") == count
        found = re.search(r"Collected : (\d+)", done.stderr)
        assert found, done.stderr
        return int(found[1]) / 1e6


def status() -> float:
    """Run `status` of one program."""
    return _instructions(1)


def status_growth() -> float:
    """Run `status` of one program, and of many."""
    return (_instructions(_MANY) - _instructions(1)) / (_MANY - 1)


COUNTS: dict[str, Callable[[], float]] = {
    "system calls per restart": restart,
    "system calls per start": start,
    "system calls per stop": stop,
    "system calls per call of getAllProcessInfo": rpc,
    "system calls per MB of log, a write per line": log,
    "system calls in an idle minute": lambda: _idle()[0],
    "wake-ups in an idle minute": lambda: _idle()[1],
    "modules that sdsuperd imports": daemon_modules,
    "modules that sdsuperctl imports": client_modules,
    "descriptors per program": descriptors,
    "private KiB per program": private,
    "million instructions of status, 1 program": status,
    "million instructions of status, each further program": status_growth,
}


def missing() -> str:
    """Return what the counting needs and this machine lacks."""
    return ", ".join(tool for tool in ("strace", "valgrind") if shutil.which(tool) is None)


def main() -> None:
    """Show the counts beside their limits, and which of these have more room than they need."""
    for limit in LIMITS:
        begun = time.monotonic()
        count = COUNTS[limit.name]()
        took = time.monotonic() - begun
        room = f"{limit.most / count - 1:6.0%} of room" if count else ""
        print(f"{limit.name:52} {count:9.2f}  at most {limit.most:<6g} {room:16} ({took:.1f} s)",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
