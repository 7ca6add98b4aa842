"""Whose requests may change something."""

from __future__ import annotations

import pytest

from sdsuper.server.page.guard import Guard, Origin, origin_of


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({}, Origin.UNKNOWN),
        ({b"sec-fetch-site": b"same-origin"}, Origin.OURS),
        ({b"sec-fetch-site": b"none"}, Origin.OURS),
        ({b"sec-fetch-site": b"same-site"}, Origin.OTHERS),
        ({b"sec-fetch-site": b"cross-site"}, Origin.OTHERS),
        ({b"sec-fetch-site": b""}, Origin.OTHERS),
        ({b"origin": b"http://h:9001", b"host": b"h:9001"}, Origin.OURS),
        ({b"origin": b"HTTP://H:9001", b"host": b"h:9001"}, Origin.OURS),
        ({b"origin": b"http://h:9002", b"host": b"h:9001"}, Origin.OTHERS),
        ({b"origin": b"http://evil", b"host": b"h"}, Origin.OTHERS),
        ({b"origin": b"null", b"host": b"h"}, Origin.OTHERS),
        ({b"origin": b"null"}, Origin.OTHERS),
        ({b"origin": b"", b"host": b""}, Origin.OTHERS),
        # A proxy that changed Host: the browser's own word, or the proxy's, counts.
        (
            {b"origin": b"https://p", b"host": b"h", b"sec-fetch-site": b"same-origin"},
            Origin.OURS,
        ),
        ({b"origin": b"https://p", b"host": b"h", b"x-forwarded-host": b"p"}, Origin.OURS),
        ({b"origin": b"http://h", b"host": b"h", b"sec-fetch-site": b"cross-site"}, Origin.OTHERS),
    ],
)
def test_where_a_request_came_from(headers: dict[bytes, bytes], origin: Origin) -> None:
    assert origin_of(headers) is origin


def test_a_token_is_of_one_daemon() -> None:
    guard, other = Guard(), Guard()
    assert guard.knows(guard.token)
    assert len(guard.token) == 48
    assert not guard.knows(other.token)
    assert guard.generation not in guard.token
    assert guard.generation != other.generation


@pytest.mark.parametrize("wrong", [None, "", "x", "\xe9", "\u20ac"])
def test_what_is_no_token(wrong: str | None) -> None:
    assert not Guard().knows(wrong)


def test_part_of_a_token_is_none() -> None:
    guard = Guard()
    assert not guard.knows(guard.token[:-1])
    assert not guard.knows(guard.token + "0")
