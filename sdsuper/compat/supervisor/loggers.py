"""Levels of the daemon's log."""

from __future__ import annotations


class LevelsByName:
    """Numbers of levels."""

    CRIT = 50
    ERRO = 40
    WARN = 30
    INFO = 20
    DEBG = 10
    TRAC = 5
    BLAT = 3


LOG_LEVELS_BY_NUM = {number: name for name, number in vars(LevelsByName).items() if name.isupper()}


def getLevelNumByDescription(description: str) -> int | None:  # noqa: N802 - Supervisor's name
    """Return the number of a level by the beginning of its name, None for none."""
    return getattr(LevelsByName, description.upper()[:4], None)
