"""What Supervisor does not have, in a namespace of its own."""

from __future__ import annotations

from sdsuper import __version__
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.usage import resources
from sdsuper.rpc.structs import UsageInfo
from sdsuper.server.registry import method


@method("sdsuper.getVersion", while_stopping=True)
def get_version(_daemon: Daemon) -> str:
    """Return the version of sdsuper itself.

    Returns:
        the version, as a string
    """
    return __version__


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
