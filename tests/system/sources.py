"""A machine on which the daemon is a service, run from the sources: no package is built for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.system.container import Container
from tests.system.tree import install

UNIT = "sdsuperd.service"

# One file for all: where journald begins a new one under a flood it was seen to keep a line twice,
# those of plain units as well.
_ROOM = """\
[Journal]
Storage=persistent
SystemMaxUse=4G
SystemMaxFileSize=1G
RateLimitIntervalSec=0
"""


@contextmanager
def service_machine(suite: str, programs: str) -> Iterator[Container]:
    """Boot a machine with a service that is not started yet, and a journal that has room.

    Args:
        suite: The release it runs.
        programs: What its configuration says beside how to reach it.
    """
    with Container(suite) as made:
        install(made, programs)
        made.write("/etc/systemd/journald.conf.d/room.conf", _ROOM)
        made.systemctl("restart", "systemd-journald")
        yield made
