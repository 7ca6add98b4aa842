"""sdsuperctl: the command that operators and scripts type."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client and return its exit status.

    Args:
        argv: The command line, the path of the command first; None: this process's own.
    """
    from sdsuper.ctl.app import run

    program, *words = sys.argv if argv is None else argv
    return run(program, words)


if __name__ == "__main__":
    sys.exit(main())
