"""The names that plugins import from Supervisor. Narrow: what they were seen to use.

A listener's Python that finds this package by PYTHONPATH alone finds what it is made of, too.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("sdsuper") is None:
    sys.path.append(str(Path(__file__).parents[3]))
