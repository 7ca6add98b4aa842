"""Files -> one document: the main file, and what [include] names."""

from __future__ import annotations

import os

from sdsuper.config.expand import Names
from sdsuper.config.findings import Findings, SectionReader
from sdsuper.config.ini import Document
from sdsuper.config.model import IncludeConfig
from sdsuper.config.option import option_named
from sdsuper.config.reading import decode, read_stable, read_text
from sdsuper.dataclass import dataclass
from sdsuper.errors import ConfigError, Problem


@dataclass(frozen=True)
class Sources:
    """What was read.

    Attributes:
        document: All sections, later files merged over earlier ones.
        files: Every file read, in order.
    """

    document: Document
    files: tuple[str, ...]


def read_sources(path: str, here: str, names: Names, findings: Findings) -> Sources:
    """Read the main file and every file that it includes.

    Args:
        path: The main file, as given.
        here: Its absolute directory.
        names: What may be used in `[include] files`.
        findings: Gets the notes.

    Raises:
        ConfigError: A file cannot be read as ini, or [include] names nothing.
    """
    document = Document()
    document.merge(read_text(path), path)
    files = [path]
    problems: list[Problem] = []
    for included in _included(document, here, names, findings):
        try:
            text = _read_included(included, findings)
            if text is not None:
                document.merge(text, included)
                files.append(included)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return Sources(document, tuple(files))


def _read_included(path: str, findings: Findings) -> str | None:
    try:
        data = read_stable(path)
    except OSError as error:
        findings.warn(f"could not read included file {path}: {error.strerror}")
        return None
    findings.info(f'Included extra file "{path}" during parsing')
    return decode(data, path)


def _included(document: Document, here: str, names: Names, findings: Findings) -> list[str]:
    section = document.get("include")
    if section is None:
        return []
    from glob import glob

    files = option_named(IncludeConfig, "files")
    reader = SectionReader(section, names, findings, label="include")
    text = reader.text(files)
    if text is None:
        reader.problem(".ini file has [include] section, but no files setting", files)
    findings.raise_problems()
    found: list[str] = []
    for pattern in (text or "").split():
        joined = os.path.join(here, pattern)
        matches = sorted(glob(joined))
        if not matches:
            findings.warn(f'No file matches via include "{joined}"')
        found += matches
    return found
