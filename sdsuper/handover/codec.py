"""Values <-> plain data (what JSON can hold), driven by the type hints of the values themselves.

Nothing is declared twice: a dataclass is written field by field, each as its own hint says. The
reader need not be the code that wrote it: a field that is missing takes its default, one that
nobody knows is dropped and noted, and whatever does not fit is an error that names its place.

| value | plain |
|---|---|
| None, bool, int, float, str | itself |
| bytes | text, a character for each byte |
| Enum | its name |
| dataclass, or a class whose parameters are its attributes | object |
| NamedTuple, tuple, frozenset, set, list | array |
| Mapping | object where keys are str, else an array of pairs |
| Pattern | array of the pattern and its flags |
| Literal | itself |
| Optional | null, or the value |
| Union of more | array of the class's name and the value |
"""

from __future__ import annotations

import collections.abc
import enum
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Generic, TypeVar

from sdsuper.dataclass import MISSING, fields, is_dataclass
from sdsuper.errors import HandoverError

T = TypeVar("T")

Plain = Any
"""None, bool, int, float, str, or a list or dict (of str) of these."""


class Json(str):
    """JSON text, as opposed to a text that is to become JSON."""

    __slots__ = ()


Notes = list[str]
"""What was dropped on the way, in words."""

_Encode = Callable[[Any], Plain]
_Decode = Callable[[Plain, Notes], Any]


class _Misfit(Exception):  # noqa: N818  never seen outside
    """A value that does not fit; the path to it grows on the way up."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[str] = []

    def within(self, step: str) -> _Misfit:
        self.path.append(step)
        return self


class Codec(Generic[T]):
    """Writes and reads the values of one type; `codec_of` makes it once for each.

    Attributes:
        encode: Value to plain data.
    """

    encode: Callable[[T], Plain]

    def __init__(self, encode: _Encode, decode: _Decode) -> None:
        self.encode = encode
        self._decode = decode

    def decode(self, plain: Plain, where: str = "", notes: Notes | None = None) -> T:
        """Return the value that was written.

        Args:
            plain: What `encode` returned, here or in other code.
            where: What an error is about: the start of its path.
            notes: Gets a line for each field that nobody knows, by its class.

        Raises:
            HandoverError: It does not fit; the text names the place.
        """
        found: Notes = []
        try:
            value: T = self._decode(plain, found)
        except _Misfit as misfit:
            path = "".join(reversed(misfit.path))
            raise HandoverError(f"{where}{path}: {misfit.reason}") from None
        if notes is not None:
            notes += [f"{where}: {each}" for each in found]
        return value


def codec_of(hint: Any, without: tuple[str, ...] = ()) -> Codec[Any]:
    """Return the codec of a type.

    Args:
        hint: A type, as an annotation says it.
        without: Fields of a dataclass that are neither written nor read: `fill` names them.

    Raises:
        TypeError: It holds something that no plain data stands for.
    """
    return _codec(hint, without)


@cache
def _codec(hint: Any, without: tuple[str, ...]) -> Codec[Any]:
    encode, decode = _dataclass(hint, without) if without else _pair(hint)
    return Codec(encode, decode)


def decode_with(
    cls: type[T], given: Mapping[str, Any], plain: Plain, where: str, notes: Notes | None = None
) -> T:
    """Read a dataclass that was written `without` some fields, which are given instead.

    Raises:
        HandoverError: It does not fit.
    """
    codec: Codec[Callable[..., T]] = codec_of(cls, tuple(given))
    return codec.decode(plain, where, notes)(**given)


# --- one pair of functions for each kind of type ------------------------------------------------


@cache
def _pair(hint: Any) -> tuple[_Encode, _Decode]:
    simple = _SIMPLE.get(hint)
    if simple is not None:
        return simple
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is typing.Literal:
        return _same, _literal_decoder(arguments)
    kind = origin or hint
    if not isinstance(kind, type):
        raise TypeError(f"no plain data stands for {hint!r}")
    if issubclass(kind, enum.Enum):
        return _enum(kind)
    if kind is re.Pattern:
        return _pattern(bytes in arguments)
    if kind is tuple:
        return _tuple(arguments)
    if kind in _SEQUENCES:
        return _sequence(_SEQUENCES[kind], arguments)
    if issubclass(kind, collections.abc.Mapping):
        return _mapping(arguments)
    if is_dataclass(kind):
        return _dataclass(kind, ())
    if issubclass(kind, tuple):
        return _named_tuple(kind)
    return _plain_class(kind)


def _same(value: Any) -> Plain:
    return value


def _expect(kinds: tuple[type, ...], noun: str) -> _Decode:
    def decode(plain: Plain, _: Notes) -> Any:
        if type(plain) not in kinds:
            raise _Misfit(f"{_shown(plain)} is not {noun}")
        return plain

    return decode


def _shown(plain: Plain) -> str:
    text = repr(plain)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_SHOWN = 60


def _text(plain: Plain) -> str:
    if type(plain) is not str:
        raise _Misfit(f"{_shown(plain)} is not a text")
    return plain


def _array(plain: Plain) -> list[Plain]:
    if type(plain) is not list:
        raise _Misfit(f"{_shown(plain)} is not an array")
    return plain


def _object(plain: Plain) -> dict[str, Plain]:
    if type(plain) is not dict:
        raise _Misfit(f"{_shown(plain)} is not an object")
    return plain


def _encode_bytes(value: bytes) -> str:
    return value.decode("latin-1")


def _decode_bytes(plain: Plain, _: Notes) -> bytes:
    try:
        return _text(plain).encode("latin-1")
    except UnicodeEncodeError:
        raise _Misfit(f"{_shown(plain)} is not bytes") from None


def _decode_float(plain: Plain, _: Notes) -> float:
    if type(plain) not in (int, float):
        raise _Misfit(f"{_shown(plain)} is not a number")
    return float(plain)


_SIMPLE: dict[Any, tuple[_Encode, _Decode]] = {
    type(None): (_same, _expect((type(None),), "null")),
    bool: (_same, _expect((bool,), "true or false")),
    int: (int, _expect((int,), "a whole number")),
    float: (_same, _decode_float),
    str: (_same, _expect((str,), "a text")),
    bytes: (_encode_bytes, _decode_bytes),
}

_SEQUENCES: dict[type, Callable[[list[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: tuple,
}


def _literal_decoder(values: tuple[Any, ...]) -> _Decode:
    def decode(plain: Plain, _: Notes) -> Any:
        for value in values:
            if type(plain) is type(value) and plain == value:
                return value
        raise _Misfit(f"{_shown(plain)} is none of {', '.join(map(repr, values))}")

    return decode


def _enum(kind: type[enum.Enum]) -> tuple[_Encode, _Decode]:
    members = kind.__members__

    def encode(value: enum.Enum) -> Plain:
        return value.name

    def decode(plain: Plain, _: Notes) -> enum.Enum:
        found = members.get(plain) if type(plain) is str else None
        if found is None:
            raise _Misfit(f"{_shown(plain)} is no {kind.__name__}")
        return found

    return encode, decode


def _pattern(is_bytes: bool) -> tuple[_Encode, _Decode]:
    flag_mask = ~int(re.UNICODE)  # what compiling a str sets by itself

    def encode(value: re.Pattern[Any]) -> Plain:
        text = value.pattern
        return [text.decode("latin-1") if is_bytes else text, value.flags & flag_mask]

    def decode(plain: Plain, notes: Notes) -> re.Pattern[Any]:
        parts = _array(plain)
        if len(parts) != 2 or type(parts[1]) is not int:
            raise _Misfit(f"{_shown(plain)} is not a pattern")
        text = _decode_bytes(parts[0], notes) if is_bytes else _text(parts[0])
        try:
            return re.compile(text, parts[1])
        except (re.error, ValueError, OverflowError, RecursionError) as error:
            raise _Misfit(f"{_shown(text)} is not a pattern: {error}") from None

    return encode, decode


def _decode_all(decode: _Decode, plain: Plain, notes: Notes) -> list[Any]:
    values: list[Any] = []
    try:
        for each in _array(plain):
            values.append(decode(each, notes))  # noqa: PERF401  the place of a misfit is its count
    except _Misfit as misfit:
        raise misfit.within(f"[{len(values)}]") if type(plain) is list else misfit from None
    return values


def _sequence(
    make: Callable[[list[Any]], Any], arguments: tuple[Any, ...]
) -> tuple[_Encode, _Decode]:
    encode_one, decode_one = _pair(_argument(arguments, 0))

    def encode(value: Collection[Any]) -> Plain:
        return [encode_one(each) for each in value]

    def decode(plain: Plain, notes: Notes) -> Any:
        return make(_decode_all(decode_one, plain, notes))

    return encode, decode


def _argument(arguments: tuple[Any, ...], index: int) -> Any:
    if index >= len(arguments):
        raise TypeError("a collection must say of what it is")
    return arguments[index]


def _tuple(arguments: tuple[Any, ...]) -> tuple[_Encode, _Decode]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return _sequence(tuple, arguments)
    return _fixed(tuple, arguments, len(arguments))


def _named_tuple(kind: type) -> tuple[_Encode, _Decode]:
    names = getattr(kind, "_fields", None)
    if names is None:
        raise TypeError(f"no plain data stands for {kind!r}")
    hints = typing.get_type_hints(kind)
    needed = len(names) - len(kind._field_defaults)  # type: ignore[attr-defined]
    return _fixed(lambda values: kind(*values), tuple(hints[name] for name in names), needed)


def _fixed(
    make: Callable[[list[Any]], Any], hints: tuple[Any, ...], needed: int
) -> tuple[_Encode, _Decode]:
    """Return the pair of a tuple of so many; more are dropped, fewer may take their defaults."""
    pairs = [_pair(hint) for hint in hints]
    encoders = [pair[0] for pair in pairs]
    decoders = [pair[1] for pair in pairs]

    def encode(value: tuple[Any, ...]) -> Plain:
        return [one(each) for one, each in zip(encoders, value, strict=True)]

    plain_alone = all(one is _same for one in encoders)

    def decode(plain: Plain, notes: Notes) -> Any:
        found = _array(plain)
        if len(found) < needed:
            raise _Misfit(f"{_shown(plain)} is too short")
        if len(found) > len(decoders):
            notes.append(f"element {len(decoders)} of {_shown(plain)} is not known here")
        values: list[Any] = []
        try:
            for one, each in zip(decoders, found, strict=False):
                values.append(one(each, notes))
        except _Misfit as misfit:
            raise misfit.within(f"[{len(values)}]") from None
        return make(values)

    return (list if plain_alone else encode), decode


def _mapping(arguments: tuple[Any, ...]) -> tuple[_Encode, _Decode]:
    key_hint, value_hint = _argument(arguments, 0), _argument(arguments, 1)
    encode_value, decode_value = _pair(value_hint)
    if key_hint is str:

        def encode(value: Mapping[str, Any]) -> Plain:
            return {key: encode_value(each) for key, each in value.items()}

        def decode(plain: Plain, notes: Notes) -> dict[Any, Any]:
            found = {}
            for key, each in _object(plain).items():
                try:
                    found[key] = decode_value(each, notes)
                except _Misfit as misfit:
                    raise misfit.within(f"[{key}]") from None
            return found

        return encode, decode
    encode_pairs, decode_pairs = _pair(tuple[tuple[key_hint, value_hint], ...])  # type: ignore[valid-type]
    return (
        lambda value: encode_pairs(tuple(value.items())),
        lambda plain, notes: dict(decode_pairs(plain, notes)),
    )


def _union(arguments: tuple[Any, ...]) -> tuple[_Encode, _Decode]:
    others = tuple(each for each in arguments if each is not type(None))
    encode_some, decode_some = _pair(others[0]) if len(others) == 1 else _tagged(others)
    if len(others) == len(arguments):
        return encode_some, decode_some

    def encode(value: Any) -> Plain:
        return None if value is None else encode_some(value)

    def decode(plain: Plain, notes: Notes) -> Any:
        return None if plain is None else decode_some(plain, notes)

    return (_same if encode_some is _same else encode), decode


def _tagged(hints: tuple[Any, ...]) -> tuple[_Encode, _Decode]:
    kinds = {hint: typing.get_origin(hint) or hint for hint in hints}
    pairs = {kinds[hint]: _pair(hint) for hint in hints}
    by_name = {kind.__name__: pair[1] for kind, pair in pairs.items()}
    if len(by_name) != len(hints):
        raise TypeError(f"the names of {hints!r} do not tell them apart")

    def encode(value: Any) -> Plain:
        for kind in type(value).__mro__:
            if kind in pairs:
                return [kind.__name__, pairs[kind][0](value)]
        raise TypeError(f"{value!r} is none of {hints!r}")

    def decode(plain: Plain, notes: Notes) -> Any:
        found = _array(plain)
        if len(found) != 2 or type(found[0]) is not str or found[0] not in by_name:
            raise _Misfit(f"{_shown(plain)} is none of {', '.join(by_name)}")
        try:
            return by_name[found[0]](found[1], notes)
        except _Misfit as misfit:
            raise misfit.within(f"<{found[0]}>") from None

    return encode, decode


_MISSING = object()


def hints_of(kind: type) -> dict[str, Any]:
    """Return what the attributes of a dataclass are, by name.

    typing.get_type_hints says the same, and takes four times as long: at each start it would be as
    much as the import of a dozen modules.
    """
    found: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        for name, told in vars(each).get("__annotations__", {}).items():
            found[name] = _type_of(told, each.__module__) if isinstance(told, str) else told
    return found


@cache
def _type_of(told: str, module: str) -> Any:
    return eval(told, vars(sys.modules[module]))  # an annotation in our own source


def _dataclass(kind: Any, without: tuple[str, ...]) -> tuple[_Encode, _Decode]:
    hints = hints_of(kind)
    told = [each for each in fields(kind) if each.name not in without]
    needed = {
        each.name for each in told if each.default is MISSING and each.default_factory is MISSING
    }
    encode, decode = _attributes(
        kind.__name__, {each.name: hints[each.name] for each in told}, needed
    )
    if without:  # the rest is given by whoever reads it
        return encode, lambda plain, notes: _later(kind, decode(plain, notes))
    return encode, lambda plain, notes: kind(**decode(plain, notes))


def _later(kind: Callable[..., Any], values: dict[str, Any]) -> Callable[..., Any]:
    return lambda **given: kind(**values, **given)


def _plain_class(kind: Any) -> tuple[_Encode, _Decode]:
    """Return the pair of a class whose constructor's parameters are its attributes."""
    init = kind.__init__
    if not isinstance(init, types.FunctionType) or kind.__module__ == "builtins":
        raise TypeError(f"no plain data stands for {kind!r}")
    # Not by `inspect`, whose import takes more than a megabyte.
    code = init.__code__
    parameters = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    hints = typing.get_type_hints(init)
    if any(name not in hints for name in parameters):
        raise TypeError(f"no plain data stands for {kind!r}: a parameter has no type")
    given = code.co_argcount - len(init.__defaults__ or ())
    optional = {*code.co_varnames[given : code.co_argcount], *(init.__kwdefaults__ or ())}
    needed = {name for name in parameters if name not in optional}
    encode, decode = _attributes(kind.__name__, {name: hints[name] for name in parameters}, needed)
    return encode, lambda plain, notes: kind(**decode(plain, notes))


def _attributes(
    what: str, hints: Mapping[str, Any], needed: Collection[str]
) -> tuple[_Encode, Callable[[Plain, Notes], dict[str, Any]]]:
    """Return the pair of an object with these attributes; reading gives them by name."""
    pairs = {name: _pair(hint) for name, hint in hints.items()}
    encoders = [(name, pair[0]) for name, pair in pairs.items() if pair[0] is not _same]
    as_they_are = [name for name, pair in pairs.items() if pair[0] is _same]
    decoders = [(name, pair[1]) for name, pair in pairs.items()]

    def encode(value: Any) -> Plain:
        plain = {name: getattr(value, name) for name in as_they_are}
        for name, one in encoders:
            plain[name] = one(getattr(value, name))
        return plain

    def decode(plain: Plain, notes: Notes) -> dict[str, Any]:
        found = _object(plain)
        values = {}
        for name, one in decoders:
            each = found.get(name, _MISSING)
            if each is _MISSING:
                if name in needed:
                    raise _Misfit("is missing").within(f".{name}")
                continue
            try:
                values[name] = one(each, notes)
            except _Misfit as misfit:
                raise misfit.within(f".{name}") from None
        if len(values) != len(found):
            notes += [f"{what}.{name} is not known here" for name in found if name not in pairs]
        return values

    return encode, decode
