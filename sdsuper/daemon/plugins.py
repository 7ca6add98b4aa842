"""Where the code of others is found: plugins of [rpcinterface:x], and result handlers.

Nothing is imported, and no folder looked at, before the first of them is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import Any

from sdsuper.config.strict import refuse_changeable
from sdsuper.core.events import event_types


class Modules:
    """The folders in which modules are looked for, over the life of this Python process.

    Attributes:
        used: Whether anything was imported, which may do in this process what it likes.
    """

    def __init__(self) -> None:
        self.used = False
        self._folders: tuple[str, ...] = ()

    def open(self, folders: Sequence[str], *, strict: bool) -> None:
        """Look for modules in these folders, too, from now on.

        Args:
            folders: The folders.
            strict: Refuse, for root, those that others may change: before anything runs.

        Raises:
            UsageError: One is refused.
        """
        if strict and os.geteuid() == 0:
            from sdsuper.compat import PLUGINS

            refuse_changeable(filter(os.path.isdir, (PLUGINS, *folders)))
        self._folders = tuple(folders)

    def find(self, spec: str) -> Callable[..., Any]:
        """Import a `module:callable`.

        Raises:
            Exception: Whatever the module raises, or ImportError, AttributeError or TypeError.
        """
        self._prepare()
        module, _, path = spec.partition(":")
        found: Any = import_module(module.strip())
        for name in path.strip().split("."):
            found = getattr(found, name)
        if not callable(found):
            raise TypeError(f"{path.strip()} cannot be called")
        return found  # type: ignore[no-any-return]  # checked to be callable

    def trouble(self, spec: str) -> str | None:
        """Import a `module:callable`; return why that fails, None if it does not."""
        try:
            self.find(spec)
        except (Exception, SystemExit) as error:  # noqa: BLE001  it is other people's code
            return described(error)
        return None

    def event_types(self) -> Collection[str]:
        """Return the names of all types of events, with those that plugins have registered."""
        return event_types()

    def _prepare(self) -> None:
        self.used = True
        from sdsuper.compat import open_folders, stand_in, take_over

        open_folders(self._folders)
        if not stand_in():
            take_over()


MODULES = Modules()
"""The one way to the modules of others."""


def described(error: BaseException) -> str:
    """Return an exception of others' code as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
