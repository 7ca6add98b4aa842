"""The message catalogue: an entry for each MESSAGE_ID, with fields that it has, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdsuper.daemon.statelog import MESSAGES
from sdsuper.logs.rate import SUPPRESSED_ID

CATALOG = Path(__file__).parents[3] / "units" / "sdsuper.catalog"
DECLARED = {message.id for message in MESSAGES.values()} | {SUPPRESSED_ID}

# Others are not in every entry; journalctl shows the name of a field that there is not.
ALWAYS = {"SDSUPER_PROCESS", "SDSUPER_PROGRAM", "SDSUPER_GROUP"}
ALSO = {
    "EXITED": {"SDSUPER_REASON"},
    "FATAL": {"SDSUPER_REASON"},
    "UNKNOWN": {"SDSUPER_REASON"},
}


def entries() -> dict[str, str]:
    _, *parts = re.split(r"^-- ", CATALOG.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [part.partition("\n")[::2] for part in parts]
    assert len({key for key, _ in found}) == len(found)
    return dict(found)


def test_every_message_has_its_entry() -> None:
    assert set(entries()) == DECLARED


@pytest.mark.parametrize("key", sorted(DECLARED))
def test_an_entry_has_a_subject_and_says_what_to_do(key: str) -> None:
    headers, _, body = entries()[key].partition("\n\n")
    assert [line.partition(":")[0] for line in headers.splitlines()] == [
        "Subject",
        "Defined-By",
        "Documentation",
    ]
    assert "@SDSUPER_PROCESS@" in headers
    assert body.strip()


@pytest.mark.parametrize("key", sorted(DECLARED))
def test_an_entry_uses_fields_that_are_there(key: str) -> None:
    names = {message.id: state.name for state, message in MESSAGES.items()}
    known = ALWAYS | ALSO.get(names.get(key, ""), set())
    if key == SUPPRESSED_ID:
        known = ALWAYS | {"N_DROPPED"}
    assert set(re.findall(r"@(\w+)@", entries()[key])) <= known
