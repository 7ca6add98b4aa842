"""Control groups, version 2 (cgroups(7)): where we are in the tree, whether it is ours to use.

Text is read purely; what touches the file system is `Cgroup`, one directory of that tree, and the
look at the marks of delegation. Reads and writes go through plain descriptors: a buffered file
tells an error only when it is closed, where it is easily lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

DAEMON = "daemon"
"""Where the daemon lives below its unit's cgroup: DelegateSubgroup= in the unit has this name."""

DELEGATED = ("trusted.delegate", "user.delegate")
"""Extended attributes by which systemd marks what it delegates (CGROUP_DELEGATION)."""

NAME_BYTES = 120
"""Longest half of a name: NAME_MAX is 255 for both and the colon between them."""

_MOUNT_ROOT, _MOUNT_POINT = 3, 4  # fields of /proc/PID/mountinfo (proc(5))
_READ_BYTES = 65536
_LINKS_WITHOUT_CHILDREN = 2
_UNSAFE = re.compile(rb"[^A-Za-z0-9_.@+=-]")


class Mount(NamedTuple):
    """Where the unified hierarchy is mounted.

    Attributes:
        point: The directory.
        root: What of the hierarchy is seen there, as a path in it.
    """

    point: str
    root: str


def unified_mounts(mountinfo: str) -> list[Mount]:
    """Return where version 2 is mounted; of what is mounted over another, only what is seen.

    On a host that also uses version 1 that is mostly /sys/fs/cgroup/unified.

    Args:
        mountinfo: /proc/self/mountinfo.
    """
    found: dict[str, Mount] = {}
    for line in mountinfo.splitlines():
        fields, separator, tail = line.partition(" - ")
        words = fields.split(" ")
        if separator and tail.startswith("cgroup2 ") and len(words) > _MOUNT_POINT:
            point = _unescaped(words[_MOUNT_POINT])
            found[point] = Mount(point, _unescaped(words[_MOUNT_ROOT]))
    return list(found.values())


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def own_path(cgroup: str) -> str | None:
    """Return the path of a process in the unified hierarchy, None where it is in none.

    Args:
        cgroup: /proc/PID/cgroup.
    """
    for line in cgroup.splitlines():
        if line.startswith("0::/"):
            return line.removeprefix("0::").removesuffix(" (deleted)")
    return None


def directory(mount: Mount, path: str) -> str | None:
    """Return the directory of a cgroup, None where the mount does not show it."""
    root = mount.root.rstrip("/")
    inside = path == root or path.startswith(f"{root}/")
    if not inside or ".." in path.split("/"):
        return None
    return f"{mount.point}{path.removeprefix(root)}".rstrip("/")


def escape(name: str) -> str:
    """Return a name as a directory may have it; no two names become the same.

    A byte that is neither a letter nor a digit of ASCII nor one of `_.@+=-` becomes %XX, and what
    is too long is cut and gets a mark of the whole.
    """
    raw = os.fsencode(name)
    escaped = _UNSAFE.sub(lambda found: b"%%%02X" % ord(found[0]), raw).decode("ascii")
    if len(escaped) <= NAME_BYTES:
        return escaped
    import hashlib

    mark = hashlib.sha256(raw).hexdigest()[:32]
    return f"{escaped[: NAME_BYTES - len(mark) - 1]}~{mark}"


def process_name(group: str, process: str) -> str:
    """Return the name of a process's cgroup: the colon keeps it apart from the kernel's files."""
    return f"{escape(group)}:{escape(process)}"


def keyed(text: str) -> dict[str, str]:
    """Return the lines of a file such as cgroup.events: `populated 0`."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {key: value for key, _, value in pairs}


def pressure(text: str) -> dict[str, float]:
    """Return the share of the last 10 seconds that was lost in waiting, in percent.

    Args:
        text: A file such as memory.pressure: `some avg10=0.00 avg60=...`.

    Returns:
        "some" (at least one process waited), and "full" (all did) where the kernel tells it.
    """
    found = re.finditer(r"^(some|full) avg10=([0-9.]+)", text, re.MULTILINE)
    return {each[1]: float(each[2]) for each in found}


class Cgroup:
    """One cgroup, as a directory; it need not exist.

    Attributes:
        path: The directory.
    """

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Cgroup({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cgroup) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def child(self, name: str) -> Cgroup:
        """Return the cgroup of that name below this one."""
        return Cgroup(f"{self.path}/{name}")

    def exists(self) -> bool:
        """Whether it exists."""
        return os.path.isdir(self.path)

    def make(self) -> bool:
        """Make it, unless it is there; return whether it was made.

        Raises:
            OSError: It cannot be made.
        """
        try:
            os.mkdir(self.path)
        except FileExistsError:
            return False
        return True

    def reset(self) -> None:
        """Take away what processes have changed in a cgroup that was theirs and is empty now.

        A cgroup of their own below it, or a controller that they enabled, and no process
        could enter it any more; frozen, the next process would be so.
        """
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_nlink > _LINKS_WITHOUT_CHILDREN:
                for each in self.below():
                    with contextlib.suppress(OSError):
                        os.rmdir(each.path)
                for controller in self.enabled():
                    self.write("cgroup.subtree_control", f"-{controller}")
        self.thaw()

    def remove(self) -> bool:
        """Remove it and all cgroups below it; return whether it is gone.

        One that holds a process stays, and those above it.
        """
        for each in [*self.below(), self]:
            with contextlib.suppress(OSError):
                os.rmdir(each.path)
        return not self.exists()

    def children(self) -> list[Cgroup]:
        """Return the cgroups right below it."""
        try:
            with os.scandir(self.path) as entries:
                return [self.child(each.name) for each in entries if each.is_dir()]
        except OSError:
            return []

    def below(self) -> Iterator[Cgroup]:
        """Yield all cgroups below it, the deepest first."""
        for each in self.children():
            yield from each.below()
            yield each

    def read(self, name: str) -> str:
        """Return what one of its files says.

        Raises:
            OSError: There is none, or it may not be read.
        """
        fd = os.open(f"{self.path}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(fd, _READ_BYTES):
                parts.append(part)
        finally:
            os.close(fd)
        return b"".join(parts).decode(errors="replace")

    def write(self, name: str, value: str) -> None:
        """Write to one of its files.

        Raises:
            OSError: What the kernel answers: ENOENT for a controller that is not there, EBUSY for
                processes that are where none may be, EACCES for a file that is not there.
        """
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def look(self, name: str) -> str | None:
        """Return what one of its files says, None where there is none."""
        try:
            return self.read(name)
        except OSError:
            return None

    @property
    def populated(self) -> bool:
        """Whether any process lives in it or below it; zombies do not count.

        Raises:
            OSError: It cannot be told: descriptors ran out.
        """
        try:
            text = self.read("cgroup.events")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return False
            raise
        return keyed(text).get("populated") == "1"

    def pids(self) -> list[int]:
        """Return the processes in it, without those below it.

        What comes by fork while the list is made is in it: the kernel puts a new process at
        the end of the list that it walks along. So an empty list means that nothing is there.
        """
        text = self.look("cgroup.procs")
        if text is None:  # one that a program has made threaded tells its threads only
            text = self.look("cgroup.threads") or ""
        return [pid for pid in map(int, text.split()) if pid]  # 0: of another namespace

    def all_pids(self) -> list[int]:
        """Return the processes in it and below it."""
        return [pid for each in [*self.below(), self] for pid in each.pids()]

    def enter(self, pid: int) -> None:
        """Move a process into it (0: the one that calls). Its children do not come along.

        Raises:
            OSError: It cannot; ESRCH where it is gone.
        """
        self.write("cgroup.procs", str(pid))

    def thaw(self) -> None:
        """Let what was frozen go on; the flag would outlive the processes, and stop the next."""
        with contextlib.suppress(OSError):
            self.write("cgroup.freeze", "0")

    def controllers(self) -> frozenset[str]:
        """Return the controllers that it can hand on to the cgroups below it."""
        return frozenset((self.look("cgroup.controllers") or "").split())

    def enabled(self) -> frozenset[str]:
        """Return the controllers that it hands on to the cgroups below it."""
        return frozenset((self.look("cgroup.subtree_control") or "").split())


class Found(NamedTuple):
    """What came of the search for a cgroup that is ours to use.

    Attributes:
        unit: The cgroup that was delegated, None where none was.
        reason: Why there is none, "" where there is.
    """

    unit: Cgroup | None
    reason: str = ""


def find_delegated(
    pid: int,
    read: Callable[[str], str],
    is_delegated: Callable[[str], bool],
) -> Found:
    """Look for a cgroup that was delegated to us, and never guess.

    It is our own where it is marked as delegated; the one above where that is marked and ours is
    called `daemon` (systemd's DelegateSubgroup=, or we moved there before a re-exec); or that of
    PID 1 of a container, which has the tree that it sees for itself.

    Args:
        pid: Our pid.
        read: Returns the text of a file, raises OSError.
        is_delegated: Tells whether a directory carries the mark.
    """
    try:
        mounts = unified_mounts(read("/proc/self/mountinfo"))
        path = own_path(read("/proc/self/cgroup"))
    except OSError as error:
        return Found(None, f"{error.filename} cannot be read: {error.strerror}")
    if not mounts or path is None:
        return Found(None, "cgroups of version 2 are not mounted")
    seen = [(mount, own) for mount in mounts if (own := directory(mount, path)) is not None]
    if not seen:
        return Found(None, f"our cgroup {path} is outside of what is mounted at {mounts[0].point}")
    mount, own = seen[0]
    if is_delegated(own):
        return Found(Cgroup(own))
    above, _, leaf = own.rpartition("/")
    if leaf == DAEMON and (is_delegated(above) or (pid == 1 and above == mount.point)):
        return Found(Cgroup(above))
    if pid == 1 and own == mount.point and _is_readable(read, f"{own}/cgroup.events"):
        return Found(Cgroup(own))  # the root of the whole tree has no such file
    return Found(None, f"{path} is not delegated to us (Delegate=yes in the unit)")


def _is_readable(read: Callable[[str], str], path: str) -> bool:
    try:
        read(path)
    except OSError:
        return False
    return True


def is_delegated(path: str) -> bool:
    """Whether a directory carries systemd's mark of delegation."""
    for name in DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(path, name) == b"1":
                return True
    return False
