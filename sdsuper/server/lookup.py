"""Names as clients send them -> processes and groups."""

from __future__ import annotations

from sdsuper.daemon.loop import Daemon
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.values import Namespec


def find_process(daemon: Daemon, name: str) -> Namespec:
    """Return the process that `name` or `group:name` means.

    Raises:
        Fault: BAD_NAME; also for a whole group.
    """
    group, process = _split(name)
    found = Namespec(group, process or "")
    if process is None or found not in daemon.manager.processes:
        raise Fault(FaultCode.BAD_NAME, name)
    return found


def find_members(daemon: Daemon, name: str) -> tuple[Namespec, ...] | None:
    """Return the processes that `group:*` or `group:` means, None for any other name.

    Raises:
        Fault: BAD_NAME, for a group that is not active.
    """
    group, process = _split(name)
    if process is not None:
        return None
    found = daemon.manager.groups.get(group)
    if found is None:
        raise Fault(FaultCode.BAD_NAME, name)
    return found.names


def find_group(daemon: Daemon, name: str) -> tuple[Namespec, ...]:
    """Return the processes of a group.

    Raises:
        Fault: BAD_NAME, when it is not active.
    """
    found = daemon.manager.groups.get(name)
    if found is None:
        raise Fault(FaultCode.BAD_NAME, name)
    return found.names


def full_name(name: Namespec) -> str:
    """Return the name by which results of group methods call a process."""
    return str(name)


def _split(name: str) -> tuple[str, str | None]:
    """Split a name; the process is None for a whole group. A bare word is its own group."""
    group, colon, process = name.partition(":")
    if not colon:
        return name, name
    return group, None if process in {"", "*"} else process
