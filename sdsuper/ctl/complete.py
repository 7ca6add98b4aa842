"""What the TAB key offers in the shell. Pure: a line so far in, candidates out.

What an action takes is read off its usage: `<name>` is a process, `<group>` a group, `<action>`
an action. Candidates and their order are Supervisor's.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sdsuper.ctl.commands import Command
    from sdsuper.rpc.structs import ProcessInfo


def candidates(
    line: str,
    text: str,
    commands: Iterable[Command],
    infos: Callable[[], Sequence[ProcessInfo]],
) -> list[str]:
    """Return what the word under the cursor may become, each with a blank behind it.

    Args:
        line: All that is typed so far.
        text: The word under the cursor, as far as it is typed.
        commands: What can be typed; those without usage are not offered.
        infos: Asks the daemon for the processes; called only where they are wanted.
    """
    listed = [command for command in commands if command.forms]
    words = line.split()
    if not words or (len(words) == 1 and not line[-1].isspace()):
        found = [command.name for command in listed]
    else:
        usage = next((_usage(command) for command in listed if command.name == words[0]), "")
        if "<name>" in usage:
            found = _processes(infos(), text)
        elif "<group>" in usage:
            found = list(dict.fromkeys(info["group"] for info in infos()))
        elif "<action>" in usage:
            found = [command.name for command in listed]
        else:
            found = []
    return [f"{name} " for name in found if name.startswith(text)]


def _usage(command: Command) -> str:
    return " ".join(form for form, _ in command.forms)


def _processes(infos: Sequence[ProcessInfo], text: str) -> list[str]:
    found = []
    for info in infos:
        group, name = info["group"], info["name"]
        if ":" in text or name != group:
            found += [f"{group}:{name}", f"{group}:*"]
        else:
            found.append(name)
    return list(dict.fromkeys(found))
