"""What is measured; METRICS has a row for each, in the order of running: first what needs rest."""

# isort: off
from benchmarks.metrics import rest  # noqa: F401 (each declares its metrics)
from benchmarks.metrics import control  # noqa: F401
from benchmarks.metrics import life  # noqa: F401
from benchmarks.metrics import logs  # noqa: F401
from benchmarks.metrics import journal  # noqa: F401
from benchmarks.metrics import handover  # noqa: F401
from benchmarks.metrics import survival  # noqa: F401

# isort: on
from benchmarks.metrics.registry import EFFORTS, METRICS, Again, Effort, Metric, Scope, Turn

__all__ = ["EFFORTS", "METRICS", "Again", "Effort", "Metric", "Scope", "Turn"]
