"""What tests on the event loop wait for."""

from __future__ import annotations

from sdsuper import eventloop

PATIENCE = 20.0
"""Seconds until a test that hangs fails."""


class Event:
    """Something that happens."""

    def __init__(self) -> None:
        self._future: eventloop.Future[None] = eventloop.Future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def is_set(self) -> bool:
        return self._future.done()

    def clear(self) -> None:
        if self._future.done():
            self._future = eventloop.Future()

    async def wait(self) -> None:
        with eventloop.timeout(PATIENCE):
            await self._future
