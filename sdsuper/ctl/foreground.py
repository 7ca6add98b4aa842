"""`fg`: a process's output to the terminal, the terminal's lines to its stdin."""

from __future__ import annotations

from sdsuper.ctl import render
from sdsuper.ctl.streams import wait_readable
from sdsuper.rpc.faults import Fault, FaultCode

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from sdsuper.ctl.control import Control
    from sdsuper.rpc.client import Stream

EXITING = "Exiting foreground"
KILLED = f"Process got killed\n{EXITING}"


def exchange(control: Control, name: str, streams: list[Stream]) -> str:
    """Pass lines to and fro until the process or the input ends; return the words that end it.

    Everything happens in one loop, so nothing is left running when it ends.
    """
    keyboard = control.keyboard
    typed = b""
    while True:
        ready = wait_readable(streams, keyboard)
        for stream in [stream for stream in streams if stream in ready]:
            if data := stream.read():
                control.out.write(data)
            elif stream.ended:
                streams.remove(stream)
        if keyboard not in ready:
            continue
        data = keyboard.read()
        *lines, typed = (typed + data).split(b"\n")
        for line in lines:
            ending = _send(control, name, line)
            if ending is not None:
                return ending
        if not data:
            return EXITING


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
