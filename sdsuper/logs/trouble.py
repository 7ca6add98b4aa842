"""What went wrong with a write, as a value: a log that fails must not raise into the loop."""

from __future__ import annotations

from typing import Literal, NamedTuple

Data = bytes | bytearray | memoryview


class Trouble(NamedTuple):
    """A write that did not work as it should.

    Attributes:
        error: What the system said.
        lost: Bytes of the record that were written nowhere.
        doing: What failed.
    """

    error: OSError
    lost: int
    doing: Literal["write", "rotate"] = "write"
