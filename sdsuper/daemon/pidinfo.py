"""How a process ended that is no child of ours: PIDFD_GET_INFO (ioctl_pidfd(2), Linux 6.15)."""

from __future__ import annotations

import enum
import fcntl
import struct
from typing import Literal

_PIDFD_GET_INFO = 0xC040FF0B  # _IOWR(0xFF, 11, 64 bytes), linux/pidfd.h
_SIZE = 64
_INFO_PID, _INFO_EXIT = 1, 8
_EXIT_CODE_AT = 60


class Unavailable(enum.Enum):
    """Why there is no status.

    Attributes:
        NOT_REAPED: It lives, or its parent has not waited for it yet.
        UNKNOWN: The kernel does not tell.
    """

    NOT_REAPED = "not reaped"
    UNKNOWN = "unknown"


NOT_REAPED: Literal[Unavailable.NOT_REAPED] = Unavailable.NOT_REAPED
UNKNOWN: Literal[Unavailable.UNKNOWN] = Unavailable.UNKNOWN


def status(pidfd: int) -> int | Unavailable:
    """Return the wait status (wait(2)) of the process that a descriptor stands for."""
    info = bytearray(_SIZE)
    struct.pack_into("<Q", info, 0, _INFO_PID | _INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info, True)
    except OSError:  # ENOTTY, EINVAL: before 6.13; ESRCH: reaped, and 6.13 or 6.14
        return UNKNOWN
    (mask,) = struct.unpack_from("<Q", info, 0)
    if not mask & _INFO_EXIT:
        return NOT_REAPED
    code: int = struct.unpack_from("<i", info, _EXIT_CODE_AT)[0]
    return code
