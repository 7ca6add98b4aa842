"""Commands about the daemon itself, the connection, and the shell."""

from __future__ import annotations

import sdsuper
from sdsuper.ctl import render
from sdsuper.ctl.commands import command
from sdsuper.ctl.commands.process import status
from sdsuper.ctl.control import Status
from sdsuper.rpc.client import ProtocolError
from sdsuper.rpc.faults import Fault, FaultCode

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.ctl.control import Control

ALREADY_SHUTTING_DOWN = "ERROR: already shutting down"

REEXEC_SECONDS = 30.0
"""How long the next daemon is waited for."""

_LOOK_SECONDS = 0.05
_NOT_REPLACED = "ERROR: not replaced, everything goes on: "


@command(("reload", "restart the daemon and with it every process"), checks=False)
def reload(control: Control, words: list[str]) -> None:
    """Restart the daemon."""
    if words:
        control.misused(reload, "Error: reload accepts no arguments")
        return
    if not control.confirms("Really restart the remote supervisord process y/N? "):
        return
    try:
        control.call("restart")
    except Fault as error:
        if error.code == FaultCode.SHUTDOWN_STATE:
            control.fail(Status.FAILED, ALREADY_SHUTTING_DOWN)
        elif error.code == FaultCode.CANT_REREAD:
            control.fail(Status.FAILED, f"ERROR: {error.text}")
        else:
            raise
        return
    control.print("Restarted supervisord")


@command(("reexec", "let the installed version take over; programs go on"))
def reexec(control: Control, words: list[str]) -> None:
    """Let the code on disk take the daemon's place."""
    if words:
        control.misused(reexec, "Error: reexec accepts no arguments")
        return
    try:
        before = _incarnation(control)
        control.client.call("sdsuper.reexec")
    except Fault as error:
        if error.code == FaultCode.UNKNOWN_METHOD:
            control.fail(Status.FAILED, "ERROR: this daemon cannot re-exec")
        elif error.code == FaultCode.FAILED:
            control.fail(Status.FAILED, f"{_NOT_REPLACED}{error.detail}")
        else:
            raise
        return
    after = _next_incarnation(control, before["number"])
    if after is None:
        control.fail(Status.FAILED, "ERROR: no daemon answers any more")
    elif after["number"] <= before["number"]:
        control.fail(Status.FAILED, f"{_NOT_REPLACED}its log says why (maintail)")
    else:
        control.print(f"sdsuperd {after['version']} has taken over")


def _incarnation(control: Control) -> dict[str, Any]:
    found: Any = control.client.call("sdsuper.getIncarnation")
    return dict(found)


def _next_incarnation(control: Control, number: int) -> dict[str, Any] | None:
    """Wait until the daemon is another than that of a number, or is to stay; return which it is.

    None: there is none.
    """
    import time

    until = time.monotonic() + REEXEC_SECONDS
    while time.monotonic() < until:
        try:
            # On the same connection, which is handed on.
            found = _incarnation(control)
        except (OSError, ProtocolError):  # the next one died, and systemd starts another
            control.client.close()
        else:
            if found["number"] > number or not found["replacing"]:
                return found
        time.sleep(_LOOK_SECONDS)
    return None


@command(("shutdown", "stop every process, then the daemon"), checks=False)
def shutdown(control: Control, words: list[str]) -> None:
    """Shut the daemon down."""
    if words:
        control.misused(shutdown, "Error: shutdown accepts no arguments")
        return
    if not control.confirms("Really shut the remote supervisord process down y/N? "):
        return
    try:
        control.call("shutdown")
    except Fault as error:
        if error.code != FaultCode.SHUTDOWN_STATE:
            raise
        control.print(ALREADY_SHUTTING_DOWN)
    except (ConnectionRefusedError, FileNotFoundError) as error:
        text = render.unreachable(control.settings.url, error)
        control.fail(Status.FAILED, f"ERROR: {text} (already shut down?)")
    else:
        control.print("Shut down")


@command(
    ("version", "print the version that the daemon reports"),
    ("version --verbose", "and which versions of sdsuper are at both ends"),
)
def version(control: Control, words: list[str]) -> None:
    """Print versions."""
    if words and words != ["--verbose"]:
        control.misused(version, "Error: version accepts no arguments")
        return
    reported = control.call("getSupervisorVersion")
    if not words:
        control.print(reported)
        return
    control.print(f"reported: {reported}")
    control.print(f"sdsuperctl: {sdsuper.__version__}")
    try:
        own = str(control.client.call("sdsuper.getVersion"))
    except Fault as error:
        if error.code != FaultCode.UNKNOWN_METHOD:
            raise
        own = "not this daemon"
    control.print(f"sdsuperd: {own}")


@command(("open <url>", "turn to another daemon: unix:///path, http://host:port"), checks=False)
def open_(control: Control, words: list[str]) -> None:
    """Turn to another daemon and show its status."""
    url = " ".join(words)
    if not url.startswith(("http:", "unix:")):
        control.fail(Status.FAILED, "ERROR: url must be http:// or unix://")
        return
    control.open(url)
    before = control.status
    if control.server_is_up():
        status.run(control, "")
    control.status = before


@command(("exit", "leave the shell"), checks=False)
def exit_(control: Control, _words: list[str]) -> None:
    """Leave the shell."""
    control.print("")
    control.ended = True


@command(("quit", "leave the shell"), checks=False)
def quit_(control: Control, words: list[str]) -> None:
    """Leave the shell."""
    exit_.act(control, words)


@command(checks=False)
def EOF(control: Control, words: list[str]) -> None:  # noqa: N802 - what the shell reads at the end
    """Leave the shell."""
    exit_.act(control, words)


@command(("help", "list what can be typed"), ("help <action>", "say how it is used"), checks=False)
def help_(control: Control, words: list[str]) -> None:
    """Say what can be typed."""
    if not words:
        listed = (name for name, found in control.commands.items() if found.forms)
        control.print(render.help_list(name for name in listed if name != "help"))
        for plugin in control.plugins:
            control.print(render.help_list(plugin.documented, plugin.name))
        return
    topic = " ".join(words)
    found = control.commands.get(topic)
    if found is not None and found.forms:
        control.print(found.help)
    elif not any(plugin.explains(topic) for plugin in control.plugins):
        control.print(f"*** No help on {topic}")
