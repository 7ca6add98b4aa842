"""Values -> the JSON text of the plain data that `codec` reads: what is written at every restart.

It says the same as `codec.encode` and json would, in one pass and without the plain data between
them: for each dataclass one function is written out and compiled when it is first needed. What
says nothing (a field whose default is None, zero or empty, and that has it) is left out: whoever
reads it gives it that default. So this is for what happens while the daemon runs; a configuration,
whose defaults may be others in the next version, is written in full by `encode`.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

from sdsuper.dataclass import MISSING, Field, fields, is_dataclass
from sdsuper.handover import codec
from sdsuper.handover.codec import Json


@cache
def text_of(hint: Any, without: tuple[str, ...] = ()) -> Callable[[Any], Json]:
    """Return what writes the values of a type.

    Args:
        hint: A dataclass.
        without: Fields of it that are not written.

    Raises:
        TypeError: It holds something that no plain data stands for.
    """
    write = _dataclass(hint, without)
    return lambda value: Json(write(value))


class _Source:
    """The source of one function, and the names in it that are not its own."""

    def __init__(self) -> None:
        from json import encoder  # half a megabyte, for those who hand anything on

        self.encode = encoder.JSONEncoder(separators=(",", ":")).encode
        self.names: dict[str, Any] = {
            "_quote": encoder.encode_basestring_ascii,
            "_number": self.encode,  # of what is no finite number
        }
        self.depth = 0

    def name(self, value: Any) -> str:
        made = f"_{len(self.names)}"
        self.names[made] = value
        return made

    def local(self) -> str:
        self.depth += 1
        return f"v{self.depth}"

    def compiled(self, body: str, label: str) -> Callable[[Any], str]:
        code = f"def write(value):\n{body}"
        exec(compile(code, f"<text of {label}>", "exec"), self.names)  # names of fields only
        write: Callable[[Any], str] = self.names["write"]
        return write


def _expression(hint: Any, value: str, source: _Source) -> str:
    """Return the source of an expression that gives the text of another expression's value."""
    simple = _SIMPLE.get(hint)
    if simple is not None:
        return simple.format(value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2:
        others = [each for each in arguments if each is not type(None)]
        if len(others) == 1:
            local = source.local()
            some = _expression(others[0], local, source)
            return f"('null' if ({local} := {value}) is None else {some})"
    kind = origin or hint
    if kind is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        each = source.local()
        one = _expression(arguments[0], each, source)
        return f"('[' + ','.join([{one} for {each} in {value}]) + ']')"
    if isinstance(kind, type):
        if issubclass(kind, enum.Enum):
            return f"('\"%s\"' % {value}._name_)"
        if is_dataclass(kind):
            return f"{source.name(_dataclass(kind, ()))}({value})"
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            return _named_tuple(kind, value, source)
    encode = codec.codec_of(hint).encode
    return f"{source.name(source.encode)}({source.name(encode)}({value}))"


_SIMPLE = {
    bool: "('true' if {0} else 'false')",
    int: "int.__repr__({0})",
    float: "(repr({0}) if {0} - {0} == 0.0 else _number({0}))",
    str: "_quote({0})",
    bytes: "_quote({0}.decode('latin-1'))",
}


def _named_tuple(kind: Any, value: str, source: _Source) -> str:
    hints = typing.get_type_hints(kind)
    parts = [
        _expression(hints[name], f"{value}[{index}]", source)
        for index, name in enumerate(kind._fields)
    ]
    return "('[' + " + " + ',' + ".join(parts) + " + ']')"


def _says_nothing(field: Field[Any], value: str) -> str | None:
    """Return the condition under which a field must be written, None where it always is."""
    default = field.default
    if field.default_factory is not MISSING and field.default_factory in (dict, list):
        return value
    if default is None:
        return f"{value} is not None"
    if type(default) in (bool, int, float, str, bytes, tuple) and not default:
        return value
    return None


@cache
def _dataclass(kind: Any, without: tuple[str, ...]) -> Callable[[Any], str]:
    codec.codec_of(kind, without)  # refuses what cannot be read again
    hints = codec.hints_of(kind)
    source = _Source()
    lines = ["    text = ''"]
    for field in fields(kind):
        if field.name in without:
            continue
        local = source.local()
        lines.append(f"    {local} = value.{field.name}")
        hint, condition = hints[field.name], _says_nothing(field, local)
        if condition is not None and field.default is None:
            hint = _without_none(hint)
        told = _expression(hint, local, source)
        indent = "    "
        if condition is not None:
            lines.append(f"    if {condition}:")
            indent *= 2
        lines.append(f"{indent}text += ',\"{field.name}\":' + {told}")
    lines.append("    return '{' + text[1:] + '}'")
    return source.compiled("\n".join(lines), kind.__qualname__)


def _without_none(hint: Any) -> Any:
    others = tuple(each for each in typing.get_args(hint) if each is not type(None))
    return typing.Union[others] if others else hint  # noqa: UP007  made at run time
