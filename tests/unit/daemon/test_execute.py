"""Whatever goes wrong at the edge, the core gets its answer."""

from sdsuper.config.model import ChannelConfig, DaemonConfig, Location, ProcessConfig
from sdsuper.core.actions import EndStrays, Spawn
from sdsuper.core.facts import Cleared, Fact, SpawnFailed
from sdsuper.daemon.execute import Executor
from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.values import Level, Namespec

NAME = Namespec("g", "p")
CONFIG = ProcessConfig(
    name="p",
    group="g",
    program="p",
    location=Location("test.ini", 1),
    command="true",
    stdout=ChannelConfig(),
    stderr=ChannelConfig(),
)


def test_an_unexpected_error_is_told_and_answered() -> None:
    facts: list[Fact] = []
    told: list[tuple[Level, str]] = []
    executor = Executor(
        DaemonConfig(logfile=None),
        DescriptorLimit(),
        facts.append,
        lambda level, text: told.append((level, text)),
        lambda event: None,
        lambda restart: None,
        None,
    )
    executor.execute(Spawn(NAME, 7, CONFIG))  # nothing was prepared for it
    executor.execute(EndStrays(NAME, 8, 2.0))  # no such invocation is leaving
    assert facts == [
        SpawnFailed(NAME, 7, "unexpected error in the daemon (its log has details)"),
        Cleared(NAME, 8),
    ]
    assert [level for level, _ in told] == [Level.CRITICAL] * 2
    assert "KeyError" in told[0][1]
