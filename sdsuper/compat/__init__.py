"""A package named `supervisor` for plugins that were written for Supervisor, where it is not there.

Only this folder's `supervisor` is found by that name, and only after `stand_in` was called. Its
modules import one another relatively, for they have no other fixed name.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = os.path.dirname(os.path.abspath(__file__))

PLUGINS = "/usr/local/lib/sdsuper/plugins"
"""Where plugins may be put that are for sdsuper alone."""

_INSTALLED = ("/site-packages", "/dist-packages")

OF_THE_DAEMON = ("events", "rpcinterface")
"""Modules by which a plugin reaches into the daemon it is in, which is not Supervisor's."""


def open_folders(folders: Sequence[str] = ()) -> None:
    """Look for modules in PLUGINS and these folders, too, before what is installed."""
    if "site" not in sys.modules:  # our launchers start without: it takes a while, for nothing
        import site

        site.main()
    missing = [folder for folder in (PLUGINS, *folders) if folder not in sys.path]
    installed = (place for place, path in enumerate(sys.path) if path.endswith(_INSTALLED))
    place = next(installed, len(sys.path))
    sys.path[place:place] = missing


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
