"""Memory that is given back."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from sdsuper.daemon import malloc

_BLOCK, _COUNT = 1000, 30_000  # above what Python keeps in pools of its own


def _resident() -> int:
    found = re.search(
        r"^Rss:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE
    )
    assert found
    return int(found[1]) * 1024


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library")
def test_what_is_free_between_what_stays_is_given_back() -> None:
    blocks = [bytes(_BLOCK) for _ in range(_COUNT)]
    kept = blocks[::100]
    del blocks
    before = _resident()
    malloc.trim()
    assert _resident() < before - _BLOCK * _COUNT // 2
    assert len(kept) == _COUNT // 100
