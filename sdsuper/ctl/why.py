"""The struct of getProcessHistory to text, for whoever must act on it. Pure."""

from __future__ import annotations

import time

from sdsuper.ctl import render

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sdsuper.rpc.structs import PastInvocation, ProcessHistory, Requester

    UserName = Callable[[int], str]
    """A uid to the words for it."""

SHOWN_MAX = 5
"""Exits that are shown; `--json` has all that are remembered."""

LINES_MAX = 10
"""Lines of output that are shown of each channel."""

NOT_SPAWNED = "supervisor: child process was not spawned"
"""What a child writes that could not become the program."""

_RATE_SECONDS = 600
"""Restarts are counted within this time, too."""


def by_number(uid: int) -> str:
    """Return the words for a user of another machine."""
    return "root" if uid == 0 else f"uid {uid}"


def as_text(found: ProcessHistory, output: Mapping[str, str], user: UserName = by_number) -> str:
    """Return why a process is as it is.

    Args:
        found: What the daemon tells.
        output: The end of what it wrote before its latest exit, by channel.
        user: Who a uid of the daemon's machine is.
    """
    name = render.namespec(found["group"], found["name"])
    lines = [f"{name}: {found['statename']}, {_present(found, _cause(found, output), user)}"]
    lines += [f"  {line}" for line in _circumstances(found, name, user)]
    past = found["invocations"]
    if past:
        lines.append("  latest exits:" if len(past) > 1 else "  latest exit:")
        for each in past[:SHOWN_MAX]:
            head, *details = _exit(found, each, user)
            lines += [f"    {head}", *(f"      {detail}" for detail in details)]
        if len(past) > SHOWN_MAX:
            lines.append(f"    --json shows {len(past) - SHOWN_MAX} more")
        lines += [f"  hint: {hint}" for hint in _hints(past[0], output)]
        if past[0]["pid"]:
            lines += _output(output)
    return "\n".join(lines)


# -- how it is -------------------------------------------------------------------------------------


def _present(found: ProcessHistory, cause: str, user: UserName) -> str:
    state, pid = found["statename"], found["pid"]
    if state == "RUNNING":
        if found["waits_for"] == "exit":
            return _ending(found)
        return f"pid {pid}, up for {duration(found['uptime'])}"
    if state == "STARTING":
        return _starting(found)
    if state == "STOPPING":
        return _stopping(found)
    if state == "BACKOFF":
        if found["waits_for"] != "retry":
            return f"its start failed: {cause}; not tried again, the daemon is stopping"
        return (
            f"its start failed: {cause}; tried again {_due(found)}, "
            f"retry {found['failures']} of {found['startretries']} (startretries)"
        )
    if state == "FATAL":
        return f"given up: {cause}{_after(found)}"
    if state == "EXITED":
        return _exited(found, cause)
    if state == "UNKNOWN":
        return f"{found['trouble']}; nothing can be done until pid {pid} has ended"
    return _stopped(found, user)


def _cause(found: ProcessHistory, output: Mapping[str, str]) -> str:
    """Return in short how the latest invocation ended."""
    if not found["invocations"]:
        return found["reason"]
    past = found["invocations"][0]
    for text in output.values():
        said, marker, _ = text.rpartition(f"\n{NOT_SPAWNED}")
        if marker and past["exitstatus"] == 127:
            return said.rpartition("\n")[2].removeprefix("supervisor: ")
    if past["error"]:
        return past["error"]
    memory = ", killed by the kernel: out of memory" if past["oom"] else ""
    early = " too early" if not past["ready"] else ""
    return f"{past['end']}{early}{memory}"


def _after(found: ProcessHistory) -> str:
    past = found["invocations"][:1]
    if not past or past[0]["decision"] != "give up":
        return ""
    return f"; {past[0]['reason'].rpartition('; ')[2]}"


def _starting(found: ProcessHistory) -> str:
    waits, pid = found["waits_for"], found["pid"]
    if waits == "spawn":
        return "its child is being made"
    if waits == "strays":
        return f"held until what it left behind has ended: {_strays(found)}"
    if waits == "exit":
        return _ending(found)
    if waits == "ready":
        limit = f"for {found['start_timeout']} s (start_timeout)"
        if found["waits_seconds"] < 0:
            limit = "for as long as it takes (start_timeout=0)"
        return f"pid {pid} is waited for to say that it is ready (READY=1), {limit}"
    return (
        f"pid {pid} is up for {duration(found['uptime'])}, "
        f"and must be for {found['startsecs']} s (startsecs)"
    )


def _ending(found: ProcessHistory) -> str:
    failing = found["failing"] or "it said that it is stopping (STOPPING=1)"
    if found["killed"]:
        return f"{failing}; pid {found['pid']} got SIGKILL and has not ended yet"
    return f"{failing}; pid {found['pid']} gets SIGKILL {_due(found)}"


def _stopping(found: ProcessHistory) -> str:
    if found["waits_for"] == "spawn":
        return "as soon as its child is made"
    if found["waits_for"] == "strays":
        return f"waiting for what it left behind to end: {_strays(found)}"
    if found["killed"]:
        return f"pid {found['pid']} got SIGKILL and has not ended yet"
    return f"waiting for pid {found['pid']} to end; SIGKILL follows {_due(found)} (stopwaitsecs)"


def _stopped(found: ProcessHistory, user: UserName) -> str:
    if found["waits_for"] == "strays":
        return f"but what it left behind lives on: {_strays(found)}"
    if not found["started"]:
        return "never started" + ("" if found["autostart"] else " (autostart=false)")
    if found["stopped_by"]:
        return f"as asked {_ago(found, found['stop_asked'])} by {who(found['stopped_by'], user)}"
    return "it ended after a signal could not be sent"


def _exited(found: ProcessHistory, cause: str) -> str:
    past = found["invocations"]
    if not past:
        return found["reason"]
    expected = "as expected" if past[0]["expected"] else "not as expected"
    return (
        f"it ended by itself {_ago(found, past[0]['ended'])}, {expected}: {cause}; "
        f"not started again (autorestart={found['autorestart']})"
    )


def _circumstances(found: ProcessHistory, name: str, user: UserName) -> Iterator[str]:
    state = found["statename"]
    if state == "FATAL":
        yield f"nothing happens until somebody starts it: sdsuperctl start {name}"
    if found["said"] and found["pid"]:
        yield f"it says: {found['said']}"
    if found["waits_for"] == "strays" and state in {"EXITED", "FATAL"}:
        yield f"what it left behind is being ended: {_strays(found)}"
    if found["started_by"] and found["pid"]:
        yield f"started {_at(found, found['started'])} by {who(found['started_by'], user)}"
    if found["stopped_by"] and (state == "STOPPING" or (state == "STOPPED" and found["strays"])):
        asked = _at(found, found["stop_asked"])
        yield f"stop asked for {asked} by {who(found['stopped_by'], user)}"
    if found["pid"]:
        yield from _signals(found["signals"], user)
    if found["restarts"]:
        yield _restarts(found)


def _restarts(found: ProcessHistory) -> str:
    told = f"started again {_times(found['restarts'])} without being asked"
    ends = [each["ended"] for each in found["invocations"] if each["decision"] == "restart"]
    recent = [ended for ended in ends if found["now"] - ended <= _RATE_SECONDS]
    if not recent:
        return told
    within = f"in the last {duration(found['now'] - recent[-1])}"
    if len(recent) >= found["restarts"]:
        return f"{told}, {within}" if found["restarts"] == 1 else f"{told}, all {within}"
    return f"{told}, {len(recent)} of them {within}"


# -- how it was ------------------------------------------------------------------------------------


def _exit(found: ProcessHistory, past: PastInvocation, user: UserName) -> Iterator[str]:
    up = f" after {duration(past['uptime'])}" if past["spawned"] else ""
    yield f"{_at(found, past['ended'])}{up}: {_how(past)}"
    yield from _why(past, user)
    if past["started_by"]["what"] != "autorestart":
        yield f"had been started by {who(past['started_by'], user)}"
    if past["strays"]:
        processes = "process" if past["strays"] == 1 else "processes"
        yield f"{past['strays']} {processes} that it left behind had to be ended"
    decision, reason = past["decision"], past["reason"]
    if decision == "give up":
        yield f"then given up: {reason.rpartition('; ')[2]}"
    elif decision == "restart":
        cause = reason.rpartition("; ")[2] if not past["ready"] else _policy(reason)
        waits = found["waits_for"] == "retry" and past is found["invocations"][0]
        yield f"then {'to be ' * waits}started again: {cause}"
    elif past["ending"] not in {"stopped", "not spawned"} and reason:
        yield f"then left down: {_policy(reason)}"


def _policy(reason: str) -> str:
    """Return what of a reason names the option that decided."""
    start, end = reason.find("(autorestart="), reason.find(")", reason.find("(autorestart="))
    return reason[start + 1 : end] if start >= 0 else reason


def _how(past: PastInvocation) -> str:
    if past["ending"] == "not spawned":
        return f"not started: {past['error']}"
    told = past["end"]
    if past["oom"]:
        told += ", killed by the kernel: out of memory"
    if past["ending"] != "stopped":
        unexpected = "not expected" if past["ready"] else "too early to count as up"
        told += f", {'expected' if past['expected'] else unexpected}"
    return f"{told}, pid {past['pid']}"


def _why(past: PastInvocation, user: UserName) -> Iterator[str]:
    if past["ending"] == "stopped":
        yield f"stopped by {who(past['stopped_by'], user)}"
    elif past["error"] and past["ending"] != "not spawned":
        yield f"the daemon ended it: {past['error']}"
    if past["killed"]:
        yield "it did not end when it was asked to, and got SIGKILL (stopwaitsecs)"
    yield from _signals(past["signals"], user)


def _signals(signals: list[dict[str, object]], user: UserName) -> Iterator[str]:
    for each in signals:
        yield f"{each['signal']} sent by {who(each['by'], user)}"  # type: ignore[arg-type]


def _hints(past: PastInvocation, output: Mapping[str, str]) -> Iterator[str]:
    """Say what to look at, where the exit itself tells."""
    by_itself = past["ending"] == "by itself"
    if past["core_dumped"]:
        yield f"it dumped core: coredumpctl info {past['pid']}"
    if past["oom"]:
        yield "it had more memory than it may have, or the machine had none left: journalctl -k"
    elif past["signal"] == "SIGKILL" and by_itself:
        yield (
            "the daemon did not send SIGKILL: somebody else did, or the kernel, "
            "where memory ran out (journalctl -k)"
        )
    if not past["ready"] and by_itself and past["exitstatus"] == 0:
        yield (
            "it ended well, but at once: a program must stay in the foreground (no --daemon); "
            "one that is meant to end wants startsecs=0"
        )
    if any(NOT_SPAWNED in text for text in output.values()):
        return  # it says itself what was wrong
    if past["exitstatus"] == 127:
        yield "127 mostly means that a command was not found"
    elif past["exitstatus"] == 126:
        yield "126 mostly means that a file could not be executed"


def _output(output: Mapping[str, str]) -> Iterator[str]:
    for channel, text in output.items():
        lines = text.rstrip("\n").split("\n")[-LINES_MAX:] if text.strip() else []
        if lines:
            yield f"  the last on {channel} before it ended:"
            yield from (f"    | {_printable(line)}" for line in lines)
    if output and not any(text.strip() for text in output.values()):
        yield "  it wrote nothing before it ended"


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line)


# -- words -----------------------------------------------------------------------------------------


def who(requester: Requester, user: UserName) -> str:
    """Return who asked, and through what."""
    via, what = requester["via"], requester["what"]
    if via == "daemon":
        return f"the daemon itself ({what})" if what else "the daemon itself"
    if via == "signal":
        return f"{what}, sent to the daemon"
    facts = [f"pid {requester['pid']}"] * bool(requester["pid"])
    uid, login = requester["uid"], requester["login_uid"]
    if uid >= 0:
        facts.append(user(uid))
    if login >= 0 and login != uid:
        facts.append(f"logged in as {user(login)}")
    facts += [f"password of {requester['user']}"] * bool(requester["user"])
    client = requester["command"] or requester["address"] or "a client"
    through = f"{what} on the web page" if via == "page" else what
    return f"{client} ({', '.join(facts)}): {through}" if facts else f"{client}: {through}"


def duration(seconds: float) -> str:
    """Return a span of time with at most two units: `2 h 5 min`, `3.2 s`, `12 ms`."""
    if seconds < 0.0995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    first = next(index for index, (size, _) in enumerate(units) if whole >= size)
    told = []
    for size, unit in units[first : first + 2]:
        count, whole = divmod(whole, size)
        if count:
            told.append(f"{count} {unit}")
    return " ".join(told)


def _due(found: ProcessHistory) -> str:
    return f"in {duration(found['waits_seconds'])}"


def _ago(found: ProcessHistory, moment: float) -> str:
    return f"{duration(found['now'] - moment)} ago"


def _at(found: ProcessHistory, moment: float) -> str:
    return f"{time.strftime('%b %d %H:%M:%S', time.localtime(moment))} ({_ago(found, moment)})"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _strays(found: ProcessHistory) -> str:
    told = [f"{each['command']} (pid {each['pid']})" for each in found["strays"]]
    return ", ".join(told) or "something that is just ending"
