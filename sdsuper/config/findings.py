"""What is found while a configuration is read, and the reader of one section's options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sdsuper.config.expand import Names, expand
from sdsuper.config.ini import Section, Value
from sdsuper.config.model import PROGRAM_KINDS, Location, Note
from sdsuper.config.option import Option
from sdsuper.errors import ConfigError, Problem
from sdsuper.values import Level

_UNLABELLED = frozenset(
    ("environment", "process_name")
)  # error texts name these keys of programs alone
_NO_NUMBER = "invalid literal for int()"


class Findings:
    """Collects errors, doubts and notes; nothing is told twice."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}
        self._doubts: dict[Problem, None] = {}
        self._notes: dict[Note, None] = {}

    def problem(self, problem: Problem) -> None:
        """Keep an error: the configuration does not load."""
        self._problems.setdefault(problem)

    def doubt(self, problem: Problem, level: Level = Level.WARN) -> None:
        """Keep what loads with a warning, and is an error when asked to check."""
        self._doubts.setdefault(problem)
        self._notes.setdefault(Note(level, str(problem)))

    def warn(self, message: str) -> None:
        """Keep a warning for the log."""
        self._notes.setdefault(Note(Level.WARN, message))

    def info(self, message: str) -> None:
        """Keep a message for the log."""
        self._notes.setdefault(Note(Level.INFO, message))

    def raise_problems(self) -> None:
        """Raise ConfigError with every error so far, if there is one."""
        if self._problems:
            raise ConfigError(self.problems, self.doubts)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The errors, in the order in which they were met."""
        return tuple(self._problems)

    @property
    def doubts(self) -> tuple[Problem, ...]:
        """What only `config check` calls an error."""
        return tuple(self._doubts)

    @property
    def notes(self) -> tuple[Note, ...]:
        """The messages, the most severe first."""
        return tuple(sorted(self._notes, key=lambda note: -note.level))


class SectionReader:
    """Reads the options of one section; what is wrong goes to the findings, reading goes on.

    Attributes:
        section: The section.
        names: What values may use, unless a call says otherwise.
        findings: Where problems go.
    """

    def __init__(
        self,
        section: Section,
        names: Names,
        findings: Findings,
        *,
        label: str | None = None,
        suffix: str = "",
    ) -> None:
        self.section = section
        self.names = names
        self.findings = findings
        self._label = section.name if label is None else label
        self._suffix = suffix

    @property
    def location(self) -> Location:
        """Where the section begins."""
        return Location(self.section.file, self.section.line)

    def has(self, option: Option) -> bool:
        """Tell whether the section has the option."""
        return option.key in self.section.values

    def text(self, option: Option, names: Names | None = None) -> str | None:
        """Return an option's text, expanded; None where absent or not to be expanded."""
        value = self.section.values.get(option.key)
        written = option.unset if value is None else value.text
        if written is None:
            return None
        if option.kind.percent and written.endswith("%") and not written.endswith("%%"):
            written += "%"
        try:
            return self._expand(written, value, option.key, names or self.names)
        except ValueError as error:
            self.problem(str(error), option)
            return None

    def read(self, option: Option, names: Names | None = None) -> Any:
        """Return an option's value; its default where absent or wrong."""
        if option.unset is None and option.key not in self.section.values:
            return option.default
        text = self.text(option, names)
        return option.fallback if text is None else self.parse(option, text)

    def parse(self, option: Option, text: str) -> Any:
        """Return the value of an expanded text; the default where it is wrong."""
        try:
            return option.kind.parse(text)
        except ValueError as error:
            reason = str(error)
            message = option.error.format(value=text, reason=reason, section=self.section.name)
            self.problem(message, option, reason=_plain(reason, option), text=text)
            return option.fallback

    def free(self, key: str) -> str:
        """Return the expanded text of a key that no declaration knows."""
        value = self.section.values[key]
        try:
            return self._expand(value.text, value, key, self.names)
        except ValueError as error:
            self.findings.problem(self._problem(str(error), key))
            return value.text

    def problem(
        self,
        message: str,
        option: Option,
        *,
        reason: str | None = None,
        text: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Keep an error in an option."""
        found = text if text is not None else self._found(option.key)
        plain = reason is not None and _says_what_is_accepted(reason)
        self.findings.problem(
            self._problem(
                message,
                option.key,
                reason=reason if reason is not None else message,
                accepted=None if plain or text is None else option.kind.accepts,
                hint=hint or _hint(option, found),
            )
        )

    def section_problem(self, message: str, *, suffix: bool = True) -> None:
        """Keep an error in the section as a whole."""
        where = self.location
        self.findings.problem(
            Problem(
                message + (self._suffix if suffix else ""),
                file=where.file,
                line=where.line,
                section=self.section.name,
                reason=message,
            )
        )

    def doubt(
        self,
        message: str,
        key: str | None = None,
        hint: str | None = None,
        level: Level = Level.WARN,
    ) -> None:
        """Keep what loads with a warning."""
        self.findings.doubt(self._problem(message, key, reason=message, hint=hint), level)

    def _problem(
        self,
        message: str,
        key: str | None,
        *,
        reason: str | None = None,
        accepted: str | None = None,
        hint: str | None = None,
    ) -> Problem:
        value = self.section.values.get(key) if key is not None else None
        where = value or self.section
        return Problem(
            message + self._suffix,
            file=where.file,
            line=where.line,
            section=self.section.name,
            option=key,
            found=None if value is None else value.text,
            reason=reason or message,
            accepted=accepted,
            hint=hint,
        )

    def _found(self, key: str) -> str | None:
        value = self.section.values.get(key)
        return None if value is None else value.text

    def _expand(self, text: str, value: Value | None, key: str, names: Names) -> str:
        if "%" not in text:
            return text
        if value is not None and value.file != names.file:
            names = names.over({"here": os.path.dirname(os.path.abspath(value.file))})
        bare = key in _UNLABELLED and self.section.kind in PROGRAM_KINDS
        return expand(text, names, key if bare else f"{self._label}.{key}")


def _says_what_is_accepted(reason: str) -> bool:
    return reason.startswith("not ") and not reason.startswith("not a valid ")


def _plain(reason: str, option: Option) -> str:
    """Say what is wrong in words, where Python's own text would speak of int()."""
    return f"not {option.kind.accepts}" if reason.startswith(_NO_NUMBER) else reason


def _hint(option: Option, found: str | None) -> str | None:
    if found is None:
        return None
    return nearest(found.lower(), {word.lower(): word for word in option.kind.words})


def nearest(word: str, known: Mapping[str, str]) -> str | None:
    """Return "did you mean X?" for the known word that is most like this one."""
    if not known:
        return None
    from difflib import get_close_matches

    matches = get_close_matches(word, known, n=1)
    return f"did you mean {known[matches[0]]}?" if matches else None
