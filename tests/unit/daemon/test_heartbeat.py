"""A ping is earned by a look at the daemon, and being late costs none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sdsuper import eventloop
from sdsuper.daemon.heartbeat import Heartbeat
from sdsuper.systemd import watchdog
from sdsuper.systemd.notify import Notifier
from sdsuper.systemd.watchdog import Health
from sdsuper.values import Level
from tests.unit import waiting

PERIOD = 0.03
WELL = Health(now=5)
QUEUE = Health(now=5, unhandled=1)
OVERDUE = Health(now=5, deadline=4, armed=4)


class Systemd(Notifier):
    """Hears what is sent, and ends the wait when it has heard enough."""

    def __init__(self, enough: int) -> None:
        super().__init__({})
        self.heard: list[str] = []
        self.done = waiting.Event()
        self._enough = enough

    def send(self, *messages: str) -> None:
        """Hear messages."""
        self.heard += messages
        if len(self.heard) >= self._enough:
            self.done.set()


def beat(healths: Iterable[Health], enough: int = 1) -> tuple[list[str], list[str]]:
    """Return what systemd and the log heard of a daemon that is well after `healths`."""
    said: list[str] = []
    looks: Iterator[Health] = iter(healths)

    async def live() -> list[str]:
        systemd = Systemd(enough)
        heartbeat = Heartbeat(
            PERIOD,
            systemd,
            lambda: next(looks, WELL),
            lambda level, text: said.append(f"{level.name} {text}") if level > Level.WARN else None,
        )
        with eventloop.timeout(20):
            await systemd.done.wait()
        heartbeat.close()
        return systemd.heard

    return eventloop.run(live()), said


def test_a_healthy_daemon_pings_on_and_on() -> None:
    assert beat([], enough=5) == ([watchdog.PING] * 5, [])


def test_what_passes_within_a_few_turns_is_no_defect() -> None:
    """As after the daemon was stopped for long: much is overdue, and about to be done."""
    passing = [OVERDUE] * watchdog.TURNS
    assert beat(passing) == ([watchdog.PING], [])


def test_one_after_another_is_no_defect() -> None:
    """As where one child after another ends at once."""
    storm = [Health(now=5, unwatched=(f"a ({pid})",)) for pid in range(100)]
    assert beat(storm, enough=2) == ([watchdog.PING] * 2, [])


def test_what_stays_broken_is_told_once_and_no_ping_follows() -> None:
    both = Health(now=5, unhandled=1, unwatched=("a (1)",))
    heard, said = beat([WELL, both, *[QUEUE, both] * 100], enough=2)
    assert heard == [watchdog.PING, watchdog.TRIGGER]
    assert said == [
        "CRITICAL broken invariant: facts are left in the queue",
        "CRITICAL asking systemd to end this daemon and to start another",
    ]
