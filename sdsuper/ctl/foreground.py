"""`fg`: a process's output to the terminal, the terminal's lines to its stdin."""

from __future__ import annotations

import os
import select
import sys

from sdsuper.ctl import render
from sdsuper.rpc.faults import Fault, FaultCode

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdsuper.ctl.control import Control
    from sdsuper.rpc.client import Stream

READ_BYTES = 4096
EXITING = "Exiting foreground"
KILLED = f"Process got killed\n{EXITING}"


def attach(control: Control, name: str, streams: Sequence[Stream]) -> None:
    """Pass lines to and fro until the process or the input ends, or Ctrl-C.

    Everything happens in one loop, so nothing is left running when it ends.
    """
    try:
        control.print(_exchange(control, name, list(streams), sys.stdin.fileno()))
    except KeyboardInterrupt:
        control.print(EXITING)
    finally:
        for stream in streams:
            stream.close()


def _exchange(control: Control, name: str, streams: list[Stream], stdin: int) -> str:
    """Return the words that end it."""
    typed = b""
    while True:
        open_streams = {stream.fileno(): stream for stream in streams}
        ready = _ready(streams, stdin)
        for number in ready - {stdin}:
            data = open_streams[number].read()
            if data:
                control.out.write(data)
            else:
                streams.remove(open_streams[number])
        if stdin not in ready:
            continue
        data = os.read(stdin, READ_BYTES)
        *lines, typed = (typed + data).split(b"\n")
        for line in lines:
            ending = _send(control, name, line)
            if ending is not None:
                return ending
        if not data:
            return EXITING


def _ready(streams: Sequence[Stream], stdin: int) -> set[int]:
    """Wait until something can be read; return its descriptors."""
    waiting = {stream.fileno() for stream in streams if stream.pending}
    if waiting:
        return waiting
    poll = select.poll()
    for number in (stdin, *(stream.fileno() for stream in streams)):
        poll.register(number, select.POLLIN)
    return {number for number, _ in poll.poll()}


def _send(control: Control, name: str, line: bytes) -> str | None:
    """Send one line; return the words that end it if the process is gone."""
    try:
        control.call("sendProcessStdin", name, line.decode("utf-8", "replace") + "\n")
        info = control.call("getProcessInfo", name)
    except Fault as error:
        if error.code == FaultCode.NOT_RUNNING:
            return KILLED
        return f"ERROR: {render.fault(error)}\n{EXITING}"
    return None if info["statename"] == "RUNNING" else KILLED
