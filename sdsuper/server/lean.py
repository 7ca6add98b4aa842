"""h11, its events declared by our dataclasses.

Those of the standard library take 1.5 MiB of modules with them (`inspect`, `ast`, `tokenize`), and
10 ms of each start. A version of h11 that needs more than ours have gets the library's.
"""

from __future__ import annotations

import sys

from sdsuper import dataclass

__all__ = ["h11"]

_NAME = "dataclasses"


def _import_with_ours() -> None:
    threads = sys.modules.get("threading")  # not imported for this: whoever has threads has it
    if threads is not None and threads.active_count() > 1:
        return  # a plugin's, which might find ours by that name
    if sys.modules.setdefault(_NAME, dataclass) is not dataclass:
        return  # it is loaded already, by a plugin
    try:
        import h11  # noqa: F401  it is found again where it is imported for good
    except Exception:  # noqa: BLE001  whatever it misses, the library has it
        for name in [name for name in sys.modules if name.partition(".")[0] == "h11"]:
            del sys.modules[name]
    finally:
        del sys.modules[_NAME]


_import_with_ours()

import h11  # noqa: E402  not before what it is to find is there
