"""Whatever is put into a template comes out as text, and nothing else."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser
from urllib.parse import parse_qs, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.server.page.html import Html, Template, escape, join, url_part

HOSTILE = st.text() | st.text(alphabet="<>&\"'/=-! \nascriptonx;#\0")
BETWEEN = Template("<p>{value}</p>")
QUOTED = Template('<a title="{value}">x</a>')


class Seen(HTMLParser):
    """Everything that a parser makes of a document."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.others: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)


@given(HOSTILE)
def test_between_tags_a_value_is_text(value: str) -> None:
    seen = Seen(BETWEEN(value=value))
    assert seen.tags == [("p", [])]
    assert seen.others == []
    assert seen.text == value.replace("\0", "\ufffd")


@given(HOSTILE)
def test_in_an_attribute_a_value_is_text(value: str) -> None:
    seen = Seen(QUOTED(value=value))
    assert seen.tags == [("a", [("title", value.replace("\0", "\ufffd"))])]
    assert (seen.text, seen.others) == ("x", [])


@given(HOSTILE)
def test_escaping_can_be_undone(value: str) -> None:
    escaped = escape(value)
    assert not set(escaped) & set("<>\"'\0")
    # The standard library, unlike a browser, drops references to characters that are forbidden.
    if value.isprintable():
        assert unescape(escaped) == value


@given(HOSTILE.filter(lambda text: "\ud800" not in text))
def test_a_part_of_an_address_stays_one_value(value: str) -> None:
    part = url_part(value)
    assert set(part) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%_.-~")
    assert unquote(part) == value
    assert parse_qs(f"a={part}&b=1", keep_blank_values=True) == {"a": [value], "b": ["1"]}


def test_what_is_html_already_is_left_alone() -> None:
    assert BETWEEN(value=join([Html("<b>"), escape("<"), Html("</b>")])) == "<p><b>&lt;</b></p>"


def test_other_values_are_written_as_text() -> None:
    assert BETWEEN(value=3) == "<p>3</p>"


def test_a_value_that_looks_like_a_template_is_none() -> None:
    assert BETWEEN(value="{value} {0} %s") == "<p>{value} {0} %s</p>"


def test_lines_are_not_indented() -> None:
    assert Template("\n    <a>\n      {x}\n    </a>\n")(x="1") == "<a>\n1\n</a>"


def test_a_value_that_is_missing_is_a_defect() -> None:
    with pytest.raises(KeyError):
        BETWEEN()
