"""Output that is in the real journal alone, read back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.container import SUITES, Container
from tests.system.tree import install

pytestmark = pytest.mark.booted

PROGRAMS = """\
[program:quiet]
command=cat
stdout_logfile=journal
stderr_logfile=journal
[program:talks]
command=sh -c 'trap "echo bye; exit 0" TERM; echo hello; echo error >&2; while :; do sleep .1; done'
stdout_logfile=journal
stderr_logfile=journal
[program:noisy]
command=sh -c 'seq 10000; while :; do echo noise; sleep 0.05; done'
process_name=noisy_%(process_num)d
numprocs=20
stdout_logfile=journal
"""
HELPER = "[j]ournal_helper"


@pytest.fixture(scope="module", params=SUITES)
def machine(request: pytest.FixtureRequest) -> Iterator[Container]:
    with Container(str(request.param)) as made:
        install(made, PROGRAMS)
        made.write("/etc/systemd/journald.conf.d/room.conf", "[Journal]\nSystemMaxUse=1G\n")
        made.systemctl("restart", "systemd-journald")
        made.systemctl("start", "sdsuperd")
        yield made


def say(machine: Container, text: str) -> None:
    """Let the quiet program write a line."""
    machine.run("sh", "-c", f"echo '{text}' >/proc/$(sdsuperctl pid quiet)/fd/0")


def tail(machine: Container, *words: str) -> str:
    return machine.run("sdsuperctl", "tail", *words).stdout.removesuffix("\n")


def helpers(machine: Container) -> list[str]:
    return machine.run("pgrep", "-f", HELPER, check=False).stdout.split()


def helpers_told_of(machine: Container) -> list[str]:
    """Return what the daemon's log says of helpers, which is nothing while all is well."""
    log = machine.read("/var/log/sdsuper/sdsuperd.log").splitlines()
    return [line for line in log if "reaped unknown pid" in line or "read back" in line]


def test_tail_of_a_quiet_program_among_noisy_ones(machine: Container) -> None:
    say(machine, "one")
    machine.wait(lambda: tail(machine, "quiet") == "one\n", "the line")
    machine.wait(lambda: "noise" in tail(machine, "noisy:noisy_19"), "all of the noise", 60)
    assert tail(machine, "quiet") == tail(machine, "-0", "quiet") == "one\n"
    assert tail(machine, "-2", "quiet") == "e\n"
    assert tail(machine, "talks", "stderr") == "error\n"
    first = tail(machine, "-0", "noisy:noisy_7").splitlines()[:10000]
    assert first == [str(number) for number in range(1, 10001)]


def test_the_daemon_itself_has_no_part_in_it(machine: Container) -> None:
    assert helpers(machine) == []
    pid = machine.show("sdsuperd", "MainPID")
    maps = machine.run("cat", f"/proc/{pid}/maps").stdout
    assert "libpython" in maps or "python3" in maps
    assert "libsystemd" not in maps


def test_following_through_a_rotation(machine: Container) -> None:
    machine.run("systemd-run", "--unit=watch", "sh", "-c", "sdsuperctl tail -f quiet >/srv/seen")

    def seen(wanted: str) -> bool:
        return machine.path("/srv/seen").exists() and machine.read("/srv/seen").endswith(wanted)

    machine.wait(lambda: seen("==\none\n"), "the past")
    say(machine, "two")
    machine.wait(lambda: seen("one\ntwo\n"), "what comes")
    machine.run("journalctl", "--rotate")
    say(machine, "three")
    machine.wait(lambda: seen("one\ntwo\nthree\n"), "what comes after a rotation")
    assert tail(machine, "quiet") == "one\ntwo\nthree\n"
    machine.run("journalctl", "--rotate", "--vacuum-files=1")
    say(machine, "four")
    machine.wait(lambda: seen("one\ntwo\nthree\nfour\n"), "what comes after a cleaning")
    assert len(helpers(machine)) == 1
    machine.systemctl("kill", "--signal=SIGKILL", "watch")
    machine.wait(lambda: helpers(machine) == [], "nobody watches any longer")


def test_what_the_journal_has_dropped_is_gone(machine: Container) -> None:
    machine.run("journalctl", "--rotate", "--vacuum-files=1")
    say(machine, "five")
    machine.wait(lambda: tail(machine, "quiet").endswith("five\n"), "what is new")
    assert "one" not in tail(machine, "quiet")


def test_clearing(machine: Container) -> None:
    assert machine.run("sdsuperctl", "clear", "quiet").stdout == "quiet: cleared\n"
    machine.wait(lambda: tail(machine, "quiet") == "", "all is cleared")
    say(machine, "six")
    machine.wait(lambda: tail(machine, "quiet") == "six\n", "what is new")
    found = machine.run("journalctl", "-o", "cat", "-t", "quiet").stdout
    assert found.endswith("five\nsix\n")


def test_others_cannot_put_words_into_its_mouth(machine: Container) -> None:
    fields = "SDSUPER_PROCESS=quiet\nSDSUPER_GROUP=quiet\nSDSUPER_STREAM=stdout\nMESSAGE=forged\n"
    machine.run("su", "nobody", "-s", "/bin/sh", "-c", "logger --journald", stdin=fields)
    machine.run("logger", "--journald", stdin=fields)
    say(machine, "seven")
    machine.wait(lambda: tail(machine, "quiet") == "six\nseven\n", "ours alone")
    both = machine.run("journalctl", "-o", "cat", "SDSUPER_PROCESS=quiet").stdout
    assert both.count("forged\n") == 2


def test_after_a_restart_of_the_daemon(machine: Container) -> None:
    """The last words too: they reach the journal when the daemon is about to end."""
    machine.systemctl("restart", "sdsuperd")
    machine.wait(lambda: tail(machine, "talks").endswith("bye\nhello\n"), "both lives")
    assert tail(machine, "quiet") == "six\nseven\n"
    say(machine, "eight")
    machine.wait(lambda: tail(machine, "quiet") == "six\nseven\neight\n", "it goes on")


def test_many_clients_at_once(machine: Container) -> None:
    before = len(helpers_told_of(machine))
    script = (
        "for n in $(seq 30); do sdsuperctl tail quiet >/srv/out.$n & done; wait; cat /srv/out.*"
    )
    assert machine.run("sh", "-c", script).stdout == "six\nseven\neight\n\n" * 30
    machine.wait(lambda: helpers(machine) == [], "no helper is left")
    assert len(helpers_told_of(machine)) == before
