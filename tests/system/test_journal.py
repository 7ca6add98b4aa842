"""The real journal: what programs, states and the daemon itself leave in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdsuper.logs.rate import SUPPRESSED_ID
from sdsuper.logs.reader import READ_BYTES
from sdsuper.logs.sinks.journal import WAITING_MAX_BYTES
from tests.system.container import SUITES, Container
from tests.system.sources import UNIT, service_machine

pytestmark = pytest.mark.booted

ROOT = Path(__file__).parents[2]
PROGRAMS = """\
[program:words]
command=sh -c 'echo plain; echo "<3>bad"; printf "raw \\\\377\\\\n"; sleep 1; printf end; exit 3'
stdout_logfile=journal
stderr_logfile=NONE
autorestart=false
startsecs=0
[program:flood]
command=seq 100000
stdout_logfile=journal
autostart=false
autorestart=false
startsecs=0
[program:held]
command=seq -f %%099.0f 100000
stdout_logfile=journal
stdout_journal_full=wait
autostart=false
autorestart=false
startsecs=0
[program:beyond]
command=seq -f %%099.0f 100000
stdout_logfile=/srv/beyond.log
stdout_logfile_maxbytes=0
stdout_journal=true
autostart=false
autorestart=false
startsecs=0
[program:kube]
command=cat /srv/klog
stdout_logfile=journal
stdout_priority=notice
priority_pattern=^(?P<level>[IWEF])\\d{4}
autostart=false
autorestart=false
startsecs=0
[program:many]
command=seq 100
stdout_logfile=journal
log_rate=10/min
autostart=false
autorestart=false
startsecs=0
[program:hopeless]
command=sh -c 'exit 3'
stdout_logfile=journal
stderr_logfile=NONE
startretries=0
autostart=false
[program:fast]
command=python3 -u /srv/fast.py
stdout_logfile=journal
autostart=false
autorestart=false
startsecs=0
[program:slow]
command=sh -c 'n=0; while [ $n -lt 30 ]; do n=$((n+1)); echo $n; sleep 1; done'
process_name=%(program_name)s_%(process_num)02d
numprocs=20
stdout_logfile=journal
autostart=false
autorestart=false
startsecs=0
"""
JOURNALD = "systemd-journald"
JOURNALD_SOCKETS = (f"{JOURNALD}.socket", f"{JOURNALD}-dev-log.socket")
COUNT = 100_000
EXITED = "4c561be70b9238126813346d0c13dc9c"
RUNNING = "3989f95a335040d2768d8f3f082bf8f2"


@pytest.fixture(scope="module", params=SUITES)
def machine(request: pytest.FixtureRequest) -> Iterator[Container]:
    with service_machine(str(request.param), PROGRAMS) as made:
        made.write(f"/etc/systemd/system/{UNIT}.d/watchdog.conf", "[Service]\nWatchdogSec=4\n")
        made.systemctl("daemon-reload")
        made.systemctl("start", UNIT)
        yield made


def entries(machine: Container, *words: str) -> list[dict[str, Any]]:
    machine.run("journalctl", "--sync")
    said = machine.run("journalctl", "--no-pager", "-o", "json", "--all", *words).stdout
    return [json.loads(line) for line in said.splitlines()]


def test_lines_states_and_the_own_log(machine: Container) -> None:
    machine.wait(lambda: entries(machine, f"MESSAGE_ID={EXITED}"), "words has exited")
    plain, bad, raw, end = entries(machine, "-t", "words")
    assert plain["MESSAGE"] == "plain"
    assert plain["PRIORITY"] == "6"
    assert plain["_SYSTEMD_UNIT"] == end["_SYSTEMD_UNIT"] == "sdsuperd.service"
    assert (plain["SDSUPER_PROGRAM"], plain["SDSUPER_STREAM"]) == ("words", "stdout")
    assert (bad["MESSAGE"], bad["PRIORITY"]) == ("bad", "3")
    assert raw["MESSAGE"] == list(b"raw \xff")
    assert (end["MESSAGE"], end["SDSUPER_LINE_BREAK"]) == ("end", "eof")
    [exited] = entries(machine, f"MESSAGE_ID={EXITED}", "SDSUPER_PROCESS=words")
    assert (exited["SDSUPER_EXIT_CODE"], exited["SDSUPER_EXPECTED"]) == ("3", "0")
    assert exited["OBJECT_PID"] == plain["SYSLOG_PID"]
    assert exited["SDSUPER_INVOCATION"] == plain["SDSUPER_INVOCATION"]
    own = entries(machine, "-t", "sdsuperd")
    spawned = [each for each in own if each["MESSAGE"].startswith("spawned: 'words'")]
    assert [each["PRIORITY"] for each in spawned] == ["6"]
    assert "_TRANSPORT" in spawned[0]
    assert spawned[0]["_TRANSPORT"] == "journal"


def messages(machine: Container, *words: str) -> list[str]:
    machine.run("journalctl", "--sync")
    return machine.run("journalctl", "--no-pager", "-o", "cat", *words).stdout.splitlines()


def restarts(machine: Container) -> str:
    return machine.show(UNIT, "NRestarts")


def run_to_end(machine: Container, name: str, timeout: float = 60) -> None:
    machine.run("sdsuperctl", "start", name)
    wait_exited(machine, name, timeout)


def wait_exited(machine: Container, name: str, timeout: float = 60) -> None:
    def exited() -> bool:
        return "EXITED" in machine.run("sdsuperctl", "status", name, check=False).stdout

    machine.wait(exited, f"{name} has exited", timeout)


def padded(count: int) -> list[str]:
    return [f"{number:099d}" for number in range(1, count + 1)]


def test_no_line_is_lost_while_the_journal_restarts(machine: Container) -> None:
    machine.run("sdsuperctl", "start", "flood")
    machine.systemctl("restart", "systemd-journald")

    machine.wait(
        lambda: messages(machine, "-n", "1", "-t", "flood") == [str(COUNT)], "the last line", 60
    )
    assert messages(machine, "-t", "flood") == [str(number) for number in range(1, COUNT + 1)]


def latest_start(machine: Container, name: str) -> dict[str, Any]:
    """Return the entry of the latest start of a process."""
    [found] = entries(machine, "-n", "1", f"MESSAGE_ID={RUNNING}", f"SDSUPER_PROCESS={name}")
    return found


def latest(machine: Container, name: str) -> str:
    """Return the match for the latest run of a process."""
    return f"SDSUPER_INVOCATION={latest_start(machine, name)['SDSUPER_INVOCATION']}"


def test_a_killed_journald_loses_at_most_what_it_held(machine: Container) -> None:
    machine.run("sdsuperctl", "start", "flood")
    machine.systemctl("kill", "--signal", "KILL", JOURNALD)
    wait_exited(machine, "flood")
    machine.wait(
        lambda: machine.run("journalctl", "--sync", check=False).returncode == 0, "it is back"
    )
    run = latest(machine, "flood")

    def last() -> bool:
        return messages(machine, "-n", "1", "-t", "flood", run) == [str(COUNT)]

    machine.wait(last, "the last line is in the journal", 60)
    found = [int(text) for text in messages(machine, "-t", "flood", run)]
    assert found == sorted(set(found))  # none twice, all in order
    # journald has one entry in its hands, and cannot give it back.
    assert COUNT - len(found) <= 1


def test_a_stuck_journald_loses_nothing_within_the_bound(machine: Container) -> None:
    machine.systemctl("kill", "--signal", "STOP", JOURNALD)
    try:
        run_to_end(machine, "flood")
    finally:
        machine.systemctl("kill", "--signal", "CONT", JOURNALD)
    run = latest(machine, "flood")
    machine.wait(
        lambda: messages(machine, "-n", "1", "-t", "flood", run) == [str(COUNT)], "all is there"
    )
    assert messages(machine, "-t", "flood", run) == list(map(str, range(1, COUNT + 1)))


def test_lines_wait_for_a_journald_that_was_stopped(machine: Container) -> None:
    machine.systemctl("stop", *JOURNALD_SOCKETS, JOURNALD)
    try:
        machine.run("sdsuperctl", "start", "flood")
        machine.wait(
            lambda: "no journal at" in machine.read("/var/log/sdsuper/sdsuperd.log"), "it is told"
        )
        wait_exited(machine, "flood")
    finally:
        machine.systemctl("start", *JOURNALD_SOCKETS, JOURNALD)
    machine.wait(
        lambda: "takes output again" in machine.read("/var/log/sdsuper/sdsuperd.log"), "it is told"
    )
    run = latest(machine, "flood")
    machine.wait(
        lambda: messages(machine, "-n", "1", "-t", "flood", run) == [str(COUNT)], "all is there"
    )
    assert messages(machine, "-t", "flood", run) == list(map(str, range(1, COUNT + 1)))


def test_who_asked_to_wait_is_held_up_and_loses_nothing(machine: Container) -> None:
    machine.systemctl("kill", "--signal", "STOP", JOURNALD)
    try:
        machine.run("sdsuperctl", "start", "held")
        # What did not ask for it is read on: it ends, and what it wrote is in its file.
        run_to_end(machine, "beyond")
        assert "RUNNING" in machine.run("sdsuperctl", "status", "held", check=False).stdout
    finally:
        machine.systemctl("kill", "--signal", "CONT", JOURNALD)
    wait_exited(machine, "held")
    last = f"{COUNT:099d}"
    machine.wait(lambda: messages(machine, "-n", "1", "-t", "held") == [last], "all is there", 60)
    assert messages(machine, "-t", "held") == padded(COUNT)
    assert machine.read("/srv/beyond.log").splitlines() == padded(COUNT)


def test_what_is_beyond_the_bound_is_counted_and_told(machine: Container) -> None:
    """What `beyond` lost while the journal was stuck is told when it writes again."""
    stuck = latest(machine, "beyond")
    run_to_end(machine, "beyond")
    run = latest(machine, "beyond")
    last = f"{COUNT:099d}"
    machine.wait(lambda: messages(machine, "-n", "1", "-t", "beyond", run) == [last], "all", 60)
    kept = messages(machine, "-t", "beyond", stuck)
    [text] = [
        entry["MESSAGE"]
        for entry in entries(machine, "-t", "sdsuperd", "PRIORITY=4")
        if entry["MESSAGE"].startswith("'beyond' stdout: the journal works again")
    ]
    dropped = int(text.split()[-4])
    assert dropped > 0
    # A line that was cut by the bound is an entry of its own, and takes a newline more.
    assert 0 <= sum(len(line) + 1 for line in kept) + dropped - COUNT * 100 <= 1
    # The bound, less the piece that found no room, and what its pipe still held.
    assert WAITING_MAX_BYTES - READ_BYTES <= COUNT * 100 - dropped < 5_000_000
    whole = [line for line in kept if len(line) == 99]
    assert whole == padded(len(whole))
    assert len(kept) - len(whole) <= 1


def test_levels_rates_and_what_to_do(machine: Container) -> None:
    klog = ["I1124 21:00:00 a.go:1] up", "E1124 21:00:01 a.go:2] bad", "plain"]
    machine.write("/srv/klog", "\n".join([*klog, ""]))
    run_to_end(machine, "kube")
    run_to_end(machine, "many")
    machine.run("sdsuperctl", "start", "hopeless", check=False)
    machine.wait(lambda: len(messages(machine, "-t", "kube")) == len(klog), "all of kube")
    assert messages(machine, "-t", "kube") == klog
    assert messages(machine, "-t", "kube", "-p", "err") == klog[1:2]
    assert messages(machine, "-t", "kube", "PRIORITY=5") == klog[2:]
    machine.wait(lambda: entries(machine, f"MESSAGE_ID={SUPPRESSED_ID}"), "it is told")
    [told] = entries(machine, f"MESSAGE_ID={SUPPRESSED_ID}")
    assert (told["N_DROPPED"], told["SYSLOG_IDENTIFIER"]) == ("90", "many")
    assert len(messages(machine, "-t", "many", "SDSUPER_STREAM=stdout")) == 10
    machine.copy_in(ROOT / "units" / "sdsuper.catalog", "/usr/lib/systemd/catalog/sdsuper.catalog")
    machine.run("journalctl", "--update-catalog")
    machine.wait(lambda: entries(machine, "SDSUPER_STATE=FATAL"), "it was given up")
    shown = machine.run("journalctl", "--no-pager", "-x", "SDSUPER_STATE=FATAL").stdout
    assert "░░ Subject: Process hopeless was given up" in shown
    assert "░░     sdsuperctl tail hopeless:hopeless" in shown
    shown = machine.run("journalctl", "--no-pager", "-x", "-t", "many").stdout
    assert "░░ allows; 90 of them are not in the journal." in shown
    everything = machine.run("journalctl", "--no-pager", "-x", "-t", "sdsuperd").stdout
    assert "@" not in "".join(line for line in everything.splitlines() if line.startswith("░░"))


# --- a flood --------------------------------------------------------------------------------------

# Where a machine is not fast enough for all of it, the full pipe paces the writer.
RATE, SECONDS, QUIET = 20_000, 30, 20
FAST = f"""\
import os, time
begun = time.monotonic()
number = 0
for tick in range({SECONDS} * 100):
    lines = b"".join(b"%099d\\n" % n for n in range(number + 1, number + {RATE} // 100 + 1))
    while lines:
        lines = lines[os.write(1, lines):]
    number += {RATE} // 100
    left = begun + (tick + 1) / 100 - time.monotonic()
    if left > 0:
        time.sleep(left)
"""


def test_every_line_of_a_flood_and_of_its_neighbours(machine: Container) -> None:
    machine.write("/srv/fast.py", FAST)
    before = restarts(machine), machine.show(UNIT, "MainPID")
    machine.run("sdsuperctl", "start", "slow:*", "fast")
    wait_exited(machine, "fast", 240)
    wait_exited(machine, "slow:slow_00", 60)
    total = RATE * SECONDS
    last = f"{total:099d}"
    machine.wait(lambda: messages(machine, "-n", "1", "-t", "fast") == [last], "all of fast", 60)
    assert all_fields_right(machine, "fast") == padded(total)
    for number in range(QUIET):
        wanted = [str(each) for each in range(1, SECONDS + 1)]
        assert all_fields_right(machine, f"slow_{number:02d}") == wanted
    # A watchdog of 4 s would have restarted it.
    assert (restarts(machine), machine.show(UNIT, "MainPID")) == before
    assert machine.show(UNIT, "Result") == "success"


def all_fields_right(machine: Container, process: str) -> list[str]:
    """Return the lines of the latest run of a process whose entries have the right fields."""
    program = process.partition("_")[0]
    started = latest_start(machine, process)
    fields = {
        "SYSLOG_IDENTIFIER": process,
        "SYSLOG_PID": started["OBJECT_PID"],
        "PRIORITY": "6",
        "SDSUPER_PROGRAM": program,
        "SDSUPER_GROUP": program,
        "SDSUPER_PROCESS": process,
        "SDSUPER_STREAM": "stdout",
        "SDSUPER_INVOCATION": started["SDSUPER_INVOCATION"],
        "_SYSTEMD_UNIT": UNIT,
    }
    return messages(machine, *(f"{name}={value}" for name, value in fields.items()))
