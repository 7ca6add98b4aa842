"""What may not grow: counts, which are the same on a slow machine and a fast one, quiet or not.

`counts.py` takes them, `tests/integration/test_counts.py` holds us to the limits. A limit leaves
room for another version of Python or the C library, a tenth or so, and for nothing else: who needs
more changes the row, and its reason. Who has made it less lowers the limit.
"""

from __future__ import annotations

from typing import NamedTuple


class Limit(NamedTuple):
    """The most that something may come to.

    Attributes:
        name: What is counted; `counts.COUNTS` has a function of the name.
        most: The limit.
        reason: What is in it, and why it is no more.
    """

    name: str
    most: float
    reason: str


LIMITS = (
    Limit(
        "system calls per restart",
        75,
        "65 here: 8 are looks at the paths of logs; most of the others make, watch and close a "
        "pidfd and three pipes, read what was left in the old ones, and look for what the process "
        "has left behind. The command is looked for once a second: another has 10 more here",
    ),
    Limit(
        "system calls per start",
        48,
        "39 here: the command is looked for by the call (10 here), 8 are looks at the paths of "
        "logs; one vfork, three pipes, a pidfd",
    ),
    Limit(
        "system calls per stop",
        38,
        "32 here: the signal, the looks for what was left behind, the last of the output",
    ),
    Limit(
        "system calls per call of getAllProcessInfo",
        5,
        "4 here: wait, receive, send, wait; nothing is asked of the system for a process",
    ),
    Limit(
        "system calls per MB of log, a write per line",
        60,
        "10 to 18 here, by how busy the machine is; 7812 lines are a megabyte, so that lines "
        "read or written one by one would come to thousands",
    ),
    Limit("system calls in an idle minute", 0, "nothing happens by the clock alone"),
    Limit("wake-ups in an idle minute", 0, "the same, seen from the scheduler"),
    Limit(
        "modules that sdsuperd imports",
        280,
        "250 here, three in five of them ours; all is memory and time at every start",
    ),
    Limit(
        "modules that sdsuperctl imports",
        54,
        "46 here, for `status` by the package's launcher: 22 are ours, 18 Python's own start; no "
        "`site`, no asyncio, no xmlrpc, no click",
    ),
    Limit(
        "descriptors per program",
        6,
        "a pidfd, three pipes, two logs",
    ),
    Limit(
        "private KiB per program",
        7.5,
        "5.8 here, with two logs: the options, the process, two channels and what watches them; "
        "what programs have in common is there once",
    ),
    Limit(
        "million instructions of status, 1 program",
        52,
        "45 here, by the package's launcher: 22 are the start of Python without `site`, 6 `os`, "
        "15 the import of our 22 modules, 1.5 the two calls and the text",
    ),
    Limit(
        "million instructions of status, each further program",
        0.027,
        "0.022 here: a line of text from four columns of an answer",
    ),
)
