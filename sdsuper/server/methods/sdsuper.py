"""What Supervisor does not have, in a namespace of its own."""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sdsuper import __version__
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.usage import resources
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.history import Struct, history_info, output_info
from sdsuper.server.lookup import find_process
from sdsuper.server.registry import Registry, method
from sdsuper.values import Namespec

if TYPE_CHECKING:
    from sdsuper.rpc.structs import UsageInfo
else:
    UsageInfo = dict  # that is all it is; what is declared of structs takes 80 KiB


@method("sdsuper.getVersion", while_stopping=True)
def get_version(_daemon: Daemon) -> str:
    """Return the version of sdsuper itself.

    Returns:
        the version, as a string
    """
    return __version__


@method("sdsuper.getIncarnation", while_stopping=True)
def get_incarnation(daemon: Daemon) -> dict[str, object]:
    """Return which daemon this is of those that had the same programs, one after another.

    Returns:
        a struct with the keys number (1 is the one that started them), how (start, re-exec, or
        adoption after a crash), version, pid, and replacing (whether another is about to take over)
    """
    return {
        "number": daemon.incarnation.number,
        "how": daemon.incarnation.how,
        "version": __version__,
        "pid": os.getpid(),
        "replacing": daemon.making_way,
    }


@method("sdsuper.getEventPools")
def get_event_pools(daemon: Daemon) -> list[dict[str, object]]:
    """Return how the pools of event listeners are.

    Returns:
        an array of structs with the keys name, events (that wait), buffer_size and dropped
    """
    return [
        {
            "name": pool.name,
            "events": pool.waiting,
            "buffer_size": pool.config.buffer_size,
            "dropped": pool.dropped,
        }
        for pool in daemon.pools.all()
    ]


@method("sdsuper.getStatus", faults=(FaultCode.UNKNOWN_METHOD,))
def get_status(registry: Registry) -> dict[str, object]:
    """Return what `status` shows of every process, by group and name.

    It is a sixth of what getAllProcessInfo returns. It is not there (UNKNOWN_METHOD) where
    that is a plugin's: whoever asks is to ask the plugin.

    Returns:
        a struct of arrays, of each the same place is one process: group, name, statename and
        description
    """
    if "supervisor.getAllProcessInfo" not in registry.methods:
        raise Fault(FaultCode.UNKNOWN_METHOD)
    return registry.infos.columns()  # type: ignore[return-value]


@method("sdsuper.getUsage")
def get_usage(daemon: Daemon) -> list[UsageInfo]:
    """Return what the processes that run take, each with all that descends from it.

    Where a process has a cgroup of its own, the kernel has counted: CPU seconds also of children
    that are gone, memory with the page cache, and time that was lost in waiting (pressure). What
    the kernel does not count there, and what has no cgroup, is summed up from /proc.

    Returns:
        an array of structs with the keys name, group, pid, processes, memory (bytes, a double),
        cpu (seconds), tasks (threads, -1 if unknown), pressure (structs cpu, memory and io with
        some and full: percent of the last 10 seconds) and cgroup (its directory, or empty)
    """
    found = []
    for process in daemon.manager.processes.values():
        if not process.pid:
            continue
        cgroup = daemon.cgroup(process.name)
        taken = resources(process.pid, cgroup)
        if taken is not None:
            found.append(
                UsageInfo(
                    name=process.name.process,
                    group=process.name.group,
                    pid=process.pid,
                    processes=taken.processes,
                    memory=float(taken.memory),
                    cpu=taken.cpu,
                    tasks=-1 if taken.tasks is None else taken.tasks,
                    pressure={each: dict(waits) for each, waits in taken.pressure.items()},
                    cgroup="" if cgroup is None else cgroup.path,
                )
            )
    return found


@method("sdsuper.getProcessHistory", faults=(FaultCode.BAD_NAME,), while_stopping=True)
def get_process_history(daemon: Daemon, name: str) -> dict[str, object]:
    """Return why a process is as it is: what it waits for, its latest exits, and who asked.

    Args:
        name: name of the process (or group:name)

    Returns:
        a struct, see below
    """
    found = find_process(daemon, name)
    process = daemon.manager.processes[found]
    return history_info(
        process,
        daemon.manager.histories.get(found, ()),
        daemon.strays_of(process),
        _output(daemon, found),
        daemon.now(),
    )


def _output(daemon: Daemon, name: Namespec) -> dict[str, Struct]:
    kept = daemon.last_output(name)
    output = {channel: output_info(data, journal=False) for channel, data in kept.items()}
    for channel in ("stdout", "stderr"):
        if channel not in output and daemon.is_in_journal_alone(name, channel):
            output[channel] = output_info(b"", journal=True)
    return output
