"""What goes to the helper and comes back; which entry is what text, and whose."""

from __future__ import annotations

import pytest

from sdsuper.logs import sinks
from sdsuper.logs.readback import (
    FAILED,
    LINE_BREAK_FIELD,
    NO_JOURNAL,
    Answer,
    Mark,
    Query,
    QueryError,
    ReadbackError,
    text_of,
    unit_of,
)

MARK = Mark("s=1;i=2", 17, "s=1;i=1")


@pytest.mark.parametrize("mark", [None, MARK, MARK._replace(origin="")])
def test_queries_go_there_as_words(mark: Mark | None) -> None:
    query = Query("tail", "p\udcff", "g g", "stderr", -5, 10**20, mark, "/x")
    words = query.to_words()
    assert all(isinstance(word, str) for word in words)
    assert Query.from_words(words) == query


@pytest.mark.parametrize("words", [[], ["0"] * 11, ["1"] * 11, ["1", "read"], ["1"] * 20])
def test_words_of_another_version_are_told(words: list[str]) -> None:
    with pytest.raises(QueryError, match="another version"):
        Query.from_words(words)


@pytest.mark.parametrize("mark", [None, MARK, MARK._replace(origin="")])
@pytest.mark.parametrize("data", [b"", b"\n", b"ok 1\n\xff"])
def test_answers_come_back(mark: Mark | None, data: bytes) -> None:
    answer = Answer(data, 2**40, True, mark)
    assert Answer.from_bytes(answer.to_bytes()) == answer


@pytest.mark.parametrize("kind", [NO_JOURNAL, FAILED])
def test_errors_come_back(kind: str) -> None:
    with pytest.raises(ReadbackError, match=r"^a b c$") as found:
        Answer.from_bytes(ReadbackError(kind, "a b\nc").to_bytes())
    assert found.value.kind == kind


@pytest.mark.parametrize("written", [b"", b"ok", b"ok 1 0 - 0 -", b"what\n", b"ok x 0 - 0 -\n"])
def test_an_answer_that_makes_no_sense_is_told(written: bytes) -> None:
    with pytest.raises(QueryError):
        Answer.from_bytes(written)


def test_a_line_that_goes_on_has_no_end() -> None:
    assert text_of(b"a\xff", line_break=False) == b"a\xff\n"
    assert text_of(b"a", line_break=True) == b"a"
    assert LINE_BREAK_FIELD.encode() == sinks.journal.LINE_BREAK_FIELD


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        ("0::/\n", None),
        ("", None),
        ("0::/system.slice/sdsuperd.service\n", "sdsuperd.service"),
        ("0::/system.slice/sdsuperd.service/daemon\n", "sdsuperd.service"),
        ("0::/system.slice/system-x.slice/sdsuperd@a.service\n", "sdsuperd@a.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", None),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/x.service\n", "user@0.service"),
        ("0::/some/where.service\n", None),
        ("4:memory:/x.service\n1:name=systemd:/system.slice/y.service\n0::/\n", "y.service"),
    ],
)
def test_the_service_of_a_process(cgroups: str, unit: str | None) -> None:
    assert unit_of(cgroups) == unit
