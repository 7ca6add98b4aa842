from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.datatypes import dict_of_key_value_pairs

from sdsuper.config.environment import legacy_environment, pairs, parse_environment
from sdsuper.config.kinds import format_environment

GRAMMAR: dict[str, dict[str, str] | None] = {
    "": {},
    "A=1,B=2": {"A": "1", "B": "2"},
    'A="1,2",B=3': {"A": "1,2", "B": "3"},
    "A='x y'": {"A": "x y"},
    'A="x" , B=z': {"A": "x", "B": "z"},
    "A=1,": {"A": "1"},
    "A=1;B=2": {"A": "1", "B": "2"},
    "A=a b": {"A": "a"},
    "A=1 B=2": None,
    "A=1\nB=2": None,
    "A=1,\nB=2": {"A": "1", "B": "2"},
    "A=1,,B=2": None,
    "A=": None,
    "A": None,
    "=1": None,
    "A=,B=2": None,
    'A=""': {"A": ""},
    "A=/usr/bin:/bin": {"A": "/usr/bin:/bin"},
    "A=-1": {"A": "-1"},
    "A=(x)": {"A": "(x)"},
    "a.b=1": {"a.b": "1"},
    "A=aé": {"A": "aé"},
    "A=http://h:1/p?q=1": {"A": "http://h:1/p", "q": "1"},
    "A=x@y": None,
    "A=a*b": None,
    "A=a%b": None,
    "A=[1]": None,
    "A=1=2": None,
    "A=$HOME": {"A": "$"},
    "A=~x": {"A": "~"},
    "A=*": {"A": "*"},
    "A=a#b": {"A": "a"},
    'A="#x"': {"A": "#x"},
    r'A="a\"b"': {"A": 'a"b'},
    r'A="{\"k\": 1}"': {"A": '{"k": 1}'},
    """A='{"k": 1}'""": {"A": '{"k": 1}'},
    'A=a"b"c': {"A": "abc"},
    'A="a"b': {"A": "ab"},
    'A="x""y"': {"A": "xy"},
    """A="'q'" """: {"A": "'q'"},
    r'A="a\\b"': {"A": r"a\b"},
    r"A=a\b": {"A": "ab"},
    '"A"=1': {"A": "1"},
    "A=1,A=2": {"A": "2"},
}


@pytest.mark.parametrize("text", GRAMMAR)
def test_grammar(text: str) -> None:
    expected = GRAMMAR[text]
    if expected is None:
        with pytest.raises(ValueError, match=r"^Unexpected end of key/value pairs in value '"):
            parse_environment(text)
    else:
        assert parse_environment(text) == expected


def test_an_open_quote() -> None:
    with pytest.raises(ValueError, match=r"^No closing quotation$"):
        parse_environment('A="x')


def test_what_separates() -> None:
    assert [pair.separator for pair in pairs("A=1;B=2 ?C=3,D=4")] == [";", "?", ",", ""]


@given(st.text(alphabet="AB=,;\"'\\ \n#/.x-1?@é$", max_size=14))
def test_the_old_grammar_is_supervisors(text: str) -> None:
    try:
        theirs = dict_of_key_value_pairs(text)
    except ValueError:
        theirs = None
    assert legacy_environment(text) == theirs


@given(
    st.dictionaries(
        st.text(alphabet="AB_c1.-", min_size=1, max_size=5),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
        max_size=4,
    )
)
def test_what_is_written_reads_back(variables: dict[str, str]) -> None:
    assert parse_environment(format_environment(variables)) == variables


@given(st.text(alphabet="AB=,;/.x-1:+() \n", max_size=14))
def test_without_quotes_both_grammars_agree(text: str) -> None:
    try:
        here = parse_environment(text)
    except ValueError:
        here = None
    assert here == legacy_environment(text)
