"""The snapshot: a log of records in a memory file (memfd_create(2)), which outlives its writer.

The file begins with a header: magic, format, generation, identity of the boot. Records follow:
a key, and what it stands for as JSON, or that it is gone. The last record of a key counts.
Reading stops at the first record that is not whole, so a writer that is killed in the middle of an
append loses what it was just writing, and nothing else. An append is one pwrite(2).

Whoever else holds the same file (systemd, in its store of descriptors) sees every append. Only
when what is dead outweighs what lives is a new file written, which has to take the old one's place.
"""

from __future__ import annotations

import os
import struct
from binascii import crc32  # zlib's, which need not be loaded for it
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

from sdsuper.errors import HandoverError
from sdsuper.handover.codec import Json, Plain

FORMAT = 1
"""The version of the file, and of what its keys mean; more fields in a value need no new one."""

BOOT_ID = "/proc/sys/kernel/random/boot_id"

_MAGIC = b"sdsuper\0"
_HEADER = struct.Struct("<8sIQ40sI")  # magic, format, generation, boot, CRC of all before
_RECORD = struct.Struct("<IIHBx")  # CRC of all that follows, length of the value, of the key, kind
_BODY = struct.Struct("<IHBx")  # the same without the CRC
_PUT, _GONE = 1, 2
_GARBAGE_MIN = 512 * 1024
_KEY_MAX = 0xFFFF


def boot_id() -> str:
    """Return the identity of this boot: deadlines and pids mean nothing in another.

    Raises:
        OSError: /proc cannot be read.
    """
    with open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


class Snapshot(NamedTuple):
    """What a file held.

    Attributes:
        records: What each key stands for, in the order of their first records.
        whole: How many bytes of the file are whole: whoever goes on appends there.
        torn: Whether something that is not whole came after that.
    """

    generation: int
    records: dict[str, Plain]
    whole: int
    torn: bool


class _Place(NamedTuple):
    """Where the last record of a key is."""

    offset: int
    length: int


class Store:
    """A file that we append to.

    Args:
        boot: The identity of this boot.
        generation: The number of the file among those of one daemon and its successors.

    Attributes:
        fd: The file, close-on-exec.
        generation: The same.
    """

    def __init__(self, boot: str, generation: int = 1) -> None:
        self.generation = generation
        self._boot = boot
        self._places: dict[str, _Place] = {}
        self._live = 0
        self.fd = os.memfd_create("sdsuper-handover", os.MFD_CLOEXEC)
        header = _header(boot, generation)
        _write(self.fd, header, 0)
        self._end = len(header)

    @property
    def size(self) -> int:
        """How many bytes the file has."""
        return self._end

    @property
    def garbage(self) -> int:
        """How many bytes of it are of no use any more."""
        return self._end - _HEADER.size - self._live

    @property
    def is_mostly_garbage(self) -> bool:
        """Whether it is worth while to write a new file."""
        return self.garbage > max(_GARBAGE_MIN, self._live)

    def append(self, records: Mapping[str, Plain], gone: Iterable[str] = ()) -> None:
        """Record what some keys stand for from now on, and that others are gone: all in one write.

        Raises:
            OSError: There is no memory for it. What was recorded before stays.
        """
        parts: list[bytes] = []
        places: dict[str, _Place | None] = {}
        offset = self._end
        for key, plain in records.items():
            text = plain if type(plain) is Json else _encoder()(plain)
            part = _record(key, _PUT, text.encode("ascii"))
            parts.append(part)
            places[key] = _Place(offset, len(part))
            offset += len(part)
        for key in gone:
            if key not in self._places and key not in places:
                continue
            part = _record(key, _GONE, b"")
            parts.append(part)
            places[key] = None
            offset += len(part)
        _write(self.fd, b"".join(parts), self._end)
        self._end = offset
        for key, place in places.items():
            before = self._places.pop(key, None)
            if before is not None:
                self._live -= before.length
            if place is not None:
                self._places[key] = place
                self._live += place.length

    def copy(self) -> Store:
        """Return a new file of the next generation that holds what lives, and nothing else.

        Raises:
            OSError: There is no memory for it.
        """
        fresh = Store(self._boot, self.generation + 1)
        try:
            offset = fresh._end
            for key, place in self._places.items():
                _write(fresh.fd, os.pread(self.fd, place.length, place.offset), offset)
                fresh._places[key] = _Place(offset, place.length)
                offset += place.length
        except BaseException:
            fresh.close()
            raise
        fresh._end = offset
        fresh._live = self._live
        return fresh

    def void(self) -> None:
        """Let nobody go on with it, whoever holds it."""
        os.ftruncate(self.fd, 0)

    def close(self) -> None:
        """Close the file; others may still hold it."""
        os.close(self.fd)


def read(fd: int, boot: str) -> Snapshot:
    """Read a file that another daemon, or we before a re-exec, have written.

    Args:
        fd: The file.
        boot: The identity of this boot.

    Raises:
        HandoverError: It is none, of a format that is not known here, or of another boot.
    """
    data = _contents(fd)
    generation = _check_header(data, boot)
    records: dict[str, Plain] = {}
    at = _HEADER.size
    decode = _decoder()
    while (found := _read_record(data, at)) is not None:
        key, kind, value, end = found
        try:
            if kind == _PUT:
                records[key] = decode(value)
            elif kind == _GONE:
                records.pop(key, None)
            else:
                raise HandoverError(f"{key}: a record of kind {kind} is not known here")
        except ValueError as error:  # its sum is right: it was written like that
            raise HandoverError(f"{key}: not JSON: {error}") from None
        at = end
    return Snapshot(generation, records, at, torn=at < len(data))


def _contents(fd: int) -> bytes:
    try:
        size = os.fstat(fd).st_size
        parts = []
        offset = 0
        while offset < size:
            part = os.pread(fd, size - offset, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
    except OSError as error:
        raise HandoverError(f"the snapshot cannot be read: {error}") from None
    return b"".join(parts)


def _header(boot: str, generation: int) -> bytes:
    made = _HEADER.pack(_MAGIC, FORMAT, generation, boot.encode(), 0)[:-4]
    return made + struct.pack("<I", crc32(made))


def _check_header(data: bytes, boot: str) -> int:
    if not data.startswith(_MAGIC):
        raise HandoverError("that is no snapshot")
    if len(data) < _HEADER.size:
        raise HandoverError("the header of the snapshot is not whole")
    _, version, generation, written_in, crc = _HEADER.unpack_from(data)
    if version != FORMAT:  # whatever follows may look otherwise, the sum too
        raise HandoverError(f"format {version} of the snapshot is not known here, {FORMAT} is")
    if crc32(data[: _HEADER.size - 4]) != crc:
        raise HandoverError("the header of the snapshot is damaged")
    if written_in.rstrip(b"\0") != boot.encode():
        raise HandoverError("the snapshot is of another boot of the machine")
    return int(generation)


def _record(key: str, kind: int, value: bytes) -> bytes:
    name = key.encode("utf-8", "surrogateescape")
    if len(name) > _KEY_MAX:
        raise ValueError(f"a key of {len(name)} bytes")
    body = _BODY.pack(len(value), len(name), kind) + name + value
    return crc32(body).to_bytes(4, "little") + body


def _read_record(data: bytes, at: int) -> tuple[str, int, bytes, int] | None:
    """Return key, kind, value and end of the record at some place, None where none is whole."""
    if at + _RECORD.size > len(data):
        return None
    crc, value_length, key_length, kind = _RECORD.unpack_from(data, at)
    name = at + _RECORD.size
    value = name + key_length
    end = value + value_length
    if end > len(data) or crc32(memoryview(data)[at + 4 : end]) != crc:
        return None
    return data[name:value].decode("utf-8", "surrogateescape"), kind, data[value:end], end


def _write(fd: int, data: bytes, offset: int) -> None:
    written = os.pwrite(fd, data, offset)
    while written < len(data):  # a signal may cut a large one short
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)


@cache
def _encoder() -> Callable[[Plain], str]:
    import json  # here and below: half a megabyte, for those who hand anything on

    return json.JSONEncoder(separators=(",", ":")).encode


@cache
def _decoder() -> Callable[[bytes], Plain]:
    import json

    return json.loads
