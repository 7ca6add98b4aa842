"""The files that the page consists of besides its HTML, in memory from the start.

An upgrade changes the files beneath a running daemon, and they must fit its HTML.
"""

from __future__ import annotations

import binascii
import os

from sdsuper.dataclass import dataclass

_FOLDER = os.path.join(os.path.dirname(__file__), "assets")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file.

    Attributes:
        path: Where it is served, without the leading slash.
        version: Changes with the content.
    """

    path: str
    content_type: bytes
    content: bytes
    version: str

    @property
    def address(self) -> str:
        """Where a page finds it; as long as this is the same, so is the content."""
        return f"{self.path}?v={self.version}"


def _load(name: str, content_type: bytes) -> Asset:
    with open(os.path.join(_FOLDER, name), "rb") as file:
        content = file.read()
    return Asset(f"assets/{name}", content_type, content, f"{binascii.crc32(content):08x}")


STYLE = _load("page.css", b"text/css;charset=utf-8")
SCRIPT = _load("page.js", b"text/javascript;charset=utf-8")
ICON = _load("icon.svg", b"image/svg+xml")

ASSETS = {asset.path: asset for asset in (STYLE, SCRIPT, ICON)} | {
    "stylesheets/supervisor.css": STYLE,  # where Supervisor has its own
}
"""Every file by the path that it is served at."""
