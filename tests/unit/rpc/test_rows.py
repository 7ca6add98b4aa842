"""Replies read by splitting: they are what the XML parser reads, or left to it."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.rpc import codec
from sdsuper.rpc.rows import read_plain

NAMES = ("name", "group", "start", "description", "a&b", "<")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["&amp;lt;", "]]>", "<x>", "a\rb", "</string></value>\n</member>\n", "&#60;", "\ufffe"]
)
CELLS = TEXTS | st.integers(-(2**31), 2**31 - 1) | st.booleans()
ROWS = st.lists(
    st.fixed_dictionaries({"name": TEXTS, "start": st.integers(0, 9), "description": CELLS}),
    max_size=5,
)
COLUMNS = st.dictionaries(
    TEXTS | st.sampled_from(NAMES), st.lists(TEXTS, max_size=4) | CELLS, max_size=4
)
LOOSE = st.lists(st.dictionaries(st.sampled_from(NAMES), CELLS, max_size=3), max_size=4)


def parsed(data: bytes) -> Any:
    """Return what the parser alone reads."""
    reader = codec._Reader(codec.SCALARS, codec.REPLY_ELEMENTS_MAX)
    reader.parse(data)
    assert reader.root == "methodResponse"
    (value,) = reader.values
    return value


def agrees(data: bytes) -> bool:
    """Check what is read by splitting, if anything is; return whether anything was."""
    value = read_plain(data, codec.SCALARS)
    if value is None:
        return False
    assert value == parsed(data)
    assert repr(value) == repr(parsed(data))  # True is not 1
    return True


@given(ROWS | COLUMNS | LOOSE | CELLS)
def test_what_is_read_is_what_the_parser_reads(value: Any) -> None:
    agrees(codec.dumps_response(value))
    theirs = xmlrpc.client.dumps((value,), methodresponse=True).encode()
    try:
        parsed(theirs)
    except codec.MalformedXml:  # the standard library writes what XML cannot hold
        assert read_plain(theirs, codec.SCALARS) is None
    else:
        agrees(theirs)


@given(ROWS | COLUMNS, st.data())
def test_a_damaged_reply_is_read_alike_or_left(value: Any, data: Any) -> None:
    whole = codec.dumps_response(value)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    put = data.draw(st.sampled_from([b"", b"<", b"&", b"\0", b"\r", b"\xff", b"<!--x-->", b"x"]))
    damaged = whole[:start] + put + whole[end:]
    try:
        parsed(damaged)
    except codec.MalformedXml:
        assert read_plain(damaged, codec.SCALARS) is None
    except (AssertionError, ValueError):
        pass  # no reply with one value
    else:
        agrees(damaged)


INFO = {"name": "späti", "group": "g", "now": 5, "up": True, "description": "pid 1 & <co> \"'"}


@pytest.mark.parametrize("count", [1, 2, 100])
def test_the_usual_replies_are_read(count: int) -> None:
    rows = [{**INFO, "now": number} for number in range(count)]
    for data in (
        codec.dumps_response(rows),
        xmlrpc.client.dumps((rows,), methodresponse=True).encode(),
    ):
        assert agrees(data)
        assert codec.loads_response(data) == rows


@pytest.mark.parametrize("count", [1, 2, 100])
def test_columns_are_read(count: int) -> None:
    columns = {"name": [f"p & {number}" for number in range(count)], "text": ["<"] * count}
    data = codec.dumps_response(columns)
    assert agrees(data)
    assert codec.loads_response(data) == columns


@pytest.mark.parametrize(
    "columns", [{}, {"a": []}, {"a": ["x"], "b": []}, {"a": [1]}, {"a": "x"}, {"a&b": ["x"]}]
)
def test_what_is_no_column_is_left_to_the_parser(columns: dict[str, Any]) -> None:
    data = codec.dumps_response(columns)
    assert read_plain(data, codec.SCALARS) is None
    assert codec.loads_response(data) == columns


@pytest.mark.parametrize("value", ["3.0", "", 4711, True, -1])
def test_plain_values_are_read(value: object) -> None:
    assert agrees(codec.dumps_response(value))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{}],
        [INFO, {**INFO, "more": 1}],
        [{"a": 1, "b": 2}, {"a": 1}, {"b": 2, "a": 1, "c": 1}],
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
        [{"a": 1}, {"a": "1"}],
        [{"a": [1]}, {"a": [2]}],
    ],
)
def test_what_is_not_alike_is_left_to_the_parser(rows: list[dict[str, Any]]) -> None:
    data = codec.dumps_response(rows)
    assert read_plain(data, codec.SCALARS) is None
    assert codec.loads_response(data) == rows


def test_rows_whose_members_only_add_up_are_not_mixed() -> None:
    def member(name: str) -> str:
        return f"<member>\n<name>{name}</name>\n<value><int>1</int></value>\n</member>\n"

    rows = ["ab", "a", "bab"]
    structs = "".join(
        f"<value><struct>\n{''.join(map(member, row))}</struct></value>\n" for row in rows
    )
    whole = codec.dumps_response([]).replace(b"<data>\n", b"<data>\n" + structs.encode())
    assert codec.loads_response(whole) == [{"a": 1, "b": 1}, {"a": 1}, {"b": 1, "a": 1}]
    assert read_plain(whole, codec.SCALARS) is None
