"""The daemon is killed, replaced and upgraded at random moments under load: no program notices.

    SDSUPER_CHAOS_ROUNDS=200 SDSUPER_CHAOS_SEED=7 pytest tests/system/test_chaos.py

What is done, and when, follows from the seed, which is printed; how it meets what else happens
does not. SDSUPER_CHAOS_EVENTS chooses among the events by name, SDSUPER_CHAOS_KEEP names a folder
that gets the logs of a run that failed.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.harness import wait_until
from tests.system import chaos
from tests.system.conftest import Packages, add_repository
from tests.system.container import SUITES, Container

UNIT = "sdsuperd.service"
CGROUP = f"/sys/fs/cgroup/system.slice/{UNIT}"
FOLDER = "/etc/supervisord.d"
ROUNDS = int(os.environ.get("SDSUPER_CHAOS_ROUNDS", "12"))
SEED = os.environ.get("SDSUPER_CHAOS_SEED") or str(random.SystemRandom().randrange(10**6))
KEPT = os.environ.get("SDSUPER_CHAOS_KEEP")
SECONDS_PER_ROUND = 30
UP_TIMEOUT = 40.0

# A crash is repaired at once, so that more of them fit into a minute.
DROP_IN = "[Service]\nRestartSec=100ms\n"


class Host:
    """A machine whose daemon runs the writers.

    Attributes:
        machine: The machine.
        dice: Where all chance comes from.
        history: What was done, in words, in order.
    """

    def __init__(self, machine: Container, seed: str) -> None:
        self.machine = machine
        self.dice = random.Random(seed)
        self.history: list[str] = []
        self._release = 1
        self._enough = threading.Event()

    # --- what is seen -------------------------------------------------------------------------

    def daemon(self) -> int:
        """Return the pid of the daemon, 0 while there is none."""
        return int(self.machine.show(UNIT, "MainPID"))

    def answers(self) -> bool:
        """Whether the daemon is up and answers."""
        shown = self.machine.show(UNIT, "ActiveState")
        return shown == "active" and self.ctl("pid").returncode == 0

    def writers(self) -> dict[str, list[int]]:
        """Return the pids of all processes that write, by name."""
        found: dict[str, list[int]] = {}
        listed = self.machine.run("pgrep", "-a", "-x", "writer", check=False).stdout
        for line in listed.splitlines():
            pid, _, *words = line.split()
            if words:  # it has not just ended
                found.setdefault(words[0].rstrip("+"), []).append(int(pid))
        return found

    def told(self) -> dict[str, int]:
        """Return the pids that the daemon tells, by name; those without one are left out."""
        found = {}
        for line in self.ctl("status").stdout.splitlines():
            name, _, *rest = line.split()
            if rest[:1] == ["pid"]:
                found[name] = int(rest[1].rstrip(","))
        return found

    def steady(self) -> dict[str, list[int]]:
        """Return the pids of the writers that nobody asks to stop."""
        found = self.writers()
        return {writer.name: found.get(writer.name, []) for writer in chaos.STEADY}

    def inside(self) -> set[int]:
        """Return all pids in the cgroup of the service but the daemon's own and its helpers'."""
        find = f"find {CGROUP} -name cgroup.procs -not -path '*/daemon/*' -exec cat {{}} + 2>&-"
        pids = self.machine.run("sh", "-c", find, check=False).stdout.split()
        return {int(pid) for pid in pids}

    def accounted(self) -> bool:
        """Whether the daemon knows all processes of the service, and they exist."""
        before = set(self.told().values())
        inside, written = self.inside(), {pid for pids in self.writers().values() for pid in pids}
        after = set(self.told().values())
        # Those that are brief may be replaced meanwhile.
        return all(before & after <= found <= before | after for found in (inside, written))

    # --- what an operator does ----------------------------------------------------------------

    def ctl(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the client."""
        return self.machine.run("sdsuperctl", *words, check=False, timeout=timeout)

    def operate(self, dice: random.Random) -> None:
        """Do what operators do until there was enough, whether the daemon is there or not."""
        while not self._enough.is_set():
            tasks: tuple[Callable[[], object], ...] = (
                *(partial(self.ctl, verb) for verb in ("status", "avail")),
                *(
                    partial(self.ctl, verb, dice.choice(chaos.OPERATED).name)
                    for verb in ("stop", "start", "restart", "tail")
                ),
                partial(self.machine.systemctl, "reload", UNIT, check=False),
                partial(self.change, dice),
                partial(self.change, dice),
                self.reopen,
            )
            dice.choice(tasks)()
            self._enough.wait(dice.random() / 4)

    def change(self, dice: random.Random) -> None:
        """Let programs come and go."""
        chosen = dice.sample(chaos.PASSING, dice.randrange(len(chaos.PASSING) + 1))
        text = "\n".join(writer.section for writer in chosen)
        self.machine.run("tee", f"{FOLDER}/passing.ini", stdin=text)
        self.ctl("update")

    def reopen(self) -> None:
        """Have the log files opened anew."""
        pid = self.daemon()
        if pid:
            self.machine.run("kill", "-USR2", str(pid), check=False)

    # --- what happens to the daemon -----------------------------------------------------------

    def kill(self) -> None:
        """Kill the daemon; systemd starts the next one."""
        old = self.daemon()
        self.machine.run("kill", "-KILL", str(old))
        wait_until(lambda: self.daemon() not in (0, old), UP_TIMEOUT, "systemd starts another")

    def kill_twice(self) -> None:
        """Kill the daemon, and the next one while it takes over."""
        self.kill()
        time.sleep(self.dice.random() / 2)
        self.kill()

    def reexec(self) -> None:
        """Replace the daemon by itself; it stays the same process."""
        old = self.daemon()
        done = self.ctl("reexec")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.daemon() == old

    def reexec_and_kill(self) -> None:
        """Kill the daemon while it is replaced by itself."""
        thread = threading.Thread(target=self.ctl, args=("reexec",))
        thread.start()
        time.sleep(self.dice.random() * 0.6)
        self.kill()
        thread.join()

    def signal(self) -> None:
        """Replace the daemon by itself, told by a signal; or not, when it is killed meanwhile."""
        self.machine.run("kill", "-59", str(self.daemon()))

    def rpm(self) -> None:
        """Install the other release."""
        old = self.daemon()
        verb, self._release = ("upgrade", 2) if self._release == 1 else ("downgrade", 1)
        done = self.machine.run("dnf", "-y", verb, "sdsuper")
        found = self.machine.run("rpm", "-q", "--qf", "%{release}", "sdsuper").stdout
        assert found == str(self._release), done.stdout
        assert self.daemon() == old, done.stdout

    def rest(self) -> None:
        """Let nothing happen: all is well without, too."""

    def round(self) -> None:
        """Let one thing happen at a random moment, and look whether anything was lost."""
        chances: dict[Callable[[], None], int] = {
            self.kill: 5,
            self.kill_twice: 2,
            self.reexec: 4,
            self.reexec_and_kill: 2,
            self.signal: 1,
            self.rpm: 1,
            self.rest: 1,
        }
        wanted = os.environ.get("SDSUPER_CHAOS_EVENTS", "").split(",")
        if wanted != [""]:
            chances = {each: much for each, much in chances.items() if each.__name__ in wanted}
        (event,) = self.dice.choices(list(chances), list(chances.values()))
        before = self.steady()
        time.sleep(self.dice.random())
        self.history.append(event.__name__)
        event()
        wait_until(self.answers, UP_TIMEOUT, f"it answers after {event.__name__}")
        assert self.steady() == before, event.__name__

    # --- the whole ----------------------------------------------------------------------------

    def rounds(self, count: int) -> None:
        """Let so many things happen under load."""
        operator = threading.Thread(target=self.operate, args=(random.Random(self.dice.random()),))
        operator.start()
        try:
            for _ in range(count):
                self.round()
        finally:
            self._enough.set()
            operator.join()


@pytest.fixture(params=SUITES)
def host(request: pytest.FixtureRequest, packages: Packages, tmp_path: Path) -> Iterator[Host]:
    """A machine where the writers write, with two releases at hand."""
    with Container(str(request.param)) as machine:
        add_repository(machine, "host", packages.host())
        add_repository(machine, "first", packages.first(machine.suite))
        machine.run("dnf", "-y", "install", "sdsuper")
        add_repository(machine, "second", packages.second(machine.suite))
        machine.copy_in(chaos.compile_writer(tmp_path), chaos.WRITER)
        machine.run("mkdir", "-p", chaos.LOGS)
        writers = (*chaos.STEADY, *chaos.BRIEF, *chaos.OPERATED)
        machine.write(f"{FOLDER}/writers.ini", "\n".join(writer.section for writer in writers))
        machine.write(f"/etc/systemd/system/{UNIT}.d/chaos.conf", DROP_IN)
        machine.systemctl("daemon-reload")
        machine.systemctl("start", UNIT)
        made = Host(machine, SEED)
        wait_until(lambda: all(len(pids) == 1 for pids in made.steady().values()), 30, "all write")
        yield made


@pytest.mark.booted
@pytest.mark.rpm
@pytest.mark.timeout(300 + SECONDS_PER_ROUND * ROUNDS)
def test_nobody_notices_what_happens_to_the_daemon(host: Host) -> None:
    print(f"SDSUPER_CHAOS_SEED={SEED}, {ROUNDS} rounds")
    machine = host.machine
    before = host.steady()
    try:
        host.rounds(ROUNDS)
        assert host.ctl("update").returncode == 0
        assert host.steady() == before
        wait_until(host.accounted, 30, "each process is known", f"{host.told()} {host.inside()}")
        machine.systemctl("stop", UNIT)
        assert host.inside() == set()
        assert host.writers() == {}
        assert "Traceback" not in machine.journal(UNIT)
        total, wrong = chaos.troubles(
            machine.path(chaos.LOGS),
            [
                *chaos.STEADY,
                *chaos.BRIEF,
                *chaos.OPERATED,
                *chaos.PASSING,
            ],
        )
        assert wrong == []
        for writer in chaos.STEADY:
            if writer.options == chaos.JOURNAL:
                assert missing_in_journal(machine, writer) == []
        print(f"{total} lines, each once, after:", *host.history)
    except BaseException:
        print("what happened:", *host.history)
        print(machine.journal(UNIT)[-10_000:])
        if KEPT:
            shutil.copytree(machine.path("/var/log"), KEPT, symlinks=True, dirs_exist_ok=True)
        raise


def missing_in_journal(machine: Container, writer: chaos.Writer) -> list[int]:
    """Return the numbers of the lines that never came to the journal, where one may come twice."""
    machine.run("journalctl", "--sync")
    said = machine.run("journalctl", "--no-pager", "-o", "cat", "-t", writer.name).stdout
    numbers = {int(line.split()[2]) for line in said.splitlines() if " end " not in line}
    return sorted(set(range(max(numbers) + 1)) - numbers)


# --- the proof itself -----------------------------------------------------------------------------


def written(pid: int, count: int, pad: int = 9) -> list[str]:
    """Return what a writer says that writes some lines."""
    lines = [f"web {pid} {number} {chaos.filling(number, pad)}" for number in range(count)]
    return [*lines, f"web {pid} end {count}"]


def test_what_arrived_as_it_was_written_is_no_trouble() -> None:
    found = chaos.check_stream([*written(7, 30), *written(8, 2)], "web", 9)
    assert (found.lines, found.ends, found.troubles) == (32, [7, 8], [])


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:3] + lines[4:],
        lambda lines: lines[:3] + lines[2:],
        lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
        lambda lines: [*lines[:3], lines[3][:-1], *lines[4:]],
        lambda lines: [*lines[:3], lines[3] + lines[4], *lines[5:]],
        lambda lines: lines[:-1],
        lambda lines: lines[:-2] + lines[-1:],
        lambda lines: lines[1:],
        lambda lines: lines + lines,
        lambda lines: [*lines[:3], "", *lines[3:]],
    ],
    ids=["lost", "doubled", "swapped", "cut", "joined", "no last one", "lost before the last one",
         "lost at first", "all twice", "empty"],
)  # fmt: skip
def test_what_did_not_is_found(damage: Callable[[list[str]], list[str]]) -> None:
    assert chaos.check_stream(damage(written(7, 9)), "web", 9).troubles != []


def test_a_line_may_begin_in_an_older_file(tmp_path: Path) -> None:
    text = "\n".join(written(7, 30)) + "\n"
    for name, part in (("x.2", text[:101]), ("x.1", text[101:202]), ("x", text[202:])):
        (tmp_path / name).write_text(part, encoding="ascii")
    assert list(chaos.log_lines(tmp_path, "x")) == written(7, 30)


def test_the_writer_writes_what_is_expected(tmp_path: Path) -> None:
    command = [str(chaos.compile_writer(tmp_path)), "web+", "0", "7", "50", "100"]
    done = subprocess.run(command, capture_output=True, check=True, encoding="ascii", timeout=60)
    for text, stream, count in ((done.stdout, "web+", 80), (done.stderr, "web+err", 20)):
        found = chaos.check_stream(text.splitlines(), stream, 50)
        assert (found.lines, len(found.ends), found.troubles) == (count, 1, [])
