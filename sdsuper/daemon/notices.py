"""What programs tell us by sd_notify(3): a socket per invocation, and who may use it.

A message counts only if it was sent by a process of the very invocation that the socket was made
for: its child, its main process, one that descends from them, one that carries the mark of the
invocation in its environment, or one of the program's account in its process group (anybody
else may have joined that: all programs share a session). A sender that has ended, and was reaped,
before its message is read cannot be told from a stranger; `systemd-notify` waits for that
(BARRIER=1).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from sdsuper import eventloop
from sdsuper.core.notice import Notice
from sdsuper.daemon import proctable
from sdsuper.daemon.environment import INVOCATION_VARIABLE
from sdsuper.dataclass import dataclass, replace
from sdsuper.systemd.notify_server import Message, NotifySocket, parse_notice
from sdsuper.systemd.sockets import runtime_directory
from sdsuper.values import Level

_AT_ONCE = 32
"""Messages read in one turn of the loop; a chatty program must not hold up the others."""

_LAST_WORDS = 1024
"""Messages read at the end; no more wait, whatever net.unix.max_dgram_qlen is within reason."""

_TURN_SECONDS = 0.005
"""What reading may take of one turn of the loop: it may be costly to tell whose a sender is."""

_LAST_WORDS_SECONDS = 0.25
"""The same for what is read at the end, in one go."""

_ANCESTORS_MAX = 64


@dataclass(slots=True)
class Speaker:
    """The processes of an invocation that may speak.

    Attributes:
        process: The process's own name, for the log.
        mark: The identity that is in the environment of all that the invocation starts.
        uid: The account that the program is started as.
        leader: The child that was started; its process group has the same number. 0: not yet.
        main: The main process.
    """

    process: str
    mark: str
    uid: int
    leader: int = 0
    main: int = 0

    def includes(self, pid: int) -> bool:
        """Whether a process that is alive (or not reaped yet) belongs to the invocation."""
        if pid <= 0:
            return False
        if pid in (self.leader, self.main):
            return True
        assignment = f"{INVOCATION_VARIABLE}={self.mark}".encode()
        for _ in range(_ANCESTORS_MAX):
            entry = proctable.look_up(pid)
            if entry is None or pid == os.getpid():
                return False
            if pid in (self.leader, self.main):
                return True
            if entry.group == self.leader and proctable.account(pid) == self.uid:
                return True
            if proctable.has_variable(pid, assignment):
                return True
            pid = entry.parent
        return False


class NotifyFolder:
    """The directory of the sockets; made when the first is asked for.

    Args:
        environ: Tells where systemd wants such things: RUNTIME_DIRECTORY, XDG_RUNTIME_DIR.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._path: str | None = None

    @property
    def made(self) -> str | None:
        """The directory, None as long as none was asked for."""
        return self._path

    def adopt(self, path: str | None) -> None:
        """Go on with the directory of an earlier daemon: its sockets are in use."""
        self._path = path

    def path(self, name: str) -> str:
        """Return the path for a socket.

        Raises:
            OSError: The directory cannot be made.
        """
        if self._path is None or not os.path.isdir(self._path):  # a cleaner may have been there
            self._path = self._make()
        return os.path.join(self._path, name)

    def _make(self) -> str:
        import shutil  # here and below: half a megabyte, for those who have such programs
        import tempfile

        runtime = runtime_directory(self._environ, os.getpid())
        # It is not ours to write to where [supervisord] user= gave up root.
        if runtime and os.access(runtime, os.W_OK | os.X_OK):
            # Ours alone: what lies there is of a daemon that was killed.
            made = os.path.join(runtime, "notify")
            shutil.rmtree(made, ignore_errors=True)
            os.mkdir(made)
        else:
            fallback = "/run" if os.geteuid() == 0 else self._environ.get("XDG_RUNTIME_DIR")
            usable = fallback is not None and os.access(fallback, os.W_OK)
            made = tempfile.mkdtemp(prefix="sdsuper-notify-", dir=fallback if usable else None)
        os.chmod(made, 0o711)  # other accounts must get at their sockets, and see no others
        return made

    def close(self) -> None:
        """Remove the directory."""
        if self._path is not None:
            import shutil

            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None


class Notices:
    """The socket of one invocation.

    Args:
        path: Where to make it.
        speaker: Who may use it; its pids may be filled in later.
        heard: Called with each message that counts.
        report: Writes to the daemon's log.
        fd: The socket, where an earlier daemon has made it.

    Raises:
        OSError: The socket cannot be made.
    """

    def __init__(
        self,
        path: str,
        speaker: Speaker,
        heard: Callable[[Notice], None],
        report: Callable[[Level, str], None],
        fd: int | None = None,
    ) -> None:
        self._socket = NotifySocket(path, speaker.uid, fd)
        self._speaker = speaker
        self._heard = heard
        self._report = report
        self._refused = False
        self._closed = False

    @property
    def fd(self) -> int:
        """The descriptor of the socket."""
        return self._socket.fd

    @property
    def path(self) -> str:
        """What the program gets as NOTIFY_SOCKET."""
        return self._socket.path

    def start(self) -> None:
        """Listen; the child is there."""
        eventloop.get_running_loop().add_reader(
            self._socket.fd, self._read, _AT_ONCE, _TURN_SECONDS
        )

    def read_all(self) -> None:
        """Take what was said until now: its sender has ended."""
        self._read(_LAST_WORDS, _LAST_WORDS_SECONDS)

    def _read(self, limit: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        for _ in range(limit):
            message = None if self._closed else self._socket.receive()
            if message is None:
                break
            try:
                self._take(message)
            finally:
                message.close()
            if time.monotonic() > until:
                break

    def _take(self, message: Message) -> None:
        if not self._speaker.includes(message.pid):
            self._refuse(f"pid {message.pid}, which sent a message, is none of its processes")
            return
        notice = parse_notice(message.data)
        main_pid = notice.main_pid
        if main_pid is not None and not self._may_be_main(main_pid):
            self._refuse(f"MAINPID={main_pid} is none of its processes")
            notice = replace(notice, main_pid=None)
        self._heard(notice)

    def _may_be_main(self, pid: int) -> bool:
        entry = proctable.look_up(pid)
        return entry is not None and not entry.zombie and self._speaker.includes(pid)

    def _refuse(self, reason: str) -> None:
        if not self._refused:  # once is enough: a flood of them must not fill the log
            self._refused = True
            self._report(Level.WARN, f"'{self._speaker.process}' notify: ignored: {reason}")

    def close(self) -> None:
        """Remove the socket."""
        if not self._closed:
            self._closed = True
            eventloop.get_running_loop().remove_reader(self._socket.fd)
            self._socket.close()
