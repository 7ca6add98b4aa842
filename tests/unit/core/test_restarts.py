"""Restarts that nobody asked for are counted, and no others."""

from __future__ import annotations

from typing import Any

from sdsuper.config.model import Autorestart, Containment
from sdsuper.core.facts import (
    DeadlinePassed,
    Exited,
    Spawned,
    StartRequested,
    StepFact,
    StopRequested,
)
from sdsuper.core.process import Process, step
from sdsuper.core.states import ProcessState
from sdsuper.values import ExitStatus, Namespec
from tests.unit.core.builders import at, process_config

NAME = Namespec("p", "p")


class Life:
    """One process, stepped through facts."""

    def __init__(self, **options: Any) -> None:
        config = process_config("p", containment=Containment.NONE, **options)
        self.process = Process(name=NAME, config=config)
        self.now = 0.0

    def take(self, fact: StepFact) -> Process:
        self.process, _ = step(self.process, fact, at(self.now))
        return self.process

    def start(self) -> None:
        self.take(StartRequested(NAME))
        self.spawned()

    def spawned(self) -> None:
        self.take(Spawned(NAME, self.process.invocation, 7))

    def exited(self, code: int) -> Process:
        return self.take(Exited(NAME, self.process.invocation, ExitStatus(code)))


def test_what_was_asked_for_is_not_counted() -> None:
    life = Life(startsecs=0)
    for _ in range(3):
        life.start()
        life.take(StopRequested(NAME))
        assert life.exited(0).restarts == 0


def test_restarts_after_an_exit_are_counted() -> None:
    life = Life(startsecs=0, autorestart=Autorestart.ALWAYS)
    life.start()
    for number in range(1, 4):
        assert life.exited(1).restarts == number
        life.spawned()
    life.take(StopRequested(NAME))
    life.exited(0)
    life.start()
    assert life.process.restarts == 3  # since the daemon began


def test_retries_of_a_start_are_counted() -> None:
    life = Life(startsecs=5, startretries=2)
    life.start()
    for number in range(1, 3):
        assert life.exited(1).state is ProcessState.BACKOFF
        life.now += 10
        assert life.take(DeadlinePassed()).restarts == number
        life.spawned()
    assert life.exited(1).state is ProcessState.FATAL
    life.start()
    assert life.process.restarts == 2
