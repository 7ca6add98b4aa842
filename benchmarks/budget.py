"""What is promised: figures, and how they grow; and whether a run keeps to it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from benchmarks.peers import OURS
from benchmarks.results import Growth, Results

SUPERVISOR = "supervisor"


class Verdict(Enum):
    """What there is to say of a promise."""

    MET = "met"
    MISSED = "missed"
    UNKNOWN = "not measured"
    NONE = ""  # nothing is promised


class Row(NamedTuple):
    """A figure in the table.

    Attributes:
        figure: Its name.
        size: With how many programs, 0 where that means nothing.
        budget: What the median may come to, or must for a rate; None where nothing is promised.
        p99: What the 99th percentile may come to; None where nothing is promised.
        bound: Where the budget is missed: what bounds it, and what was tried.
        beats: The name of a peer that must not be better in the same run.
    """

    figure: str
    size: int
    budget: float | None = None
    p99: float | None = None
    bound: str = ""
    beats: str = ""

    def judge(self, results: Results) -> Verdict:
        """Tell whether a run keeps to it."""
        if self.budget is None:
            return Verdict.NONE
        figure = results.find(self.figure, self.size)
        ours = results.spread(figure, OURS) if figure else None
        if figure is None or ours is None:
            return Verdict.UNKNOWN
        sign = -1 if figure.more_is_better else 1
        theirs = results.spread(figure, self.beats) if self.beats else None
        is_kept = (
            sign * ours.median <= sign * self.budget
            and (self.p99 is None or ours.p99 <= self.p99)
            and (theirs is None or sign * ours.median < sign * theirs.median)
        )
        return Verdict.MET if is_kept else Verdict.MISSED


class Growing(NamedTuple):
    """How a figure may grow with the number N of programs: as N to the power of `most`.

    Attributes:
        figure: Its name.
        most: The greatest exponent, fitted to the medians at sizes of 10 and more.
        reason: Why it is that.
    """

    figure: str
    most: float
    reason: str

    def judge(self, growth: Growth | None) -> Verdict:
        """Tell whether what was fitted keeps to it."""
        if growth is None:
            return Verdict.UNKNOWN
        return Verdict.MET if growth.exponent <= self.most else Verdict.MISSED


_VFORK = (
    "the exec of the program itself, for which the daemon waits (`vfork`), and the log lines and "
    "pipes of a restart; see the profile. Tried: clone3 into the cgroup (a fork: three times as "
    "long at 33 MB), a shell in front (0.6 ms more), words of commands split without shlex"
)
_STARTING = (
    "imports and the reading of the configuration before the first program, see the profile: "
    "what a start costs each program is `vfork`, exec and its pipes. Tried: no OpenSSL, "
    "dataclasses written when first used, imports without `site`: 151 to 92 ms"
)
_BIG_COPIES = (
    "the two copies, into and out of the kernel: the bare loop has much the same; see the profile"
)

_COPIES = (
    "the two copies by the kernel: half of it is `write`, a third `readv`, with 71 wake-ups for "
    "50 MB. Tried: pauses of 1 and 3 ms, pipes of 512 KiB, chunks of 64 KiB to 1 MiB, a process of "
    "its own that writes (twice the CPU time)"
)
_LOOKS = (
    "a look for what each program has left behind, and some 2 ms of CPU for the facts, events and "
    "log lines of each. Tried: one look for all that end in a turn of the loop, which halved it"
)
_MEMORY = (
    "an interpreter that does nothing has 9.3 MiB resident and 3.7 in shares, the rest is modules, "
    "three in five of them ours. Tried: no OpenSSL (4 MiB), an event loop of our own instead of "
    "asyncio and what comes with it (1.6), dataclasses without `inspect` and `ast` (1.3), "
    "configurations and channels with slots, modules loaded when used (1.5), no `subprocess` where "
    "posix_spawn does (0.7), malloc_trim after the start (1); code without columns gives 0.05"
)
_INTERPRETER = (
    "the start of Python, which is the floor, and the import of the client. Tried: one module of "
    "commands loaded, replies split instead of parsed, no `site` (the package's launcher only), an "
    "answer of four columns instead of fourteen; no garbage collection, two modules less (2 % each)"
)

ROWS = (
    Row("killed to replaced, alone", 0, 2.5, 10, _VFORK),
    Row("killed to replaced, among", 100, 2.5, 10, _VFORK),
    Row("killed to replaced, among", 1000, 2.5, 10, _VFORK),
    Row("killed to replaced under a log flood, among", 100, 2.5, 10,
        "the flood takes one of two cores and the turns of the loop that move it; " + _VFORK),
    Row("killed to replaced while 500 are added, among", 100, None, None),
    Row("100 killed at once, all back, of", 100, 80, None,
        "100 execs on two cores that also run what was killed to its end; one loop starts all"),
    Row("start", 10, 100, None, _STARTING),
    Row("start", 100, 150, None, _STARTING),
    Row("start", 1000, 800, None, _STARTING),
    Row("start", 5000),
    Row("stop", 10, 10, None, _LOOKS),
    Row("stop", 100, 30, None, _LOOKS),
    Row("stop", 1000, 150, None, _LOOKS),
    Row("stop", 5000),
    Row("update that adds", 500),
    Row("idle for 30 s: CPU", 1000, 0),
    Row("idle for 30 s: context switches", 1000, 0),
    Row("resident", 1, 22, None, _MEMORY, SUPERVISOR),
    Row("proportional", 1, 12, None, _MEMORY, SUPERVISOR),
    Row("resident", 1000, 28, None, _MEMORY + "; then 4 to 6 KiB for each program"),
    Row("proportional", 1000, 17, None, _MEMORY + "; then 4 to 6 KiB for each program"),
    Row("resident", 5000),
    Row("proportional", 5000),
    Row("log, big writes", 0, 1500, None, _BIG_COPIES),
    Row("log, big writes: CPU", 0, 0.55, None, _BIG_COPIES),
    Row("log, a write per line", 0, 250, None, "the writer: a system call for each 128 bytes"),
    Row("log, a write per line: CPU", 0, 0.4, None, _COPIES),
    Row("log, 20 writers", 0),
    Row("log, 20 writers: CPU", 0),
    Row("log, rotation", 0),
    Row("log, rotation: CPU", 0),
    Row("journal, a write per line: sum", 0),
    Row("journal, 40 lines a write: sum", 0),
    Row("status", 1, 20, None, _INTERPRETER),
    Row("status", 100, 22, None, _INTERPRETER),
    Row("status", 1000, 35, None, _INTERPRETER + "; then 0.02 million instructions for each line"),
    Row("status", 5000),
    Row("status, pip", 1),
    Row("status, pip", 1000),
    Row("getAllProcessInfo with", 100, 2500, None, "XML of 100 processes, from kept pieces"),
    Row("re-exec with", 1000),
    Row("crash to adopted, with", 1000),
)  # fmt: skip
"""In the order of the table."""

GROWTHS = (
    Growing("start", 1.0, "each program is an exec: never worse than in proportion"),
    Growing("stop", 1.0, "each program is an end: never worse than in proportion"),
    Growing("status", 0.4, "the start of the client, and a line of text for each program"),
    Growing("resident", 0.2, "the interpreter and our modules, and some KiB for each program"),
    Growing("proportional", 0.25, "the same, without what is shared"),
    Growing("killed to replaced, among", 0.1, "one program's end is no matter to the others"),
    Growing("idle for 30 s: CPU", 0.0, "nothing happens by the clock alone"),
    Growing("idle for 30 s: context switches", 0.0, "the same"),
)
"""In the order of the table."""
