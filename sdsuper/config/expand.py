"""`%(name)s` in values: which names there are, and what is said of one that there is not."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; the client has no time to import typing
if TYPE_CHECKING:
    from collections.abc import Mapping

ENV_PREFIX = "ENV_"


class Names:
    """The names that a value may use: plain ones, and `ENV_*` for each variable.

    Attributes:
        plain: The names but for the variables.
        environ: The variables, without the prefix.
        file: The file that `here` is the directory of.
    """

    def __init__(
        self, plain: Mapping[str, object], environ: Mapping[str, str], file: str = ""
    ) -> None:
        self.plain = plain
        self.environ = environ
        self.file = file

    def __getitem__(self, name: str) -> object:
        if name in self.plain:
            return self.plain[name]
        variable = name.removeprefix(ENV_PREFIX)
        if variable == name or variable not in self.environ:
            raise KeyError(name)
        return self.environ[variable]

    def __str__(self) -> str:
        # `date +%s`: a conversion without a name formats the mapping itself. Supervisor puts the
        # whole environment there; leaving the text alone is what everybody means.
        return "%s"

    def over(self, plain: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Names:
        """Return these names with others laid over them."""
        merged = self.environ if not environ else {**self.environ, **environ}
        return Names({**self.plain, **plain}, merged, self.file)

    @property
    def available(self) -> str:
        """The names for an error text; variables are not listed, it may go out over RPC."""
        return ", ".join(sorted([*self.plain, f"{ENV_PREFIX}*"]))


def expand(text: str, names: Names, label: str) -> str:
    """Replace `%(name)s` and `%%` in a value.

    Args:
        text: The value as written.
        names: What may be used in it.
        label: What the error text calls it: `section.option`.

    Raises:
        ValueError: A name is unknown, or a `%` is not followed by a conversion.
    """
    if "%" not in text:
        return text
    try:
        return text % names
    except KeyError as error:
        raise ValueError(
            f"Format string {text!r} for {label!r} contains names ({error}) "
            f"which cannot be expanded. Available names: {names.available}"
        ) from None
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        reason = str(error).replace(f"not {type(names).__name__}", "not dict")
        raise ValueError(
            f"Format string {text!r} for {label!r} is badly formatted: {reason}"
        ) from None


def expand_again(text: str, names: Names) -> str:
    """Expand what an expansion left, or return it as it is.

    Supervisor expands the paths of logs twice, so `%%%%` and `%%(program_name)s` are in use;
    a `%%` that one expansion is enough for is as good.
    """
    try:
        return expand(text, names, "")
    except ValueError:
        return text
