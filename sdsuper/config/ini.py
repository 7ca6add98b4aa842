"""Text -> sections, every value with the file and line where it stands.

The dialect is the one that Supervisor's users write: Python's RawConfigParser with `;` and `#`
as inline comments and repeated sections and keys merged. A scanner of our own keeps the line
numbers that the standard parser forgets, and loads in a fraction of its time.
"""

from __future__ import annotations

from sdsuper.errors import ConfigError, Problem

TYPE_CHECKING = False  # type checkers take it for true; the client has no time to import typing
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEFAULT = "DEFAULT"


class Value:
    """A value as written, and where.

    Attributes:
        text: Its lines, without comments and blanks at both ends.
        file: The file as it was named.
        line: The line of its key, counted from 1.
    """

    __slots__ = ("file", "line", "text")

    def __init__(self, text: str, file: str, line: int) -> None:
        self.text = text
        self.file = file
        self.line = line


class Section:
    """One section.

    Attributes:
        name: What stands between the brackets.
        file: Where it was first opened.
        line: The line of that.
        values: Its values by lower-cased key.
    """

    __slots__ = ("file", "line", "name", "values")

    def __init__(
        self, name: str, file: str, line: int, values: dict[str, Value] | None = None
    ) -> None:
        self.name = name
        self.file = file
        self.line = line
        self.values = {} if values is None else values

    @property
    def kind(self) -> str:
        """The section's kind: `program` of `program:x`."""
        return self.name.partition(":")[0]

    @property
    def label(self) -> str:
        """What stands behind the first colon, without blanks around it."""
        return self.name.partition(":")[2].strip()


class Document:
    """Sections in the order in which they were first opened; later texts are merged in.

    Attributes:
        replaced: Section, key, and both values, where a later one took an earlier one's place.
    """

    def __init__(self) -> None:
        self.replaced: list[tuple[str, str, Value, Value]] = []
        self._sections: dict[str, Section] = {}
        self._defaults: dict[str, Value] = {}

    def __iter__(self) -> Iterator[Section]:
        """Yield every section, the values of [DEFAULT] beneath its own."""
        for name in self._sections:
            yield self._with_defaults(self._sections[name])

    def get(self, name: str) -> Section | None:
        """Return the section of exactly this name."""
        found = self._sections.get(name)
        return None if found is None else self._with_defaults(found)

    def of_kind(self, *prefixes: str) -> list[Section]:
        """Return the sections whose names begin with one of these texts."""
        return [section for section in self if section.name.startswith(prefixes)]

    def is_default(self, key: str, value: Value) -> bool:
        """Tell whether a section has this value from [DEFAULT]."""
        return self._defaults.get(key) is value

    def _with_defaults(self, section: Section) -> Section:
        if not self._defaults:
            return section
        merged = {**self._defaults, **section.values}
        return Section(section.name, section.file, section.line, merged)

    def merge(self, text: str, file: str) -> None:
        """Read a text on top of what is here.

        Raises:
            ConfigError: It is not ini; nothing of it is kept.
        """
        scanner = _Scanner(file)
        sections = scanner.scan(text)
        self.replaced += scanner.replaced
        for section in sections:
            known = self._defaults if section.name == DEFAULT else None
            if known is None:
                place = self._sections.setdefault(
                    section.name, Section(section.name, section.file, section.line)
                )
                known = place.values
            self.replaced += (
                (section.name, key, known[key], section.values[key])
                for key in section.values
                if key in known
            )
            known.update(section.values)


def parse(text: str, file: str = "<string>") -> Document:
    """Read one text.

    Raises:
        ConfigError: It is not ini; with every line that cannot be read.
    """
    document = Document()
    document.merge(text, file)
    return document


class _Scanner:
    """Reads one text line by line."""

    def __init__(self, file: str) -> None:
        self.replaced: list[tuple[str, str, Value, Value]] = []
        self._file = file
        self._sections: dict[str, Section] = {}
        self._current: Section | None = None
        self._key = ""
        self._lines: list[str] = []  # of the value that is open
        self._line = 0  # where that value began
        self._indent = 0  # of the line that opened it
        self._bad: list[tuple[int, str]] = []
        self._last = 0  # number of the line that no newline ends

    def scan(self, text: str) -> Iterable[Section]:
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        lines = text.split("\n")
        self._last = len(lines)
        for number, line in enumerate(lines, start=1):
            self._feed(number, line)
        self._close_value()
        if self._bad:
            raise self._parse_error()
        return self._sections.values()

    def _feed(self, number: int, line: str) -> None:
        comment = _comment_start(line) if ";" in line or "#" in line else None
        content = line[:comment].strip()
        if not content:
            # An empty line inside a value belongs to it; one that holds a comment does not.
            if comment is None and self._key:
                self._lines.append("")
            return
        indent = len(line) - len(line.lstrip())
        if self._key and indent > self._indent:
            self._lines.append(content)
            return
        self._indent = indent
        self._open(number, line, content)

    def _open(self, number: int, line: str, content: str) -> None:
        header = _header(content)
        if header:
            self._close_value()
            self._key = ""
            self._current = self._sections.setdefault(header, Section(header, self._file, number))
        elif self._current is None:
            raise self._header_error(number, line)
        elif (delimiter := _delimiter(content)) < 0:
            self._bad.append((number, line))  # the value above stays open, as it always did
        else:
            self._close_value()
            self._key = content[:delimiter].rstrip().lower()
            if not self._key:
                self._bad.append((number, line))
            self._lines = [content[delimiter + 1 :].strip()]
            self._line = number

    def _close_value(self) -> None:
        if self._key and self._current is not None:
            text = "\n".join(self._lines).rstrip()
            value = Value(text, self._file, self._line)
            earlier = self._current.values.get(self._key)
            if earlier is not None:
                self.replaced.append((self._current.name, self._key, earlier, value))
            self._current.values[self._key] = value

    def _parse_error(self) -> ConfigError:
        message = f"Source contains parsing errors: {self._file!r}"
        for number, line in self._bad:
            message += f"\n\t[line {number:2d}]: {self._shown(number, line)}"
        accepted = "[section], key=value, or a more deeply indented line that goes on with a value"
        return ConfigError(
            [
                Problem(
                    message,
                    file=self._file,
                    line=number,
                    reason=f"cannot read {line.strip()!r}",
                    accepted=accepted,
                )
                for number, line in self._bad
            ]
        )

    def _header_error(self, number: int, line: str) -> ConfigError:
        message = "File contains no section headers."
        message += f"\nfile: {self._file!r}, line: {number}\n{self._shown(number, line)}"
        reason = f"{line.strip()!r} stands before the first section"
        problem = Problem(
            message, file=self._file, line=number, reason=reason, accepted="[section]"
        )
        return ConfigError([problem])

    def _shown(self, number: int, line: str) -> str:
        return repr(line + "\n" if number < self._last else line)


def _header(content: str) -> str:
    """Return the name of a section's header, "" where the line is none; it ends at the last `]`."""
    return content[1 : content.rfind("]")] if content.startswith("[") and "]" in content else ""


def _delimiter(content: str) -> int:
    """Return where a key ends: at the first `=` or `:`; negative where there is neither."""
    first, second = sorted((content.find("="), content.find(":")))
    return first if first >= 0 else second


def _comment_start(line: str) -> int | None:
    """Return where a line's comment begins: at its first sign, or at one behind a blank.

    The search goes round by round, one occurrence of each sign a round, and ends with the first
    round that finds a comment; so `a;b ;c #d` is cut at `#`. Files are read that way for ages.
    """
    if line.lstrip().startswith((";", "#")):
        return 0
    signs = {";": -1, "#": -1}
    while signs:
        found = []
        for sign in tuple(signs):
            index = signs[sign] = line.find(sign, signs[sign] + 1)
            if index < 0:
                del signs[sign]
            elif index == 0 or line[index - 1].isspace():
                found.append(index)
        if found:
            return min(found)
    return None
