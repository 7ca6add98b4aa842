"""Whether what an earlier daemon left can be gone on with: all of it is read, nothing is done."""

from __future__ import annotations

from sdsuper.daemon.execute import decode_edge, decode_held, decode_invocations, decode_sockets
from sdsuper.daemon.handover import Inheritance
from sdsuper.daemon.pools import decode_pools
from sdsuper.daemon.records import restored_config, restored_manager
from sdsuper.daemon.service import SERVICE, SERVICE_CODEC
from sdsuper.handover import store


def check(left: Inheritance) -> None:
    """Read all of it, as the parts of a daemon do when they go on with it.

    Raises:
        HandoverError: Something does not fit.
    """
    restored_config(left)
    manager = restored_manager(left)
    decode_edge(left)
    decode_held(left)
    decode_sockets(left)
    decode_invocations(left, manager)
    decode_pools(left)
    SERVICE_CODEC.decode(left.records.get(SERVICE), SERVICE)


def check_descriptor(fd: int) -> None:
    """Read all of a snapshot that another daemon wrote.

    Raises:
        HandoverError: Something does not fit.
        OSError: /proc cannot be read.
    """
    found = store.read(fd, store.boot_id())
    check(Inheritance(found.records, {}, found.generation, in_place=True))
