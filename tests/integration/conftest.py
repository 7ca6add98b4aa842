"""Daemons for the tests of this folder; see harness.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.integration.harness import PEERS, Daemon

StartDaemon = Callable[..., Daemon]


@pytest.fixture(params=sorted(PEERS))
def peer(request: pytest.FixtureRequest) -> str:
    """Each implementation in turn: the test asks the same of both."""
    return str(request.param)


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """Start daemons that are stopped, and checked for what they leave, at the end of the test."""
    with ExitStack() as stack:
        started: list[Daemon] = []

        def start(programs: str = "", **options: Any) -> Daemon:
            daemon = stack.enter_context(Daemon(programs, **options))
            started.append(daemon)
            return daemon

        yield start
        for daemon in started:  # captured by pytest, and shown only when the test has failed
            print(daemon.report())
