"""asyncio is imported without TLS, and gets it back where a plugin has loaded it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import sdsuper.sdsuperd
import asyncio
from sdsuper.daemon import plugins
assert asyncio.sslproto.ssl is None
if len(sys.argv) > 1:
    plugins.MODULES.find(sys.argv[1])
print(*sorted(name for name, module in sys.modules.items()
    if name.startswith("asyncio.") and getattr(module, "ssl", None)))
print(hasattr(asyncio.sslproto, "SSLAgainErrors"))
"""


def loaded(*plugin: str) -> list[str]:
    """Return what asyncio has of TLS in an interpreter of its own, after loading a plugin."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", CODE, *plugin], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\n")


def test_asyncio_goes_without_tls() -> None:
    assert loaded() == ["", "False", ""]


def test_a_plugin_that_loads_tls_finds_asyncio_whole() -> None:
    whole = "asyncio.base_events asyncio.selector_events asyncio.sslproto"
    assert loaded("ssl:create_default_context") == [whole, "True", ""]
