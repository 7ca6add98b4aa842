"""The configuration: read it again, and take groups in or out."""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

from sdsuper.core.states import STOPPED_STATES
from sdsuper.daemon.loop import Daemon
from sdsuper.errors import SdsuperError
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.caller import requester
from sdsuper.server.info import all_config_info
from sdsuper.server.registry import method


@method("supervisor.reloadConfig", faults=(FaultCode.CANT_REREAD,))
def reload_config(daemon: Daemon) -> list[object]:
    """Read the configuration again and tell what it would change. Nothing is started or stopped.

    Returns:
        an array with one element: [added, changed, removed], each an array of group names
    """
    try:
        changes = daemon.reread()
    except SdsuperError as error:
        raise Fault(FaultCode.CANT_REREAD, str(error)) from error
    return [[list(changes.added), list(changes.changed), list(changes.removed)]]


@method("supervisor.addProcessGroup", faults=(FaultCode.ALREADY_ADDED, FaultCode.BAD_NAME))
def add_process_group(daemon: Daemon, name: str) -> bool:
    """Make a group of the configuration read last active; its autostart programs start.

    Args:
        name: name of the group

    Returns:
        true, unless there is a fault
    """
    config = next((group for group in daemon.config.groups if group.name == name), None)
    if config is None:
        raise Fault(FaultCode.BAD_NAME, name)
    if name in daemon.manager.groups:
        raise Fault(FaultCode.ALREADY_ADDED, name)
    daemon.add_group(config, by=requester())
    return True


@method("supervisor.removeProcessGroup", faults=(FaultCode.STILL_RUNNING, FaultCode.BAD_NAME))
def remove_process_group(daemon: Daemon, name: str) -> bool:
    """Forget a group, all of whose processes are stopped.

    Args:
        name: name of the group

    Returns:
        true, unless there is a fault
    """
    group = daemon.manager.groups.get(name)
    if group is None:
        raise Fault(FaultCode.BAD_NAME, name)
    processes = daemon.manager.processes
    if any(processes[member].state not in STOPPED_STATES for member in group.names):
        raise Fault(FaultCode.STILL_RUNNING, name)
    daemon.remove_group(name)
    return True


@method("supervisor.getAllConfigInfo")
def get_all_config_info(daemon: Daemon) -> list[dict[str, object]]:
    """Return the configuration of every process as read last, active or not.

    Returns:
        an array of structs, by name of the process
    """
    return all_config_info(daemon, daemon.config.groups)
