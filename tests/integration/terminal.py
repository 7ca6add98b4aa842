"""A client at a terminal of its own, and somebody who types: Supervisor's or ours.

Everything waits for what is printed. Readline is told to show all candidates at the first TAB, and
to write nothing for a terminal's eyes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pexpect

from tests.integration.harness import BIN, PEERS, Daemon, clean_environment, wait_until

PROMPT = "supervisor> "
CTRL_C, CTRL_D, CTRL_U, ENTER, TAB = "\x03", "\x04", "\x15", "\r", "\t"
INPUTRC = """\
set show-all-if-ambiguous on
set completion-query-items 0
set page-completions off
set bell-style none
set enable-bracketed-paste off
"""


class Terminal:
    """A client that runs, and its terminal.

    Attributes:
        seen: All that was printed up to where we have looked.
    """

    def __init__(
        self, daemon: Daemon, client: str, *words: str, options: Sequence[str] | None = None
    ) -> None:
        inputrc = Path(daemon.dir, "inputrc")
        inputrc.write_text(INPUTRC)
        self.seen = ""
        self._child = pexpect.spawn(
            str(BIN / PEERS[client].client),
            [*(["-c", str(daemon.ini)] if options is None else options), *words],
            cwd=str(daemon.dir),
            env=clean_environment({"TERM": "dumb", "INPUTRC": str(inputrc), "LC_ALL": "C.UTF-8"}),
            dimensions=(60, 200),
            encoding="utf-8",
            timeout=20,
        )
        self._child.delaybeforesend = None  # no sleep: we wait for what is printed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._child.close(force=True)

    def press(self, keys: str) -> None:
        """Type keys."""
        self._child.send(keys)

    def until(self, text: str) -> str:
        """Return what is printed before `text`, once that is."""
        self._child.expect_exact(text)
        before: str = self._child.before
        self.seen += before + text
        return before

    def interrupt(self) -> None:
        """Press Ctrl-C once the client waits; Supervisor's shows it if it comes amid its work."""

        def waits() -> bool:
            stat = Path("/proc", str(self._child.pid), "stat").read_text()
            return stat.rpartition(") ")[2].startswith("S")

        wait_until(waits, what="the client waits")
        self.press(CTRL_C)

    def command(self, line: str, end: str = PROMPT) -> str:
        """Type a line at the prompt; return what is printed between it and the next prompt."""
        self.press(line + ENTER)
        self.until(f"{line}\r\n")
        return self.until(end)

    def completed(self, typed: str, to: str) -> None:
        """Type the beginning of a line and TAB; see that it becomes `to`."""
        self.press(typed + TAB)
        self.until(to)
        self._drop_line()

    def offered(self, typed: str) -> list[str]:
        """Type the beginning of a line and TAB; return what is offered."""
        self.press(typed + TAB)
        self.until("\r\n")
        offered = self.until(PROMPT + typed).split()
        self._drop_line()
        return sorted(offered)

    def _drop_line(self) -> None:
        self.press(f"{CTRL_U}dropped{ENTER}")
        self.until("*** Unknown syntax: dropped\r\n")
        self.until(PROMPT)

    def end(self) -> int:
        """Return the exit status once it has ended."""
        self._child.expect_exact(pexpect.EOF)
        self.seen += self._child.before
        self._child.close()
        status: int = self._child.exitstatus
        return status
