"""A tree of processes that is built to outlive a stop: escapers.py TOKEN [MAIN].

It forks twice, has sessions and groups of its own, ignores each signal that can be ignored, has no
variables, and forks itself anew for ever, each time under another pid. TOKEN is in every command
line. MAIN says how the main process goes: `obedient` (by default) or `deaf`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

PAUSE = 0.1  # seconds that one of those lives who fork themselves anew


def deaf() -> None:
    """Ignore all that can be ignored."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)


def fork_for_ever() -> None:
    """Be somebody else every moment, and nobody's child."""
    while True:
        time.sleep(PAUSE / 10)  # without it they would take all of the machine
        if os.fork() == 0:
            os.setsid()
        else:
            time.sleep(PAUSE)
            os._exit(0)


def become(how: str) -> None:
    """Execute this file without variables, deaf from its first instruction."""
    deaf()
    os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, sys.argv[1], how], {})


def run_away(how: str) -> None:
    """Leave the parent, its session, its group, its variables."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setpgid(0, 0)
            become(how)
        os._exit(0)


def main(how: str) -> None:
    """Play one part."""
    if how == "hydra":
        fork_for_ever()
    elif how == "sleeper":
        while True:
            time.sleep(7777)
    if how == "deaf":
        deaf()
    run_away("hydra")
    run_away("sleeper")
    while True:
        time.sleep(7777)


if __name__ == "__main__":
    main(sys.argv[2] if len(sys.argv) > 2 else "obedient")
