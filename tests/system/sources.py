"""A machine on which the daemon is a service, run from the sources: no package is built for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.container import Container

UNIT = "sdsuperd.service"

_ROOT = Path(__file__).parents[2]
_LIBRARY = "/usr/local/lib/sdsuper"
_LAUNCHER = f"""\
#!/usr/bin/python3
import sys
sys.path.insert(0, "{_LIBRARY}")
from sdsuper.{{name}} import main
sys.exit(main())
"""
# One file for all: where journald begins a new one under a flood it was seen to keep a line twice,
# those of plain units as well.
_ROOM = """\
[Journal]
Storage=persistent
SystemMaxUse=4G
SystemMaxFileSize=1G
RateLimitIntervalSec=0
"""


@contextmanager
def service_machine(suite: str, config: str) -> Iterator[Container]:
    """Boot a machine with a service that is not started yet, and a journal that has room.

    Args:
        suite: The release it runs.
        config: The text of sdsuper.conf.
    """
    with Container(suite) as made:
        made.path(_LIBRARY).mkdir(parents=True, exist_ok=True)
        for name in ("sdsuper", "h11", "click", "psutil", "sdnotify"):
            found = importlib.util.find_spec(name)
            assert found is not None
            assert found.origin is not None
            origin = Path(found.origin)
            package = origin.parent if origin.name == "__init__.py" else origin
            made.copy_in(package, f"{_LIBRARY}/{package.name}")
        for command in ("sdsuperd", "sdsuperctl"):
            made.write(f"/usr/bin/{command}", _LAUNCHER.format(name=command), 0o755)
        made.write("/etc/sdsuper/sdsuper.conf", config)
        made.copy_in(_ROOT / "units" / UNIT, f"/etc/systemd/system/{UNIT}")
        made.write("/etc/systemd/journald.conf.d/room.conf", _ROOM)
        made.systemctl("restart", "systemd-journald")
        made.systemctl("daemon-reload")
        yield made
