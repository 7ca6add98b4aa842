"""Descriptors that systemd passes to a daemon that it starts: sd_listen_fds(3), read purely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

FIRST_FD = 3
"""SD_LISTEN_FDS_START."""

FDS_MAX = 65536
"""More than any store or socket unit passes: a number above it is not believed."""

UNNAMED = "unknown"
"""What sd_listen_fds_with_names(3) calls a descriptor without a name."""


class Passed(NamedTuple):
    """One descriptor, and the name it was stored or configured under."""

    fd: int
    name: str


def passed(environ: Mapping[str, str], pid: int) -> tuple[Passed, ...]:
    """Return the descriptors that were passed to this process.

    Args:
        environ: Its environment; what does not make sense counts as nothing passed.
        pid: Its pid: descriptors that were passed to another process are not ours.
    """
    try:
        meant_for, count = int(environ["LISTEN_PID"]), int(environ["LISTEN_FDS"])
    except (KeyError, ValueError):
        return ()
    if meant_for != pid or not 0 < count <= FDS_MAX:
        return ()
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [UNNAMED] * (count - len(names))
    return tuple(Passed(FIRST_FD + index, names[index] or UNNAMED) for index in range(count))


def runtime_directory(environ: Mapping[str, str], pid: int) -> str | None:
    """Return the first of the service's RuntimeDirectory=, None where systemd made none for us.

    Args:
        environ: Our environment. A process further down inherits the variable too: where systemd
            says which process it started (since version 248), that must be us.
        pid: Our pid.
    """
    if environ.get("SYSTEMD_EXEC_PID", str(pid)) != str(pid):
        return None
    return environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or None
