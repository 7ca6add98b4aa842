"""Programs that write numbered lines, and the proof that each line arrived once and in order.

What a writer puts into a line follows from its number (`writer.c`), so that a line which is lost,
doubled, moved, cut or mixed with another is found in the log files and their backups.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

SOURCE = Path(__file__).with_name("writer.c")
WRITER = "/usr/local/bin/writer"
LOGS = "/var/log/writers"
SHOWN = 5
"""Troubles that are told of one stream."""


@dataclass(frozen=True)
class Writer:
    """A program that writes.

    Attributes:
        name: The program, and what its lines begin with.
        pause: Microseconds between bursts.
        burst: Lines in each.
        pad: Bytes that a line is filled with at most.
        count: Lines after which it ends, to be started again; None when it never does.
        options: Further lines of its section.
        both: Whether it writes to stderr as well.
    """

    name: str
    pause: int
    burst: int = 1
    pad: int = 80
    count: int | None = None
    options: tuple[str, ...] = ()
    both: bool = False

    @property
    def section(self) -> str:
        """Its part of the configuration, of which no backup is ever dropped."""
        words = [WRITER, self.name + "+" * self.both, self.pause, self.burst, self.pad]
        words += [] if self.count is None else [self.count]
        lines = [
            f"[program:{self.name}]",
            f"command={' '.join(map(str, words))}",
            "startsecs=0",
            "stopwaitsecs=30",
            "autorestart=true",
            *(
                f"{stream}_{key}"
                for stream in ("stdout", "stderr")
                for key in (
                    f"logfile={LOGS}/{self.name}.{stream}",
                    "logfile_maxbytes=256KB",
                    "logfile_backups=10000",
                    "journal=false",
                )
            ),
            *self.options,
        ]
        # What is said last holds: a key may be there once only.
        keys = {line.partition("=")[0]: line for line in lines}
        return "\n".join((*keys.values(), ""))

    @property
    def streams(self) -> dict[str, str]:
        """What its lines begin with, by the file that they are in."""
        own = self.name + "+" * self.both
        found = {f"{self.name}.stdout": own}
        if self.both:
            found[f"{self.name}.stderr"] = f"{own}err"
        return found


JOURNAL = ("stdout_journal=true",)

STEADY = (
    *(Writer(f"even{number}", 5_000 + 3_000 * number, 1 + number % 4, 200) for number in range(10)),
    *(Writer(f"flood{number}", 100_000, 300, 60) for number in range(2)),
    *(Writer(f"error{number}", 20_000, 2, both=True) for number in range(2)),
    *(Writer(f"journal{number}", 150_000, 2, options=JOURNAL) for number in range(3)),
    Writer("quiet", 1_000_000),
    Writer("wide", 50_000, 1, 5_000, options=("stdout_logfile_maxbytes=1MB",)),
)
"""Those that nobody asks to stop."""

BRIEF = tuple(Writer(f"brief{number}", 20_000, 1, count=15 + number) for number in range(3))
"""Those that end and are started again, all the time."""

OPERATED = tuple(Writer(f"operated{number}", 10_000, 2) for number in range(4))
"""Those that are stopped and started by an operator."""

PASSING = tuple(Writer(f"passing{number}", 10_000, 2) for number in range(4))
"""Those that come and go with the configuration."""


def compile_writer(folder: Path) -> Path:
    """Build the program that writes; return its file, which runs on any root."""
    made = folder / "writer"
    command = ["gcc", "-O1", "-static", "-Wall", "-Werror", "-o", str(made), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


def filling(number: int, pad: int) -> str:
    """Return what a line with this number is filled with, `writer.c` has the same."""
    return chr(ord("a") + number % 26) * (number * 7919 % (pad + 1) if pad else 0)


@dataclass
class Stream:
    """What was found of one stream.

    Attributes:
        lines: How many arrived.
        ends: Pids of the writers that said how many they wrote.
        troubles: What is wrong, in words.
    """

    lines: int = 0
    ends: list[int] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def _is_whole(words: Sequence[str], stream: str) -> bool:
    """Whether a line has all it should have: two numbers, or one and what it ends with."""
    if len(words) != 4 or words[0] != stream or not words[1].isdigit():
        return False
    return words[3 if words[2] == "end" else 2].isdigit()


def check_stream(
    lines: Iterable[str], stream: str, pad: int, running: Sequence[int] = ()
) -> Stream:
    """Read all that writers of one name wrote, one after another.

    Args:
        lines: What arrived, without line ends.
        stream: What each line begins with.
        pad: How much they are filled with at most.
        running: Pids of writers that have not ended, so that they have not said so.
    """
    found = Stream()
    pid, expected, ended = 0, 0, True
    for place, line in enumerate(lines, 1):
        words = line.split(" ")
        if not _is_whole(words, stream):
            found.troubles.append(f"line {place} is damaged: {line[:200]!r}")
            continue
        writer = int(words[1])
        if writer != pid:
            if not ended:
                found.troubles.append(f"line {place}: {pid} wrote {expected} lines and no last one")
            pid, expected, ended = writer, 0, False
        if words[2] == "end":
            if int(words[3]) != expected:
                found.troubles.append(f"line {place}: {pid} says {words[3]}, we saw {expected}")
            found.ends.append(pid)
            ended = True
            continue
        number = int(words[2])
        if number != expected:
            found.troubles.append(f"line {place}: {pid} goes on with {number}, not with {expected}")
        if words[3] != filling(number, pad):
            found.troubles.append(f"line {place} of {pid} is damaged: {line[:200]!r}")
        if ended:
            found.troubles.append(f"line {place}: {pid} goes on after its last line")
        expected = number + 1
        found.lines += 1
    if not ended and pid not in running:
        found.troubles.append(f"{pid} wrote {expected} lines and no last one")
    found.troubles += [
        f"the pid {one} came twice" for one, other in pairwise(sorted(found.ends)) if one == other
    ]
    return found


def log_lines(folder: Path, name: str) -> Iterator[str]:
    """Yield the lines of a log, those of its backups first; a line may begin in one of them."""
    numbered = [path for path in folder.glob(f"{name}.*") if path.suffix[1:].isdigit()]
    files = sorted(numbered, key=lambda path: -int(path.suffix[1:]))
    held = ""
    for path in (*files, folder / name):
        if path.exists():
            *whole, held = (held + path.read_text(encoding="ascii", errors="replace")).split("\n")
            yield from whole
    if held:
        yield held


def troubles(folder: Path, writers: Iterable[Writer]) -> tuple[int, list[str]]:
    """Check the log files of writers that have all ended.

    Returns:
        How many lines there are, and what is wrong with them.
    """
    total, wrong = 0, []
    for writer in writers:
        for name, stream in writer.streams.items():
            found = check_stream(log_lines(folder, name), stream, writer.pad)
            total += found.lines
            wrong += [f"{name}: {trouble}" for trouble in found.troubles[:SHOWN]]
            if found.lines == 0 and (folder / f"{writer.name}.stdout").exists():
                wrong.append(f"{name}: nothing arrived")
    return total, wrong
