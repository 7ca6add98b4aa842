"""What is written in one pass reads as what is written through plain data."""

from __future__ import annotations

import json
from enum import Enum
from math import inf
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdsuper.core.history import Attempt, PastInvocation
from sdsuper.core.notice import Told
from sdsuper.core.process import ExitRecord
from sdsuper.dataclass import dataclass, field
from sdsuper.handover.codec import codec_of
from sdsuper.handover.store import Store, read
from sdsuper.handover.text import text_of

BOOT = "b" * 36
st.register_type_strategy(float, st.floats(allow_nan=False))


class Colour(Enum):
    RED = 1


class Pair(NamedTuple):
    left: float
    right: str | None


@dataclass(frozen=True)
class Everything:
    pair: Pair
    colour: Colour
    pairs: tuple[Pair, ...]
    fixed: tuple[int, str]
    either: int | str | None
    raw: bytes
    table: dict[int, int] = field(default_factory=dict)
    maybe: int | None = None
    seconds: float = 0.0
    told: Told = field(default_factory=Told)
    always: bool = True


@pytest.mark.parametrize("kind", [Everything, ExitRecord, Told, Attempt, PastInvocation])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_reads_as_the_value_that_was_written(kind: type, data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    notes: list[str] = []
    assert codec_of(kind).decode(json.loads(text_of(kind)(value)), "here", notes) == value
    assert notes == []


def everything(**values: Any) -> Everything:
    return Everything(Pair(inf, "\udcff"), Colour.RED, (), (1, "a"), "b", b"\xff", **values)


def test_what_says_nothing_is_left_out_and_nothing_else() -> None:
    write = text_of(Everything)
    least = json.loads(write(everything()))
    assert not {"table", "maybe", "seconds"} & least.keys()
    assert least["told"] == {}
    assert least["always"] is True
    said = json.loads(write(everything(maybe=0, always=False)))
    assert said["maybe"] == 0  # zero is not None
    assert said["always"] is False


def test_fields_that_are_on_record_elsewhere_are_not_written() -> None:
    text = text_of(Told, ("status",))(Told(status="hidden", errno=5))
    assert json.loads(text) == {"errno": 5}


def test_a_type_that_cannot_be_read_again_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: object

    with pytest.raises(TypeError):
        text_of(Odd)


def test_the_store_takes_it_as_it_is() -> None:
    log = Store(BOOT)
    log.append({"text": text_of(Told)(Told(status="up")), "plain": '{"a": 1}'})
    assert read(log.fd, BOOT).records == {"text": {"status": "up"}, "plain": '{"a": 1}'}
    log.close()
