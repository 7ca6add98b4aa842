"""What a deferred call returns while it is not done."""

from __future__ import annotations


class NOT_DONE_YET:  # noqa: N801 - Supervisor's name
    """Ask again later."""
