"""What may not grow does not: counts, which no busy machine can spoil."""

from __future__ import annotations

import pytest

from benchmarks.counts import COUNTS
from benchmarks.limits import LIMITS, Limit

pytestmark = pytest.mark.counting


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_the_count_is_within_its_limit(limit: Limit) -> None:
    count = COUNTS[limit.name]()
    assert count <= limit.most, f"{limit.name}: {count:.2f}. What is in it: {limit.reason}"


def test_each_count_has_a_limit() -> None:
    assert [limit.name for limit in LIMITS] == [*COUNTS]
