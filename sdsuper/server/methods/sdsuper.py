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
