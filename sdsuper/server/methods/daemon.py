"""The daemon as a whole: who it is, how it is, and its end."""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

import os

from sdsuper import SUPERVISOR_VERSION
from sdsuper.core.events import RemoteCommunication
from sdsuper.daemon.loop import Daemon
from sdsuper.errors import HandoverError, SdsuperError
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.caller import requester
from sdsuper.server.registry import method

API_VERSION = "3.0"
"""The version of the `supervisor` namespace; supervisorctl refuses any other."""


@method("supervisor.getAPIVersion", "supervisor.getVersion")
def get_api_version(_daemon: Daemon) -> str:
    """Return the version of this interface.

    Returns:
        the version, as a string
    """
    return API_VERSION


@method("supervisor.getSupervisorVersion")
def get_supervisor_version(_daemon: Daemon) -> str:
    """Return the version of Supervisor that this daemon is compatible with.

    Returns:
        the version, as a string
    """
    return SUPERVISOR_VERSION


@method("supervisor.getIdentification")
def get_identification(daemon: Daemon) -> str:
    """Return the identifier of the daemon (`identifier=`), to tell several of them apart.

    Returns:
        the identifier
    """
    return daemon.settings.identifier


@method("supervisor.getState")
def get_state(daemon: Daemon) -> dict[str, object]:
    """Return the state of the daemon as a code and a name.

    Returns:
        a struct with the keys statecode (int) and statename (string)
    """
    state = daemon.manager.state
    return {"statecode": int(state), "statename": state.name}


@method("supervisor.getPID")
def get_pid(_daemon: Daemon) -> int:
    """Return the pid of the daemon.

    Returns:
        the pid
    """
    return os.getpid()


@method("supervisor.shutdown")
def shutdown(daemon: Daemon) -> bool:
    """Stop all processes in order, then the daemon. Does not wait for it.

    Returns:
        always true
    """
    daemon.request_shutdown(requester())
    return True


@method("supervisor.restart", faults=(FaultCode.CANT_REREAD,))
def restart(daemon: Daemon) -> bool:
    """Stop all processes and start anew with the configuration read again. Does not wait.

    Nothing is stopped when the configuration does not load.

    Returns:
        always true
    """
    try:
        daemon.request_restart(requester())
    except SdsuperError as error:
        raise Fault(FaultCode.CANT_REREAD, str(error)) from error
    return True


@method("sdsuper.reexec", faults=(FaultCode.FAILED,))
async def reexec(daemon: Daemon) -> bool:
    """Let the code on disk take over in the daemon's process, after an upgrade; programs go on.

    Returns when that code has agreed. When it does not, everything goes on as it was. That it has
    taken over is told by `sdsuper.getIncarnation`. Connections on which nothing is under way stay
    open; calls that take more than 2 seconds from then on are answered with HTTP status 503.

    Returns:
        always true
    """
    try:
        await daemon.make_way()
    except HandoverError as error:
        raise Fault(FaultCode.FAILED, str(error)) from error
    return True


@method("supervisor.sendRemoteCommEvent", while_stopping=True)
def send_remote_comm_event(daemon: Daemon, type: object, data: object) -> bool:  # noqa: A002
    """Send an event to the listeners that subscribed to REMOTE_COMMUNICATION.

    Args:
        type: what the event is about
        data: what it says

    Returns:
        always true
    """
    daemon.publish(RemoteCommunication(str(type), str(data)))
    return True
