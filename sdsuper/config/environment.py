"""The grammar of `environment=`: KEY=VALUE pairs, tokenised as a POSIX shell would quote."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

_WORD_CHARACTERS = "/.+-():"


class Pair(NamedTuple):
    """One variable, and the token that stands behind it ("" at the end)."""

    name: str
    value: str
    separator: str


def parse_environment(text: str) -> dict[str, str]:
    """Read the variables of `environment=`; the last of a repeated name wins.

    Raises:
        ValueError: A pair is incomplete, or a quote is not closed.
    """
    return {pair.name: pair.value for pair in pairs(text)}


def pairs(text: str) -> list[Pair]:
    """Read the pairs of a text, with their separators. Raises as `parse_environment`."""
    return list(_pairs(_tokens(text, posix=True), text))


def legacy_environment(text: str) -> dict[str, str] | None:
    """Read a text as Supervisor 4.3 does, None where it refuses it.

    It keeps quotes and backslashes inside words and strips quotes from both ends of a value.
    """
    try:
        found = list(_pairs(_tokens(text, posix=False), text))
    except ValueError:
        return None
    return {pair.name: pair.value.strip("'\"") for pair in found}


def _tokens(text: str, *, posix: bool) -> list[str]:
    lexer = shlex.shlex(text, posix=posix)
    lexer.wordchars += _WORD_CHARACTERS
    return list(lexer)


def _pairs(tokens: list[str], text: str) -> Iterator[Pair]:
    # The token in the place of the comma is not looked at: `A=1;B=2` is read as two pairs.
    for start in range(0, len(tokens), 4):
        name, equals, value, separator = (*tokens[start : start + 4], "", "", "", "")[:4]
        if equals != "=" or start + 2 >= len(tokens):
            raise ValueError(f"Unexpected end of key/value pairs in value {text!r}")
        yield Pair(name, value, separator)
