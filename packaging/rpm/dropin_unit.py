"""Write supervisord.service, which is sdsuperd.service under Supervisor's names and paths.

    dropin_unit.py units/sdsuperd.service >supervisord.service

What the one unit says of the daemon holds for the other, so it is written once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

REPLACED = {
    "Description": "Process supervisor (sdsuper in Supervisor's place)",
    "Conflicts": "sdsuperd.service",
    "ExecStart": "/usr/bin/supervisord -n -c /etc/supervisord.conf",
    "ExecReload": "/usr/bin/supervisorctl -c /etc/supervisord.conf update",
    "RuntimeDirectory": "supervisor",
    # tmpfiles.d makes it too, for a supervisord that is started by hand.
    "RuntimeDirectoryPreserve": "yes",
    "LogsDirectory": "supervisor",
    "LogsDirectoryMode": "0770",
}
"""What each key says instead. The modes are those of Supervisor's packages."""

ADDED = {"RuntimeDirectory": ["RuntimeDirectoryMode=0770"]}
"""Lines behind the one of a key."""

DROPPED = frozenset(("ConfigurationDirectory", "StateDirectory", "StateDirectoryMode"))


def derived(lines: list[str]) -> Iterator[str]:
    """Yield the lines of the one unit for those of the other.

    Raises:
        SystemExit: What is to be replaced or dropped is not there just once.
    """
    keys = [line.partition("=")[0] for line in lines if "=" in line and line[0] not in "#;"]
    for key in (*REPLACED, *DROPPED):
        if keys.count(key) != 1:
            raise SystemExit(f"{key} occurs {keys.count(key)} times in the unit")
    for line in lines:
        key = line.partition("=")[0]
        if key not in DROPPED:
            yield f"{key}={REPLACED[key]}" if key in REPLACED else line
            yield from ADDED.get(key, ())


if __name__ == "__main__":
    print("\n".join(derived(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())))
