"""How much of what was measured is the machine: others at work on it, and time it did not get."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
from pathlib import Path

_QUIET = 1.10  # of the spin's 90th percentile to its median
_NOISY = 1.30


class Noise:
    """Takes a fixed piece of work now and then; its spread is the machine's, not the peers'."""

    def __init__(self, worker: Path) -> None:
        self._worker = worker
        self._spins: list[float] = []
        self._load = os.getloadavg()[0]
        self._before = _cpu_ticks()

    def probe(self) -> None:
        """Do the piece of work, some milliseconds, a few times."""
        for _ in range(3):
            done = subprocess.run(
                [str(self._worker), "spin"], capture_output=True, check=True, timeout=60
            )
            self._spins.append(int(done.stdout) / 1e6)

    def summary(self) -> dict[str, float]:
        """Return what to keep of it: milliseconds, and shares of 1."""
        ordered = sorted(self._spins)
        ticks = {name: now - self._before[name] for name, now in _cpu_ticks().items()}
        total = sum(ticks.values()) or 1
        return {
            "load before": self._load,
            "spin ms, median": statistics.median(ordered),
            "spin ms, 90th percentile": ordered[int(len(ordered) * 0.9)],
            "spin ms, most": ordered[-1],
            "stolen": ticks["steal"] / total,
            "idle": ticks["idle"] / total,
        }


def verdict(noise: dict[str, float]) -> str:
    """Return in words how noisy the machine was."""
    ratio = noise["spin ms, 90th percentile"] / noise["spin ms, median"]
    word = "quiet" if ratio < _QUIET else "noisy" if ratio < _NOISY else "VERY NOISY"
    return (
        f"the machine was {word}: a fixed piece of work took {noise['spin ms, median']:.1f} ms, "
        f"a tenth of the times {noise['spin ms, 90th percentile']:.1f} or more, "
        f"at worst {noise['spin ms, most']:.1f}; {noise['stolen']:.1%} of the CPU time was stolen "
        f"by its host; the load before was {noise['load before']:.1f}"
    )


def _cpu_ticks() -> dict[str, int]:
    """Return what /proc/stat says, see proc(5)."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    numbers = re.findall(r"\d+", Path("/proc/stat").read_text().splitlines()[0])
    return dict(zip(names, map(int, numbers), strict=False))
