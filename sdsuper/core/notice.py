"""What a program says of itself through its NOTIFY_SOCKET (sd_notify(3)), as values."""

from __future__ import annotations

import errno as errnos

from sdsuper.dataclass import dataclass, replace


@dataclass(frozen=True, slots=True)
class Notice:
    """One message; what it does not mention is None or False.

    Attributes:
        ready: READY=1: it is up, or done with reloading.
        reloading: RELOADING=1: it reads its configuration again; `ready` follows.
        stopping: STOPPING=1: it is about to end by itself.
        ping: WATCHDOG=1: it is alive.
        trigger: WATCHDOG=trigger: it wants to be treated as if it had hung.
        status: STATUS=: one line for operators.
        errno: ERRNO=: the error number that it is about to fail with.
        extend: EXTEND_TIMEOUT_USEC=, in seconds: it needs so long from now.
        watchdog: WATCHDOG_USEC=, in seconds: how often it will ping from now on; 0.0: never.
        main_pid: MAINPID=: its main process is another than the one that was started.
    """

    ready: bool = False
    reloading: bool = False
    stopping: bool = False
    ping: bool = False
    trigger: bool = False
    status: str | None = None
    errno: int | None = None
    extend: float | None = None
    watchdog: float | None = None
    main_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the child of the latest start attempt has said of itself so far.

    Attributes:
        status: Its latest status line, "" for none.
        errno: The error it named, 0 for none.
        reloading: It said that it is reloading, and not yet that it is done.
        stopping: It said that it is about to end.
    """

    status: str = ""
    errno: int = 0
    reloading: bool = False
    stopping: bool = False

    def after(self, notice: Notice) -> Told:
        """Return what has been said when this is said, too."""
        return replace(
            self,
            status=self.status if notice.status is None else notice.status,
            errno=self.errno if notice.errno is None else notice.errno,
            reloading=notice.reloading or (self.reloading and not notice.ready),
            stopping=self.stopping or notice.stopping,
        )

    def last_words(self) -> str:
        """Return what explains an end, to be put behind the reason; "" where nothing was said."""
        words = []
        if self.errno:
            words.append(f"ERRNO {errnos.errorcode.get(self.errno, self.errno)}")
        if self.status:
            words.append(self.status)
        return f"; it said: {', '.join(words)}" if words else ""


SILENT = Told()
"""Nothing was said yet."""
