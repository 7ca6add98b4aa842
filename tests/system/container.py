"""A booted systemd to install into, break and reboot: one container, thrown away at the end.

    with Container("bookworm") as machine:
        machine.write("/etc/systemd/system/x.service", UNIT)
        machine.systemctl("start", "x")
        assert "ready" in machine.journal("x")

A root of the distribution is bootstrapped once and cached. Each container boots from an overlay
over it, with its writes in memory, in a cgroup of its own (two that shared one would kill each
other's processes) and with a network of its own (the same ports are free in each).

The cache is `$SDSUPER_CACHE`, or `~/.cache/sdsuper`. A root is made anew when the list of packages
changes, and each month.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.integration.harness import wait_until

_T = TypeVar("_T")

SUITES = ("bookworm", "trixie")
"""Releases of Debian whose systemd is as old as RHEL 9's (252), and as new as RHEL 10's (257)."""

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3", "iproute2", "procps", "dnf", "rpm",
    "libpam-systemd", "dbus-user-session",
    "python3-systemd",
)  # fmt: skip

BUILDER_PACKAGES = (
    "rpm", "gcc", "libc6-dev", "python3-dev", "libsystemd-dev", "pkg-config",
    "bash-completion", "zsh", "fish", "man-db",
)  # fmt: skip
"""What builds the package for a release, and what tries its completions and manual pages."""

_LEAN = [
    f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale", "info")
]

_CGROUPS = Path("/sys/fs/cgroup")
_BOOT_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0
_BUILD_TIMEOUT = 280.0  # below the time-out of the test that happens to be the first
_RUN_TIMEOUT = 120.0
_ENVIRONMENT = ("env", "-i", "HOME=/root", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin")

_ENTER_CGROUPS = 'for each in $CGROUPS; do echo $$ >"$each/cgroup.procs"; done; exec "$@"'

_numbers = itertools.count(1)


class CommandError(Exception):
    """A command in a container ended with another status than 0."""


class BootError(Exception):
    """A container did not come up."""


def hierarchies() -> list[Path]:
    """Return the cgroup trees that systemd uses: two where the host is hybrid, else one."""
    hybrid = [_CGROUPS / name for name in ("unified", "systemd")]
    return [path for path in hybrid if (path / "cgroup.procs").exists()] or [_CGROUPS]


def can_boot() -> bool:
    """Whether this machine can run a container at all."""
    tools = ("systemd-nspawn", "mmdebstrap", "nsenter")
    return (
        os.geteuid() == 0
        and all(shutil.which(tool) for tool in tools)
        and all(os.access(path / "cgroup.procs", os.W_OK) for path in hierarchies())
    )


def cache_folder() -> Path:
    """Return the folder of what is slow to make."""
    return Path(os.environ.get("SDSUPER_CACHE") or Path.home() / ".cache" / "sdsuper")


def root_of(suite: str, packages: Sequence[str] = PACKAGES) -> Path:
    """Return the pristine root of a release, made now if it is not in the cache."""
    key = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    month = dt.datetime.now(dt.UTC).strftime("%Y-%m")
    root = cache_folder() / "roots" / f"{suite}-{key}-{month}"
    root.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{root}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _bootstrap(suite, root, packages)
    return root


def _bootstrap(suite: str, root: Path, packages: Sequence[str]) -> None:
    unfinished = root.with_name(f"{root.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = ["mmdebstrap", "--variant=minbase", "--format=directory", *_LEAN]
    command += [f"--include={','.join(packages)}", suite, str(unfinished)]
    done = subprocess.run(
        command, capture_output=True, check=False, encoding="utf-8", timeout=_BUILD_TIMEOUT
    )
    if done.returncode:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise BootError(f"cannot bootstrap {suite}:\n{done.stderr}")
    unfinished.rename(root)


class Container:
    """One machine that runs systemd.

    Attributes:
        suite: The release it runs.
        root: Its file system as seen from outside.
    """

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self._name = f"sdsuper-{os.getpid()}-{next(_numbers)}"
        self._stack = contextlib.ExitStack()
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self._cgroups: list[Path] = []
        self.root = Path()

    # --- life ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._folder = Path(tempfile.mkdtemp(prefix="sdsuper-", dir="/tmp"))
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self.root = self._mount(stack, root_of(self.suite))
            # Without an identity of its own it would take each boot for the very first.
            self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n")
            self._cgroups = [path / self._name for path in hierarchies()]
            for path in self._cgroups:
                stack.callback(_remove_cgroup, path)
            stack.callback(self._end)
            self._boot()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _mount(self, stack: contextlib.ExitStack, lower: Path) -> Path:
        memory, root = self._folder / "memory", self._folder / "root"
        memory.mkdir()
        root.mkdir()
        _do("mount", "-t", "tmpfs", "tmpfs", str(memory))
        stack.callback(_unmount, memory)
        upper, work = memory / "upper", memory / "work"
        upper.mkdir()
        work.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        _do("mount", "-t", "overlay", "overlay", "-o", options, str(root))
        stack.callback(_unmount, root)
        return root

    def _boot(self) -> None:
        """Start PID 1 in cgroups of its own and wait until it is up.

        Raises:
            BootError: It came to nothing.
        """
        for path in self._cgroups:
            path.mkdir(exist_ok=True)
        command = ["systemd-nspawn", "--directory", str(self.root), "--machine", self._name]
        command += ["--private-network", "--register=no", "--keep-unit"]
        command += ["--kill-signal=SIGRTMIN+3", "--boot"]
        with open(self._folder / "console", "ab") as console:
            self._nspawn = subprocess.Popen(
                ["sh", "-c", _ENTER_CGROUPS, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={
                    "PATH": os.environ["PATH"],
                    "CGROUPS": " ".join(map(str, self._cgroups)),
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                },
            )
        try:
            wait_until(self._is_up, _BOOT_TIMEOUT, f"{self.suite} is up")
        except AssertionError as error:
            raise BootError(f"{error}\n{self._console()}") from None

    def _console(self) -> str:
        return (self._folder / "console").read_text(encoding="utf-8", errors="replace")

    def _is_up(self) -> bool:
        if self._nspawn is None or self._nspawn.poll() is not None:
            raise BootError(self._console())
        if self.leader() is None:
            return False
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def leader(self) -> int | None:
        """Return the pid of the container's PID 1 as the host numbers it."""
        if self._nspawn is None:
            return None
        ours = os.readlink("/proc/self/ns/pid")
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
            for pid in children.read_text(encoding="ascii").split():
                if os.readlink(f"/proc/{pid}/ns/pid") != ours:
                    return int(pid)
        return None

    def reboot(self) -> None:
        """Restart the machine in an orderly way and wait until it is up again."""
        if self._nspawn is None:
            raise CommandError("the container does not run")
        # The connection may be closed by the reboot itself before the answer.
        self.run("systemctl", "reboot", check=False)
        self._nspawn.wait(_STOP_TIMEOUT)  # it leaves it to its caller to start it again
        self._boot()

    def poweroff(self) -> None:
        """Shut the machine down in an orderly way."""
        if self._nspawn is not None:
            self.run("systemctl", "poweroff", check=False)
            self._nspawn.wait(_STOP_TIMEOUT)

    def _end(self) -> None:
        """End it, in an orderly way if possible."""
        if self._nspawn is None:
            return
        try:
            if self.leader() is not None:
                self.poweroff()
        except (subprocess.TimeoutExpired, CommandError):
            leader = self.leader()
            if leader is not None:
                os.kill(leader, signal.SIGKILL)
        try:
            self._nspawn.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._nspawn = None

    # --- commands -----------------------------------------------------------------------------

    def run(
        self,
        *command: str,
        check: bool = True,
        stdin: str = "",
        timeout: float = _RUN_TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, with a plain environment.

        Args:
            command: The command and its words.
            check: Whether another status than 0 is an error.
            stdin: What it reads.
            timeout: Seconds it may take.

        Raises:
            CommandError: Its status was not 0; the text shows all that it said.
        """
        leader = self.leader()
        if leader is None:
            raise CommandError("the container does not run")
        done = subprocess.run(
            ["nsenter", "-t", str(leader), "-a", "--", *_ENVIRONMENT, *command],
            input=stdin,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise CommandError(f"{' '.join(command)}: status {done.returncode}\n{said}")
        return done

    def systemctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl and return what it printed."""
        return self.run("systemctl", "--no-pager", *words, check=check).stdout

    def show(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.systemctl("show", "--value", "--property", name, unit).strip()

    def journal(self, unit: str, *words: str) -> str:
        """Return the messages of a unit, all that was written until now."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit, *words).stdout

    def wait(self, condition: Callable[[], _T], what: str, timeout: float = 20) -> _T:
        """Wait until a condition holds; return what makes it true.

        Args:
            condition: Asked again and again.
            what: Named in the failure.
            timeout: Seconds until it counts as failed.
        """
        found: _T = wait_until(condition, timeout, what)
        return found

    # --- files --------------------------------------------------------------------------------

    def path(self, path: str) -> Path:
        """Return where a file of the container is found from outside."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Make or replace a file, its folders too."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return self.path(path).read_text(encoding="utf-8")

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file, or all that is in a folder."""
        if source.is_dir():
            shutil.copytree(source, self.path(target), dirs_exist_ok=True)
        else:
            shutil.copy2(source, self.path(target))


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_RUN_TIMEOUT)


def _unmount(path: Path) -> None:
    busy = subprocess.run(["umount", str(path)], capture_output=True, check=False)
    if busy.returncode:
        _do("umount", "--lazy", str(path))


def _deepest_first(top: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(top, topdown=False):
        yield Path(folder)


def _remove_cgroup(top: Path) -> None:
    """Remove a tree of cgroups; the kernel may take a moment to see that they are empty."""

    def gone() -> bool:
        for path in _deepest_first(top):
            with contextlib.suppress(OSError):
                path.rmdir()
        return not top.exists()

    if not top.exists():
        return
    with contextlib.suppress(OSError):
        (top / "cgroup.kill").write_text("1", encoding="ascii")
    wait_until(gone, _STOP_TIMEOUT, f"{top} is removed")


def processes(machine: Container, name: str) -> Sequence[int]:
    """Return the pids inside of all processes whose command line contains a text."""
    found = machine.run("pgrep", "-f", name, check=False).stdout
    return [int(pid) for pid in found.split()]
