"""Faults, and the way to a daemon for `xmlrpc.client`."""

# ruff: noqa: N802 - Supervisor's names
from __future__ import annotations

from sdsuper.rpc.faults import FaultCode as Faults
from sdsuper.rpc.faults import name_of
from sdsuper.rpc.transport import SupervisorTransport

__all__ = ["Faults", "RPCError", "SupervisorTransport", "getFaultDescription"]


def getFaultDescription(code: int) -> str:
    """Return the name of a fault."""
    return name_of(code)


class RPCError(Exception):
    """A method refuses.

    Attributes:
        code: One of Faults, or a plugin's own.
        text: Its name, and what there is to add.
    """

    def __init__(self, code: int, extra: object = None) -> None:
        super().__init__(code, extra)
        self.code = code
        self.text = name_of(code) if extra is None else f"{name_of(code)}: {extra}"

    def __str__(self) -> str:
        return f"code={self.code!r}, text={self.text!r}"
