"""XML-RPC faults: one row each, and the exception that carries one.

The client's fast path imports this module, so it needs nothing but the builtins: an enum alone
would cost more than the rest of the import.
"""

from __future__ import annotations


class FaultCode:
    """The code of each fault; the name of the row is the first word of its text on the wire."""

    UNKNOWN_METHOD = 1
    INCORRECT_PARAMETERS = 2
    BAD_ARGUMENTS = 3
    SIGNATURE_UNSUPPORTED = 4
    SHUTDOWN_STATE = 6
    BAD_NAME = 10
    BAD_SIGNAL = 11
    NO_FILE = 20
    NOT_EXECUTABLE = 21
    FAILED = 30
    ABNORMAL_TERMINATION = 40
    SPAWN_ERROR = 50
    ALREADY_STARTED = 60
    NOT_RUNNING = 70
    SUCCESS = 80
    """Never raised: the status of what went well in a result list."""
    ALREADY_ADDED = 90
    STILL_RUNNING = 91
    CANT_REREAD = 92


NAMES = {code: name for name, code in vars(FaultCode).items() if name.isupper()}
"""The name of each code."""


def name_of(code: int) -> str:
    """Return the name of a code; `UNKNOWN` for one that only a plugin knows."""
    return NAMES.get(code, "UNKNOWN")


class Fault(Exception):  # noqa: N818 - the protocol's own word
    """A call that was understood and refused.

    Attributes:
        code: One of FaultCode, or a plugin's own.
        detail: What the text adds to the name, often the name as sent; may be empty.
        text: What the wire carries: `NAME` or `NAME: detail`.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        name = name_of(code)
        self.code = code
        self.detail = detail
        self.text = f"{name}: {detail}" if detail else name
        super().__init__(code, detail)

    @classmethod
    def from_wire(cls, code: int, text: str) -> Fault:
        """Return the fault that a peer sent, its text kept letter by letter."""
        name, separator, detail = text.partition(": ")
        known = name == name_of(code)
        fault = cls(code, detail if known and separator else "")
        if fault.text != text:
            fault.detail = "" if known else text
            fault.text = text
        return fault

    def __str__(self) -> str:
        return self.text
