"""Commands about processes: see, start, stop, signal them."""

from __future__ import annotations

from sdsuper.ctl import render
from sdsuper.ctl.commands import command
from sdsuper.ctl.control import Status
from sdsuper.rpc.faults import Fault, FaultCode

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sdsuper.ctl.control import Control
    from sdsuper.rpc.structs import ProcessHistory, ProcessInfo, Result, UsageInfo

DOWN_STATES = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})
"""The names of STOPPED_STATES; a test holds them to it. Its module takes 5 ms to import."""


OUR_SERVER = "sdsuper"
"""What sdsuperd calls itself over HTTP; a proxy in between may hide it."""

LAST_OUTPUT_BYTES = 2048
"""What `why` reads of a channel that is in the journal alone."""


class Verb:
    """Something done to processes, and how each outcome reads.

    Attributes:
        method: The front of its RPC methods: `⟨method⟩Process`, `Group` and `AllProcesses`.
        done: The word for success.
        texts: What is said in brackets, by fault.
        ignored: The fault that leaves the exit status alone.
        unknown_group: The exit status for a group that is not there.
        tells_failed: Whether the text of FAILED is shown as the server sent it.
    """

    def __init__(
        self,
        method: str,
        done: str,
        texts: dict[int, str],
        *,
        ignored: int = FaultCode.SUCCESS,
        unknown_group: int = Status.FAILED,
        tells_failed: bool = True,
    ) -> None:
        self.method = method
        self.done = done
        self.texts = {FaultCode.BAD_NAME: "no such process", **texts}
        self.ignored = ignored
        self.unknown_group = unknown_group
        self.tells_failed = tells_failed

    def line(self, name: str, code: int, text: str) -> str:
        """Return what is printed for one process.

        Raises:
            ValueError: It is an outcome that this verb does not have.
        """
        if code == FaultCode.SUCCESS:
            return f"{name}: {self.done}"
        if code == FaultCode.FAILED and self.tells_failed:
            return text
        if code not in self.texts:
            raise ValueError(f"Unknown result code {code} for {name}")
        return f"{name}: ERROR ({self.texts[code]})"


START = Verb(
    "start",
    "started",
    {
        FaultCode.NO_FILE: "no such file",
        FaultCode.NOT_EXECUTABLE: "file is not executable",
        FaultCode.ALREADY_STARTED: "already started",
        FaultCode.SPAWN_ERROR: "spawn error",
        FaultCode.ABNORMAL_TERMINATION: "abnormal termination",
    },
    ignored=FaultCode.ALREADY_STARTED,
    unknown_group=Status.USAGE,
    tells_failed=False,
)
STOP = Verb(
    "stop", "stopped", {FaultCode.NOT_RUNNING: "not running"}, ignored=FaultCode.NOT_RUNNING
)
SIGNAL = Verb(
    "signal",
    "signalled",
    {FaultCode.NOT_RUNNING: "not running", FaultCode.BAD_SIGNAL: "bad signal name"},
)

NOT_RUNNING_FAULTS = (FaultCode.SPAWN_ERROR, FaultCode.ABNORMAL_TERMINATION, FaultCode.NOT_RUNNING)


def status_of(code: int, ignored: int | None = None) -> int:
    """Return the exit status that an outcome means, 0 for one that leaves it alone."""
    if code in {FaultCode.SUCCESS, ignored}:
        return Status.OK
    return Status.NOT_RUNNING if code in NOT_RUNNING_FAULTS else Status.FAILED


def tell(control: Control, verb: Verb, name: str, code: int, text: str) -> None:
    """Print what became of one process, and set the exit status by it."""
    control.print(verb.line(name, code, text))
    if status := status_of(code, verb.ignored):
        control.fail(status)


def tell_results(control: Control, verb: Verb, results: Sequence[Result]) -> None:
    """The same for each process of a group or of all."""
    for result in results:
        name = render.namespec(result["group"], result["name"])
        tell(control, verb, name, result["status"], result["description"])


def _apply(control: Control, verb: Verb, names: Sequence[str], *params: object) -> None:
    """Do something to each process or group that is named, one after the other, or to all."""
    if "all" in names:
        tell_results(control, verb, control.call(f"{verb.method}AllProcesses", *params))
        return
    for typed in names:
        group, name = render.split_namespec(typed)
        if name is None:
            _apply_to_group(control, verb, group, *params)
        else:
            _apply_to_one(control, verb, group, name, *params)


def _apply_to_group(control: Control, verb: Verb, group: str, *params: object) -> None:
    try:
        results = control.call(f"{verb.method}ProcessGroup", group, *params)
    except Fault as error:
        if error.code != FaultCode.BAD_NAME:
            raise
        control.fail(verb.unknown_group, f"{group}: ERROR (no such group)")
        return
    tell_results(control, verb, results)


def _apply_to_one(control: Control, verb: Verb, group: str, name: str, *params: object) -> None:
    shown = render.namespec(group, name)
    code, text = FaultCode.SUCCESS, ""
    try:
        control.call(f"{verb.method}Process", shown, *params)
    except Fault as error:
        code, text = error.code, error.text
    tell(control, verb, shown, code, text)


@command(
    ("status", "show every process"),
    ("status <name> ...", "show these processes"),
    ("status <group>:*", "show all processes of a group"),
    unreachable_status=Status.UNKNOWN,
)
def status(control: Control, words: list[str]) -> None:
    """Show state and description of processes."""
    infos = _infos(control)
    if words and "all" not in words:
        infos = _select(control, infos, words)
    if control.settings.json:
        control.print(render.as_json(render.status_json(infos)))
    elif infos:
        control.print(render.status_table(infos))
    if any(info["statename"] in DOWN_STATES for info in infos):
        control.fail(Status.DOWN)


def _infos(control: Control) -> list[ProcessInfo]:
    """Return what is shown of every process, in whole where JSON is.

    Ours tells just that in a sixth of the bytes; an older one of ours does not know how.
    """
    if control.client.server == OUR_SERVER and not control.settings.json:
        try:
            columns: Any = control.client.call("sdsuper.getStatus")
        except Fault as error:
            if error.code != FaultCode.UNKNOWN_METHOD:
                raise
        else:
            rows: Any = zip(*columns.values(), strict=True)
            return [dict(zip(columns, row, strict=True)) for row in rows]  # type: ignore[misc]
    infos: list[ProcessInfo] = control.call("getAllProcessInfo")
    return infos


def _select(control: Control, infos: list[ProcessInfo], words: list[str]) -> list[ProcessInfo]:
    shown = []
    out = control.errors if control.settings.json else control.out
    for word in words:
        group, name = render.split_namespec(word)
        found = [info for info in infos if info["group"] == group and name in {None, info["name"]}]
        shown += found
        if not found:
            text = f"{group}: ERROR (no such group)"
            out.line(text if name is None else f"{word}: ERROR (no such process)")
            control.fail(Status.UNKNOWN)
    return shown


@command(
    ("usage", "show what every process takes: memory, CPU, time lost in waiting"),
    ("usage <name> ...", "show it of these processes"),
    ("usage <group>:*", "show it of all processes of a group"),
    unreachable_status=Status.UNKNOWN,
)
def usage(control: Control, words: list[str]) -> None:
    """Show what processes take, each with all that descends from it."""
    infos: list[ProcessInfo] = control.call("getAllProcessInfo")
    if words and "all" not in words:
        infos = _select(control, infos, words)
    try:
        told: Any = control.client.call("sdsuper.getUsage")
    except Fault as error:
        if error.code != FaultCode.UNKNOWN_METHOD:
            raise
        control.fail(Status.FAILED, "ERROR: this daemon does not tell (it is no sdsuperd)")
        return
    taken: dict[tuple[str, str], UsageInfo] = {(each["group"], each["name"]): each for each in told}
    rows = [(info, taken.get((info["group"], info["name"]))) for info in infos]
    if control.settings.json:
        control.print(render.as_json(render.usage_json(rows)))
    elif rows:
        control.print(render.usage_table(rows))


@command(
    ("why <name> ...", "tell what these processes wait for, how they ended last, and who asked"),
    ("why <group>:*", "the same of all processes of a group"),
    ("why all", "the same of every process"),
    unreachable_status=Status.UNKNOWN,
)
def why(control: Control, words: list[str]) -> None:
    """Tell why processes are as they are."""
    if not words:
        control.misused(why, "Error: why requires a process name")
        return
    infos: list[ProcessInfo] = control.call("getAllProcessInfo")
    if "all" not in words:
        infos = _select(control, infos, words)
    found: list[ProcessHistory] = []
    for info in infos:
        name = render.namespec(info["group"], info["name"])
        try:
            told: Any = control.client.call("sdsuper.getProcessHistory", name)
            found.append(told)
        except Fault as error:
            if error.code == FaultCode.UNKNOWN_METHOD:
                control.fail(
                    Status.FAILED, "ERROR: this daemon keeps no history (it is no sdsuperd)"
                )
                return
            if error.code != FaultCode.BAD_NAME:
                raise
            control.fail(Status.UNKNOWN, f"{name}: ERROR (no such process)")
    if control.settings.json:
        control.print(render.as_json([_with_output(control, each) for each in found]))
        return
    from sdsuper.ctl.why import as_text, by_number

    user = _user_name if control.settings.url.startswith("unix://") else by_number
    for position, each in enumerate(found):
        control.print("\n" * (position > 0) + as_text(each, _last_output(control, each), user))


def _with_output(control: Control, found: ProcessHistory) -> dict[str, object]:
    name = render.namespec(found["group"], found["name"])
    return {"namespec": name, **found, "output": _last_output(control, found)}


def _last_output(control: Control, found: ProcessHistory) -> dict[str, str]:
    """Return the end of what a process wrote, by channel, from the journal where it is there."""
    name = render.namespec(found["group"], found["name"])
    output = {}
    for channel, kept in found["output"].items():
        output[channel] = str(kept["text"])
        if kept["journal"]:
            method = f"readProcess{channel.capitalize()}Log"
            try:
                output[channel] = control.call(method, name, -LAST_OUTPUT_BYTES, 0)
            except Fault:
                continue  # `tail` tells what is wrong with the journal
    return output


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@command(
    ("start <name> ...", "start processes, each once the one before it is up"),
    ("start <group>:*", "start all processes of a group at once"),
    ("start all", "start every process at once"),
)
def start(control: Control, words: list[str]) -> None:
    """Start processes and wait until they are up."""
    if not words:
        control.misused(start, "Error: start requires a process name", Status.USAGE)
    else:
        _apply(control, START, words)


@command(
    ("stop <name> ...", "stop processes, one after the other"),
    ("stop <group>:*", "stop all processes of a group at once"),
    ("stop all", "stop every process at once"),
)
def stop(control: Control, words: list[str]) -> None:
    """Stop processes and wait until they are down."""
    if not words:
        control.misused(stop, "Error: stop requires a process name")
    else:
        _apply(control, STOP, words)


@command(
    ("restart <name> ...", "stop all of these, then start them"),
    ("restart <group>:*", "the same for all processes of a group"),
    ("restart all", "the same for every process"),
    ("Files are not read again: see update and reread.", ""),
)
def restart(control: Control, words: list[str]) -> None:
    """Stop processes, then start them."""
    if not words:
        control.misused(restart, "Error: restart requires a process name")
    else:
        control.outlast(lambda: stop.act(control, words))
        start.act(control, words)


@command(
    ("signal <signal> <name> ...", "send a signal, by name or number, to processes"),
    ("signal <signal> <group>:*", "send it to all processes of a group"),
    ("signal <signal> all", "send it to every process"),
)
def signal(control: Control, words: list[str]) -> None:
    """Send a signal to processes."""
    if len(words) < 2:
        text = "Error: signal requires a signal name and a process name"
        control.misused(signal, text)
    else:
        number, *names = words
        _apply(control, SIGNAL, names, number)


@command(
    ("pid", "print the daemon's process id"),
    ("pid <name> ...", "print a process's id, 0 if it is not running"),
    ("pid all", "print every process's id"),
)
def pid(control: Control, words: list[str]) -> None:
    """Print process ids."""
    if not words:
        control.print(str(control.call("getPID")))
        return
    if "all" in words:
        for info in control.call("getAllProcessInfo"):
            control.print(str(info["pid"]))
        return
    for word in words:
        try:
            number = control.call("getProcessInfo", word)["pid"]
        except Fault as error:
            if error.code != FaultCode.BAD_NAME:
                raise
            control.fail(Status.FAILED, f"No such process {word}")
            continue
        control.print(str(number))
        if number == 0:
            control.fail(Status.NOT_RUNNING)
