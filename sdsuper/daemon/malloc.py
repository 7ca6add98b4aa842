"""Memory that the C library has no more use for, given back to the kernel."""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Give back the pages in which nothing is left; no effect where the C library has no such call.

    Importing and reading a configuration leave a megabyte and more of them, in between of what
    stays. Source: malloc_trim(3).
    """
    call = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if call is not None:
        call(0)
