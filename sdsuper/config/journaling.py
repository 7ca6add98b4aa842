"""What may be said of lines on their way to the journal: priority, pattern, rate, what to do."""

from __future__ import annotations

import enum
import re

from sdsuper.dataclass import dataclass
from sdsuper.values import format_timespan, parse_timespan

LEVEL_GROUP = "level"
"""The named group of a pattern whose text is the level of the line."""

PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""By number. Source: syslog(3)."""

_ALSO = {
    "emerg": ("p", "panic"),
    "alert": ("a",),
    "crit": ("c", "critical", "f", "fatal", "dpanic"),
    "err": ("e", "error"),
    "warning": ("w", "warn"),
    "notice": ("n",),
    "info": ("i",),
    "debug": ("d", "trace"),
}
_NUMBERS = {
    word: number
    for number, name in enumerate(PRIORITIES)
    for word in (name, str(number), *_ALSO[name])
}
ANYTHING_MAX = 2
"""How many `.*` a pattern may have: the time for a line grows with its length to that power."""

LEVELS = {word.encode(): number for word, number in _NUMBERS.items()}
"""What programs call their levels, in lower case, and the priorities they stand for."""

# `{"level"` is no repeat, and {4} is one that leaves no choice.
_REPEAT = re.compile(r"[*+?]|\{(?!\d+\})(?=\d|,\d)\d*,?\d*\}")
_TIMES = re.compile(r"[*+]|\{(?=\d|,\d)\d*,?\d*\}")
_ANYTHING = re.compile(r"(?<!\\)\.(?=[*+]|\{\d*,)")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_GROUP_OPENS = re.compile(r"\((?:\?(?:P<\w+>|P=\w+|P>|[:=!>]|<[=!]|\w*(?:-\w+)?:?|\(\w+\)))?")


class JournalFull(enum.Enum):
    """What becomes of a program whose output the journal does not take for long."""

    DROP = "drop"
    WAIT = "wait"


@dataclass(frozen=True)
class Rate:
    """So many lines in each interval.

    Attributes:
        lines: The number, 1 or more.
        seconds: The length of the interval, 1 or more.
    """

    lines: int
    seconds: int

    def __str__(self) -> str:
        """As it is written: `1000/1s`."""
        return f"{self.lines}/{format_timespan(self.seconds)}"


def parse_priority(text: str) -> int:
    """Read a priority by its name in syslog(3), or its number."""
    found = _NUMBERS.get(text.strip().lower())
    if found is None:
        raise ValueError(f"not a priority: {text!r}")
    return found


def format_priority(number: int) -> str:
    """Write the name of a priority."""
    return PRIORITIES[number]


def parse_rate(text: str) -> Rate:
    """Read lines per interval: `1000/s`, `600/min`, `1000/30s`."""
    number, slash, span = text.partition("/")
    span = span.strip()
    try:
        lines = int(number)
        seconds = parse_timespan(span if span[:1].isdigit() else f"1{span}")
    except ValueError:
        raise ValueError(f"not a rate: {text!r}") from None
    if not slash or not span or lines < 1 or seconds < 1:
        raise ValueError(f"not a rate: {text!r}")
    return Rate(lines, seconds)


def parse_level_pattern(text: str) -> re.Pattern[bytes]:
    """Read a regular expression that finds the level of a line, in its group `level`.

    Raises:
        ValueError: It is none, lacks the group, or repeats something that may itself match in
            several ways: the time that such a pattern takes for one line has no bound worth the
            name, and everything else would wait for it.
    """
    try:
        found = re.compile(text.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if LEVEL_GROUP not in found.groupindex:
        raise ValueError(f"the group (?P<{LEVEL_GROUP}>...) is missing in {text!r}")
    if _repeats_a_choice(text):
        raise ValueError(
            f"a repeated group must not contain a repeat or '|', as one in {text!r} does: "
            "some lines would take it hours"
        )
    if len(_ANYTHING.findall(text)) > ANYTHING_MAX:
        raise ValueError(
            f"more than {ANYTHING_MAX} of '.*' and '.+' in {text!r}: "
            "say what stands there, as in [^ ]*"
        )
    return found


def format_level_pattern(pattern: re.Pattern[bytes]) -> str:
    """Write a pattern as it is read."""
    return pattern.pattern.decode("utf-8", "surrogateescape")


def _repeats_a_choice(pattern: str) -> bool:
    """Tell whether some group is repeated that has a repeat or an alternative in it.

    Args:
        pattern: One that compiles.
    """
    choices = [False]  # of the groups that are open, the whole pattern first
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            position += 2
        elif character == "[" and (found := _CLASS.match(pattern, position)):
            position = found.end()
        elif character == "(" and (found := _GROUP_OPENS.match(pattern, position)):
            choices.append(False)
            position = found.end()
        elif character == ")":
            position += 1
            if choices.pop():
                if _TIMES.match(pattern, position):
                    return True
                choices[-1] = True
        else:
            choices[-1] |= character == "|" or _REPEAT.match(pattern, position) is not None
            position += 1
    return False
