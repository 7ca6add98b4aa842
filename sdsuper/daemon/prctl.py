"""prctl(2) and capset(2), which the standard library does not have."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection

# Source: linux/prctl.h.
SET_KEEPCAPS = 8
CAPBSET_READ = 23
CAPBSET_DROP = 24
SET_CHILD_SUBREAPER = 36
SET_NO_NEW_PRIVS = 38
CAP_AMBIENT = 47
CAP_AMBIENT_RAISE = 2

_CAPABILITY_VERSION = 0x20080522  # linux/capability.h: sets of 64 bits, low words first
_WORD = 32

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Words(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def prctl(operation: int, *arguments: int) -> int:
    """Do one operation on this process.

    Raises:
        OSError: The kernel refuses it, or does not know it.
    """
    words = [ctypes.c_ulong(each) for each in (*arguments, 0, 0, 0, 0)[:4]]
    result: int = _libc.prctl(ctypes.c_int(operation), *words)
    if result < 0:
        raise _error()
    return result


def set_capabilities(numbers: Collection[int]) -> None:
    """Make these the effective, permitted and inheritable capabilities of this process.

    Raises:
        OSError: It does not have one of them, or must not pass one on.
    """
    data = (_Words * 2)()
    for number in numbers:
        word, bit = data[number // _WORD], 1 << number % _WORD
        word.effective |= bit
        word.permitted |= bit
        word.inheritable |= bit
    if _libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION, 0)), data) < 0:
        raise _error()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
