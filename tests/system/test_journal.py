"""The real journal: what programs, states and the daemon itself leave in it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.container import SUITES, Container

pytestmark = pytest.mark.booted

ROOT = Path(__file__).parents[2]
LIBRARY = "/usr/local/lib/sdsuper"
LAUNCHER = f"""\
#!/usr/bin/python3
import sys
sys.path.insert(0, "{LIBRARY}")
from sdsuper.{{name}} import main
sys.exit(main())
"""
CONFIG = """\
[supervisord]
user=root
logfile=/var/log/sdsuper/sdsuperd.log
pidfile=/run/sdsuper/sdsuperd.pid
[unix_http_server]
file=/run/sdsuper/sdsuper.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix:///run/sdsuper/sdsuper.sock
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
"""
COUNT = 100_000
EXITED = "4c561be70b9238126813346d0c13dc9c"


@pytest.fixture(scope="module", params=SUITES)
def machine(request: pytest.FixtureRequest) -> Iterator[Container]:
    with Container(str(request.param)) as made:
        for name in ("sdsuper", "h11", "click", "psutil", "sdnotify"):
            found = importlib.util.find_spec(name)
            assert found is not None
            assert found.origin is not None
            origin = Path(found.origin)
            package = origin.parent if origin.name == "__init__.py" else origin
            target = f"{LIBRARY}/{package.name}"
            made.path(LIBRARY).mkdir(parents=True, exist_ok=True)
            made.copy_in(package, target)
        for command in ("sdsuperd", "sdsuperctl"):
            made.write(f"/usr/bin/{command}", LAUNCHER.format(name=command), 0o755)
        made.write("/etc/sdsuper/sdsuper.conf", CONFIG)
        unit = "/etc/systemd/system/sdsuperd.service"
        made.copy_in(ROOT / "units" / "sdsuperd.service", unit)
        made.write("/etc/systemd/journald.conf.d/room.conf", "[Journal]\nSystemMaxUse=1G\n")
        made.systemctl("restart", "systemd-journald")
        made.systemctl("daemon-reload")
        made.systemctl("start", "sdsuperd")
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


def test_no_line_is_lost_while_the_journal_restarts(machine: Container) -> None:
    machine.run("sdsuperctl", "start", "flood")
    machine.systemctl("restart", "systemd-journald")

    def last() -> bool:
        machine.run("journalctl", "--sync")
        words = ("--no-pager", "-o", "cat", "-n", "1", "-t", "flood")
        return machine.run("journalctl", *words).stdout == f"{COUNT}\n"

    machine.wait(last, "the last line is in the journal", 60)
    said = machine.run("journalctl", "--no-pager", "-o", "cat", "-t", "flood").stdout
    assert said.split() == [str(number) for number in range(1, COUNT + 1)]
