"""sdsuper on a machine straight from the sources, without a package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.system.container import Container
from tests.system.vm import VirtualMachine

ROOT = Path(__file__).parents[2]
LIBRARY = "/usr/local/lib/sdsuper"
UNITS = "/etc/systemd/system"
GUARD = "/usr/libexec/sdsuper/guard"
CONFIG = "/etc/sdsuper/sdsuper.conf"

_LAUNCHER = f"""\
#!/usr/bin/python3 -EPsB
import sys
sys.path.insert(0, "{LIBRARY}")
from sdsuper.{{name}} import main
sys.exit(main())
"""
_FRAME = """\
[supervisord]
user=root
logfile=/var/log/sdsuper/sdsuperd.log
pidfile=/run/sdsuper/sdsuperd.pid
[unix_http_server]
file=/run/sdsuper/sdsuper.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix:///run/sdsuper/sdsuper.sock
"""


def install(machine: Container | VirtualMachine, programs: str) -> None:
    """Put the commands and the units where they belong; the daemon is not started.

    Args:
        machine: Where.
        programs: What its configuration says beside how to reach it.
    """
    for name in ("sdsuper", "h11", "click", "psutil", "sdnotify"):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        package = origin.parent if origin.name == "__init__.py" else origin
        machine.path(LIBRARY).mkdir(parents=True, exist_ok=True)
        machine.copy_in(package, f"{LIBRARY}/{package.name}")
    for command in ("sdsuperd", "sdsuperctl"):
        machine.write(f"/usr/bin/{command}", _LAUNCHER.format(name=command), 0o755)
    machine.write(CONFIG, _FRAME + programs)
    for unit in ("sdsuperd", "sdsuper-guard@", "sdsuper-cleanup@"):
        machine.copy_in(ROOT / "units" / f"{unit}.service", f"{UNITS}/{unit}.service")
    machine.write(GUARD, (ROOT / "units" / "guard").read_text(encoding="utf-8"), 0o755)
    machine.systemctl("daemon-reload")
