"""Cgroups that tests delegate to daemons, as systemd does it for a unit with Delegate=yes."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sdsuper.daemon.leftovers import Watch, kill
from sdsuper.systemd.cgroup import DELEGATED, Cgroup, directory, own_path, unified_mounts

_NUMBERS = itertools.count()


def _own() -> str | None:
    """Return the directory of our own cgroup of version 2, None where there is none."""
    mounts = unified_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    path = own_path(Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    found = [directory(mount, path) for mount in mounts] if path is not None else []
    return next(filter(None, found), None)


def mount_point() -> Path:
    """Return where version 2 is mounted."""
    return Path(unified_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))[0].point)


@functools.cache
def can_delegate() -> bool:
    """Whether we may make cgroups, mark them as delegated, and move processes into them."""
    try:
        with delegated() as path:
            return (path / "cgroup.kill").exists()
    except OSError:
        return False


@contextlib.contextmanager
def delegated(*, marked: bool = True) -> Iterator[Path]:
    """Make a cgroup beside ours; end all that is left in it, and remove it.

    Args:
        marked: Whether it carries the mark of delegation.

    Raises:
        OSError: It cannot be made.
    """
    own = _own()
    if own is None or os.geteuid() != 0:
        raise PermissionError
    cgroup = Cgroup(f"{own}/sdsuper-test-{os.getpid()}-{next(_NUMBERS)}")
    os.mkdir(cgroup.path)
    try:
        if marked:
            os.setxattr(cgroup.path, DELEGATED[1], b"1")
        yield Path(cgroup.path)
    finally:
        with contextlib.closing(Watch(cgroup)) as watch:
            kill(cgroup)
            gone = watch.wait(20)
        assert gone, f"{cgroup.path} is not empty: {cgroup.all_pids()}"
        assert cgroup.remove()


def inside(path: Path) -> Sequence[str]:
    """Return a command in front of another's that makes it run in a cgroup."""
    return ["/bin/sh", "-c", f'echo 0 >{path}/cgroup.procs && exec "$@"', "sh"]
