"""What a ping is earned by, and what is said of a late one."""

from __future__ import annotations

import pytest

from sdsuper.systemd import watchdog
from sdsuper.systemd.watchdog import Health


@pytest.mark.parametrize(
    ("environ", "period"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_period(environ: dict[str, str], period: float | None) -> None:
    assert watchdog.period(environ, pid=7) == period


@pytest.mark.parametrize(
    ("health", "broken"),
    [
        (Health(now=5), set()),
        (Health(now=5, deadline=6, armed=6), set()),
        (Health(now=5, handling=True), {"the handling of a fact never ended"}),
        (Health(now=5, unhandled=2), {"facts are left in the queue"}),
        (Health(now=5, deadline=6), {"the next deadline is 6, the timer is set for None"}),
        (Health(now=5, armed=6), {"the next deadline is None, the timer is set for 6"}),
        (
            Health(now=5, deadline=6, armed=7),
            {"the next deadline is 6, the timer is set for 7"},
        ),
        (Health(now=5, deadline=4, armed=4), {"the deadline 4 is not acted upon"}),
        (
            Health(now=5, unwatched=("a (1)", "b (2)")),
            {"nobody would notice the end of a (1)", "nobody would notice the end of b (2)"},
        ),
    ],
)
def test_broken_invariants(health: Health, broken: set[str]) -> None:
    assert watchdog.broken_invariants(health) == broken


STARVED = "the host gave it no time, or it was stopped or waited for a disk"


@pytest.mark.parametrize(
    ("now", "interval", "cpu", "told"),
    [
        (100.0, 10, 0, None),
        (100.9, 10, 0, None),
        (100.5, 0.4, 0.1, f"0.5 s late: the daemon had 0.1 s of CPU in 0.9 s, {STARVED}"),
        (108.0, 10, 0.2, f"8.0 s late: the daemon had 0.2 s of CPU in 18.0 s, {STARVED}"),
        (108.0, 10, 7.5, "8.0 s late: the daemon had 7.5 s of CPU in 18.0 s, it was busy"),
    ],
)
def test_lag(now: float, interval: float, cpu: float, told: str | None) -> None:
    found = watchdog.lag(100.0, now, interval, cpu)
    assert found == (told and f"the loop came {told}")
