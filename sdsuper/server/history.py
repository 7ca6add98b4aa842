"""(process, what is remembered of it, now) -> the struct of getProcessHistory.

XML-RPC has no null: what is not known is 0, "" or an empty struct.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from sdsuper.core.history import PastInvocation, Requester, Signalled
from sdsuper.core.process import Process
from sdsuper.core.states import ProcessState
from sdsuper.daemon.proctable import Entry
from sdsuper.logs.tail import to_text
from sdsuper.values import Instant, signal_name

Struct = dict[str, object]


def history_info(
    process: Process,
    past: Iterable[PastInvocation],
    strays: Iterable[Entry],
    output: Mapping[str, Struct],
    now: Instant,
) -> Struct:
    """Return the struct of getProcessHistory.

    Args:
        process: The process.
        past: What is remembered of it, the latest last.
        strays: What it left behind and is still being ended.
        output: What it wrote last, by channel.
        now: The present moment.
    """
    config, attempt = process.config, process.attempt
    waits_for, until = waiting(process)
    return {
        "name": process.name.process,
        "group": process.name.group,
        "now": now.wall,
        "state": int(process.state),
        "statename": process.state.name,
        "wanted": process.wanted.name.lower(),
        "pid": process.pid,
        "started": _wall(process.started),
        "spawned": _wall(process.spawned),
        "ready": _wall(attempt.ready),
        "uptime": _seconds(process.spawned, now) if process.pid else 0.0,
        "started_by": requester_info(attempt.by) if process.started is not None else {},
        "stopped_by": requester_info(attempt.stopped_by),
        "stop_asked": _wall(attempt.stop_asked),
        "signals": _signals(attempt.signals),
        "waits_for": waits_for,
        "waits_seconds": max(0.0, until - now.mono) if until is not None else -1.0,
        "killed": process.killed is not None,
        "strays": [{"pid": each.pid, "command": each.comm} for each in strays],
        "failures": process.backoff,
        "restarts": process.restarts,
        "reason": process.reason or "",
        "failing": process.failing or "",
        "trouble": process.trouble or "",
        "said": process.told.status,
        "command": config.command,
        "autostart": config.autostart,
        "autorestart": config.autorestart.value,
        "startsecs": config.startsecs,
        "startretries": config.startretries,
        "start_timeout": config.start_timeout,
        "stopwaitsecs": config.stopwaitsecs,
        "invocations": [past_info(each) for each in reversed(tuple(past))],
        "output": dict(output),
    }


def waiting(process: Process) -> tuple[str, float | None]:
    """Return what a process waits for, "" for nothing, and until when (None: without an end)."""
    match process.state:
        case ProcessState.BACKOFF:
            return "retry" if process.deadline is not None else "", process.deadline
        case ProcessState.STARTING | ProcessState.STOPPING if process.spawning:
            return "spawn", None
        case ProcessState.STARTING if process.held:
            return "strays", process.deadline
        case ProcessState.STARTING if process.failing is not None:
            return "exit", process.deadline
        case ProcessState.STARTING:
            return "ready" if process.config.notify else "startsecs", process.deadline
        case ProcessState.STOPPING | ProcessState.UNKNOWN if process.pid:
            return "exit", process.deadline
        case ProcessState.RUNNING if process.failing is not None or process.told.stopping:
            return "exit", process.deadline
        case ProcessState.RUNNING | ProcessState.UNKNOWN:
            return "", None
        case ProcessState.STOPPING | ProcessState.STOPPED:
            return "strays" if process.residue is not None else "", process.deadline
        case ProcessState.EXITED | ProcessState.FATAL:
            return "strays" if process.residue is not None else "", process.deadline
        case _:
            assert_never(process.state)


def past_info(past: PastInvocation) -> Struct:
    """Return the struct of one invocation that is over."""
    status, attempt = past.status, past.attempt
    code = status.code if status is not None else None
    number = status.signal if status is not None else None
    return {
        "number": past.number,
        "pid": past.pid,
        "started": _wall(past.started),
        "spawned": _wall(past.spawned),
        "ready": _wall(attempt.ready),
        "ended": past.ended.wall,
        "uptime": _seconds(past.spawned, past.ended),
        "exitstatus": code if code is not None else -1,
        "signal": signal_name(number) if number is not None else "",
        "core_dumped": status is not None and status.core_dumped,
        "oom": past.oom,
        "end": status.describe() if status is not None else "",
        "expected": past.expected,
        "ending": past.ending.value,
        "error": past.error,
        "killed": past.killed,
        "strays": past.strays,
        "decision": past.decision.value,
        "reason": past.reason,
        "started_by": requester_info(attempt.by),
        "stopped_by": requester_info(attempt.stopped_by),
        "stop_asked": _wall(attempt.stop_asked),
        "signals": _signals(attempt.signals),
    }


def requester_info(requester: Requester | None) -> Struct:
    """Return the struct of who asked, empty for nobody."""
    if requester is None:
        return {}
    return {
        "via": requester.via.value,
        "what": requester.what,
        "pid": requester.pid,
        "uid": requester.uid if requester.uid is not None else -1,
        "login_uid": requester.login_uid if requester.login_uid is not None else -1,
        "command": requester.command,
        "address": requester.address,
        "user": requester.user,
    }


def output_info(data: bytes, *, journal: bool) -> Struct:
    """Return the struct of what a process wrote last on one channel."""
    return {"text": to_text(data), "journal": journal}


def _signals(signals: Iterable[Signalled]) -> list[Struct]:
    return [
        {"signal": signal_name(each.signal), "at": each.at.wall, "by": requester_info(each.by)}
        for each in signals
    ]


def _wall(moment: Instant | None) -> float:
    return moment.wall if moment is not None else 0.0


def _seconds(since: Instant | None, until: Instant) -> float:
    return until.mono - since.mono if since is not None else 0.0
