"""Structs to the text that operators and their scripts read. Pure: golden-tested.

Scripts split these lines, so widths, words and trailing blanks are Supervisor's to the letter.
"""

from __future__ import annotations

from sdsuper.rpc.client import ProtocolError
from sdsuper.rpc.faults import Fault

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdsuper.rpc.structs import ConfigInfo, ProcessInfo, UsageInfo

NAME_WIDTH = 30
"""Columns that `status` leaves for a name, the gap of three not counted."""

SCREEN_WIDTH = 80
KIBI = 1024


def namespec(group: str, name: str) -> str:
    """Return how a process is called: `name`, or `group:name` where the two differ."""
    return name if group == name else f"{group}:{name}"


def split_namespec(text: str) -> tuple[str, str | None]:
    """Return group and name of what was typed; no name for a whole group.

    A bare word is a process, never a group.
    """
    group, colon, name = text.partition(":")
    if not colon:
        return text, text
    return group, None if name in {"", "*"} else name


def status_table(infos: Sequence[ProcessInfo]) -> str:
    """Return the table of `status`, a line for each process; empty for none."""
    names = [namespec(info["group"], info["name"]) for info in infos]
    width = 3 + max(NAME_WIDTH, max(map(len, names), default=0))
    return "\n".join(
        f"{name.ljust(width)}{info['statename']:<10}{info['description']}"
        for name, info in zip(names, infos, strict=True)
    )


def avail_table(infos: Iterable[ConfigInfo]) -> str:
    """Return the lines of `avail`."""
    return "\n".join(
        f"{namespec(info['group'], info['name']):<32} "
        f"{'in use' if info['inuse'] else 'avail':<9} "
        f"{'auto' if info['autostart'] else 'manual':<9} "
        f"{info['group_prio']}:{info['process_prio']}"
        for info in infos
    )


def changes(added: Iterable[str], changed: Iterable[str], removed: Iterable[str]) -> str:
    """Return what `reread` found, by group name."""
    found = [(name, "available") for name in added]
    found += [(name, "changed") for name in changed]
    found += [(name, "disappeared") for name in removed]
    lines = [f"{name}: {what}" for name, what in sorted(found)]
    return "\n".join(lines) or "No config updates to processes"


def status_json(infos: Iterable[ProcessInfo]) -> list[dict[str, object]]:
    """Return what `status --json` prints: keys are added in later versions, never changed."""
    kept = ("pid", "start", "stop", "now", "exitstatus", "spawnerr", "description")
    return [
        {
            "namespec": namespec(info["group"], info["name"]),
            "group": info["group"],
            "name": info["name"],
            "state": info["statename"],
            **{key: info[key] for key in kept},  # type: ignore[literal-required]
            "stdout_logfile": info["stdout_logfile"],
            "stderr_logfile": info["stderr_logfile"],
        }
        for info in infos
    ]


def avail_json(infos: Iterable[ConfigInfo]) -> list[dict[str, object]]:
    """Return what `avail --json` prints."""
    return [
        {
            "namespec": namespec(info["group"], info["name"]),
            "group": info["group"],
            "name": info["name"],
            "inuse": info["inuse"],
            "autostart": info["autostart"],
            "group_priority": info["group_prio"],
            "process_priority": info["process_prio"],
        }
        for info in infos
    ]


USAGE_HEAD = ("PID", "PROCESSES", "TASKS", "MEMORY", "CPU", "CPU WAIT", "MEMORY WAIT", "IO WAIT")

_UNITS = ("KiB", "MiB", "GiB", "TiB")


def usage_table(rows: Sequence[tuple[ProcessInfo, UsageInfo | None]]) -> str:
    """Return the table of `usage`, a line for each process; `-` is what nobody knows."""
    names = [namespec(info["group"], info["name"]) for info, _ in rows]
    cells = [USAGE_HEAD, *(_usage_cells(taken) for _, taken in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(USAGE_HEAD))]
    first = max(map(len, ["NAME", *names]))
    return "\n".join(
        "  ".join([f"{name:<{first}}", *(f"{cell:>{widths[i]}}" for i, cell in enumerate(row))])
        for name, row in zip(["NAME", *names], cells, strict=True)
    )


def _usage_cells(taken: UsageInfo | None) -> tuple[str, ...]:
    if taken is None:
        return ("-",) * len(USAGE_HEAD)
    waits = (taken["pressure"].get(each, {}).get("some") for each in ("cpu", "memory", "io"))
    return (
        str(taken["pid"]),
        str(taken["processes"]),
        "-" if taken["tasks"] < 0 else str(taken["tasks"]),
        size(taken["memory"]),
        f"{taken['cpu']:.2f} s",
        *("-" if wait is None else f"{wait:.1f} %" for wait in waits),
    )


def size(amount: float) -> str:
    """Return bytes as people read them."""
    unit = "bytes"
    for bigger in _UNITS:
        if amount < KIBI:
            break
        amount, unit = amount / KIBI, bigger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def usage_json(
    rows: Iterable[tuple[ProcessInfo, UsageInfo | None]],
) -> list[dict[str, object]]:
    """Return what `usage --json` prints: null is what nobody knows."""
    kept = ("pid", "processes", "memory", "cpu", "tasks", "pressure", "cgroup")
    found = []
    for info, taken in rows:
        values: dict[str, object] = dict.fromkeys(kept)
        if taken is not None:
            values |= {key: taken[key] for key in kept}  # type: ignore[literal-required]
            values["memory"] = int(taken["memory"])
            values["tasks"] = None if taken["tasks"] < 0 else taken["tasks"]
            values["cgroup"] = taken["cgroup"] or None
        found.append(
            {
                "namespec": namespec(info["group"], info["name"]),
                "group": info["group"],
                "name": info["name"],
                "state": info["statename"],
                **values,
            }
        )
    return found


def as_json(value: object) -> str:
    """Return JSON as it is printed."""
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)


def help_forms(forms: Sequence[tuple[str, str]]) -> str:
    """Return one line for each form of a command, the explanations one below the other."""
    width = 8 * (max(len(form) for form, _ in forms) // 8 + 1)
    return "\n".join(
        form + "\t" * ((width - len(form) + 7) // 8) + text if text else form
        for form, text in forms
    )


def help_list(names: Iterable[str], plugin: str = "default") -> str:
    """Return the list of commands that `help` shows, an empty line before and after it."""
    title = f"{plugin} commands (type help <topic>):"
    return f"\n{title}\n{'=' * len(title)}\n{columns(sorted(names))}\n"


def columns(words: Sequence[str], width: int = SCREEN_WIDTH) -> str:
    """Lay words out column by column in as few lines as fit, as Python's `cmd` does."""
    for rows in range(1, len(words) + 1):
        grid = [words[start : start + rows] for start in range(0, len(words), rows)]
        widths = [max(map(len, column)) for column in grid]
        if sum(widths) + 2 * (len(widths) - 1) <= width:
            break
    else:
        return "\n".join(words)
    lines = []
    for row in range(rows):
        cells = [column[row] if row < len(column) else "" for column in grid]
        while cells and not cells[-1]:
            cells.pop()
        lines.append("  ".join(f"{cell:<{widths[i]}}" for i, cell in enumerate(cells)))
    return "\n".join(lines)


def fault(error: Fault) -> str:
    """Return a fault as Python's own client shows it."""
    return f"<Fault {error.code}: {error.text!r}>"


def unexpected(error: BaseException) -> str:
    """Return the line for an error that no command has words for.

    Scripts look for its front; classes are called what they are called in Supervisor's client.
    """
    kind, text = repr(type(error)), str(error)
    if isinstance(error, Fault):
        kind, text = "<class 'xmlrpc.client.Fault'>", fault(error)
    elif isinstance(error, ProtocolError):
        kind = "<class 'xmlrpc.client.ProtocolError'>"
    file, line = "?", 0
    traceback = error.__traceback__
    while traceback is not None:
        file, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return f"error: {kind}, {text}: file: {file} line: {line}"


def denied(path: str, user: str, group: str | None) -> str:
    """Return who may use a socket, for somebody who may not."""
    who = dict.fromkeys(("root", user))
    members = "" if group is None else f" and the members of group {group}"
    return f"{path} is open only to {', '.join(who)}{members}"


def unreachable(url: str, error: BaseException) -> str | None:
    """Return how we say that nobody listens at a URL; None for any other error."""
    if isinstance(error, ConnectionRefusedError):
        return f"{url} refused connection"
    if isinstance(error, FileNotFoundError):
        return f"{url} no such file"
    return None
