"""A machine with a kernel of its own, for what containers here cannot have: cgroup controllers.

    with VirtualMachine() as machine:
        install(machine, PROGRAMS)
        machine.boot()
        machine.systemctl("start", "sdsuperd")

The root of a container (see container.py), without what no test of it needs, is the initial file
system of the kernel: there is no disk. What is written before the boot comes on top of it. Commands
are run by an agent that listens on the second serial line; the console is the first one.

It is slow where the processor is emulated, which works everywhere: seconds for what a container
does in tenths.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.harness import wait_until
from tests.system.container import CommandError, cache_folder, root_of

SUITE = "bookworm"
"""systemd 252, which can put nobody into a leaf of a delegated cgroup: the hard case."""

_PYTHON = (3, 11)
"""The Python of that release."""

_LEFT_OUT = (
    "./boot/*", "./var/cache/*", "./var/lib/apt/*", "./var/lib/dpkg/*", "./usr/share/*",
    "./usr/lib/python3/dist-packages/*", "./usr/lib/python3.*/test/*", "./usr/lib/*/gconv/*",
    "./usr/lib/*/perl*", "./usr/lib/udev/hwdb*", "./usr/lib/rpm/*", "./usr/lib/file/*",
    "./usr/bin/perl*", "./usr/bin/gpg*", "./usr/lib/*/libperl*", "./usr/lib/*/libicu*",
    "./usr/lib/*/libdnf*", "./usr/lib/*/librpm*", "./usr/lib/*/libapt*", "./usr/lib/*/libdb-*",
    "./usr/lib/*/libg[il]*-2*", "./usr/lib/*/libxml2*", "./usr/lib/*/libsqlite*",
    "./usr/lib/locale/*", "./usr/lib/terminfo/*", "./usr/lib/apt/*", "./usr/lib/gnupg/*",
    "./usr/lib/systemd/system-generators/*",
)  # fmt: skip
"""Of the root. Without its generators systemd is seconds faster; nothing here needs one."""

_KEPT = ("./usr/share/dbus-1*",)

_BOOT_SECONDS = 240.0
_COMMAND_SECONDS = 180.0  # emulated, on a machine that may be busy
_MEMORY_MIB = 1024

_AGENT = """\
import base64, json, subprocess, sys, tty
line = open("/dev/ttyS1", "r+b", buffering=0)
tty.setraw(line)
def answer(**fields):
    line.write(json.dumps(fields).encode() + b"\\n")
asked = b""
answer(ready=True)
while True:
    asked += line.read(4096)
    while b"\\n" in asked:
        request, _, asked = asked.partition(b"\\n")
        if not request.strip():
            continue
        wanted = json.loads(request)
        try:
            done = subprocess.run(
                wanted["command"], input=wanted["stdin"].encode(), capture_output=True,
                timeout=wanted["timeout"],
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            answer(status=-1, stdout="", stderr=repr(error))
        else:
            said = [base64.b64encode(text).decode() for text in (done.stdout, done.stderr)]
            answer(status=done.returncode, stdout=said[0], stderr=said[1])
"""

_AGENT_UNIT = """\
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/python3 -IS /agent.py
Environment=HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin
Slice=-.slice
"""

_MASKED = (
    "dbus.service", "dbus.socket", "dev-hugepages.mount", "dev-mqueue.mount",
    "e2scrub_reap.service", "getty.target", "kmod-static-nodes.service",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "systemd-journal-flush.service", "systemd-logind.service",
    "systemd-machine-id-commit.service", "systemd-modules-load.service", "systemd-networkd.service",
    "systemd-random-seed.service", "systemd-remount-fs.service", "systemd-sysctl.service",
    "systemd-sysusers.service", "systemd-timesyncd.service", "systemd-tmpfiles-setup-dev.service",
    "systemd-udev-trigger.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket",
    "systemd-udevd.service", "systemd-update-utmp-runlevel.service", "systemd-update-utmp.service",
    "systemd-user-sessions.service", "timers.target",
)  # fmt: skip


def kernel() -> Path | None:
    """Return the kernel that `scripts/prepare vm` has fetched."""
    found = sorted((cache_folder() / "vm").glob("vmlinuz-*"))
    return found[-1] if found else None


def can_run() -> bool:
    """Whether this machine can emulate another."""
    tools = ("qemu-system-x86_64", "cpio", "mmdebstrap")
    return os.geteuid() == 0 and kernel() is not None and all(map(shutil.which, tools))


class VirtualMachine:
    """One machine that is emulated; its files are written before it boots.

    Attributes:
        root: Where they are.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sdsuper-vm-", dir="/tmp"))
        self.root = self._folder / "root"
        self.root.mkdir()
        self._qemu: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            print(self.console())
        if self._line is not None:
            self._line.close()
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def boot(self) -> None:
        """Start it and wait until it takes commands."""
        self.write("/agent.py", _AGENT)
        self.write("/etc/systemd/system/agent.service", _AGENT_UNIT)
        self.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        wanted = self.path("/etc/systemd/system/sysinit.target.wants")
        wanted.mkdir(parents=True)
        (wanted / "agent.service").symlink_to("/etc/systemd/system/agent.service")
        for unit in _MASKED:
            (self.path("/etc/systemd/system") / unit).symlink_to("/dev/null")
        if sys.version_info[:2] == _PYTHON:
            _compile(self.root)
        initial = self._folder / "initrd"
        with initial.open("wb") as archive:
            with _root_archive().open("rb") as source:
                shutil.copyfileobj(source, archive)
            archive.flush()
            _pack(self.root, ["."], archive.fileno())
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with listener, (self._folder / "qemu").open("wb") as said:
            listener.bind(str(self._folder / "line"))
            listener.listen(1)
            listener.settimeout(_BOOT_SECONDS)
            self._qemu = subprocess.Popen(
                [
                    *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "Nehalem"),
                    *("-m", str(_MEMORY_MIB), "-smp", "2", "-nodefaults", "-no-reboot"),
                    *("-display", "none", "-kernel", str(kernel()), "-initrd", str(initial)),
                    *("-serial", f"file:{self._folder}/console"),
                    *("-serial", f"unix:{self._folder}/line"),
                    *("-append", _COMMAND_LINE),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            self._line, _ = listener.accept()
        self._answer(_BOOT_SECONDS)

    def console(self) -> str:
        """Return what the kernel and systemd wrote to the console."""
        texts = [self._folder / name for name in ("qemu", "console")]
        return "".join(
            path.read_text(encoding="utf-8", errors="replace") for path in texts if path.exists()
        )

    # --- commands -----------------------------------------------------------------------------

    def run(
        self,
        *command: str,
        check: bool = True,
        stdin: str = "",
        timeout: float = _COMMAND_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, with a plain environment; see Container.run."""
        assert self._line is not None, "it is not booted"
        request = {"command": command, "stdin": stdin, "timeout": timeout}
        self._line.sendall(json.dumps(request).encode() + b"\n")
        answer = self._answer(timeout + 10)
        stdout, stderr = (
            base64.b64decode(answer[name]).decode(errors="replace")
            if answer["status"] >= 0
            else answer[name]
            for name in ("stdout", "stderr")
        )
        if check and answer["status"]:
            raise CommandError(f"{' '.join(command)}: status {answer['status']}\n{stdout}{stderr}")
        return subprocess.CompletedProcess(command, answer["status"], stdout, stderr)

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._line is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            self._line.settimeout(max(0.01, deadline - time.monotonic()))
            part = self._line.recv(65536)
            if not part:
                raise CommandError(f"the machine has gone\n{self.console()}")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def systemctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl and return what it printed; before the boot there is nobody to tell."""
        if self._line is None:
            return ""
        return self.run("systemctl", "--no-pager", *words, check=check).stdout

    def journal(self, unit: str) -> str:
        """Return the messages of a unit, all that was written until now."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout

    def wait(self, condition: Any, what: str, timeout: float = _COMMAND_SECONDS) -> Any:
        """Return the first true value of a condition."""
        return wait_until(condition, timeout, what)

    # --- files --------------------------------------------------------------------------------

    def path(self, path: str) -> Path:
        """Return where a file of the machine is written before it boots."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Make or replace a file, its folders too; before the boot."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file, or all that is in a folder; before the boot."""
        self.path(target).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("tests")
            shutil.copytree(source, self.path(target), dirs_exist_ok=True, ignore=ignored)
        else:
            shutil.copy2(source, self.path(target))

    def read(self, path: str) -> str:
        """Return the text of a file of the machine that runs, "" where there is none."""
        return self.run("cat", path, check=False).stdout


_COMMAND_LINE = (
    "console=ttyS0 quiet panic=-1 rdinit=/usr/lib/systemd/systemd mitigations=off "
    "systemd.unit=multi-user.target systemd.show_status=false"
)


def _root_archive() -> Path:
    """Return the root as an archive, made now if it is not in the cache."""
    root = root_of(SUITE)
    key = hashlib.sha256(" ".join((*_LEFT_OUT, *_KEPT)).encode()).hexdigest()[:8]
    archive = cache_folder() / "vm" / f"{root.name}-{key}.cpio"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        pruned: list[str] = []
        for pattern in _LEFT_OUT:
            pruned += ["-o", "-path", pattern]
        kept = [word for pattern in _KEPT for word in ("!", "-path", pattern)]
        with tempfile.NamedTemporaryFile(dir=archive.parent, delete=False) as unfinished:
            find = ["(", *pruned[1:], ")", *kept, "-prune", "-o", "-print0"]
            _pack(root, [".", "-xdev", *find], unfinished.fileno())
        os.rename(unfinished.name, archive)
    return archive


def _compile(folder: Path) -> None:
    """Compile what was written, as it is: it takes much longer where it is emulated."""
    subprocess.run(
        [
            *(sys.executable, "-m", "compileall", "-q", "-j", "2"),
            *("--invalidation-mode", "unchecked-hash", str(folder)),
        ],
        check=True,
        timeout=120,
    )


def _pack(folder: Path, find: Sequence[str], output: int) -> None:
    """Append what find(1) finds in a folder to a file, as the kernel unpacks it."""
    print0 = [] if "-print0" in find else ["-print0"]
    found = subprocess.run(
        ["find", *find, *print0], cwd=folder, check=True, capture_output=True, timeout=60
    )
    subprocess.run(
        ["cpio", "--null", "--create", "--format=newc", "--quiet"],
        cwd=folder,
        input=found.stdout,
        stdout=output,
        check=True,
        timeout=120,
    )
