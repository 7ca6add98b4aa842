"""Text -> HTML that is safe: whatever is put into a template is escaped, unless it is HTML."""

from __future__ import annotations

from collections.abc import Iterable

_ESCAPES = (
    ("&", "&amp;"),  # first: the others make some
    ("<", "&lt;"),
    (">", "&gt;"),
    ('"', "&quot;"),
    ("'", "&#39;"),
    ("\0", "\ufffd"),  # no document can hold it
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Return the HTML that shows a text; good between tags and in quoted attributes."""
    for character, reference in _ESCAPES:
        text = text.replace(character, reference)
    return Html(text)


class Template:
    """HTML with `{names}` for values. Attributes are to be in double quotes.

    Args:
        text: The HTML. Where it has several lines, they are not indented in what comes out.
    """

    def __init__(self, text: str) -> None:
        if "\n" in text:
            text = "\n".join(line.strip() for line in text.strip().splitlines())
        self._text = text

    def __call__(self, **values: object) -> Html:
        """Fill in the values; those that are not `Html` are escaped."""
        safe = {name: _safe(value) for name, value in values.items()}
        return Html(self._text.format_map(safe))


def _safe(value: object) -> Html:
    return value if isinstance(value, Html) else escape(str(value))


def join(parts: Iterable[Html], between: str = "") -> Html:
    """Return HTML made of parts."""
    return Html(between.join(parts))


def url_part(text: str) -> str:
    """Return a text as it may stand in the query of an address, or be one part of its path."""
    from urllib.parse import quote  # here and elsewhere: half a megabyte, for those who need it

    return quote(text, safe="", errors="replace")


NOTHING = Html("")
