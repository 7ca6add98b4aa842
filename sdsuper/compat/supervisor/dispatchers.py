"""What a handler of listeners' results is made from."""

from __future__ import annotations


class RejectEvent(Exception):  # noqa: N818 - Supervisor's name
    """A listener refused its event."""


def default_handler(event: object, response: bytes) -> None:
    """Take OK for success.

    Raises:
        RejectEvent: It was something else.
    """
    del event
    if response != b"OK":
        raise RejectEvent(response)
