"""What is typed: whole lines for the shell, bytes for `fg`; at a terminal or through a pipe."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from sdsuper.ctl.control import Output

READ_BYTES = 4096


class Keyboard:
    """Standard input.

    From a pipe, what stands behind a line's end is kept for whoever asks next: `fg` reads on where
    the shell has stopped.

    """

    def __init__(self, out: Output, fd: int = 0) -> None:
        self._fd = fd
        self._out = out
        self._read = b""

    def fileno(self) -> int:
        """Return the descriptor to wait on, once nothing is `pending`."""
        return self._fd

    @property
    def pending(self) -> bool:
        """Whether something was read that nobody has been given."""
        return bool(self._read)

    @property
    def is_terminal(self) -> bool:
        """Whether a person sits there: lines can be edited, completed, remembered."""
        try:
            return os.isatty(self._fd) and sys.stdout.isatty()
        except ValueError:  # stdout is closed
            return False

    def ask(self, prompt: str) -> str:
        """Return the next line.

        Raises:
            EOFError: There is none.
        """
        if self.is_terminal:
            return input(prompt)
        self._out.write(prompt.encode())
        while b"\n" not in self._read:
            data = os.read(self._fd, READ_BYTES)
            if not data:
                break
            self._read += data
        line, newline, self._read = self._read.partition(b"\n")
        if not line and not newline:
            raise EOFError
        return line.decode("utf-8", "surrogateescape")

    def ask_secret(self, prompt: str) -> str:
        """The same, unseen where it is typed at a terminal."""
        if not os.isatty(self._fd):
            return self.ask(prompt)
        import getpass

        return getpass.getpass(prompt)

    def read(self) -> bytes:
        """Return the next bytes, waiting for them; empty at the end."""
        data, self._read = self._read, b""
        return data or os.read(self._fd, READ_BYTES)
