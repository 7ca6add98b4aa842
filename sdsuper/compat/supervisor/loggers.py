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


_BY_DESCRIPTION = {
    "critical": 50, "error": 40, "warn": 30, "info": 20, "debug": 10, "trace": 5, "blather": 3
}  # fmt: skip


def getLevelNumByDescription(description: str) -> int | None:  # noqa: N802 - Supervisor's name
    """Return the number of a level by the word for it, None for none."""
    return _BY_DESCRIPTION.get(description)
