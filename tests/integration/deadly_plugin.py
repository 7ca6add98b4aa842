"""A daemon with this dies between the birth of a child and the note of its pid, once it is told."""

from __future__ import annotations

import os
import signal
from typing import Any

from sdsuper.daemon import execute


def make(_supervisord: object, folder: str) -> object:
    """Put death in the way.

    Args:
        folder: Where a file named `die` is the word to; it is taken away.
    """
    module: Any = execute
    real = module.spawn

    def spawn(*words: Any, **options: Any) -> Any:
        child = real(*words, **options)
        try:
            os.unlink(f"{folder}/die")
        except FileNotFoundError:
            return child
        os.kill(os.getpid(), signal.SIGKILL)
        return child

    module.spawn = spawn
    return object()
