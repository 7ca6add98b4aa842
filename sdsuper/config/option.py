"""option() and @section: the one way to declare something that may be written.

A section is a frozen dataclass; each field that an operator may write is an `option(...)`: its
key, type, default, help, where names are expanded in it, and whether a running process must be
restarted when it changes. The reader, the documentation, spelling hints and `config show` are
derived from these declarations; mypy checks type and default against the field's annotation.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Generic, TypeVar, dataclass_transform, overload

from sdsuper.dataclass import MISSING, Field, dataclass, field, fields, replace

T = TypeVar("T")
D = TypeVar("D")
_METADATA_KEY = "sdsuper.option"


class OnChange(enum.Enum):
    """What a changed value asks of a process that runs."""

    RESTART = "restart"
    LIVE = "live"


RESTART = OnChange.RESTART
LIVE = OnChange.LIVE


class Expand(enum.IntEnum):
    """Which names `%(name)s` may use in a value; each scope includes those before it."""

    COMMON = 1  # here, host_node_name, ENV_*
    PROGRAM = 2  # program_name, group_name
    PROCESS = 3  # process_num, numprocs; ENV_* of the section's own environment


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A type of value: how it is read, written and described.

    Attributes:
        name: One or two words for tables.
        accepts: What may be written, as the end of "accepted: ...".
        parse: Text to value; raises ValueError with Supervisor's text.
        format: Value to text; `parse(format(value)) == value`.
        words: The whole vocabulary, where the kind has one; misspellings get a hint.
        percent: A `%` at the end of a value means percent, and need not be written twice.
    """

    name: str
    accepts: str
    parse: Callable[[str], T]
    format: Callable[[T], str]
    words: tuple[str, ...] = ()
    percent: bool = False


@dataclass(frozen=True)
class Option:
    """One declared option.

    Attributes:
        key: The name as users type it.
        path: The attributes that lead to its value from an instance of the section's class.
        kind: Its type.
        unset: The text that is read where the key is absent; None: the field's default counts.
        required: Whether a section without it does not load.
        sections: The kinds of section that know it.
        error: Supervisor's text for a bad value, with `{value}` and `{reason}`.
        flag: The daemon's short command-line option; "" for one with a long name only.
    """

    key: str
    path: tuple[str, ...]
    kind: Kind[Any]
    default: Any
    unset: str | None
    required: bool
    help: str
    expand: Expand
    on_change: OnChange
    sections: tuple[str, ...]
    error: str
    flag: str | None
    secret: bool

    def value_in(self, instance: object) -> Any:
        """Return this option's value in an instance of its section's class."""
        for name in self.path:
            instance = getattr(instance, name)
        return instance

    @property
    def fallback(self) -> Any:
        """The value to go on with where the written one is wrong."""
        if self.default is None and self.unset is not None and "%" not in self.unset:
            return self.kind.parse(self.unset)
        return self.default

    @property
    def default_text(self) -> str | None:
        """The default as it would be written; None where there is none."""
        if self.unset is not None:
            return self.unset
        return None if self.default is None or self.required else self.kind.format(self.default)


@overload
def option(
    kind: Kind[T],
    *,
    help: str,
    key: str | None = None,
    unset: str | None = None,
    expand: Expand = Expand.COMMON,
    on_change: OnChange = RESTART,
    sections: tuple[str, ...] = (),
    error: str = "{reason}",
    flag: str | None = None,
    compare: bool = True,
    secret: bool = False,
) -> T: ...
@overload
def option(
    kind: Kind[T],
    *,
    default: D,
    help: str,
    key: str | None = None,
    unset: str | None = None,
    expand: Expand = Expand.COMMON,
    on_change: OnChange = RESTART,
    sections: tuple[str, ...] = (),
    error: str = "{reason}",
    flag: str | None = None,
    compare: bool = True,
    secret: bool = False,
) -> T | D: ...
@overload
def option(
    kind: Kind[T],
    *,
    default_factory: Callable[[], D],
    help: str,
    key: str | None = None,
    unset: str | None = None,
    expand: Expand = Expand.COMMON,
    on_change: OnChange = RESTART,
    sections: tuple[str, ...] = (),
    error: str = "{reason}",
    flag: str | None = None,
    compare: bool = True,
    secret: bool = False,
) -> T | D: ...
def option(
    kind: Kind[Any],
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    help: str,  # noqa: A002 - the word that every option library uses
    key: str | None = None,
    unset: str | None = None,
    expand: Expand = Expand.COMMON,
    on_change: OnChange = RESTART,
    sections: tuple[str, ...] = (),
    error: str = "{reason}",
    flag: str | None = None,
    compare: bool = True,
    secret: bool = False,
) -> Any:
    """Declare one option as the field of a section.

    Args:
        kind: Its type.
        default: The field's value where the key is absent.
        default_factory: Makes that value, for a default that cannot be shared.
        help: One sentence for the documentation.
        key: The name as users type it, where it is not the field's.
        unset: The text that is read in place of an absent key.
        expand: Which names may be used in the value.
        on_change: What a changed value asks of a running process.
        sections: The kinds of section that know it, where not all of the class's do.
        error: Supervisor's text for a bad value, where it is not just the reason.
        flag: The short command-line option of the daemon, "" for a long one only.
        compare: Whether a difference in it makes two configurations differ.
        secret: Whether `config show` hides it.
    """
    declared = {
        "key": key,
        "kind": kind,
        "unset": unset,
        "help": help,
        "expand": expand,
        "on_change": on_change,
        "sections": sections,
        "error": error,
        "flag": flag,
        "secret": secret,
    }
    return field(
        default=default,
        default_factory=default_factory,
        metadata={_METADATA_KEY: declared},
        compare=compare,
    )


def prefixed(prefix: str, *, default_factory: Any = MISSING) -> Any:
    """Declare a field that holds another section's options, their keys behind a prefix.

    Args:
        prefix: It may be empty.
        default_factory: Makes the field's value where none is given.
    """
    return field(default_factory=default_factory, metadata={_METADATA_KEY: prefix})


@dataclass_transform(
    frozen_default=True,
    kw_only_default=True,
    field_specifiers=(option, prefixed, field),
)
def section(*names: str) -> Callable[[type[T]], type[T]]:
    """Make a class the declaration of the sections of these kinds, as a frozen dataclass."""

    def declare(cls: type[T]) -> type[T]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.__sections__ = names  # type: ignore[attr-defined]
        return made

    return declare


@cache
def options_of(cls: type) -> tuple[Option, ...]:
    """Return the options that a section's class declares, in the order of evaluation."""
    return tuple(_options(cls, _sections_of(cls)))


def _sections_of(cls: type) -> tuple[str, ...]:
    return getattr(cls, "__sections__", ())


def _options(cls: type, names: tuple[str, ...]) -> Iterator[Option]:
    nested: dict[str, type] | None = None
    for item in fields(cls):
        declared = item.metadata.get(_METADATA_KEY)
        if isinstance(declared, str):
            nested = nested or _annotations(cls)
            for inner in _options(nested[item.name], names):
                yield replace(inner, key=declared + inner.key, path=(item.name, *inner.path))
        elif declared is not None:
            yield _bind(item, declared, names)


def _annotations(cls: type) -> dict[str, type]:
    from typing import get_type_hints

    return get_type_hints(cls)


def _bind(item: Field[Any], declared: dict[str, Any], names: tuple[str, ...]) -> Option:
    missing = MISSING
    default = item.default
    if default is missing and item.default_factory is not missing:
        default = item.default_factory()
    return Option(
        **{
            **declared,
            "key": declared["key"] or item.name,
            "path": (item.name,),
            "default": None if default is missing else default,
            "required": default is missing and declared["unset"] is None,
            "sections": declared["sections"] or names,
        }
    )


@cache
def option_named(cls: type, key: str) -> Option:
    """Return the option of a section's class that users type as `key`. Raises KeyError."""
    for found in options_of(cls):
        if found.key == key:
            return found
    raise KeyError(key)
