"""Runs by the hundred, each from a seed. What failed is run again with

SDSUPER_SEED=N pytest tests/unit/simulation

and a longer search with SDSUPER_STEPS=1000000.
"""

from __future__ import annotations

import os

import pytest

from tests.unit.simulation.invariants import AFTER_EACH_FACT, AT_REST
from tests.unit.simulation.simulation import Simulation

STEPS = int(os.environ.get("SDSUPER_STEPS", "200000"))
FIRST_SEED = int(os.environ.get("SDSUPER_SEED", "1"))


def test_the_invariants_hold_whatever_the_world_does() -> None:
    steps = 0
    seed = FIRST_SEED
    while steps < STEPS:
        simulation = Simulation(seed, AFTER_EACH_FACT, AT_REST)
        try:
            steps += simulation.run()
        except Exception as error:  # noqa: BLE001 (whatever it is, the seed must be told)
            trail = "\n".join(map(str, simulation.trail))
            pytest.fail(f"{trail}\nSDSUPER_SEED={seed}, step {simulation.steps}: {error!r}")
        seed += 1
