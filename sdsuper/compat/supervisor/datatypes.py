"""Texts of configurations -> values."""

from __future__ import annotations

import signal

_TRUTHS = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}


def boolean(text: object) -> bool:
    """Read yes or no, true or false, on or off, 1 or 0.

    Raises:
        ValueError: It is none of them.
    """
    found = _TRUTHS.get(str(text).lower())
    if found is None:
        raise ValueError(f"not a valid boolean value: {text!r}")
    return found


def integer(text: str | int) -> int:
    """Read a number.

    Raises:
        ValueError: It is none.
    """
    return int(text)


def list_of_strings(text: str | None) -> list[str]:
    """Read texts, separated by commas."""
    return [each.strip() for each in text.split(",")] if text else []


class SuffixMultiplier:
    """Reads a number with a unit behind it.

    Args:
        d: Unit to factor; all units have the same length.
        default: The factor where there is no unit.
    """

    def __init__(self, d: dict[str, int], default: int = 1) -> None:
        self._factors = d
        self._default = default
        lengths = {len(unit) for unit in d}
        assert len(lengths) <= 1
        self._length = lengths.pop() if lengths else 0

    def __call__(self, v: str) -> int:
        """Read a number.

        Raises:
            ValueError: It is none.
        """
        text = v.lower()
        for unit, factor in self._factors.items():
            if self._length and text[-self._length :] == unit:
                return int(text[: -self._length]) * factor
        return int(text) * self._default


byte_size = SuffixMultiplier({"kb": 1024, "mb": 1024**2, "gb": 1024**3})


def signal_number(text: str | int) -> int:
    """Read a signal: a number, or a name with or without SIG.

    Raises:
        ValueError: It is none.
    """
    try:
        number = int(text)
    except ValueError:
        name = str(text).strip().upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        found = signal.Signals.__members__.get(name)
        if found is None:
            raise ValueError(f"value {text!r} is not a valid signal name") from None
        number = found
    if number not in signal.valid_signals():
        raise ValueError(f"value {text!r} is not a valid signal number")
    return number
