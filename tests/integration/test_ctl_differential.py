"""Neither client can tell the daemons apart."""

from __future__ import annotations

import pytest

from tests.integration.ctl_scenarios import SCENARIOS, transcript, undisturbed


@pytest.mark.parametrize("name", SCENARIOS)
def test_supervisors_client_finds_no_difference(name: str) -> None:
    theirs = transcript(name, "supervisor", "supervisor")
    assert list(transcript(name, "supervisor", "sdsuper")) == list(theirs)


@pytest.mark.parametrize("name", SCENARIOS)
def test_our_client_finds_no_difference(name: str) -> None:
    theirs = transcript(name, "supervisor", "supervisor")
    ours = transcript(name, "sdsuper", "sdsuper")
    assert list(ours) == [undisturbed(answer) for answer in theirs]
