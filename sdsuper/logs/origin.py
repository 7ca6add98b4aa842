"""Whose output a record is."""

from __future__ import annotations

from sdsuper.dataclass import dataclass


@dataclass(slots=True)
class Origin:
    """One channel of one process, and the child that writes to it at the moment.

    Attributes:
        process: The process's own name.
        channel: "stdout" or "stderr".
        pid: The child's pid, 0 before the first.
        invocation: The identity of the invocation, "" before the first.
    """

    process: str
    channel: str = "stdout"
    group: str = ""
    program: str = ""
    pid: int = 0
    invocation: str = ""
