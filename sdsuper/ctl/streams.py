"""Several things that are read as they come: logs that are followed, what is typed."""

from __future__ import annotations

import select

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from sdsuper.ctl.control import Output
    from sdsuper.rpc.client import Stream

    class Readable(Protocol):
        """Something to wait for."""

        def fileno(self) -> int:
            """Return its descriptor."""

        @property
        def pending(self) -> bool:
            """Whether bytes have been received that `read` would return."""

        def read(self) -> bytes:
            """Return the next bytes, empty at the end."""


LINE_BYTES_MAX = 64 * 1024
"""Of a line that does not end, so much is kept back before it is shown in pieces."""


def wait_readable(streams: Sequence[Readable], *others: Readable) -> list[Readable]:
    """Wait until something can be read without waiting; return what can."""
    waiting = [*streams, *others]
    if pending := [readable for readable in waiting if readable.pending]:
        return pending
    poll = select.poll()
    for readable in waiting:
        poll.register(readable.fileno(), select.POLLIN)
    ready = {number for number, _ in poll.poll()}
    return [readable for readable in waiting if readable.fileno() in ready]


class Labelled:
    """One log among several: its lines, whole, each behind the log's name."""

    def __init__(self, label: str) -> None:
        self._label = label.encode("utf-8", "surrogateescape")
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be shown now that these bytes have come; none: the log has ended."""
        text = self._kept + data
        end = text.rfind(b"\n") + 1
        if len(text) - end > LINE_BYTES_MAX or not data:
            end = len(text)
        self._kept = text[end:]
        lines = text[:end].removesuffix(b"\n").split(b"\n") if end else []
        return b"".join(self._label + line + b"\n" for line in lines)


def show_labelled(out: Output, streams: dict[str, Stream]) -> None:
    """Show several logs as they grow, until every one has ended.

    Args:
        out: Where.
        streams: The logs by name.
    """
    width = max(map(len, streams), default=0)
    labelled = [(stream, Labelled(f"{name:<{width}} | ")) for name, stream in streams.items()]
    while labelled:
        ready = wait_readable([stream for stream, _ in labelled])
        for one in [one for one in labelled if one[0] in ready]:
            stream, label = one
            data = stream.read()
            if not data and not stream.ended:
                continue  # another daemon has taken over
            if shown := label.feed(data):
                out.write(shown)
            if stream.ended:
                labelled.remove(one)
