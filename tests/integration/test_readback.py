"""Output that is in the journal alone, read back: a real daemon, real journal files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdsuper.rpc.faults import FaultCode
from tests.integration.harness import BIN, Daemon, UnixConnection, UnixTransport, clean_environment
from tests.journald import JournalFiles

pytestmark = pytest.mark.journal_reader

HELPER = "journal_helper"
CAT = "command=cat\nautorestart=false\nstdout_logfile=journal\nstderr_logfile=journal\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    return {
        "SDSUPER_JOURNAL_SOCKET": f"{folder}/socket",
        "SDSUPER_JOURNAL_DIRECTORY": f"{folder}/files",
    }


@pytest.fixture
def journald(folder: Path, environment: dict[str, str]) -> Iterator[JournalFiles]:
    with JournalFiles(environment["SDSUPER_JOURNAL_SOCKET"], folder / "files") as made:
        yield made


@pytest.fixture
def daemon(environment: dict[str, str]) -> Daemon:
    """A daemon that is not started yet, and writes to and reads from that journal."""
    return Daemon(environment=environment)


def say(daemon: Daemon, text: str, name: str = "cat") -> None:
    daemon.rpc.supervisor.sendProcessStdin(name, text)


def wait_text(daemon: Daemon, wanted: str, name: str = "cat") -> None:
    """Wait until all of the text can be read."""
    found: list[str] = []

    def there() -> bool:
        found.append(daemon.rpc.supervisor.readProcessStdoutLog(name, 0, 0))
        return found[-1] == wanted

    try:
        daemon.wait(there, 30, "the text can be read")
    except AssertionError:
        assert found[-1] == wanted
        raise


def helpers(daemon: Daemon) -> list[int]:
    return [found.pid for found in daemon.processes() if HELPER in found.command]


def fault_of(error: pytest.ExceptionInfo[xmlrpc.client.Fault]) -> int:
    return error.value.faultCode


def test_what_files_show_the_journal_shows(daemon: Daemon, journald: JournalFiles) -> None:
    daemon.write(
        "[program:words]\nstdout_logfile=journal\nstderr_logfile=journal\nautorestart=false\n"
        "startsecs=0\n"
        'command=sh -c \'echo one; echo "<3>two"; echo; printf "r\\\\377w\\\\n"; '
        "echo err >&2; printf end'\n"
        f"[program:cat]\n{CAT}"
    )
    with daemon:
        read = daemon.rpc.supervisor.readProcessStdoutLog
        daemon.wait_state("words", "EXITED")
        say(daemon, "other\n")
        wait_text(daemon, "other\n")
        wait_text(daemon, "one\ntwo\nr\ufffdw\nend", "words")
        assert daemon.ctl("tail", "words") == ("one\ntwo\nr\ufffdw\nend\n", 0)
        assert daemon.ctl("tail", "-3", "words").stdout == "end\n"
        assert daemon.ctl("tail", "-0", "words").stdout == "one\ntwo\nr\ufffdw\nend\n"
        assert daemon.ctl("tail", "words", "stderr").stdout == "err\n\n"
        assert read("words", -6, 0) == "\ufffdw\nend"
        assert read("words", 4, 4) == "two\n"
        assert read("words", 4, 0) == "two\nr\ufffdw\nend"
        assert read("words", 15, 0) == ""
        assert read("words", 1000, 10) == ""
        assert daemon.rpc.supervisor.readProcessStderrLog("words", 0, 2) == "er"
        for offset, length in ((0, -1), (-1, 1)):
            with pytest.raises(xmlrpc.client.Fault) as error:
                read("words", offset, length)
            assert fault_of(error) == FaultCode.BAD_ARGUMENTS
        daemon.rpc.supervisor.startProcess("words")
        daemon.wait_state("words", "EXITED")
        twice = "one\ntwo\nr\ufffdw\nend" * 2  # as in a file, nothing parts them
        wait_text(daemon, twice, "words")
        assert daemon.terminate() == 0
        daemon.start()
        daemon.wait_state("words", "EXITED")
        wait_text(daemon, "one\ntwo\nr\ufffdw\nend" * 3, "words")
        assert helpers(daemon) == []


def test_a_line_in_parts_is_one_line(daemon: Daemon, journald: JournalFiles) -> None:
    daemon.write(f"[program:cat]\n{CAT}")
    with daemon:
        say(daemon, "x" * 100_000 + "\nshort\n")
        wait_text(daemon, "x" * 100_000 + "\nshort\n")
        assert daemon.rpc.supervisor.readProcessLog("cat", 99_998, 5) == "xx\nsh"


def test_who_asks_again_misses_nothing_and_gets_nothing_twice(
    daemon: Daemon, journald: JournalFiles
) -> None:
    daemon.write(
        f"[program:cat]\n{CAT}[program:noisy]\nstdout_logfile=journal\n"
        "command=sh -c 'for n in 1 2 3 4 5 6; do seq -f noise%%g 3000; done; exec sleep 600'\n"
    )
    with daemon:
        tail = daemon.rpc.supervisor.tailProcessStdoutLog
        assert tail("cat", 0, 100) == ["", 0, False]
        got, offset, wanted = "", 0, ""
        for number in range(1, 6):
            wanted += f"line {number}\n"
            say(daemon, f"line {number}\n")

            def gained(start: int = offset) -> Any:
                found = tail("cat", start, 7)
                return found if found[0] else None

            text, offset, overflow = daemon.wait(gained, 30, "a line")
            got += text
            assert (offset, overflow) == (len(wanted), False)
        assert got == wanted
        assert tail("cat", offset, 7) == ["", offset, False]
        assert tail("cat", 0, 10) == [wanted[-10:], offset, True]
        assert tail("cat", 0, 0) == ["", offset, True]


def test_numbers_far_from_the_beginning(daemon: Daemon, journald: JournalFiles) -> None:
    far = 2**30
    daemon.write(f"[program:cat]\n{CAT}")
    with daemon:
        lines = "".join(f"{number:07}\n" for number in range(60_000))  # 480 kB
        for start in range(0, len(lines), 80_000):
            say(daemon, lines[start : start + 80_000])
        daemon.wait(
            lambda: daemon.rpc.supervisor.readProcessLog("cat", -8, 0) == "0059999\n", 60, "all"
        )
        tail, read = daemon.rpc.supervisor.tailProcessLog, daemon.rpc.supervisor.readProcessLog
        text, offset, overflow = tail("cat", 0, 16)
        assert (text, overflow) == ("0059998\n0059999\n", True)
        assert offset > far
        say(daemon, "more\n")
        daemon.wait(lambda: tail("cat", offset, 16)[1] > offset, 30, "more")
        assert tail("cat", offset, 5) == ["more\n", offset + 5, False]
        assert read("cat", offset, 0) == "more\n"
        assert read("cat", offset - 8, 8) == "0059999\n"
        assert read("cat", 0, 16) == "0000000\n0000001\n"
        assert read("cat", 8 * 30_000, 8) == "0030000\n"
        assert daemon.terminate() == 0
        daemon.start()
        say(daemon, "again\n")
        daemon.wait(lambda: read("cat", -6, 0) == "again\n", 30, "again")
        # A new daemon goes on from the number that it is asked with.
        text, later, overflow = tail("cat", offset + 5, 6)
        assert (text, overflow) == ("again\n", True)
        assert later > offset + 5


def test_clear_hides_what_is_older(daemon: Daemon, journald: JournalFiles) -> None:
    daemon.write(f"[program:cat]\n{CAT}[program:other]\n{CAT}")
    with daemon:
        for name in ("cat", "other"):
            say(daemon, "old\n", name)
            wait_text(daemon, "old\n", name)
        assert daemon.rpc.supervisor.tailProcessLog("cat", 0, 100) == ["old\n", 4, False]
        assert daemon.ctl("clear", "cat") == ("cat: cleared\n", 0)
        wait_text(daemon, "")
        assert daemon.rpc.supervisor.tailProcessLog("cat", 4, 100) == ["", 0, False]
        say(daemon, "new\n")
        wait_text(daemon, "new\n")
        assert daemon.ctl("tail", "cat").stdout == "new\n\n"
        assert daemon.rpc.supervisor.readProcessLog("other", 0, 0) == "old\n"
        assert daemon.terminate() == 0
        daemon.start()
        wait_text(daemon, "new\n")
        assert daemon.rpc.supervisor.tailProcessLog("cat", 0, 100) == ["new\n", 4, False]
        results = daemon.rpc.supervisor.clearAllProcessLogs()
        assert [each["status"] for each in results] == [FaultCode.SUCCESS] * 2
        wait_text(daemon, "", "other")
        wait_text(daemon, "")


def test_others_cannot_put_words_into_its_mouth(daemon: Daemon, journald: JournalFiles) -> None:
    daemon.write(f"[program:cat]\n{CAT}")
    with daemon:
        say(daemon, "mine\n")
        wait_text(daemon, "mine\n")
        forged = b"MESSAGE=forged\nSDSUPER_PROCESS=cat\nSDSUPER_GROUP=cat\nSDSUPER_STREAM=stdout\n"
        journald.writer.write([forged], _UID="4711")
        cleared = forged.replace(
            b"SDSUPER_STREAM=stdout", b"MESSAGE_ID=5b1f0a3ac2c24b5dae1d0b64ed0d0b29"
        )
        journald.writer.write([cleared], _UID="4711")
        journald.writer.write([forged], _SYSTEMD_UNIT="other.service")
        say(daemon, "mine too\n")
        own_unit = "_SYSTEMD_UNIT" in journald.writer.fields
        wait_text(daemon, "mine\n" + ("" if own_unit else "forged\n") + "mine too\n")


# -- streams ---------------------------------------------------------------------------------------


class Watcher:
    """A `tail -f`, and what it has printed."""

    def __init__(self, daemon: Daemon, *words: str) -> None:
        self._process = subprocess.Popen(
            [str(BIN / "sdsuperctl"), "-c", str(daemon.ini), "tail", "-f", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=clean_environment(),
        )
        self.text = b""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while part := os.read(self._process.stdout.fileno(), 65536):
            self.text += part

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.mark.parametrize("pidfds", ["1", "0"])
def test_a_watcher_sees_lines_as_they_come(
    daemon: Daemon, journald: JournalFiles, pidfds: str
) -> None:
    daemon.write(f"[program:cat]\n{CAT}")
    daemon.add_environment({"SDSUPER_PIDFDS": pidfds})
    with daemon:
        past = "".join(f"{number:07}\n" for number in range(200))
        say(daemon, past)
        wait_text(daemon, past)
        watchers = [Watcher(daemon, "cat") for _ in range(3)]
        try:
            first = b"==> Press Ctrl-C to exit <==\n" + past[-1024:].encode()
            daemon.wait(lambda: all(each.text == first for each in watchers), 30, "the past")
            say(daemon, "now\n")
            wanted = first + b"now\n"
            daemon.wait(lambda: all(each.text == wanted for each in watchers), 30, "now")
            assert len(helpers(daemon)) == 3
            watchers.pop().close()
            daemon.wait(lambda: len(helpers(daemon)) == 2, 20, "its helper is gone")
            daemon.rpc.supervisor.stopProcess("cat")
            daemon.rpc.supervisor.startProcess("cat")
            say(daemon, "again\n")
            wanted += b"again\n"
            daemon.wait(lambda: all(each.text == wanted for each in watchers), 30, "again")
            assert not [line for line in daemon.messages() if "unknown pid" in line]
            assert daemon.terminate() == 0
        finally:
            for each in watchers:
                each.close()


def test_no_helper_outlives_a_daemon_that_was_killed(
    daemon: Daemon, journald: JournalFiles
) -> None:
    daemon.write(f"[program:cat]\n{CAT}")
    with daemon:
        say(daemon, "here\n")
        wait_text(daemon, "here\n")
        watcher = Watcher(daemon, "cat")
        try:
            daemon.wait(lambda: watcher.text.endswith(b"here\n"), 20, "the past")
            assert len(helpers(daemon)) == 1
            daemon.signal(signal.SIGKILL)
            daemon.wait_end()
            daemon.wait(lambda: daemon.processes() == [], 20, "all is gone")
        finally:
            watcher.close()


def test_streams_are_bounded_and_none_is_left(daemon: Daemon, journald: JournalFiles) -> None:
    daemon.write(f"[program:cat]\n{CAT}")
    with daemon:
        say(daemon, "here\n")
        wait_text(daemon, "here\n")
        connections = []
        for _ in range(32):
            connections.append(UnixConnection(daemon.socket))
            connections[-1].request("GET", "/logtail/cat")
        replies = [each.getresponse() for each in connections]
        assert [each.status for each in replies] == [200] * 32
        assert [each.read1(5) for each in replies] == [b"here\n"] * 32
        assert len(helpers(daemon)) == 32
        refused = UnixConnection(daemon.socket)
        refused.request("GET", "/logtail/cat")
        assert refused.getresponse().status == 503
        assert daemon.ctl("tail", "cat").stdout == "here\n\n"  # reading has its own bound
        for connection, reply in zip(connections, replies, strict=True):
            reply.close()
            connection.close()
        refused.close()
        daemon.wait(lambda: helpers(daemon) == [], 30, "no helper is left")
        assert daemon.ctl("tail", "cat").stdout == "here\n\n"


# -- what goes wrong -------------------------------------------------------------------------------


def test_no_journal_is_no_file(environment: dict[str, str], folder: Path) -> None:
    (folder / "files").mkdir()
    with Daemon(f"[program:cat]\n{CAT}", environment=environment) as daemon:
        for _ in range(3):
            assert daemon.ctl("tail", "cat").stdout == "cat: ERROR (no log file)\n"
        with pytest.raises(xmlrpc.client.Fault) as error:
            daemon.rpc.supervisor.readProcessStderrLog("cat", 0, 0)
        assert fault_of(error) == FaultCode.NO_FILE
        assert daemon.rpc.supervisor.tailProcessLog("cat", 0, 100) == ["", 0, False]
        done = daemon.run_ctl("tail", "-f", "cat")
        assert "status code 404" in done.stderr
        [told] = [line for line in daemon.messages() if "read back from the journal" in line]
        assert told.endswith(": there is no journal here, or none that this user may read")


def shadow(folder: Path, text: str) -> dict[str, str]:
    """Put something else in the place of systemd-python."""
    (folder / "path" / "systemd").mkdir(parents=True)
    (folder / "path" / "systemd" / "__init__.py").touch()
    if text:
        (folder / "path" / "systemd" / "journal.py").write_text(text, encoding="utf-8")
    return {"PYTHONPATH": str(folder / "path")}


def test_without_systemd_python_there_is_no_file(environment: dict[str, str], folder: Path) -> None:
    environment |= shadow(folder, "")
    with Daemon(f"[program:cat]\n{CAT}", environment=environment) as daemon:
        assert daemon.ctl("tail", "cat").stdout == "cat: ERROR (no log file)\n"
        daemon.wait_log("reading the journal takes the Python package systemd-python")


def ask(daemon: Daemon, faults: list[str]) -> None:
    transport = UnixTransport(daemon.socket)
    with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
        try:
            proxy.supervisor.readProcessLog("cat", -100, 0)
        except xmlrpc.client.Fault as fault:
            faults.append(fault.faultString)


CALL = xmlrpc.client.dumps(("cat", -100, 0), "supervisor.readProcessLog")


def test_a_search_without_end_costs_its_client_alone(
    environment: dict[str, str], folder: Path
) -> None:
    environment |= shadow(folder, "import signal\nwhile True:\n    signal.pause()\n")
    with Daemon(f"[program:cat]\n{CAT}", environment=environment) as daemon:
        gone = UnixConnection(daemon.socket)
        gone.request("POST", "/RPC2", CALL)
        daemon.wait(lambda: len(helpers(daemon)) == 1, 20, "a helper")
        gone.close()
        daemon.wait(lambda: helpers(daemon) == [], 10, "nobody waits for it any longer")
        faults: list[str] = []
        clients = [threading.Thread(target=ask, args=(daemon, faults)) for _ in range(70)]
        for each in clients:
            each.start()
        daemon.wait(lambda: len(helpers(daemon)) == 4, 20, "as many as there may be")
        assert daemon.info("cat")["statename"] in ("STARTING", "RUNNING")
        for each in clients:
            each.join()
        refused = "FAILED: too many others are reading the journal"
        assert faults[:2] == [refused] * 2
        assert faults[2:] == ["FAILED: the search in the journal took more than 15 seconds"] * 68
        assert daemon.ctl("status", "cat").stdout.split()[1] == "RUNNING"
        gone.request("POST", "/RPC2", CALL)
        daemon.wait(lambda: len(helpers(daemon)) == 1, 20, "a helper")
        assert daemon.terminate() == 0
        gone.close()


def test_the_page_shows_it_and_says_where_it_is_followed(
    daemon: Daemon, journald: JournalFiles
) -> None:
    daemon.write(f"[program:cat]\n{CAT}")
    with daemon:
        daemon.wait_state("cat", "RUNNING")
        say(daemon, "one <b>\ntwo\n")
        wait_text(daemon, "one <b>\ntwo\n")
        connection = UnixConnection(daemon.socket)
        for query, text in (("", "one &lt;b&gt;\ntwo\n"), ("&q=TWO", "two\n")):
            connection.request("GET", f"/tail.html?processname=cat{query}")
            page = connection.getresponse().read().decode()
            assert f">{text}</pre>" in page
        stream = re.findall('data-stream="([^"]+)"', page)[0]
        connection.request("GET", f"/{stream}")
        assert connection.getresponse().read(4) == b"one "
        connection.close()
