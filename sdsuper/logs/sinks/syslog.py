"""The local syslog daemon, by datagrams that never wait for it."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Callable

from sdsuper.config.model import ChannelConfig
from sdsuper.logs.held import HeldSink
from sdsuper.logs.lines import LineSplitter
from sdsuper.logs.rate import LogRate
from sdsuper.logs.stage import Stage
from sdsuper.logs.trouble import Data, Trouble

_PRIORITY = 14  # LOG_USER | LOG_INFO
_LINE_MAX_BYTES = 8192 - 256  # rsyslog's default limit, less the header
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def program_name() -> str:
    """Return the name syslog(3) would use: the last part of how we were called."""
    return os.path.basename(sys.argv[0]) or "sdsuperd"


class SyslogSink:
    """Sends each line as one message of facility `user`, severity `info`.

    A message reads `<14>Mon DD HH:MM:SS ident: LINE`, as syslog(3) writes it. What the syslog
    daemon does not take at once is dropped and counted: it must not hold us up.

    Args:
        process: Put before each line, with a blank; "" for none.
        ident: The program's name; None for the one syslog(3) would use.
        address: The socket of the syslog daemon.
    """

    target = "syslog"
    stalled = False
    keeps = True
    position = 0
    shared = False
    on_sent: Callable[[], None] | None = None  # never called

    def __init__(
        self, *, process: str = "", ident: str | None = None, address: str = "/dev/log"
    ) -> None:
        self._ident = (program_name() if ident is None else ident).encode(errors="replace")
        self._prefix = f"{process} ".encode(errors="replace") if process else b""
        self._address = address
        self._lines = LineSplitter(_LINE_MAX_BYTES)
        self._socket: socket.socket | None = None
        self._stamp = b""
        self._second = -1

    def open(self) -> None:
        """Do nothing: the socket is connected when there is a line; none has to be there."""

    def write(self, data: Data) -> Trouble | None:
        """Send the lines that are complete now; return what went wrong, None when nothing did."""
        return self._send_all(self._lines.feed(bytes(data)))

    def write_staged(self, data: Data, stage: Stage) -> Trouble | None:
        """As `write`; it cannot be told afterwards what was sent."""
        trouble = self.write(data)
        stage.wrote()
        return trouble

    write_rest = write_staged

    def settle(self) -> None:
        """Do nothing: there is nothing to rotate."""

    @property
    def holding(self) -> int:
        """Bytes of a line that is not complete."""
        return len(self._lines.held)

    def held(self) -> HeldSink:
        """Return a line that is not complete."""
        return HeldSink(partial=self._lines.held)

    def restore(self, held: HeldSink) -> None:
        """Go on with that line."""
        self._lines.held = held.partial

    def _send_all(self, lines: list[bytes]) -> Trouble | None:
        lost = 0
        failure: OSError | None = None
        for line in lines:
            try:
                self._send(line)
            except OSError as error:
                lost += len(line)
                failure = error
        return None if failure is None else Trouble(failure, lost)

    def _send(self, line: bytes) -> None:
        message = b"<%d>%s %s: %s%s" % (
            _PRIORITY,
            self._timestamp(),
            self._ident,
            self._prefix,
            line,
        )
        try:
            self._connected().send(message)
        except BlockingIOError:
            raise
        except OSError:  # it was restarted: its socket is a new one
            self._disconnect()
            self._connected().send(message)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                made.setblocking(False)
                made.connect(self._address)
            except OSError:
                made.close()
                raise
            self._socket = made
        return self._socket

    def _timestamp(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            now = time.localtime(second)
            clock = f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
            self._stamp = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {clock}".encode()
            self._second = second
        return self._stamp

    def flush(self) -> bool:
        """Send a line that has no end yet. Nothing ever waits."""
        self._send_all(self._lines.flush())
        return True

    def catch_up(self) -> None:
        """Do nothing: it never stalls."""

    def reconfigure(
        self, config: ChannelConfig, pattern: re.Pattern[bytes] | None, rate: LogRate | None
    ) -> None:
        """Do nothing: there is nothing to set."""

    def reopen(self) -> None:
        """Do nothing: there is nothing to rotate."""

    def clear(self) -> None:
        """Do nothing: what was sent is not ours any longer."""

    def close(self) -> Trouble | None:
        """Send a line that has no end, and disconnect."""
        trouble = self._send_all(self._lines.flush())
        self._disconnect()
        return trouble

    def _disconnect(self) -> None:
        made, self._socket = self._socket, None
        if made is not None:
            made.close()
