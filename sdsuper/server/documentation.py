"""The docstring of a method -> what system.methodHelp and the manual say of it."""

from __future__ import annotations

from collections.abc import Iterable

from sdsuper.dataclass import dataclass


@dataclass(frozen=True)
class Documentation:
    """A docstring, taken apart.

    Attributes:
        text: What the method does.
        arguments: What each argument means, by its name.
        result: What comes back.
    """

    text: str
    arguments: dict[str, str]
    result: str


def parse(docstring: str) -> Documentation:
    """Take a docstring apart; its indentation is cleaned already."""
    text, sections = _split(docstring)
    result = " ".join(line.strip() for line in sections.get("Returns", []))
    return Documentation(text, _entries(sections.get("Args", [])), result.strip())


def _split(text: str) -> tuple[str, dict[str, list[str]]]:
    """Split a docstring into its free text and the lines of its sections."""
    free: list[str] = []
    sections: dict[str, list[str]] = {}
    lines = free
    for line in text.splitlines():
        if line in {"Args:", "Returns:"}:
            lines = sections.setdefault(line[:-1], [])
        else:
            lines.append(line)
    return "\n".join(free).strip(), sections


def _entries(lines: Iterable[str]) -> dict[str, str]:
    """Return `name: text` entries; what is indented deeper continues the entry above."""
    entries: dict[str, str] = {}
    name = ""
    for line in lines:
        if line.startswith("     ") and name:
            entries[name] += " " + line.strip()
        elif ":" in line:
            name, _, text = line.strip().partition(":")
            entries[name] = text.strip()
    return entries
