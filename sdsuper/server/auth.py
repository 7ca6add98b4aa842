"""Who may: HTTP Basic against the one username and password of a server section."""

from __future__ import annotations

import binascii
import enum

SHA_PREFIX = "{SHA}"
"""`password={SHA}HEX` is the SHA-1 of the password in hexadecimal."""


class Verdict(enum.Enum):
    """What a request's credentials are worth."""

    ALLOWED = 200
    MALFORMED = 400
    DENIED = 401


class BasicAuth:
    """The check of one server section.

    Args:
        username: As configured; compared verbatim.
        password: Cleartext, or `{SHA}` and 40 hexadecimal digits.
    """

    def __init__(self, username: str, password: str) -> None:
        self._username = username.encode()
        self._is_digest = password.startswith(SHA_PREFIX)
        self._password = (
            password.removeprefix(SHA_PREFIX).lower() if self._is_digest else password
        ).encode()

    def check(self, header: bytes | None) -> Verdict:
        """Judge an Authorization header's value, None when there was none."""
        scheme, _, token = (header or b"").strip().partition(b" ")
        if scheme.lower() != b"basic":
            return Verdict.DENIED
        try:
            decoded = binascii.a2b_base64(token.strip(), strict_mode=True)
        except binascii.Error:
            return Verdict.MALFORMED
        username, colon, password = decoded.partition(b":")
        from hmac import compare_digest  # 1 MB for OpenSSL, which few daemons need

        # Both comparisons are always made, so that time does not tell which one failed.
        same_name = compare_digest(username, self._username)
        same_password = compare_digest(self._shown(password), self._password)
        return Verdict.ALLOWED if colon and same_name and same_password else Verdict.DENIED

    def _shown(self, password: bytes) -> bytes:
        """Return what was sent in the form in which the password is configured."""
        if not self._is_digest:
            return password
        import hashlib

        # Not a security use in the sense of FIPS: the format is Supervisor's and a given.
        return hashlib.sha1(password, usedforsecurity=False).hexdigest().encode()
