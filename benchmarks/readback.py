"""What it costs to read a quiet program's output back from a large journal.

    .venv/bin/python -m benchmarks.readback [--entries N] [--rounds N]

Writes N entries of twenty noisy programs to journal files, and among them twenty of a quiet one,
then asks as a client does (a real daemon, its RPC) and as the daemon does (the helper alone, which
tells what it read from the disk). Cold: the files were put out of the kernel's cache before.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sdsuper.daemon.readback import helper_command
from sdsuper.logs.journal import fields
from sdsuper.logs.readback import Answer, Query
from tests.integration.harness import Daemon
from tests.journald import JournalWriter

NOISY = 20
QUIET_LINES = 20
BLOCK_BYTES = 512  # of ru_inblock, getrusage(2)
TEXT = "the quick brown fox jumps over the lazy dog, and that is a line of usual length"
ASKED = (("tail -1600", -1600), ("all", 0))


def entry(program: str, number: int) -> bytes:
    return fields(
        (
            ("SYSLOG_IDENTIFIER", program),
            ("SYSLOG_PID", 1000 + number % NOISY),
            ("PRIORITY", 6),
            ("SDSUPER_PROGRAM", program),
            ("SDSUPER_GROUP", program),
            ("SDSUPER_PROCESS", program),
            ("SDSUPER_STREAM", "stdout"),
            ("SDSUPER_INVOCATION", f"0123456789abcdef-{number % NOISY}"),
            ("MESSAGE", f"{number} {TEXT}"),
        )
    )


def write_journal(folder: Path, entries: int) -> None:
    writer = JournalWriter(folder)
    share = entries // QUIET_LINES
    for start in range(0, entries, 1000):
        numbers = range(start, min(start + 1000, entries))
        writer.write(
            entry("quiet" if number % share == share // 2 else f"noisy{number % NOISY}", number)
            for number in numbers
        )
    writer.close()


def cool(folder: Path) -> None:
    """Put the files out of the kernel's cache."""
    os.sync()
    for path in folder.iterdir():
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def ask_helper(folder: Path, program: str, offset: int) -> tuple[float, int]:
    """Return milliseconds, and bytes read from the disk."""
    query = Query("read", program, program, "stdout", offset, 0, None, str(folder))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock
    began = time.monotonic()
    done = subprocess.run(
        helper_command(query), check=True, stdin=subprocess.PIPE, capture_output=True
    )
    took = time.monotonic() - began
    assert Answer.from_bytes(done.stdout).data.endswith(TEXT.encode() + b"\n")
    blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock - before
    return took * 1000, blocks * BLOCK_BYTES


def ask_daemon(daemon: Daemon, program: str, offset: int) -> float:
    began = time.monotonic()
    text = daemon.rpc.supervisor.readProcessStdoutLog(program, offset, 0)
    took = time.monotonic() - began
    assert text.endswith(TEXT + "\n")
    return took * 1000


def measure(folder: Path, daemon: Daemon, rounds: int, program: str, offset: int) -> str:
    cold, read, warm, called = [], [], [], []
    for _ in range(rounds):
        cool(folder)
        took, size = ask_helper(folder, program, offset)
        cold.append(took)
        read.append(size / 2**20)
        warm.append(ask_helper(folder, program, offset)[0])
        called.append(ask_daemon(daemon, program, offset))
    cold_ms, read_mib, warm_ms, rpc_ms = map(statistics.median, (cold, read, warm, called))
    return (
        f"helper cold {cold_ms:.0f} ms and {read_mib:.0f} MiB from the disk, "
        f"warm {warm_ms:.0f} ms, RPC {rpc_ms:.0f} ms"
    )


def report(folder: Path, daemon: Daemon, rounds: int) -> None:
    for program in ("quiet", "noisy7"):
        for name, offset in ASKED:
            print(f"{program} {name}: {measure(folder, daemon, rounds, program, offset)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sd", dir="/var/tmp") as made:
        folder = Path(made)
        write_journal(folder, options.entries)
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{options.entries} entries, {size / 2**20:.0f} MiB of journal, Python {sys.version}")
        programs = "".join(
            f"[program:{name}]\ncommand=cat\nautostart=false\nstdout_logfile=journal\n"
            for name in ("quiet", "noisy7")
        )
        environment = {"SDSUPER_JOURNAL_DIRECTORY": made}
        with Daemon(programs, environment=environment) as daemon:
            report(folder, daemon, options.rounds)


if __name__ == "__main__":
    main()
