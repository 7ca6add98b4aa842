"""A package named `supervisor` for plugins that were written for Supervisor, where it is not there.

Only this folder's `supervisor` is found by that name, and only after `stand_in` was called. Its
modules import one another relatively, for they have no other fixed name.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

FOLDER = os.path.dirname(os.path.abspath(__file__))


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
