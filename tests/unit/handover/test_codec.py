"""Every value that is handed on comes back as it was, and what does not fit says where."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdsuper.config.model import (
    ChannelConfig,
    Config,
    DaemonConfig,
    GroupConfig,
    ListenerPoolConfig,
    Location,
    ProcessConfig,
    ServerConfig,
)
from sdsuper.core.notice import Told
from sdsuper.core.process import ExitRecord, Process
from sdsuper.dataclass import dataclass, field
from sdsuper.errors import HandoverError, Problem
from sdsuper.handover.codec import codec_of, decode_with
from sdsuper.values import Instant, Level, Namespec

st.register_type_strategy(
    re.Pattern, st.sampled_from([re.compile(b"(?P<level>\xff.)"), re.compile(b"(?i)a")])
)
st.register_type_strategy(float, st.floats(allow_nan=False))
st.register_type_strategy(
    Mapping,
    lambda hint: st.dictionaries(*map(st.from_type, get_args(hint)), max_size=2),
)


def there_and_back(hint: Any, value: Any) -> Any:
    codec = codec_of(hint)
    notes: list[str] = []
    found = codec.decode(json.loads(json.dumps(codec.encode(value))), "here", notes)
    assert notes == []
    return found


def fields_of(value: object) -> object:
    """Return a value with each dataclass in it as a dictionary of all of its fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: fields_of(getattr(value, each.name)) for each in dataclasses.fields(value)
        }
    return [fields_of(each) for each in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    "kind", [ProcessConfig, GroupConfig, DaemonConfig, ServerConfig, ExitRecord, Told, Problem]
)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_is_handed_on_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    found = there_and_back(kind, value)
    assert found == value
    assert fields_of(found) == fields_of(value)  # what is not compared is there, too


def test_a_codec_can_be_made_of_all_that_is_handed_on_as_a_whole() -> None:
    for kind in (Process, Config):
        assert codec_of(kind) is codec_of(kind)


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Pair(NamedTuple):
    left: int
    right: str = "nothing"


@dataclass(frozen=True)
class One:
    number: int


@dataclass(frozen=True)
class Two:
    text: str


@dataclass
class Everything:
    pair: Pair
    colour: Colour
    level: Level
    bytes_: bytes
    path: str
    either: One | Two
    maybe: One | Two | None
    some: frozenset[str]
    table: Mapping[Namespec, float]
    word: Literal["a", "b"]
    numbers: set[int]
    triple: tuple[int, bytes, bool] = (1, b"\x00\xff", True)
    deep: list[dict[str, tuple[Instant, ...]]] = field(default_factory=list)


def everything(**changed: Any) -> Everything:
    values: dict[str, Any] = {
        "pair": Pair(1, "x"),
        "colour": Colour.BLUE,
        "level": Level.WARN,
        "bytes_": bytes(range(256)),
        "path": "/a/\udcff",
        "either": Two("\udc80"),
        "maybe": None,
        "some": frozenset({"b", "a"}),
        "table": {Namespec("g", "p"): float("inf")},
        "word": "b",
        "numbers": {3, 4},
        "deep": [{"a": (Instant(1.0, 2.0),)}],
    }
    return Everything(**{**values, **changed})


def test_kinds_that_no_config_has_come_back_too() -> None:
    assert there_and_back(Everything, everything()) == everything()
    other = everything(maybe=One(3), either=One(4))
    assert there_and_back(Everything, other) == other


@pytest.mark.parametrize(
    ("path", "wrong", "told"),
    [
        (("pair", 0), "1", "x.pair[0]: '1' is not a whole number"),
        (("pair", 0), True, "x.pair[0]: True is not a whole number"),
        (("pair",), [], "x.pair: [] is too short"),
        (("colour",), "GREEN", "x.colour: 'GREEN' is no Colour"),
        (("level",), 30, "x.level: 30 is no Level"),
        (("bytes_",), "\u0100", "x.bytes_: 'Ā' is not bytes"),
        (("either",), ["Three", {}], "x.either: ['Three', {}] is none of One, Two"),
        (("either", 1, "text"), 5, "x.either<Two>.text: 5 is not a text"),
        (("some",), {}, "x.some: {} is not an array"),
        (("some", 1), None, "x.some[1]: None is not a text"),
        (("table", 0, 1), "soon", "x.table[0][1]: 'soon' is not a number"),
        (("word",), "c", "x.word: 'c' is none of 'a', 'b'"),
        (("deep", 0, "a", 0, 1), [], "x.deep[0][a][0][1]: [] is not a number"),
        (("triple", 2), 1, "x.triple[2]: 1 is not true or false"),
        ((), 7, "x: 7 is not an object"),
        (("path",), "x" * 100 + "\n", None),
        (("path",), ["x" * 100], f"x.path: {repr(['x' * 100])[:60]}... is not a text"),
    ],
)
def test_what_does_not_fit_says_where(path: tuple[Any, ...], wrong: Any, told: str | None) -> None:
    plain = codec_of(Everything).encode(everything())
    if path:
        inner = plain
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = wrong
    else:
        plain = wrong
    if told is None:
        codec_of(Everything).decode(plain, "x")
        return
    with pytest.raises(HandoverError) as caught:
        codec_of(Everything).decode(plain, "x")
    assert str(caught.value) == told


def test_a_missing_field_takes_its_default_if_it_has_one() -> None:
    plain = codec_of(Everything).encode(everything())
    del plain["triple"], plain["deep"]
    plain["pair"] = [5]
    found = codec_of(Everything).decode(plain)
    assert (found.triple, found.deep, found.pair) == ((1, b"\x00\xff", True), [], Pair(5))
    del plain["word"]
    with pytest.raises(HandoverError, match=r"^x\.word: is missing$"):
        codec_of(Everything).decode(plain, "x")


def test_what_nobody_knows_is_dropped_and_noted() -> None:
    plain = codec_of(Everything).encode(everything())
    plain["new"] = 1
    plain["either"][1]["newer"] = 2
    plain["pair"].append(3)
    notes: list[str] = []
    assert codec_of(Everything).decode(plain, "x", notes) == everything()
    assert notes == [
        "x: element 2 of [1, 'x', 3] is not known here",
        "x: Two.newer is not known here",
        "x: Everything.new is not known here",
    ]


def test_a_pattern_that_cannot_be_compiled_any_more_is_told() -> None:
    with pytest.raises(HandoverError, match=r"^x: '\(' is not a pattern: missing"):
        codec_of(re.Pattern[str]).decode(["(", 0], "x")
    with pytest.raises(HandoverError, match=r"is not a pattern$"):
        codec_of(re.Pattern[str]).decode(["("], "x")


def test_a_dataclass_can_be_written_without_what_the_reader_has() -> None:
    config = ProcessConfig(
        group="g",
        program="p",
        location=Location("f", 1),
        stdout=ChannelConfig(),
        stderr=ChannelConfig(),
        command="cat",
        name="p",
    )
    process = Process(name=Namespec("g", "p"), config=config, pid=7)
    plain = codec_of(Process, ("config",)).encode(process)
    assert "config" not in plain
    assert decode_with(Process, {"config": config}, plain, "x") == process


@pytest.mark.parametrize("hint", [object, Any, complex, dict, tuple[int, complex], int | object])
def test_what_no_plain_data_stands_for_is_refused_when_the_codec_is_made(hint: Any) -> None:
    with pytest.raises(TypeError):
        codec_of(hint)


def test_a_union_goes_by_the_class() -> None:
    pool = ListenerPoolConfig(result_handler="a:b", events=("TICK",))
    codec = codec_of(ListenerPoolConfig | One)
    assert codec.encode(pool)[0] == "ListenerPoolConfig"
    assert codec.decode(codec.encode(One(1))) == One(1)
    with pytest.raises(TypeError):
        codec.encode(Two("x"))
