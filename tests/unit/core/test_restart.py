import pytest

from sdsuper.config.model import Autorestart
from sdsuper.core.restart import (
    Decision,
    ExitedByItself,
    FailedStart,
    GiveUp,
    Rest,
    Restart,
    decide,
    is_expected,
)
from sdsuper.values import ExitStatus
from tests.unit.core.builders import process_config

NOW = 100.0


@pytest.mark.parametrize(
    ("startretries", "failures", "decision"),
    [
        (3, 1, Restart(101.0, "no; retry 1 of 3 (startretries)")),
        (3, 2, Restart(102.0, "no; retry 2 of 3 (startretries)")),
        (3, 3, Restart(103.0, "no; retry 3 of 3 (startretries)")),
        (3, 4, GiveUp("no; 4 attempts failed (startretries)")),
        (0, 1, GiveUp("no; 1 attempt failed (startretries)")),
        (-5, 1, GiveUp("no; 1 attempt failed (startretries)")),
        (1000, 1000, Restart(1100.0, "no; retry 1000 of 1000 (startretries)")),
    ],
)
def test_after_a_failed_start(startretries: int, failures: int, decision: Decision) -> None:
    config = process_config("a", startretries=startretries)
    assert decide(config, FailedStart("no", failures), NOW) == decision


EXPECTED = ExitStatus(2)
UNEXPECTED = ExitStatus(1)
KILLED = ExitStatus(None, 9)


@pytest.mark.parametrize(
    ("autorestart", "status", "decision"),
    [
        (Autorestart.NEVER, EXPECTED, Rest("exit status 2, expected (autorestart=false)")),
        (Autorestart.NEVER, UNEXPECTED, Rest("exit status 1, not expected (autorestart=false)")),
        (
            Autorestart.ALWAYS,
            EXPECTED,
            Restart(NOW, "exit status 2, expected (autorestart=true)"),
        ),
        (
            Autorestart.ALWAYS,
            KILLED,
            Restart(NOW, "terminated by SIGKILL, not expected (autorestart=true)"),
        ),
        (
            Autorestart.UNEXPECTED,
            EXPECTED,
            Rest("exit status 2, expected (autorestart=unexpected)"),
        ),
        (
            Autorestart.UNEXPECTED,
            UNEXPECTED,
            Restart(NOW, "exit status 1, not expected (autorestart=unexpected)"),
        ),
        (
            Autorestart.UNEXPECTED,
            KILLED,
            Restart(NOW, "terminated by SIGKILL, not expected (autorestart=unexpected)"),
        ),
    ],
)
def test_after_an_exit(autorestart: Autorestart, status: ExitStatus, decision: Decision) -> None:
    config = process_config("a", autorestart=autorestart, exitcodes=(0, 2))
    assert decide(config, ExitedByItself(status), NOW) == decision


def test_death_by_signal_is_never_expected() -> None:
    config = process_config("a", exitcodes=(-1, 9))
    assert not is_expected(config, ExitStatus(None, 9))
    assert is_expected(config, ExitStatus(9))
