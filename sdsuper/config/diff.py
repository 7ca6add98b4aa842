"""(old, new) -> what was added, changed, removed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sdsuper.config.model import GroupConfig


@dataclass(frozen=True)
class Changes:
    """Group names by what happened to them; added and changed in new order, removed in old."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def diff(old: Iterable[GroupConfig], new: Iterable[GroupConfig]) -> Changes:
    """Compare the active groups with those read."""
    raise NotImplementedError
