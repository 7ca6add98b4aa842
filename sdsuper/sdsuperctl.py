"""sdsuperctl: the command that operators and scripts type."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client and return its exit status.

    Args:
        argv: The command line, the path of the command first; None: this process's own.
    """
    from sdsuper.ctl.app import run

    program, *words = sys.argv if argv is None else argv
    return run(program, words)


def command() -> NoReturn:
    """Be the command: as `main`, and then out at once.

    To take the interpreter apart takes a tenth of a whole `status`. It is done where anybody may
    have asked to be called at the end; what is printed was written at once.
    """
    status = main()
    if {"atexit", "threading"}.isdisjoint(sys.modules):
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    command()
