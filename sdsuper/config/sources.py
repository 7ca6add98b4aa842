"""Files -> one document: the main file, and what [include] names."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sdsuper.config.expand import Names
from sdsuper.config.findings import Findings, SectionReader
from sdsuper.config.ini import Document
from sdsuper.config.model import IncludeConfig
from sdsuper.config.option import option_named
from sdsuper.errors import ConfigError, Problem

_READS_MAX = 10


def read_text(path: str) -> str:
    """Return a file's text; one that changes while it is read is read again, a few times.

    Raises:
        ConfigError: It is missing, cannot be read, or is not UTF-8.
    """
    try:
        return _decode(_read_stable(path), path)
    except FileNotFoundError:
        raise ConfigError([Problem(f"could not find config file {path}", file=path)]) from None
    except OSError as error:
        message = f"could not read config file {path}"
        reason = f"{message}: {error.strerror}"
        raise ConfigError([Problem(message, file=path, reason=reason)]) from None


def _read_stable(path: str) -> bytes:
    for _ in range(_READS_MAX):
        before = os.stat(path)
        with open(path, "rb") as file:
            data = file.read()
        after = os.stat(path)
        if _version(before) == _version(after) and len(data) in (after.st_size, before.st_size):
            break
        if not after.st_size:  # a pipe or a file of /proc has no size to compare
            break
    return data


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _decode(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(str(error), file=path, line=line, accepted="UTF-8")]) from None


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
        data = _read_stable(path)
    except OSError as error:
        findings.warn(f"could not read included file {path}: {error.strerror}")
        return None
    findings.info(f'Included extra file "{path}" during parsing')
    return _decode(data, path)


def _included(document: Document, here: str, names: Names, findings: Findings) -> list[str]:
    from glob import glob

    section = document.get("include")
    if section is None:
        return []
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
