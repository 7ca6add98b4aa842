"""Commands about output: read, follow and clear logs, talk to a process."""

from __future__ import annotations

from sdsuper.ctl import render
from sdsuper.ctl.commands import command
from sdsuper.ctl.commands.process import Verb, tell, tell_results
from sdsuper.ctl.control import Status
from sdsuper.rpc.client import ProtocolError
from sdsuper.rpc.faults import Fault, FaultCode

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdsuper.ctl.control import Control
    from sdsuper.rpc.client import Stream
    from sdsuper.rpc.structs import ProcessInfo

TAIL_BYTES = 1600
"""What `tail` shows without a number."""

FOLLOWED_MAX = 64
"""Logs that one `tail -f` follows; each takes one of the daemon's connections."""

PRESS_CTRL_C = "==> Press Ctrl-C to exit <=="
CHANNELS = ("stdout", "stderr")
CLEAR = Verb("clear", "cleared", {FaultCode.FAILED: "failed"}, tells_failed=False)

_LOG_ERRORS = {
    FaultCode.NO_FILE: "no log file",
    FaultCode.FAILED: "unknown error reading log",
}
_ENCODING = (
    "Warning: sys.stdout.encoding is set to %s, so Unicode output may fail. "
    "Check your LANG and PYTHONIOENCODING environment settings."
)
_UNQUOTED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/:*")


@command(
    ("tail <name> [stdout|stderr]", f"print the last {TAIL_BYTES} bytes of a log (of stdout)"),
    ("tail -<n> <name> [stdout|stderr]", "print the last n bytes; -0 prints everything"),
    ("tail -f <name> [stdout|stderr]", "print the log as it grows, until Ctrl-C"),
    ("tail -f <name> <name> ...", "print several, each line behind its name; also <group>:*"),
)
def tail(control: Control, words: list[str]) -> None:
    """Print the end of a process's log, or follow it."""
    if not words:
        control.misused(tail, "Error: too few arguments")
        return
    if words[0] == "-f" and _follow_several(control, words[1:]):
        return
    if len(words) > 3:
        control.misused(tail, "Error: too many arguments")
        return
    modifier = words.pop(0) if words[0].startswith("-") else None
    if not words:
        control.fail(Status.FAILED, "Error: tail requires process name")
        return
    channel = words[-1].lower() if len(words) > 1 else "stdout"
    if channel not in CHANNELS:
        control.fail(Status.FAILED, f"Error: bad channel {channel!r}")
        return
    name = words[0]
    if modifier == "-f":
        _follow(control, f"/logtail/{quote(name)}/{channel}")
        return
    length = _length(control, modifier)
    if length is not None:
        errors = {**_LOG_ERRORS, FaultCode.BAD_NAME: "no such process name"}
        _read(control, f"readProcess{channel.capitalize()}Log", name, length, errors)


@command(
    ("maintail", f"print the last {TAIL_BYTES} bytes of the daemon's own log"),
    ("maintail -<n>", "print the last n bytes; -0 prints everything"),
    ("maintail -f", "print the log as it grows, until Ctrl-C"),
)
def maintail(control: Control, words: list[str]) -> None:
    """Print the end of the daemon's own log, or follow it."""
    if len(words) > 1:
        control.misused(maintail, "Error: too many arguments")
        return
    modifier = words[0] if words else None
    if modifier == "-f":
        _follow(control, "/mainlogtail")
        return
    length = _length(control, modifier)
    if length is not None:
        _read(control, "readLog", None, length, _LOG_ERRORS)


def _length(control: Control, modifier: str | None) -> int | None:
    """Return the number of `-N`; None after saying that it is none."""
    if modifier is None:
        return TAIL_BYTES
    try:
        if modifier.startswith("-"):
            return int(modifier[1:])
    except ValueError:
        pass
    control.fail(Status.FAILED, f"Error: bad argument {modifier}")
    return None


def _read(
    control: Control, method: str, name: str | None, length: int, errors: dict[int, str]
) -> None:
    _warn_of_encoding(control)
    params = (-length, 0) if name is None else (name, -length, 0)
    try:
        text = control.call(method, *params)
    except Fault as error:
        if error.code not in errors:
            raise
        told = errors[error.code]
        if error.code == FaultCode.FAILED and error.detail:  # Supervisor has none
            told = error.detail
        control.fail(Status.FAILED, f"{name or 'supervisord'}: ERROR ({told})")
        return
    control.print(text)


def _warn_of_encoding(control: Control) -> None:
    if not control.encoding.lower().startswith("utf"):
        control.print(_ENCODING % control.encoding)


def quote(name: str) -> str:
    """Return a name as it stands in a URL's path."""
    data = name.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNQUOTED else f"%{byte:02X}" for byte in data)


def _follow(control: Control, path: str) -> None:
    """Print a log as it grows, until Ctrl-C or until the server goes away."""
    _warn_of_encoding(control)
    try:
        control.print(PRESS_CTRL_C)
        stream = _open_stream(control, path)
        try:
            while stream is not None and not stream.ended:
                control.out.write(stream.read())
        finally:
            if stream is not None:
                stream.close()
    except KeyboardInterrupt:
        control.print("")


def _follow_several(control: Control, words: list[str]) -> bool:
    """Follow the logs that are named, if they are several; return whether they are."""
    has_channel = len(words) > 1 and words[-1].lower() in CHANNELS
    typed, channel = (words[:-1], words[-1].lower()) if has_channel else (words, CHANNELS[0])
    if len(typed) < 2 and not any(render.split_namespec(word)[1] is None for word in typed):
        return False
    infos = control.call("getAllProcessInfo")
    named = {word: _matching(infos, word) for word in typed}
    if len(words) == 2 and not named.get(words[1], True):
        return False  # a channel, misspelt
    for word, names in named.items():
        if not names:
            control.fail(Status.FAILED, f"{word}: ERROR (no such process name)")
    followed = list(dict.fromkeys(name for names in named.values() for name in names))
    if len(followed) > FOLLOWED_MAX:
        text = f"Error: too many logs to follow: {len(followed)}, at most {FOLLOWED_MAX}"
        control.fail(Status.FAILED, text)
    elif followed:
        _follow_labelled(control, followed, channel)
    return True


def _matching(infos: Sequence[ProcessInfo], word: str) -> list[str]:
    """Return the names of the processes that a word means."""
    group, name = render.split_namespec(word)
    return [
        render.namespec(group, info["name"])
        for info in infos
        if info["group"] == group and name in {None, info["name"]}
    ]


def _follow_labelled(control: Control, names: Sequence[str], channel: str) -> None:
    """Print logs as they grow, each line behind its process's name."""
    from sdsuper.ctl.streams import show_labelled

    streams: dict[str, Stream] = {}
    try:
        control.print(PRESS_CTRL_C)
        for name in names:
            stream = _open_stream(control, f"/logtail/{quote(name)}/{channel}")
            if stream is not None:
                streams[name] = stream
        show_labelled(control.out, streams)
    except KeyboardInterrupt:
        control.print("")
    finally:
        for stream in streams.values():
            stream.close()


def _open_stream(control: Control, path: str) -> Stream | None:
    """Return a log's stream; None after saying on stderr why there is none."""
    url = control.settings.url + path
    try:
        return control.client.stream(path)
    except ProtocolError as error:
        if error.status == 401:
            raise
        control.errors.line(f"{url} Cannot read, status code {error.status}")
    except OSError as error:
        control.errors.line(f"{url} Cannot connect, error: {type(error)} ({error})")
    control.fail(Status.FAILED)
    return None


@command(
    ("clear <name> ...", "empty the logs of processes"),
    ("clear <group>:*", "empty the logs of all processes of a group"),
    ("clear all", "empty the logs of every process"),
)
def clear(control: Control, words: list[str]) -> None:
    """Empty the logs of processes."""
    if not words:
        control.misused(clear, "Error: clear requires a process name")
        return
    if "all" in words:
        tell_results(control, CLEAR, control.call("clearAllProcessLogs"))
        return
    for word in words:
        group, name = render.split_namespec(word)
        names = _members(control, group) if name is None else [render.namespec(group, name)]
        for shown in names:
            _clear_one(control, shown)


def _members(control: Control, group: str) -> list[str]:
    names = _matching(control.call("getAllProcessInfo"), f"{group}:*")
    if not names:
        control.fail(Status.FAILED, f"{group}: ERROR (no such group)")
    return names


def _clear_one(control: Control, name: str) -> None:
    try:
        control.call("clearProcessLogs", name)
    except Fault as error:
        tell(control, CLEAR, name, error.code, error.text)
    else:
        tell(control, CLEAR, name, FaultCode.SUCCESS, "")


@command(("fg <name>", "see what a process prints, send it what you type; Ctrl-C to exit"))
def fg(control: Control, words: list[str]) -> None:
    """Connect the terminal with a process."""
    if not words:
        control.misused(fg, "ERROR: no process name supplied")
        return
    if len(words) > 1:
        control.fail(Status.FAILED, "ERROR: too many process names supplied")
        return
    name = words[0]
    try:
        info = control.call("getProcessInfo", name)
    except Fault as error:
        if error.code == FaultCode.BAD_NAME:
            control.fail(Status.FAILED, "ERROR: bad process name supplied")
        else:
            control.print(f"ERROR: {render.fault(error)}")
        return
    if info["statename"] != "RUNNING":
        control.fail(Status.FAILED, "ERROR: process not running")
        return
    from sdsuper.ctl.foreground import EXITING, exchange

    streams: list[Stream] = []
    try:
        control.print(PRESS_CTRL_C)
        before = control.status
        for channel in CHANNELS:
            stream = _open_stream(control, f"/logtail/{quote(name)}/{channel}")
            if stream is not None:
                streams.append(stream)
        control.status = before  # a process may well have one log only
        control.print(exchange(control, name, list(streams)))
    except KeyboardInterrupt:
        control.print(EXITING)
    finally:
        for stream in streams:
            stream.close()
