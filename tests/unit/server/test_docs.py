"""The manual's page is what the code says."""

from __future__ import annotations

from docs.generate_rpc import MEANING, PAGE, page
from sdsuper.rpc.faults import NAMES


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m docs.generate_rpc"


def test_every_fault_is_explained() -> None:
    assert set(MEANING) == set(NAMES.values())
