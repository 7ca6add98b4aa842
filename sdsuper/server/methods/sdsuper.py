"""What Supervisor does not have, in a namespace of its own."""

from __future__ import annotations

from sdsuper import __version__
from sdsuper.daemon.loop import Daemon
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
