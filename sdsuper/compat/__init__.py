"""A package named `supervisor` for plugins that were written for Supervisor, where it is not there.

Only this folder's `supervisor` is found by that name, and only after `stand_in` was called. Its
modules import one another relatively, for they have no other fixed name.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location

FOLDER = os.path.dirname(os.path.abspath(__file__))

OF_THE_DAEMON = ("events", "rpcinterface")
"""Modules by which a plugin reaches into the daemon it is in, which is not Supervisor's."""


def stand_in() -> bool:
    """Let `import supervisor` find our package, unless Supervisor itself is installed.

    Returns:
        Whether ours is found.
    """
    if FOLDER in sys.path:
        return True
    spec = find_spec("supervisor")
    if spec is not None and spec.origin is not None:
        return False
    sys.path.append(FOLDER)
    return True


def take_over() -> None:
    """Let the modules of an installed Supervisor that act on the daemon be ours."""
    import supervisor

    for name in OF_THE_DAEMON:
        full = f"supervisor.{name}"
        file = os.path.join(FOLDER, "supervisor", f"{name}.py")
        if getattr(sys.modules.get(full), "__file__", None) == file:
            continue
        spec = spec_from_file_location(full, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[full] = module_from_spec(spec)
        spec.loader.exec_module(module)
        setattr(supervisor, name, module)
