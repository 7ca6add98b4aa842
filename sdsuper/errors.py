"""SdsuperError and its kinds; each knows how it reads and the exit code it means."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # type checkers take it for true; the client has no time to import typing
if TYPE_CHECKING:
    from collections.abc import Sequence


class SdsuperError(Exception):
    """Something the person at the keyboard must act on.

    Attributes:
        exit_code: The exit status a command ends with when this error ends it.
    """

    exit_code = 1


class UsageError(SdsuperError):
    """A command line, configuration, privilege, limit or bind error: exit status 2."""

    exit_code = 2


class StartError(SdsuperError):
    """`ready=running`, and a required program did not come up: exit status 7.

    The number is LSB's "program is not running"; systemd shows it as NOTRUNNING.
    """

    exit_code = 7


class HandoverError(SdsuperError):
    """What another daemon left behind cannot be used: the text says what, and where in it."""


class Problem:
    """One thing that is wrong in a configuration, and where.

    Attributes:
        message: Supervisor's own text for it, or ours where Supervisor has none.
        file: The file as named on the command line or by the include.
        line: The line of the value, counted from 1.
        section: The section's name, without brackets.
        option: The option's name.
        found: The value as written.
        reason: What is wrong, where `message` says more than that.
        accepted: What may be written instead.
        hint: What was probably meant.
    """

    __slots__ = (
        "accepted",
        "file",
        "found",
        "hint",
        "line",
        "message",
        "option",
        "reason",
        "section",
    )

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        section: str | None = None,
        option: str | None = None,
        found: str | None = None,
        reason: str | None = None,
        accepted: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.file = file
        self.line = line
        self.section = section
        self.option = option
        self.found = found
        self.reason = reason
        self.accepted = accepted
        self.hint = hint

    def _fields(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"<Problem {self}>"

    @property
    def place(self) -> str:
        """`file:line`, as far as it is known."""
        return ":".join(str(part) for part in (self.file, self.line) if part is not None)

    def __str__(self) -> str:
        """`file:line: [section] option="found": what is wrong; accepted ...; did you mean ...`."""
        where = "".join(
            (
                f"{self.place}: " if self.place else "",
                f"[{self.section}] " if self.section is not None else "",
                self.option or "",
                f'="{self.found}"' if self.found is not None and self.option else "",
            )
        ).rstrip()
        if where and not where.endswith(":"):
            where += ":"
        advice = [self.reason or self.message]
        if self.accepted:
            advice.append(f"accepted: {self.accepted}")
        if self.hint:
            advice.append(self.hint)
        return " ".join(part for part in (where, "; ".join(advice)) if part)


class ConfigError(UsageError):
    """A configuration that does not load: everything that is wrong with it.

    Attributes:
        problems: In the order in which Supervisor would meet them; at least one.
        doubts: What would load by itself but is no less wrong: unknown keys, names twice.
    """

    def __init__(self, problems: Sequence[Problem], doubts: Sequence[Problem] = ()) -> None:
        super().__init__(problems[0].message)
        self.problems = tuple(problems)
        self.doubts = tuple(doubts)

    @property
    def first(self) -> str:
        """Supervisor's own text for its first error."""
        return self.problems[0].message

    @property
    def details(self) -> tuple[str, ...]:
        """One line for each problem: file, line, what is wrong and what is accepted."""
        return tuple(str(problem) for problem in self.problems)


def traceback_text(error: BaseException | None = None) -> str:
    """Return where an exception came from, as lines of text.

    What that takes is imported when it is needed, which is in few daemons. Where it cannot be, as
    without a free descriptor, the text has the exception alone.

    Args:
        error: The exception, None for the one that is being handled.
    """
    error = error or sys.exception()
    try:
        from traceback import format_exception
    except (ImportError, OSError):
        return f"{type(error).__name__}: {error}\n"
    return "".join(format_exception(error))
