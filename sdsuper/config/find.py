"""Which file is read when nobody names one."""

from __future__ import annotations

import os

from sdsuper.errors import UsageError

TYPE_CHECKING = False  # type checkers take it for true; the client has no time to import typing
if TYPE_CHECKING:
    from collections.abc import Callable

OWN_PATH = "/etc/sdsuper/sdsuper.conf"
_RELATIVE = ("supervisord.conf", "etc/supervisord.conf")
_ABSOLUTE = ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")
_DROP_IN_COMMANDS = ("supervisord", "supervisorctl")

ROOT_WARNING = (
    "Supervisord is running as root and it is searching for its configuration file in default "
    'locations (including its current working directory); name the file with "-c" instead, '
    "so that nobody else can choose what root runs."
)
"""What the drop-in's daemon warns of when root gives no -c."""


def search_paths(argv0: str, *, root: bool = False) -> tuple[str, ...]:
    """Return the paths to try, in order.

    Under a drop-in's name it is Supervisor's list alone. Our own commands look at their own path
    first; for root they look at the working directory last, since others may write there.

    Args:
        argv0: The command as it was called.
        root: Whether root calls it.
    """
    prefix = os.path.dirname(os.path.dirname(argv0))
    beside = tuple(
        os.path.join(prefix, name) for name in ("etc/supervisord.conf", "supervisord.conf")
    )
    if os.path.basename(argv0) in _DROP_IN_COMMANDS:
        return (*beside, *_RELATIVE, *_ABSOLUTE)
    if not root:
        return (OWN_PATH, *beside, *_RELATIVE, *_ABSOLUTE)
    everywhere = (*beside, *_RELATIVE)
    absolute = tuple(path for path in everywhere if os.path.isabs(path))
    relative = tuple(path for path in everywhere if not os.path.isabs(path))
    return (OWN_PATH, *absolute, *_ABSOLUTE, *relative)


def find_config(
    argv0: str,
    *,
    root: bool | None = None,
    exists: Callable[[str], bool] = os.path.exists,
) -> str | None:
    """Return the first path of the default list that exists, None where none does.

    Args:
        argv0: The command as it was called.
        root: Whether root calls it; None: ask the system.
        exists: Whether there is such a file.
    """
    root = os.geteuid() == 0 if root is None else root
    return next((path for path in search_paths(argv0, root=root) if exists(path)), None)


def require_config(
    argv0: str,
    *,
    root: bool | None = None,
    exists: Callable[[str], bool] = os.path.exists,
) -> str:
    """Return what `find_config` finds.

    Raises:
        UsageError: There is no file; the text names every path that was tried.
    """
    root = os.geteuid() == 0 if root is None else root
    found = find_config(argv0, root=root, exists=exists)
    if found is None:
        raise UsageError(
            f"No config file found at default paths ({', '.join(search_paths(argv0, root=root))}); "
            "use the -c option to specify a config file at a different path"
        )
    return found
