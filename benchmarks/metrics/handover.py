"""What an upgrade and a crash of the daemon cost, with many programs up."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.metrics.fleet import Fleet, prepared
from benchmarks.metrics.registry import Scope, Turn, metric
from benchmarks.peers import OURS
from benchmarks.peers.base import environment
from benchmarks.peers.ini import Sdsuper
from benchmarks.worker import NotMeasuredError, WrongResultError
from tests.integration.harness import UnixTransport
from tests.system.container import SUITES, can_boot
from tests.system.sources import UNIT, service_machine

_SECONDS = 60.0
_MOST = 1000
_POLL_SECONDS = 0.002
_SOCKET = "/run/sdsuper/sdsuper.sock"
_SLEEPERS = """\
[program:w]
command=sleep 100000
numprocs={count}
process_name=%(program_name)s_%(process_num)05d
startsecs=0
stdout_logfile=NONE
stderr_logfile=NONE
"""
_Value = TypeVar("_Value")


@metric("reexec", Scope.PEER, peers=(OURS,))
def reexec(turn: Turn) -> None:
    """From `sdsuperctl reexec` to the new image's first answer, all programs untouched."""
    count = min(turn.effort.sizes[-1], _MOST)
    with prepared(turn.peer, turn.folder, turn.worker) as (peer, stamps):
        assert isinstance(peer, Sdsuper)
        fleet = Fleet(peer, stamps, count, flooder=False)
        fleet.start()
        fleet.settle()
        before = _pids(peer.rpc_socket)
        image = _image(peer.popen.pid)
        begun = time.monotonic()
        done = subprocess.run(
            peer.ctl("reexec"), capture_output=True, check=False, encoding="utf-8",
            env=environment(), timeout=_SECONDS,
        )  # fmt: skip
        said = (done.stdout + done.stderr).strip()
        if done.returncode or "Unknown syntax" in said:
            raise NotMeasuredError(f"sdsuperctl reexec: {said or f'status {done.returncode}'}")
        _until(lambda: _image(peer.popen.pid) != image, "there is a new image")
        after = _until(lambda: _pids(peer.rpc_socket), "the new image answers")
        turn.add("re-exec with", "ms", (time.monotonic() - begun) * 1000, count)
        if after != before:
            raise WrongResultError("a re-exec restarted programs")


@metric("adoption", Scope.PEER, peers=(OURS,), once=True)
def adoption(turn: Turn) -> None:
    """From the kill of the daemon, a service, to the next one's answer for all its programs."""
    if not can_boot():
        raise NotMeasuredError("as root, run scripts/prepare tests")
    count = min(turn.effort.sizes[-1], _MOST)
    with service_machine(SUITES[-1], _SLEEPERS.format(count=count)) as machine:
        machine.systemctl("start", UNIT)
        path = Path(f"/proc/{machine.leader()}/root{_SOCKET}")
        before = _until(lambda: _all_pids(path, count), "all are up")
        time.sleep(2)  # what follows a start is not the adoption's
        begun = time.monotonic()
        machine.systemctl("kill", "--signal=KILL", "--kill-whom=main", UNIT)
        after = _until(lambda: _all_pids(path, count), "the next daemon answers for all")
        elapsed = time.monotonic() - begun
        if after != before:
            raise NotMeasuredError("programs do not outlive the daemon's death in this version")
        turn.add("crash to adopted, with", "ms", elapsed * 1000, count)


def _until(probe: Callable[[], _Value | None], what: str) -> _Value:
    """Return the first value of a probe that is true."""
    deadline = time.monotonic() + _SECONDS
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise WrongResultError(f"not within {_SECONDS:g} s: {what}")
        time.sleep(_POLL_SECONDS)
    return value


def _image(pid: int) -> str:
    """Return where the stack of a process starts: an exec makes it another. Source: proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[25]


def _pids(path: Path) -> dict[str, int] | None:
    """Return the pids of all processes by their names; None while the daemon does not answer."""
    proxy: Any = xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(path))
    with contextlib.suppress(OSError, http.client.HTTPException):
        return {it["name"]: it["pid"] for it in proxy.supervisor.getAllProcessInfo()}
    return None


def _all_pids(path: Path, count: int) -> dict[str, int] | None:
    """Return what `_pids` returns, None before so many are up."""
    pids = _pids(path)
    return pids if pids is not None and sum(map(bool, pids.values())) == count else None
