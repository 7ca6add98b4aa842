"""Dataclasses that cost little to declare: their methods are written when they are first used.

The standard library writes and compiles up to six functions for each class. The daemon declares
more than a hundred classes, uses a part of them, and compares, hashes and prints few: half of the
time that it took to import itself went there, and a megabyte with it. Here the methods other than
`__init__` are shared by all classes, and an `__init__` is compiled when the first instance is
made; so is what copies an instance. `dataclasses.fields` and `match` work as ever, and so does the
library's own `replace`.

Not provided, as nothing needs it: `order`, `unsafe_hash`, InitVar, fields with `init=False`.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from types import MemberDescriptorType

__all__ = ["dataclass", "replace"]

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass, replace
    from typing import Any
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, kw_only=False):
        """Make a class a dataclass, as the standard library's decorator does."""

        def make(cls):
            return _made(cls, frozen=frozen, slots=slots, kw_only=kw_only)

        return make if cls is None else make(cls)

    def replace(instance, /, **changes):
        """Return a copy with other values, as the standard library's function does."""
        cls = instance.__class__
        copy = _replacers.get(cls)
        if copy is None:
            copy = _replacers[cls] = _write_replace(cls)
        return copy(instance, **changes)


def _made(cls: type[Any], *, frozen: bool, slots: bool, kw_only: bool) -> type[Any]:
    own = frozenset(vars(cls))  # what the class defines itself stays
    made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(
        cls
    )
    methods: dict[str, Any] = {"__init__": _first_init, "__repr__": _repr}
    if "__init__" not in own:
        methods["__signature__"] = _Signature()
    if "__eq__" not in own:
        methods |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
    if frozen:
        methods |= {"__setattr__": _refuse_set, "__delattr__": _refuse_delete}
        if slots:  # `copy` would set the attributes
            methods |= {"__getstate__": _get_state, "__setstate__": _set_state}
    for name, method in methods.items():
        if name not in own:
            setattr(made, name, method)
    return made


class _Signature:
    """What tools are told of how a class is called, before its `__init__` is written as after."""

    def __get__(self, _instance: object, owner: type[Any]) -> object:
        import inspect

        signature = inspect.signature(_init_of(owner))
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def _first_init(self: Any, *args: Any, **kwargs: Any) -> None:
    """Write the real `__init__` of the class that has this one, and go on there."""
    _init_of(type(self))(self, *args, **kwargs)


def _init_of(cls: type[Any]) -> Callable[..., None]:
    """Return the `__init__` of a class, which is written if it was not yet."""
    found: Callable[..., None] = getattr(cls, "__init__")  # noqa: B009  mypy calls it unsound
    if found is _first_init:
        owner = next(each for each in cls.__mro__ if vars(each).get("__init__") is _first_init)
        found = _write_init(owner)
        setattr(owner, "__init__", found)  # noqa: B010  the same
    return found


def _write_init(cls: type[Any]) -> Callable[..., None]:
    """Return the `__init__` that the standard library would have written."""
    names: dict[str, Any] = {"_set": object.__setattr__, "_absent": object()}
    positional: list[str] = []
    keywords: list[str] = []
    lines: list[str] = []
    frozen = getattr(cls, "__setattr__") is _refuse_set  # noqa: B009  the same
    for each in dataclasses.fields(cls):
        name = each.name
        value = name
        if each.default is not dataclasses.MISSING:
            names[f"_default_{name}"] = each.default
            parameter = f"{name}=_default_{name}"
        elif each.default_factory is not dataclasses.MISSING:
            names[f"_make_{name}"] = each.default_factory
            parameter = f"{name}=_absent"
            value = f"_make_{name}() if {name} is _absent else {name}"
        else:
            parameter = name
        (keywords if each.kw_only else positional).append(parameter)
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    parameters = ["self", *positional, *(["*", *keywords] if keywords else [])]
    body = "\n ".join(lines or ["pass"])
    code = f"def __init__({', '.join(parameters)}):\n {body}\n"
    exec(compile(code, f"<__init__ of {cls.__qualname__}>", "exec"), names)  # names of fields only
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


_replacers: dict[type[Any], Callable[..., Any]] = {}
"""What copies an instance, for each class of which one was."""


def _write_replace(cls: type[Any]) -> Callable[..., Any]:
    """Return a function that copies an instance with other values, for this class alone.

    A state machine lives by it: with all fields known it takes a third of the time.
    """
    if hasattr(cls, "__post_init__"):
        return dataclasses.replace
    names: dict[str, Any] = {"_new": cls.__new__, "_cls": cls, "_set": object.__setattr__}
    names["_absent"] = object()
    parameters: list[str] = ["_self", "/"]
    lines: list[str] = []
    for each in dataclasses.fields(cls):
        name = each.name
        value = f"_self.{name} if {name} is _absent else {name}"
        parameters += ["*"] * (len(lines) == 0) + [f"{name}=_absent"]
        slot = getattr(cls, name, None)
        if isinstance(slot, MemberDescriptorType):
            names[f"_set_{name}"] = slot.__set__
            lines.append(f"_set_{name}(new, {value})")
        else:
            lines.append(f"_set(new, {name!r}, {value})")
    body = "\n ".join(["new = _new(_cls)", *lines, "return new"])
    code = f"def replace({', '.join(parameters)}):\n {body}\n"
    exec(compile(code, f"<replace of {cls.__qualname__}>", "exec"), names)  # names of fields only
    function: Callable[..., Any] = names["replace"]
    return function


_keys: dict[type[Any], Callable[[Any], Any]] = {}
"""What two instances are compared by, for each class of which one was."""


def _key(cls: type[Any]) -> Callable[[Any], Any]:
    key = _keys.get(cls)
    if key is None:
        names = [each.name for each in dataclasses.fields(cls) if each.compare]
        key = _keys[cls] = attrgetter(*names) if names else _nothing
    return key


def _nothing(_instance: Any) -> tuple[()]:
    return ()


def _eq(self: Any, other: object) -> Any:
    cls = self.__class__
    if other.__class__ is not cls:
        return NotImplemented
    key = _key(cls)
    return self is other or key(self) == key(other)


def _hash(self: Any) -> int:
    return hash(_key(self.__class__)(self))


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in _shown(self))
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _shown(self: Any) -> list[dataclasses.Field[Any]]:
    return [each for each in dataclasses.fields(self) if each.repr]


def _refuse_set(self: Any, name: str, value: object) -> None:
    if _is_frozen(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _refuse_delete(self: Any, name: str) -> None:
    if _is_frozen(self, name):
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _is_frozen(self: Any, name: str) -> bool:
    """Whether an attribute must stay as it is: a plain subclass may have more of its own."""
    fields = "__dataclass_fields__"
    return fields in vars(type(self)) or name in getattr(self, fields)


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
