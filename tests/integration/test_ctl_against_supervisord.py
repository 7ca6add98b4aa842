"""Our client says of Supervisor's daemon what Supervisor's own client says of it."""

from __future__ import annotations

import pytest

from tests.integration.ctl_scenarios import SCENARIOS, decided, transcript


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_line_and_exit_status_is_the_same(name: str) -> None:
    theirs = transcript(name, "supervisor", "supervisor")
    ours = transcript(name, "sdsuper", "supervisor")
    assert list(ours) == [decided(answer) for answer in theirs]
