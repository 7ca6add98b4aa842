"""Commands about what is configured: compare, apply, add, remove."""

from __future__ import annotations

from sdsuper.ctl import render
from sdsuper.ctl.commands import command
from sdsuper.ctl.control import Status
from sdsuper.rpc.faults import Fault, FaultCode

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.ctl.control import Control

SHUTTING_DOWN = "ERROR: supervisor shutting down"
ALREADY_SHUTTING_DOWN = "ERROR: already shutting down"


@command(("avail", "show every configured process, whether it is active or not"), checks=False)
def avail(control: Control, words: list[str]) -> None:
    """Show what is configured."""
    if words:
        control.misused(avail, "Error: avail accepts no arguments")
        return
    try:
        infos = control.call("getAllConfigInfo")
    except Fault as error:
        if error.code != FaultCode.SHUTDOWN_STATE:
            raise
        control.fail(Status.FAILED, SHUTTING_DOWN)
        return
    if control.settings.json:
        control.print(render.as_json(render.avail_json(infos)))
    elif infos:
        control.print(render.avail_table(infos))


@command(("reread", "read the files again and show what changed; apply nothing"), checks=False)
def reread(control: Control, words: list[str]) -> None:
    """Read the configuration again and show what changed."""
    if words:
        control.misused(reread, "Error: reread accepts no arguments")
        return
    try:
        ((added, changed, removed),) = control.call("reloadConfig")
    except Fault as error:
        _tell_reread(control, error, SHUTTING_DOWN)
        return
    if control.settings.json:
        value = {"added": added, "changed": changed, "removed": removed}
        control.print(render.as_json(value))
    else:
        control.print(render.changes(added, changed, removed))


def _tell_reread(control: Control, error: Fault, shutting_down: str) -> None:
    if error.code == FaultCode.SHUTDOWN_STATE:
        control.fail(Status.FAILED, shutting_down)
    elif error.code == FaultCode.CANT_REREAD:
        control.fail(Status.FAILED, f"ERROR: {error.text}")
    else:
        raise error


@command(
    ("update", "read the files again and apply what changed, restarting what must be"),
    ("update all", "the same"),
    ("update <group> ...", "apply it for these groups only"),
    ("update --keep ...", "the same; what was up or down by hand stays so"),
    ("update --dry-run ...", "tell what would be restarted, and what would not; apply nothing"),
    checks=False,
)
def update(control: Control, words: list[str]) -> None:
    """Read the configuration again and apply what changed."""
    option = words.pop(0) if words[:1] in (["--keep"], ["--dry-run"]) else ""
    try:
        ((added, changed, removed),) = control.call("reloadConfig")
    except Fault as error:
        _tell_reread(control, error, ALREADY_SHUTTING_DOWN)
        return
    wanted = set() if "all" in words else set(words)
    if wanted:
        known = {info["group"] for info in control.call("getAllProcessInfo")} | set(added)
        for name in sorted(wanted - known):
            control.fail(Status.FAILED, f"ERROR: no such group: {name}")
    if option:
        _update_as_one(control, option, wanted or {*added, *changed, *removed})
    elif not _update_as_one(control, "", wanted or {*added, *changed, *removed}):
        _update_by_group(control, wanted, added, changed, removed)


def _update_by_group(
    control: Control, wanted: set[str], added: list[str], changed: list[str], removed: list[str]
) -> None:
    """Apply what changed with the calls that every supervisord knows."""
    for name in removed:
        if (not wanted or name in wanted) and _take_down(control, name):
            control.print(f"{name}: removed process group")
    for name in changed:
        if (not wanted or name in wanted) and _take_down(control, name):
            control.call("addProcessGroup", name)
            control.print(f"{name}: updated process group")
    for name in added:
        if not wanted or name in wanted:
            control.call("addProcessGroup", name)
            control.print(f"{name}: added process group")


def _update_as_one(control: Control, option: str, groups: set[str]) -> bool:
    """Let the daemon apply what changed, and say what that was; return whether it knows how."""
    if not groups:
        return True
    method = "sdsuper.updateGroups" if option != "--dry-run" else "sdsuper.planUpdate"
    tell = _tell_update if option != "--dry-run" else _tell_plan
    params: list[Any] = [sorted(groups)] if option else [sorted(groups), False]
    try:
        changes: Any = control.outlast(lambda: control.client.call(method, *params))
    except Fault as error:
        if error.code not in (FaultCode.UNKNOWN_METHOD, FaultCode.INCORRECT_PARAMETERS):
            raise
        if option:
            control.fail(Status.FAILED, f"ERROR: this daemon knows no update {option}")
        return False
    for each in changes:
        tell(control, each)
    return True


def _tell_update(control: Control, change: dict[str, Any]) -> None:
    """Say what became of a group; where all of it has stopped, as Supervisor does."""
    name, kind = change["name"], change["change"]
    if kind in ("removed", "changed", "kept"):
        control.print(f"{name}: stopped")
    if kind == "kept":
        control.fail(Status.FAILED, f"{name}: has problems; not removing")
        return
    if kind == "updated":
        for process in (*change["removed"], *change["restarted"]):
            control.print(f"{name}:{process}: stopped")
    if kind == "live" or (kind == "updated" and change["live_options"]):
        control.print(f"{name}: changed in place{_because_of(change['live_options'])}")
    if kind != "live":
        done = "updated" if kind == "changed" else kind
        control.print(f"{name}: {done} process group")


def _tell_plan(control: Control, change: dict[str, Any]) -> None:
    """Say what an update would do with a group, in one line."""
    name, kind = change["name"], change["change"]
    if kind in ("added", "removed"):
        control.print(f"{name}: would be {kind}")
        return
    parts = [
        f"would {verb} {', '.join(names)}{_because_of(options)}"
        for verb, names, options in (
            ("remove", change["removed"], []),
            ("restart", change["restarted"], change["restart_options"]),
            ("add", change["added"], []),
        )
        if names
    ]
    if kind == "live" or change["live_options"]:
        parts.append(f"would change in place{_because_of(change['live_options'])}")
    control.print(f"{name}: {'; '.join(parts)}")


def _because_of(options: list[str]) -> str:
    return f" ({', '.join(options)})" if options else ""


def _take_down(control: Control, group: str) -> bool:
    """Stop and remove a group; return whether that worked."""
    results = control.outlast(lambda: control.call("stopProcessGroup", group))
    control.print(f"{group}: stopped")
    if any(result["status"] == FaultCode.FAILED for result in results):
        control.fail(Status.FAILED, f"{group}: has problems; not removing")
        return False
    control.call("removeProcessGroup", group)
    return True


@command(("add <group> ...", "make groups active that the last reread found"), checks=False)
def add(control: Control, words: list[str]) -> None:
    """Make groups active."""
    for name in words:
        try:
            control.call("addProcessGroup", name)
        except Fault as error:
            _tell_add(control, name, error)
        else:
            control.print(f"{name}: added process group")


def _tell_add(control: Control, name: str, error: Fault) -> None:
    if error.code == FaultCode.SHUTDOWN_STATE:
        control.fail(Status.FAILED, "ERROR: shutting down")
    elif error.code == FaultCode.ALREADY_ADDED:
        control.print("ERROR: process group already active")
    elif error.code == FaultCode.BAD_NAME:
        control.fail(Status.FAILED, f"ERROR: no such process/group: {name}")
    else:
        raise error


@command(("remove <group> ...", "forget groups whose processes are all stopped"), checks=False)
def remove(control: Control, words: list[str]) -> None:
    """Forget stopped groups."""
    for name in words:
        try:
            control.call("removeProcessGroup", name)
        except Fault as error:
            _tell_remove(control, name, error)
        else:
            control.print(f"{name}: removed process group")


def _tell_remove(control: Control, name: str, error: Fault) -> None:
    if error.code == FaultCode.STILL_RUNNING:
        control.fail(Status.FAILED, f"ERROR: process/group still running: {name}")
    elif error.code == FaultCode.BAD_NAME:
        control.fail(Status.FAILED, f"ERROR: no such process/group: {name}")
    else:
        raise error
