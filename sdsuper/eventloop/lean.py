"""asyncio without TLS: OpenSSL takes 4 MiB and 5 ms of each start, and we encrypt nothing.

The daemon imports this before anything that imports asyncio. Where TLS is there already, nothing
changes.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["asyncio", "complete_asyncio"]

_modules: dict[str, Any] = sys.modules
_is_late = "ssl" in _modules
_modules.setdefault("ssl", None)  # marked as what cannot be imported: asyncio goes on without
import asyncio  # noqa: E402

if not _is_late:
    del _modules["ssl"]


def complete_asyncio() -> None:
    """Give asyncio what it went without, where code of others has loaded TLS since."""
    ssl, sslproto = _modules.get("ssl"), _modules["asyncio.sslproto"]
    if ssl is None or sslproto.ssl is not None:
        return
    for name, module in tuple(_modules.items()):
        if name.startswith("asyncio.") and hasattr(module, "ssl"):
            module.ssl = ssl
    importlib.reload(sslproto)
