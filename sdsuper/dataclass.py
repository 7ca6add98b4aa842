"""Dataclasses that cost little to declare: their methods are written when they are first used.

The standard library writes and compiles up to six functions for each class. The daemon declares
more than a hundred classes, uses a part of them, and compares, hashes and prints few: half of the
time that it took to import itself went there, and a megabyte with it. Here the methods other than
`__init__` are shared by all classes, and an `__init__` is compiled when the first instance is
made; so is what copies an instance.

Nor is the library's module imported, which takes `inspect`, `ast` and `tokenize` with it, one and
a half megabytes, before somebody asks in its terms: `dataclasses.fields`, `replace`, `asdict` and
`match` work as ever.

Not provided, as nothing needs it: `order`, `unsafe_hash`, InitVar, KW_ONLY, fields with
`init=False`, and bases that the library has made.
"""

from __future__ import annotations

from operator import attrgetter
from types import MappingProxyType, MemberDescriptorType

__all__ = ["MISSING", "Field", "dataclass", "field", "fields", "is_dataclass", "replace"]

_NO_METADATA: MappingProxyType[Any, Any] = MappingProxyType({})  # of most fields

TYPE_CHECKING = False  # type checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
    from typing import Any
else:

    class MISSING:
        """Stands for a default that there is not."""

    class Field:
        """What is known of one field; the names are the standard library's."""

        __slots__ = (
            "compare",
            "default",
            "default_factory",
            "kw_only",
            "metadata",
            "name",
            "repr",
            "type",
        )

        def __init__(self, default, default_factory, repr, compare, kw_only, metadata):  # noqa: A002
            self.default = default
            self.default_factory = default_factory
            self.repr = repr
            self.compare = compare
            self.kw_only = kw_only
            self.metadata = metadata

    def field(
        *,
        default=MISSING,
        default_factory=MISSING,
        repr=True,  # noqa: A002  the library's names
        compare=True,
        kw_only=MISSING,
        metadata=_NO_METADATA,
    ):
        """Say more of a field than its default, as the standard library's function does."""
        return Field(default, default_factory, repr, compare, kw_only, metadata)

    def fields(of, /):
        """Return the fields of a class or an instance, as the standard library's function does."""
        return of.__own_fields__

    def is_dataclass(of, /):
        """Whether a class, or the class of an instance, was made here."""
        return hasattr(of, "__own_fields__")

    def dataclass(cls=None, /, *, init=True, frozen=False, slots=False, kw_only=False):
        """Make a class a dataclass, as the standard library's decorator does."""

        def make(cls):
            return _made(cls, init=init, frozen=frozen, slots=slots, kw_only=kw_only)

        return make if cls is None else make(cls)

    def replace(instance, /, **changes):
        """Return a copy with other values, as the standard library's function does."""
        cls = instance.__class__
        copy = _replacers.get(cls)
        if copy is None:
            copy = _replacers[cls] = _write_replace(cls)
        return copy(instance, **changes)


def _made(cls: type[Any], *, init: bool, frozen: bool, slots: bool, kw_only: bool) -> type[Any]:
    own = frozenset(vars(cls))  # what the class defines itself stays
    declared = _declared(cls, kw_only=kw_only)
    made = _with_slots(cls, declared) if slots else cls
    methods: dict[str, Any] = {"__repr__": _repr}
    methods["__own_fields__"] = declared
    methods["__dataclass_fields__"] = _LIBRARY_FIELDS
    methods["__dataclass_params__"] = _FROZEN if frozen else _OPEN
    methods["__match_args__"] = tuple([each.name for each in declared if not each.kw_only])
    if init and "__init__" not in own:
        methods |= {"__init__": _first_init, "__signature__": _SIGNATURE}
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


def _declared(cls: type[Any], *, kw_only: bool) -> tuple[Field[Any], ...]:
    """Return the fields of a class: those of its bases, then its own; and leave the defaults."""
    found: dict[str, Field[Any]] = {}
    for base in reversed(cls.__mro__[1:]):
        found |= {each.name: each for each in vars(base).get("__own_fields__", ())}
    # From Python 3.14 on they may have to be asked for.
    annotations: dict[str, Any] = vars(cls).get("__annotations__") or cls.__annotations__
    for name, annotation in annotations.items():
        if str(annotation).removeprefix("typing.").startswith("ClassVar"):
            continue
        given = vars(cls).get(name, MISSING)
        if isinstance(given, MemberDescriptorType):  # the class has slots of its own
            given = MISSING
        each = given if isinstance(given, Field) else field(default=given)
        each.name, each.type = name, annotation
        if each.kw_only is MISSING:
            each.kw_only = kw_only
        if isinstance(each.default, list | dict | set):
            raise ValueError(f"one {type(each.default)} for all: use a default_factory for {name}")
        found[name] = each
        if each.default is not MISSING:
            setattr(cls, name, each.default)
        elif given is not MISSING:
            delattr(cls, name)
    return tuple(found.values())


def _with_slots(cls: type[Any], declared: tuple[Field[Any], ...]) -> type[Any]:
    """Return the class anew: slots cannot be added to one that is made."""
    inherited = {slot for base in cls.__mro__[1:] for slot in vars(base).get("__slots__", ())}
    names = [each.name for each in declared]
    body = {
        key: value
        for key, value in vars(cls).items()
        if key not in (*names, "__dict__", "__weakref__")
    }
    body["__slots__"] = tuple([name for name in names if name not in inherited])
    body["__qualname__"] = cls.__qualname__
    metaclass: Any = type(cls)
    made: type[Any] = metaclass(cls.__name__, cls.__bases__, body)
    return made


class _LibraryFields:
    """The fields as the standard library declares them, made when somebody asks."""

    def __get__(self, _instance: object, owner: type[Any]) -> dict[str, Any]:
        import dataclasses

        made: Any = dataclasses.make_dataclass(
            owner.__name__,
            [(each.name, each.type, _library_field(each)) for each in fields(owner)],
            init=False,
            repr=False,
            eq=False,
        )
        declared: dict[str, Any] = made.__dataclass_fields__
        return declared


def _library_field(each: Field[Any]) -> Any:
    import dataclasses

    given: dict[str, Any] = {
        "default": each.default,
        "default_factory": each.default_factory,
    }
    return dataclasses.field(
        repr=each.repr,
        compare=each.compare,
        kw_only=each.kw_only,
        metadata=each.metadata,
        **{name: value for name, value in given.items() if value is not MISSING},
    )


class _LibraryParams:
    """What the standard library asks of the base of a class that it makes."""

    def __init__(self, *, frozen: bool) -> None:
        self._frozen = frozen

    def __get__(self, _instance: object, _owner: type[Any]) -> Any:
        import dataclasses

        made: Any = dataclasses.make_dataclass("made", (), frozen=self._frozen)
        return made.__dataclass_params__


_LIBRARY_FIELDS = _LibraryFields()
_FROZEN, _OPEN = _LibraryParams(frozen=True), _LibraryParams(frozen=False)


class _Signature:
    """What tools are told of how a class is called, before its `__init__` is written as after."""

    def __get__(self, _instance: object, owner: type[Any]) -> object:
        import inspect

        signature = inspect.signature(_init_of(owner))
        return signature.replace(parameters=list(signature.parameters.values())[1:])


_SIGNATURE = _Signature()


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
    for each in fields(cls):
        name = each.name
        value = name
        if each.default is not MISSING:
            names[f"_default_{name}"] = each.default
            parameter = f"{name}=_default_{name}"
        elif each.default_factory is not MISSING:
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
    owner = next((each for each in cls.__mro__ if "__dataclass_fields__" in vars(each)), cls)
    if hasattr(cls, "__post_init__") or "__own_fields__" not in vars(owner):
        import dataclasses

        return dataclasses.replace
    names: dict[str, Any] = {"_new": cls.__new__, "_cls": cls, "_set": object.__setattr__}
    names["_absent"] = object()
    parameters: list[str] = ["_self", "/"]
    lines: list[str] = []
    for each in fields(cls):
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
        names = [each.name for each in fields(cls) if each.compare]
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


def _shown(self: Any) -> list[Field[Any]]:
    return [each for each in fields(self) if each.repr]


def _refuse_set(self: Any, name: str, value: object) -> None:
    if _is_frozen(self, name):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _refuse_delete(self: Any, name: str) -> None:
    if _is_frozen(self, name):
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _is_frozen(self: Any, name: str) -> bool:
    """Whether an attribute must stay as it is: a plain subclass may have more of its own."""
    return "__own_fields__" in vars(type(self)) or name in [each.name for each in fields(self)]


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
