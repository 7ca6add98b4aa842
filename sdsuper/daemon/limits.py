"""Resource limits: what the configuration demands, what we use, what children get.

The daemon raises its own soft limit of descriptors as far as it may, since it holds several for
each program. Children must not inherit that: software that uses select(2), or that walks all
possible descriptors at start, breaks or crawls under a large soft limit. They get what a
child of Supervisor would get: the soft limit the daemon was started with, raised to `minfds`.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

from sdsuper.errors import UsageError

_RESERVED = 2
"""Low descriptors kept free for a spawn: the standard library's error pipe needs two below the
children's limit while that limit is in force."""


def demand(limit: int, wanted: int) -> bool:
    """Raise the soft limit (and the hard one where lower) to `wanted`.

    Args:
        limit: `resource.RLIMIT_NOFILE` or `resource.RLIMIT_NPROC`.
        wanted: `minfds` or `minprocs`.

    Returns:
        Whether it had to be raised.

    Raises:
        UsageError: The limit may not be raised that far.
    """
    soft, hard = resource.getrlimit(limit)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return False
    new_hard = hard if hard == resource.RLIM_INFINITY or hard >= wanted else wanted
    try:
        resource.setrlimit(limit, (wanted, new_hard))
    except (ValueError, OSError):
        raise UsageError(_REFUSALS[limit].format(wanted=wanted, hard=hard)) from None
    return True


_REFUSALS = {
    resource.RLIMIT_NOFILE: (
        "The minimum number of file descriptors required to run this process is {wanted} as per "
        'the "minfds" command-line argument or config file setting. The current environment will '
        "only allow you to open {hard} file descriptors. Allow more (LimitNOFILE= of the unit, "
        "ulimit -n) or set a lower minfds."
    ),
    resource.RLIMIT_NPROC: (
        "The minimum number of available processes required to run this program is {wanted} as "
        'per the "minprocs" command-line argument or config file setting. The current '
        "environment will only allow you to open {hard} processes. Allow more (LimitNPROC= of "
        "the unit, ulimit -u) or set a lower minprocs."
    ),
}


class DescriptorLimit:
    """Our own soft limit of descriptors, and the children's."""

    def __init__(self) -> None:
        self._children = resource.getrlimit(resource.RLIMIT_NOFILE)
        hard = self._children[1]
        self._own = (hard, hard)
        self._reserved: list[int] = []

    def raise_own(self) -> None:
        """Take for the daemon all that the hard limit allows."""
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._own)
        except (ValueError, OSError):
            self._own = self._children
        if self._own != self._children:
            self._reserve()

    @contextlib.contextmanager
    def for_child(self, *, reserve: bool = True) -> Iterator[None]:
        """While inside, a child that is made gets the children's limit.

        Args:
            reserve: Whether descriptors are needed inside.
        """
        if self._own == self._children:
            yield
            return
        if reserve:
            self._release()
        resource.setrlimit(resource.RLIMIT_NOFILE, self._children)
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._own)
            if reserve:
                self._reserve()

    def close(self) -> None:
        """Give back the reserve and restore the limit that was found."""
        self._release()
        if self._own != self._children:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._children)
            self._own = self._children

    def _reserve(self) -> None:
        with contextlib.suppress(OSError):  # a full table: the next spawn tells it
            while len(self._reserved) < _RESERVED:
                self._reserved.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))

    def _release(self) -> None:
        while self._reserved:
            os.close(self._reserved.pop())
