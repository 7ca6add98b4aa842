"""The helper that reads the journal: one query, one answer, and its end.

The daemon starts one where somebody asks, and kills it where nobody waits any longer. Its stdin
says no word; its end says that the daemon is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdsuper.logs.journal_window import follow, read, tail
from sdsuper.logs.readback import FAILED, NO_JOURNAL, SEARCH_SECONDS, Answer, Query, ReadbackError

if TYPE_CHECKING:
    from sdsuper.logs.journal_source import JournalSource

_NICENESS = 5
_OOM_SCORE = "500"
_STDIN, _STDOUT = 0, 1


def main(words: Sequence[str]) -> None:
    """Answer one query on stdout."""
    # Whatever the library is doing, this ends us, also where the daemon is gone.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SEARCH_SECONDS + 1)
    _step_back()
    try:
        _answer(Query.from_words(words))
    except ReadbackError as error:
        _write(error.to_bytes())
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told
        _write(ReadbackError(FAILED, f"cannot read the journal: {error}").to_bytes())


def _step_back() -> None:
    """Let everybody else go first, and be the first to go when memory runs out."""
    os.nice(_NICENESS)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
        f.write(_OOM_SCORE)


def _answer(query: Query) -> None:
    try:
        from sdsuper.logs.journal_source import JournalSource
    except ImportError as error:
        text = f"reading the journal takes the Python package systemd-python: {error}"
        raise ReadbackError(NO_JOURNAL, text) from error
    source = JournalSource(query)
    match query.what:
        case "read":
            _write(read(source, query).to_bytes())
        case "tail":
            _write(tail(source, query).to_bytes())
        case "follow":
            _follow(source)


def _follow(source: JournalSource) -> None:
    """Write what there is and what comes, until the daemon is gone."""
    parts = follow(source)
    _write(Answer(next(parts)).to_bytes())
    signal.alarm(0)
    with contextlib.suppress(OSError):  # what was written is text by now: no word of errors
        for part in parts:
            if part:
                _write(part)
            elif not source.wait(_STDIN):
                return


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_STDOUT, view) :]
