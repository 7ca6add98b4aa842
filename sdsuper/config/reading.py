"""One file's text, whole: never half of what somebody is writing."""

from __future__ import annotations

import os

from sdsuper.errors import ConfigError, Problem

_READS_MAX = 10


def read_text(path: str) -> str:
    """Return a file's text.

    Raises:
        ConfigError: It is missing, cannot be read, or is not UTF-8.
    """
    try:
        return decode(read_stable(path), path)
    except FileNotFoundError:
        message = f"could not find config file {path}"
        raise ConfigError([Problem(message, file=path, reason="no such file")]) from None
    except OSError as error:
        message = f"could not read config file {path}"
        reason = f"cannot be read: {error.strerror}"
        raise ConfigError([Problem(message, file=path, reason=reason)]) from None


def read_stable(path: str) -> bytes:
    """Return a file's bytes; one that changes while it is read is read again, a few times.

    Raises:
        OSError: It cannot be read.
    """
    for _ in range(_READS_MAX):
        before = os.stat(path)
        with open(path, "rb") as file:
            data = file.read()
        after = os.stat(path)
        if _version(before) == _version(after) and len(data) in (after.st_size, before.st_size):
            break
        if not after.st_size:  # a pipe or a file of /proc has no size to compare
            break
    return data


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def decode(data: bytes, path: str) -> str:
    """Return the text of a file's bytes.

    Raises:
        ConfigError: It is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(str(error), file=path, line=line, accepted="UTF-8")]) from None
