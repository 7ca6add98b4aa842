"""Our dataclasses against those of the standard library: what can be seen of them is the same."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from sdsuper.dataclass import dataclass, field, fields, is_dataclass, replace

Decorator = Callable[..., Any]


def shapes(decorator: Decorator, field: Callable[..., Any]) -> dict[str, type[Any]]:
    """Return the same classes made by one decorator."""

    @decorator(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list)
        note: str = field(default="", compare=False, repr=False)
        origin: ClassVar[int] = 7

    @decorator
    class Counter:
        name: str
        count: int = 0

    @decorator(frozen=True, kw_only=True)
    class Section:
        default: int = 1
        required: int

    @decorator(frozen=True)
    class Base:
        x: int
        word: str = field(default="w", kw_only=True)

    @decorator(frozen=True)
    class Derived(Base):
        y: int = 3

    class Plain(Base):
        pass

    @decorator(slots=True)
    class Doubled:
        x: int

        def __post_init__(self) -> None:
            self.x *= 2

    @decorator(frozen=True)
    class Nothing:
        pass

    @decorator(frozen=True)
    class Own:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 4

        def __repr__(self) -> str:
            return "own"

    @decorator(init=False, frozen=True)
    class Taking(Base):
        __slots__ = ("z",)
        z: int

        def __init__(self, z: int) -> None:
            for name in ("x", "word", "z"):
                object.__setattr__(self, name, z)

    made = (Point, Counter, Section, Base, Derived, Plain, Doubled, Nothing, Own, Taking)
    return {each.__name__: each for each in made}


OURS, THEIRS = shapes(dataclass, field), shapes(dataclasses.dataclass, dataclasses.field)

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Point", (1,), {}),
    ("Point", (1, 5), {"tags": ["a"], "note": "n"}),
    ("Counter", ("n",), {}),
    ("Counter", (), {"name": "n", "count": 4}),
    ("Section", (), {"required": 4}),
    ("Base", (1,), {"word": "v"}),
    ("Derived", (1, 2), {"word": "v"}),
    ("Plain", (1,), {}),
    ("Doubled", (4,), {}),
    ("Nothing", (), {}),
    ("Own", (1,), {}),
]


def described(instance: Any) -> dict[str, object]:
    """Return what can be seen of an instance."""
    cls = type(instance)
    parameters = inspect.signature(cls).parameters.values()
    hashed: object
    try:
        hashed = hash(instance)
    except TypeError as error:
        hashed = str(error)
    return {
        "repr": repr(instance).replace("shapes.<locals>.", ""),
        "values": {each.name: getattr(instance, each.name) for each in dataclasses.fields(cls)},
        "hash": isinstance(hashed, int) or hashed,
        "dict": hasattr(instance, "__dict__"),
        "match": cls.__match_args__,
        "parameters": [(each.name, each.kind) for each in parameters],
    }


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS)
def test_an_instance_looks_the_same(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    ours, theirs = (described(made[name](*args, **kwargs)) for made in (OURS, THEIRS))
    if name == "Point":
        ours.pop("hash")  # a list in it cannot be hashed
        theirs.pop("hash")
    assert ours == theirs


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS)
def test_equality_and_hash(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for made in (OURS, THEIRS):
        cls = made[name]
        one, other = cls(*args, **kwargs), cls(*args, **kwargs)
        assert one == other
        assert one != 3 or name == "Own"
        assert one.__eq__(object()) is (True if name == "Own" else NotImplemented)
        if cls.__hash__ is not None and name != "Point":
            assert hash(one) == hash(other)
        copied = copy.copy(one)
        assert repr(copied) == repr(one)
        if dataclasses.fields(cls) and name != "Doubled":
            first = dataclasses.fields(cls)[0].name
            changed = dataclasses.replace(one, **{first: "changed"})
            assert getattr(changed, first) == "changed"
            assert changed != one or name == "Own"
            assert repr(replace(one, **{first: "changed"})) == repr(changed)
        assert repr(replace(one)) == repr(dataclasses.replace(one))
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'unknown'"):
            replace(one, unknown=1)


def test_a_field_outside_comparison_is_outside_the_hash() -> None:
    for made in (OURS, THEIRS):
        point = made["Point"]
        assert point(1, note="a") == point(1, note="b")
        assert point(1) != point(2)
        assert hash(point(1, 2, (), note="a")) == hash(point(1, 2, (), note="b"))


@pytest.mark.parametrize("name", ["Point", "Base", "Derived", "Plain", "Taking"])
def test_what_is_frozen_stays(name: str) -> None:
    for made in (OURS, THEIRS):
        instance = made[name](1)
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
            instance.x = 2
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
            del instance.x
        assert instance.x == 1


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("Point", (), {}),
        ("Point", (1, 2, [], "", 5), {}),
        ("Point", (1,), {"unknown": 1}),
        ("Section", (1,), {"required": 1}),
        ("Section", (), {}),
        ("Nothing", (1,), {}),
    ],
)
def test_wrong_calls_are_refused_in_the_same_words(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    told = []
    for made in (OURS, THEIRS):
        with pytest.raises(TypeError) as caught:
            made[name](*args, **kwargs)
        told.append(str(caught.value).replace("shapes.<locals>.", ""))
    assert told[0] == told[1]


def test_a_new_list_for_each_and_no_shared_state_between_classes() -> None:
    point = OURS["Point"]
    first, second = point(1), point(1)
    first.tags.append("x")
    assert second.tags == []
    assert repr(OURS["Derived"](1)) == "shapes.<locals>.Derived(x=1, word='w', y=3)"
    assert repr(OURS["Base"](1)) == "shapes.<locals>.Base(x=1, word='w')"


@pytest.mark.parametrize("name", OURS)
def test_tools_see_the_parameters_before_the_first_instance(name: str) -> None:
    ours = shapes(dataclass, field)[name]
    theirs = THEIRS[name]
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


def test_a_copy_takes_what_its_original_has_by_now() -> None:
    counter = OURS["Counter"]("n")
    counter.count = 5
    copied = replace(counter, name="m")
    assert (copied.name, copied.count, counter.name) == ("m", 5, "n")


def test_a_match_takes_it_apart() -> None:
    match OURS["Derived"](1, 5):
        case object(x=x, y=y):
            assert (x, y) == (1, 5)


@dataclass(frozen=True)
class ForMore:
    value: int


def test_a_plain_subclass_of_a_frozen_class_has_attributes_of_its_own() -> None:
    class More(ForMore):
        pass

    more = More(1)
    more.other = 2  # type: ignore[attr-defined]
    assert more.other == 2  # type: ignore[attr-defined]
    del more.other  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        more.value = 3  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del more.value


def test_the_library_knows_them() -> None:
    made: tuple[Any, Any] = (OURS["Point"](1, tags=["a"]), THEIRS["Point"](1, tags=["a"]))
    ours, theirs = made
    assert dataclasses.is_dataclass(made[0])
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    for one, other in zip(fields(ours), dataclasses.fields(theirs), strict=True):
        assert (one.name, one.type, one.compare, one.repr) == (
            other.name,
            other.type,
            other.compare,
            other.repr,
        )
    assert is_dataclass(OURS["Point"])
    assert not is_dataclass(3)


def test_the_library_makes_classes_of_them() -> None:
    @dataclasses.dataclass(frozen=True)
    class More(ForMore):
        extra: int = 2

    assert More(1) == replace(More(1, 5), extra=2)
    assert [each.name for each in dataclasses.fields(More)] == ["value", "extra"]
    with pytest.raises(TypeError, match="cannot inherit"):
        dataclasses.make_dataclass("Loose", (), bases=(ForMore,))


def test_slots_are_those_of_the_class_and_no_more() -> None:
    @dataclass(slots=True)
    class First:
        x: int

        def twice(self) -> int:
            return self.x * 2

    @dataclass(slots=True)
    class Second(First):
        y: int = 3

    assert vars(Second)["__slots__"] == ("y",)
    assert Second(2).twice() + Second(2).y == 7
    assert not hasattr(Second(2), "__dict__")


def test_annotations_that_have_to_be_asked_for() -> None:
    """As those of modules without the future's are from Python 3.14 on."""

    class Asked(type):
        @property
        def __annotations__(cls) -> dict[str, Any]:  # type: ignore[override]
            return {"one": int, "two": int}

    class Plain(metaclass=Asked):
        two = 2

    made: Any = dataclass(Plain)
    assert [each.name for each in fields(made)] == ["one", "two"]
    assert (made(1).one, made(1).two) == (1, 2)


def test_a_default_that_all_would_share_is_refused() -> None:
    with pytest.raises(ValueError, match="default_factory"):

        @dataclass
        class Wrong:
            names: list[str] = []  # noqa: RUF012  what is refused


def test_the_library_is_not_loaded_for_them() -> None:
    code = """if True:
        import sys
        before = set(sys.modules)  # what the interpreter itself has loaded
        from sdsuper.dataclass import dataclass, field, replace
        @dataclass(frozen=True, slots=True)
        class One:
            x: int
            y: list[int] = field(default_factory=list)
        assert replace(One(1), x=2) == One(2)
        print(*(set(sys.modules) - before) & {"dataclasses", "inspect"})
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, encoding="utf-8"
    )
    assert done.stdout == "\n"
