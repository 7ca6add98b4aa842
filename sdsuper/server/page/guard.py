"""Whether a request that changes something was meant by the visitor of our own page.

A form must carry a token that only our own pages hold, and the browser must not say that another
site sent it. The token changes with each start of the daemon.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping

_SAME = frozenset({b"same-origin", b"none"})
"""What Sec-Fetch-Site says of our own pages, and of addresses that were typed in."""


class Origin(enum.Enum):
    """Where a request came from, as far as its headers tell."""

    OURS = enum.auto()
    UNKNOWN = enum.auto()
    OTHERS = enum.auto()


def origin_of(headers: Mapping[bytes, bytes]) -> Origin:
    """Judge by the headers that a page of another site cannot forge.

    A proxy in front of us may have changed `Host`; what browsers say of the site by themselves
    counts first, then the name by which the proxy says it was reached.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return Origin.OURS if site.lower() in _SAME else Origin.OTHERS
    origin = headers.get(b"origin")
    if origin is None:
        return Origin.UNKNOWN
    host = origin.lower().partition(b"://")[2]
    names = {headers.get(b"host", b"").lower(), headers.get(b"x-forwarded-host", b"").lower()}
    return Origin.OURS if host and host in names else Origin.OTHERS


class Guard:
    """The token of one daemon.

    Attributes:
        token: What forms must carry.
        generation: Names the daemon; no secret.
    """

    def __init__(self) -> None:
        self.token = os.urandom(24).hex()
        self.generation = os.urandom(6).hex()

    def knows(self, token: str | None) -> bool:
        """Whether this is the token, in a time that does not tell how much of it is right."""
        from hmac import compare_digest  # 1 MB for OpenSSL, which few daemons need

        return compare_digest((token or "").encode(), self.token.encode())
