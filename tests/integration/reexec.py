"""A daemon that is told to replace itself, and a command that it cannot become in the end."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.integration.harness import Daemon

TAKEN = "has taken over\n"
"""What the client says at the end, behind which version has."""


def reexec(daemon: Daemon) -> None:
    """Let a daemon replace itself, which works."""
    said, status = daemon.ctl("reexec")
    assert said.endswith(TAKEN), said
    assert status == 0


def vanishing_launcher(folder: Path) -> Path:
    """Make a launcher that takes its own right to be executed when a handover is checked."""
    script = folder / "sdsuperd"
    start = f"#!{sys.executable}\nimport os, sys\nfrom sdsuper.sdsuperd import main\n"
    vanish = "if sys.argv[1:2] == ['--check-handover']:\n    os.chmod(sys.argv[0], 0o600)\n"
    script.write_text(f"{start}{vanish}sys.exit(main())\n")
    script.chmod(0o755)
    return script


def launched_by(script: Path) -> tuple[str, ...]:
    """Return the prefix that puts a launcher in the place of the daemon's command."""
    return "sh", "-c", f'shift; exec {script} "$@"', "sh"
