"""A journald for tests: a datagram socket, and the entries that came, in order.

`JournalFiles` writes them to journal files too, by the program that systemd itself has for that.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from sdsuper.logs.readback import unit_of

Entry = list[tuple[str, bytes]]


def parse(datagram: bytes) -> Entry:
    """Return the fields of an entry. Source: systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    return list(_fields(datagram))


def _fields(datagram: bytes) -> Iterator[tuple[str, bytes]]:
    position = 0
    while position < len(datagram):
        end = datagram.index(b"\n", position)
        name, equals, value = datagram[position:end].partition(b"=")
        position = end + 1
        if not equals:
            size = int.from_bytes(datagram[position : position + 8], "little")
            position += 8
            value = datagram[position : position + size]
            assert len(value) == size
            position += size + 1
            assert datagram[position - 1 : position] == b"\n"
        yield name.decode("ascii"), value


class Journald:
    """Takes entries at a path, for as long as it is entered."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self.datagrams: list[bytes] = []
        self._parsed: list[Entry] = []

    def bind(self) -> Self:
        """Be there, but take nothing by oneself: what comes fills the kernel's queue."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        return self

    def __enter__(self) -> Self:
        return self.bind().serve()

    def serve(self) -> Self:
        """Take what comes, in a thread."""
        assert self._socket is not None
        self._thread = threading.Thread(target=self._take_all, args=(self._socket,))
        self._thread.start()
        return self

    def _take_all(self, taking: socket.socket) -> None:
        while datagram := self._receive(taking):
            self.datagrams.append(datagram)

    def _receive(self, taking: socket.socket) -> bytes:
        data, fds, _, _ = socket.recv_fds(taking, 256 * 1024, 1)
        if not fds:
            return data
        with open(fds[0], "rb") as file:
            file.seek(0)
            return file.read()

    def take(self) -> None:
        """Take the entries that are there now; only while it does not serve."""
        assert self._socket is not None
        self._socket.setblocking(False)
        try:
            while True:
                self.datagrams.append(self._receive(self._socket))
        except BlockingIOError:
            pass

    def taken(self) -> list[Entry]:
        """Take the entries that are there now, and return all that came so far."""
        self.take()
        return self.entries()

    def entries(self) -> list[Entry]:
        """Return the entries that came so far."""
        self._parsed += map(parse, self.datagrams[len(self._parsed) :])
        return self._parsed

    def found(self, **wanted: str) -> list[dict[str, bytes]]:
        """Return the entries that have these fields."""
        expected = {name: value.encode() for name, value in wanted.items()}
        return [
            entry
            for entry in map(dict, self.entries())
            if all(entry.get(name) == value for name, value in expected.items())
        ]

    def messages(self, **wanted: str) -> list[bytes]:
        """Return the messages of the entries that have these fields."""
        return [entry["MESSAGE"] for entry in self.found(**wanted)]

    def close(self) -> None:
        """Be gone, and the socket with it."""
        assert self._socket is not None
        if self._thread is not None:
            self._socket.shutdown(socket.SHUT_RD)
            self._thread.join()
            self._thread = None
        os.unlink(self.path)
        self._socket.close()
        self._socket = None

    def __exit__(self, *error: object) -> None:
        self.close()


_TO_FILES = "systemd-journal-remote"
_BOOT = "0123456789abcdef0123456789abcdef"


def journal_remote() -> str | None:
    """Return the program that writes journal files, None where this machine has none."""
    return shutil.which(_TO_FILES, path="/usr/lib/systemd:/lib/systemd")


def trusted_fields() -> dict[str, str]:
    """Return the fields that journald adds to what this process sends, as far as they matter."""
    cgroup = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    unit = unit_of(cgroup)
    return {
        "_BOOT_ID": _BOOT,
        "_TRANSPORT": "journal",
        "_UID": str(os.geteuid()),
        **({} if unit is None else {"_SYSTEMD_UNIT": unit}),
    }


class JournalWriter:
    """Writes entries to journal files in a folder, by their export format.

    Source: systemd.io/JOURNAL_EXPORT_FORMATS; a native entry is one without its address fields.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        program = journal_remote()
        assert program is not None
        self._process = subprocess.Popen(
            [program, "-o", str(folder / "test.journal"), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.fields = trusted_fields()
        self._now = time.time_ns() // 1000

    def write(self, datagrams: Iterable[bytes], **changed: str) -> None:
        """Append entries.

        Args:
            datagrams: Each as it is sent to journald.
            changed: Fields that journald would have set otherwise.
        """
        assert self._process.stdin is not None
        trusted = "".join(f"{name}={value}\n" for name, value in {**self.fields, **changed}.items())
        for datagram in datagrams:
            self._now += 1
            head = f"__REALTIME_TIMESTAMP={self._now}\n__MONOTONIC_TIMESTAMP={self._now}\n"
            self._process.stdin.write(f"{head}{trusted}".encode() + datagram + b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Finish the files."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0


class JournalFiles(Journald):
    """A journald whose entries are in journal files, a moment after they came."""

    def __init__(self, path: str, folder: Path) -> None:
        super().__init__(path)
        self.writer = JournalWriter(folder)

    def _receive(self, taking: socket.socket) -> bytes:
        datagram = super()._receive(taking)
        if datagram:
            self.writer.write([datagram])
        return datagram

    def close(self) -> None:
        """Be gone; the files stay."""
        super().close()
        self.writer.close()
