"""The states of the daemon; the daemon itself is not here."""

from __future__ import annotations

from .states import SupervisorStates

__all__ = ["SupervisorStates"]
