from __future__ import annotations

import configparser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.config.ini import Document, parse
from sdsuper.errors import ConfigError

DIALECT = {
    "x=1 ;c": "1",
    "x=1 #c": "1",
    "x=1\t;c": "1",
    "x=1;c": "1;c",
    "x=1#c": "1#c",
    "x=;y": ";y",
    "x= ;y": "",
    'x=bash -c "a ; b"': 'bash -c "a',
    'x=bash -c "a; b"': 'bash -c "a; b"',
    "x=a\n  b\n  c": "a\nb\nc",
    "x=a\n  ;note\n  c": "a\nc",
    "x=a\n  b ; note\n  c": "a\nb\nc",
    "x=a\n\n  b": "a\n\nb",
    "x=a\n\n\n": "a",
    "x=a\n  y=b": "a\ny=b",
    "x=1\n  [b]": "1\n[b]",
    "x: 1": "1",
    "x : 1": "1",
    "x=a:b=c": "a:b=c",
    "x:a=b": "a=b",
    "x =  a  b  ": "a  b",
    "x='a'": "'a'",
    "X=1\nx=2": "2",
    "x=1\r\ny=2": "1",
    "x=1\\\n": "1\\",
    "x=a;b ;c #d": "a;b ;c",
    "\nx=1": "1",
    "x=\n  a": "\na",
}


@pytest.mark.parametrize("text", DIALECT)
def test_dialect(text: str) -> None:
    section = parse(f"[a]\n{text}\n").get("a")
    assert section is not None
    assert section.values["x"].text == DIALECT[text]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[a]\n[A]", ["a", "A"]),
        ("[ a ]", [" a "]),
        ("[a]trailing", ["a"]),
        ("[a]]", ["a]"]),
        ("  [a]", ["a"]),
        ("[a]\n[b]\n[a]", ["a", "b"]),
        ("[a]\n[DEFAULT]", ["a"]),
        ("\ufeff[a]", ["a"]),
        ("[a] ; x", ["a"]),
        ("", []),
        ("; nothing\n# here\n", []),
    ],
)
def test_sections(text: str, names: list[str]) -> None:
    assert [section.name for section in parse(text)] == names


def test_every_value_knows_its_place() -> None:
    document = parse("; one\n[a]\nx=1\n\ny=2\n  3\n[b]\nz=1\n[a]\nx=9\n", "first.conf")
    document.merge("\n[b]\nz=5\n[c]\n", "second.conf")
    places = {
        (section.name, key): (value.text, value.file, value.line)
        for section in document
        for key, value in section.values.items()
    }
    assert places == {
        ("a", "x"): ("9", "first.conf", 10),
        ("a", "y"): ("2\n3", "first.conf", 5),
        ("b", "z"): ("5", "second.conf", 3),
    }
    opened = [(section.name, section.file, section.line) for section in document]
    assert opened == [("a", "first.conf", 2), ("b", "first.conf", 7), ("c", "second.conf", 4)]


def test_default_values_are_in_every_section() -> None:
    document = parse("[DEFAULT]\nx=1\ny=1\n[a]\ny=2\n")
    section = document.get("a")
    assert section is not None
    assert {key: value.text for key, value in section.values.items()} == {"x": "1", "y": "2"}
    assert document.is_default("x", section.values["x"])
    assert not document.is_default("y", section.values["y"])


def test_every_unreadable_line_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("[a]\nnonsense\nx=1\n=2\n", "some.conf")
    assert caught.value.first == (
        "Source contains parsing errors: 'some.conf'\n"
        "\t[line  2]: 'nonsense\\n'\n\t[line  4]: '=2\\n'"
    )
    assert [problem.line for problem in caught.value.problems] == [2, 4]
    assert caught.value.details[0].startswith("some.conf:2: cannot read 'nonsense'; accepted: ")


@pytest.mark.parametrize("line", ["x=1", "[]", "[a", "text"])
def test_text_before_the_first_section(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"; c\n{line}\n[a]\n", "some.conf")
    first = f"File contains no section headers.\nfile: 'some.conf', line: 2\n'{line}\\n'"
    assert caught.value.first == first


def test_a_text_that_is_not_ini_changes_nothing() -> None:
    document = parse("[a]\nx=1\n")
    with pytest.raises(ConfigError):
        document.merge("[a]\nx=2\nbroken\n", "other")
    assert [value.text for section in document for value in section.values.values()] == ["1"]


LINES = st.lists(
    st.lists(
        st.sampled_from(
            ["[", "]", "a", "B", "x", "=", ":", " ", "  ", "\t", ";", "#", " ;", " #", "%", '"',
             "é", "\x0b", "\u2003", "\\", "[s]", "k=v", "DEFAULT", "[DEFAULT]", "\ufeff"]
        ),
        max_size=6,
    ).map("".join),
    max_size=10,
)  # fmt: skip
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def standard(texts: list[str]) -> object:
    """What the standard parser makes of texts read one over another, or its error."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        for text in texts:
            parser.read_file(_lines(text), "f")
    except configparser.MissingSectionHeaderError as error:
        return error.message
    except configparser.ParsingError as error:
        # Later versions of Python word these two in another way.
        told = "".join(f"\n\t[line {number:2d}]: {line}" for number, line in error.errors)
        return "Source contains parsing errors: 'f'" + told
    return {
        section: {key: parser.get(section, key) for key in parser.options(section)}
        for section in parser.sections()
    }


def _lines(text: str) -> list[str]:
    unified = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    lines = [f"{line}\n" for line in unified.split("\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


def ours(texts: list[str]) -> object:
    document = Document()
    try:
        for text in texts:
            document.merge(text, "f")
    except ConfigError as error:
        return error.first
    return {
        section.name: {key: value.text for key, value in section.values.items()}
        for section in document
    }


@settings(max_examples=500)
@given(st.booleans(), st.lists(st.tuples(LINES, ENDS), min_size=1, max_size=2))
def test_reads_as_the_standard_parser_does(
    headed: bool, files: list[tuple[list[str], str]]
) -> None:
    texts = [end.join((["[s]"] if headed else []) + lines) for lines, end in files]
    assert ours(texts) == standard(texts)
