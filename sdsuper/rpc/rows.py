"""Replies that carry like structs, columns, or one plain value, read by splitting text.

`status` asks for a struct of fourteen members for each process. An XML parser calls us for each of
its elements: 55 us a process. Servers write such replies in one shape, which a few splits of the
whole text take apart in a twentieth of that. Whatever departs from the shape in any way is left to
the parser, which reads it or says what is wrong with it: these functions only ever return what the
parser would.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Scalars = Mapping[str, Callable[[str], Any]]

HEAD = b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value>"
TAIL = b"</value>\n</param>\n</params>\n</methodResponse>\n"
ROWS_HEAD = "<array><data>\n<value><struct>\n<member>\n<name>"
ROWS_TAIL = "</value>\n</member>\n</struct></value>\n</data></array>"
NEXT_ROW = "</value>\n</member>\n</struct></value>\n<value><struct>\n<member>\n<name>"
NEXT_CELL = "</value>\n</member>\n<member>\n<name>"
COLUMNS_HEAD = "<struct>\n<member>\n<name>"
COLUMNS_TAIL = "</string></value>\n</data></array></value>\n</member>\n</struct>"
NEXT_COLUMN = "</string></value>\n</data></array></value>\n</member>\n<member>\n<name>"
COLUMN_NAMED = "</name>\n<value><array><data>\n<value><string>"
NEXT_TEXT = "</string></value>\n<value><string>"
BETWEEN = "\0"
"""Joins the cells of a column: no document holds it."""

FORBIDDEN = bytes({*range(0x20), ord("\r")} - {ord("\t"), ord("\n")})
"""What XML cannot hold, and the carriage return, which parsers change."""

ESCAPES = {"&lt;": "<", "&gt;": ">", "&#13;": "\r", "&amp;": "&"}
"""What servers write for what cannot stand for itself; the ampersand is put back last."""


def read_plain(data: bytes, scalars: Scalars) -> Any:
    """Return the value of a reply in the shape that servers write, None where it has another.

    Args:
        data: The reply.
        scalars: Makes a value of its text, by the name of its element.
    """
    if not (data.startswith(HEAD) and data.endswith(TAIL)):
        return None
    if len(data.translate(None, FORBIDDEN)) != len(data) or b"]]>" in data:
        return None
    try:
        text = data[len(HEAD) : -len(TAIL)].decode()
        if "\ufffe" in text or "\uffff" in text:
            return None
        if text.startswith(ROWS_HEAD) and text.endswith(ROWS_TAIL):
            return _rows(text[len(ROWS_HEAD) : -len(ROWS_TAIL)], scalars)
        if text.startswith(COLUMNS_HEAD) and text.endswith(COLUMNS_TAIL):
            return _columns(text[len(COLUMNS_HEAD) : -len(COLUMNS_TAIL)])
        kind = text[1:].partition(">")[0]
        before, after = f"<{kind}>", f"</{kind}>"
        if kind not in scalars or not text.startswith(before) or not text.endswith(after):
            return None
        values = _values([text[len(before) : -len(after)]], scalars[kind])
    except (ValueError, LookupError, OverflowError):
        return None
    return None if values is None else values[0]


def _rows(text: str, scalars: Scalars) -> list[dict[str, Any]] | None:
    rows = text.split(NEXT_ROW)
    width = rows[0].count(NEXT_CELL) + 1
    if any(row.count(NEXT_CELL) + 1 != width for row in rows):
        return None
    cells = NEXT_CELL.join(rows).split(NEXT_CELL)
    names, columns = [], []
    for place in range(width):
        name, _, rest = cells[place].partition("</name>\n<value><")
        kind = rest.partition(">")[0]
        if kind not in scalars or "<" in name or "&" in name:
            return None
        before, after = f"{name}</name>\n<value><{kind}>", f"</{kind}>"
        column = BETWEEN.join(cells[place::width])
        if not (column.startswith(before) and column.endswith(after)):
            return None
        inner = column[len(before) : -len(after)]
        values = _values(inner.split(after + BETWEEN + before), scalars[kind])
        if values is None or len(values) != len(rows):
            return None
        names.append(name)
        columns.append(values)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _columns(text: str) -> dict[str, list[str]] | None:
    """Read a struct of arrays of text: a text for each row in each of them."""
    columns = {}
    for column in text.split(NEXT_COLUMN):
        name, named, cells = column.partition(COLUMN_NAMED)
        values = _values(cells.split(NEXT_TEXT), str)
        if not named or values is None or "<" in name or "&" in name:
            return None
        columns[name] = values
    return columns


def _values(texts: list[str], scalar: Callable[[str], Any]) -> list[Any] | None:
    whole = BETWEEN.join(texts)
    if "<" in whole:
        return None
    if "&" in whole:
        for each in texts:
            if each.count("&") != sum(map(each.count, ESCAPES)):
                return None
        for escape, meant in ESCAPES.items():
            texts = [each.replace(escape, meant) for each in texts]
    return texts if scalar is str else list(map(scalar, texts))
