"""The example that `make run` starts does what it says."""

from __future__ import annotations

import os
import shutil
import urllib.request
from pathlib import Path

import pytest

from tests.integration.harness import BIN, Daemon, free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"


class Quickstart(Daemon):
    """The example's own configuration, on a copy of it and with a port that is free."""

    def write(self, programs: str) -> None:
        """Copy the example in place of writing a configuration."""
        shutil.copytree(EXAMPLE, self.dir, dirs_exist_ok=True)
        shutil.rmtree(self.dir / "var")
        (self.dir / "var").mkdir()
        self.web = free_port()
        ini = self.dir / "conf.d" / "web.ini"
        ini.write_text(ini.read_text(encoding="utf-8").replace("8642", str(self.web)))

    ini = property(lambda self: self.dir / "sdsuper.conf")
    socket = property(lambda self: self.dir / "var" / "sdsuper.sock")
    logfile = property(lambda self: self.dir / "var" / "sdsuperd.log")


def test_the_quickstart_shows_what_it_promises() -> None:
    with Quickstart(environment={"PATH": f"{BIN}:{os.environ['PATH']}"}) as daemon:
        for name in ("web", "ticker", "pool:worker_0", "pool:worker_1", "wrapper"):
            daemon.wait_state(name, "RUNNING")
        assert daemon.wait_state("flaky", "BACKOFF", "STARTING", "FATAL")
        daemon.wait_state("flaky", "FATAL", timeout=30)

        with urllib.request.urlopen(f"http://127.0.0.1:{daemon.web}/", timeout=20) as page:
            assert b"programs" in page.read()
        daemon.wait(lambda: "tick 1 at" in daemon.ctl("tail", "ticker").stdout)
        assert daemon.ctl("tail", "flaky").stdout.startswith("no database\n")

        def real_programs() -> list[int]:
            return [p.pid for p in daemon.processes() if "the real program is" in p.command]

        assert len(real_programs()) == 1
        assert daemon.ctl("stop", "wrapper") == ("wrapper: stopped\n", 0)
        assert real_programs() == []
        assert sorted(daemon.ctl("restart", "pool:*").stdout.splitlines()) == [
            "pool:worker_0: started",
            "pool:worker_0: stopped",
            "pool:worker_1: started",
            "pool:worker_1: stopped",
        ]


@pytest.mark.parametrize("line", (EXAMPLE / "hello.txt").read_text(encoding="utf-8").splitlines())
def test_every_command_that_make_run_prints_exists(line: str) -> None:
    words = line.partition("#")[0].split()
    if words[:1] != ["CTL"]:
        return
    daemon = Daemon()
    try:
        assert "Unknown syntax" not in daemon.ctl(*words[1:]).stdout
    finally:
        shutil.rmtree(daemon.dir)
