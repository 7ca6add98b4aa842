"""Credentials and their judgement."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from sdsuper.server.auth import BasicAuth, Verdict

DIGEST = hashlib.sha1(b"pa:ss", usedforsecurity=False).hexdigest()


def basic(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return b"Basic " + b64encode(data)


@pytest.mark.parametrize("password", ["pa:ss", "{SHA}" + DIGEST, "{SHA}" + DIGEST.upper()])
@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        (basic("user:pa:ss"), Verdict.ALLOWED),
        (b"basic  " + b64encode(b"user:pa:ss"), Verdict.ALLOWED),
        (b"  BASIC " + b64encode(b"user:pa:ss") + b" ", Verdict.ALLOWED),
        (None, Verdict.DENIED),
        (b"", Verdict.DENIED),
        (b"Basic", Verdict.DENIED),
        (b"Bearer " + b64encode(b"user:pa:ss"), Verdict.DENIED),
        (basic("user:pa"), Verdict.DENIED),
        (basic("user:pa:ss "), Verdict.DENIED),
        (basic("User:pa:ss"), Verdict.DENIED),
        (basic("user"), Verdict.DENIED),
        (basic(""), Verdict.DENIED),
        (basic(":"), Verdict.DENIED),
        (basic("user:{SHA}" + DIGEST), Verdict.DENIED),
        (basic(b"\xff\xfe:\xff"), Verdict.DENIED),
        (b"Basic !!!", Verdict.MALFORMED),
        (b"Basic dXNlcjpwYTpzcw", Verdict.MALFORMED),
        (b"Basic dXNl cjpw", Verdict.MALFORMED),
    ],
)
def test_verdict(password: str, header: bytes | None, verdict: Verdict) -> None:
    assert BasicAuth("user", password).check(header) is verdict


def test_names_and_passwords_are_utf8() -> None:
    assert BasicAuth("jörg", "пароль").check(basic("jörg:пароль")) is Verdict.ALLOWED
    assert BasicAuth("jörg", "пароль").check(basic("jorg:пароль")) is Verdict.DENIED
