"""Transcripts: scenario files of facts, with the states and actions that the core answers with.

A line that starts with `>` is a fact, one that starts with `#` is a comment; everything else is
the answer, written by the core (`SDSUPER_REWRITE=1 pytest tests/unit/core`) and reviewed as a diff.

    > [+SECONDS] group NAME [priority=N]: PROCESS [OPTION=VALUE ...]; PROCESS ...
    > [+SECONDS] change NAME [priority=N] [start=PROCESS,...]: PROCESS [OPTION=VALUE ...]; ...
    > [+SECONDS] remove GROUP | daemon-started | shutdown | restart | look
    > [+SECONDS] start NAME | stop NAME | signal NAME NUMBER, all with [by METHOD]
    > [+SECONDS] spawned NAME #INVOCATION PID | spawn-failed NAME #INVOCATION TEXT
    > [+SECONDS] exited NAME #INVOCATION CODE | killed NAME #INVOCATION SIGNAL [core] [oom]
    > [+SECONDS] cleared NAME #INVOCATION [STRAYS] | signal-failed NAME #INVOCATION TEXT
    > [+SECONDS] says NAME #INVOCATION ASSIGNMENT; ASSIGNMENT ...

SECONDS is how long after the fact before it; `look` lets deadlines pass. NAME is `group:process`,
or `process` where both are the same. `> history NAME` is no fact: the answer is what is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, assert_never

from sdsuper.config.model import Autorestart, Containment, GroupConfig, ProcessConfig
from sdsuper.core.actions import (
    Action,
    EndStrays,
    Finish,
    Forget,
    Log,
    Publish,
    Reconfigure,
    SendSignal,
    Spawn,
)
from sdsuper.core.events import Event
from sdsuper.core.facts import (
    Cleared,
    DaemonStarted,
    DeadlinePassed,
    Exited,
    Fact,
    GroupAdded,
    GroupChanged,
    GroupRemoved,
    Notified,
    RestartRequested,
    ShutdownRequested,
    SignalFailed,
    SignalRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from sdsuper.core.history import PastInvocation, Requester, Via
from sdsuper.core.manager import Manager
from sdsuper.systemd.notify_server import parse_notice
from sdsuper.values import ExitStatus, signal_name
from tests.unit.core.builders import at, group_config, namespec, process_config


def play(text: str) -> str:
    """Feed the facts of a transcript to a new core; return the transcript with its answers."""
    return "".join(f"{line}\n" for line in _play(text, lambda _: None))


def published(text: str) -> list[Event]:
    """Return every event that the core publishes in a transcript."""
    events: list[Event] = []
    for _ in _play(text, events.append):
        pass
    return events


def _play(text: str, hear: Callable[[Event], None]) -> Iterator[str]:
    manager = Manager()
    now = 0.0
    for line in text.splitlines():
        if line.startswith("#") or not line:
            yield line
        if not line.startswith(">"):
            continue
        yield line
        words = line[1:].split()
        if words[0] == "history":
            yield from map(_past, manager.histories.get(namespec(words[1]), ()))
            continue
        if words[0].startswith("+"):
            now += float(words.pop(0))
        before = dict(manager.processes)
        for action in manager.handle(_fact(words), at(now)):
            if isinstance(action, Publish):
                hear(action.event)
            yield f"  {shown(action)}"
        yield from _difference(before, manager, now)


def _difference(before: dict[Any, Any], manager: Manager, now: float) -> Iterator[str]:
    for name, process in manager.processes.items():
        if name in before and before[name].state is not process.state:
            told = [f"exitstatus {process.exitstatus}"] * (process.exitstatus is not None)
            told += [f"spawnerr {process.spawnerr!r}"] * (process.spawnerr is not None)
            shown = f" ({', '.join(told)})" if told else ""
            yield f"  = {name}: {before[name].state.name} -> {process.state.name}{shown}"
    deadline = manager.deadline()
    if deadline is not None:
        yield f"  = look again in {deadline - now:g} s"


def _past(past: PastInvocation) -> str:
    """What is remembered of one invocation; times are those of the transcript."""
    attempt = past.attempt
    moments = {"started": past.started, "spawned": past.spawned, "ready": attempt.ready}
    times = [f"{key} {moment.mono:g}" for key, moment in moments.items() if moment is not None]
    end = past.error if past.status is None else past.status.describe()
    told = [f"#{past.number} pid {past.pid}", *times, f"ended {past.ended.mono:g}: {end}"]
    told.append(f"{past.ending.value}, {'expected' if past.expected else 'not expected'}")
    told += ["SIGKILL"] * past.killed + [f"{past.strays} strays"] * bool(past.strays)
    told.append(f"started by {attempt.by.describe()}")
    if attempt.stopped_by is not None and attempt.stop_asked is not None:
        told.append(f"stopped at {attempt.stop_asked.mono:g} by {attempt.stopped_by.describe()}")
    told += [f"{signal_name(each.signal)} by {each.by.describe()}" for each in attempt.signals]
    return f"  = {'; '.join(told)}; {past.decision.value}: {past.reason or '-'}"


def _fact(words: list[str]) -> Fact:
    verb, *rest = words
    if verb == "group":
        return GroupAdded(_group(" ".join(rest)))
    if verb == "change":
        head, _, body = " ".join(rest).partition(":")
        head, _, start = head.partition(" start=")
        return GroupChanged(_group(f"{head}:{body}"), frozenset(start.split(",")))
    if verb == "remove":
        return GroupRemoved(rest[0])
    if not rest:
        return _BARE[verb]
    name = namespec(rest[0])
    if verb in _REQUESTS:
        by = {}
        if "by" in rest:
            by["by"] = Requester(Via.RPC, rest[rest.index("by") + 1])
            rest = rest[: rest.index("by")]
        return _REQUESTS[verb](name, *map(int, rest[1:]), **by)
    invocation = int(rest[1].removeprefix("#"))
    tail = rest[2:]
    match verb:
        case "spawned":
            return Spawned(name, invocation, int(tail[0]))
        case "spawn-failed":
            return SpawnFailed(name, invocation, " ".join(tail))
        case "exited":
            return Exited(name, invocation, ExitStatus(int(tail[0])))
        case "killed":
            status = ExitStatus(None, int(tail[0]), core_dumped="core" in tail)
            return Exited(name, invocation, status, oom="oom" in tail)
        case "cleared":
            return Cleared(name, invocation, *map(int, tail))
        case "signal-failed":
            return SignalFailed(name, invocation, " ".join(tail))
        case "says":
            said = " ".join(tail).replace("; ", "\n")
            return Notified(name, invocation, parse_notice(said.encode()))
        case _:
            raise ValueError(f"no such fact: {verb}")


_BARE: dict[str, Fact] = {
    "daemon-started": DaemonStarted(),
    "shutdown": ShutdownRequested(),
    "restart": RestartRequested(),
    "look": DeadlinePassed(),
}
_REQUESTS: dict[str, Callable[..., Fact]] = {
    "start": StartRequested,
    "stop": StopRequested,
    "signal": SignalRequested,
}
_OPTIONS: dict[str, Callable[[str], object]] = {
    "autorestart": Autorestart,
    "containment": Containment,
    "autostart": lambda text: text == "true",
    "notify": lambda text: text == "true",
    "stopasgroup": lambda text: text == "true",
    "killasgroup": lambda text: text == "true",
    "exitcodes": lambda text: tuple(map(int, text.split(","))),
}


def _group(text: str) -> GroupConfig:
    head, _, body = text.partition(":")
    name, *options = head.split()
    priority = int(options[0].removeprefix("priority=")) if options else 999
    processes = [_process(name, words.split()) for words in body.split(";") if words.strip()]
    return group_config(name, *processes, priority=priority)


def _process(group: str, words: list[str]) -> ProcessConfig:
    name, *pairs = words
    options = dict(pair.split("=", 1) for pair in pairs)
    parsed = {key: _OPTIONS.get(key, int)(value) for key, value in options.items()}
    return process_config(name, group, **parsed)


def shown(action: Action) -> str:
    match action:
        case Spawn(name, invocation):
            return f"spawn {name} #{invocation}"
        case SendSignal(name, invocation, pid, signal, to_group, purpose):
            target = "group " if to_group else ""
            return (
                f"send {signal_name(signal)} to {target}{pid} of {name} #{invocation} "
                f"({purpose.value})"
            )
        case EndStrays(name, invocation, grace):
            return f"end strays of {name} #{invocation} within {grace:g} s"
        case Publish(event):
            return f"publish {event.eventname} {event.payload()!r}"
        case Log(level, message):
            return f"log {level.name} {message}"
        case Reconfigure(name):
            return f"reconfigure {name}"
        case Forget(name):
            return f"forget {name}"
        case Finish(restart):
            return f"finish, {'start anew' if restart else 'end'}"
        case _:
            assert_never(action)
