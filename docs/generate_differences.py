"""Write the tables of docs/differences.md that follow from declarations.

`python -m docs.generate_differences`: the options that Supervisor does not know, the defaults that
differ, and our own methods. The rest of the page is written by hand. Supervisor declares no
options: which it knows, and their defaults, is where its source asks for them.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from supervisor import options as their_options

from sdsuper.config.option import Option
from sdsuper.config.sections import options_by_kind
from sdsuper.server.registry import declared_methods

PAGE = Path(__file__).with_name("differences.md")

_ASKED = re.compile(
    r"""get(?:default)?\((?:section,\s*|'include',\s*)?'([\w.]+)'(?:,\s*('[^']*'|-?\w+))?"""
)
_ASKED_FOR_BOTH = re.compile(r"""= '%s_(\w+)' % k\b""")
_PLUGIN_KEY = re.compile(r"""'(supervisor\.\w+)'""")
_WITH_OPTIONS_OF_PROGRAMS = ("eventlistener", "fcgi-program")


def page(text: str) -> str:
    """Return the page with its tables made anew."""
    tables = {"options": _options(), "defaults": _defaults(), "methods": _methods()}
    for name, lines in tables.items():
        block = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        found = block.search(text)
        assert found is not None, name
        table = "\n".join(["", *lines, "", ""])
        text = text[: found.end(1)] + table + text[found.start(2) :]
    return text


def options_there() -> Mapping[str, object]:
    """Return the options that Supervisor knows, with their defaults; None for a computed one."""
    source = inspect.getsource(their_options)
    found: dict[str, object] = dict.fromkeys(_PLUGIN_KEY.findall(source))
    for both in _ASKED_FOR_BOTH.findall(source):
        found |= {f"stdout_{both}": None, f"stderr_{both}": None}
    for key, default in _ASKED.findall(source):
        if found.get(key) is None:
            found[key] = _literal(default)
    return found


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return None


def _ours() -> Iterator[tuple[str, Option]]:
    for kind, options in options_by_kind().items():
        for option in sorted(options, key=lambda option: option.key):
            if kind not in _WITH_OPTIONS_OF_PROGRAMS or option.sections == (kind,):
                yield kind, option


def _options() -> Iterator[str]:
    yield "| Section | Option | Default | What it does |"
    yield "|---|---|---|---|"
    known = options_there()
    for kind, option in _ours():
        if option.key not in known:
            default = f"`{option.default_text}`" if option.default_text else ""
            yield f"| `{kind}` | `{option.key}` | {default} | {option.help} |"


def _defaults() -> Iterator[str]:
    yield "| Section | Option | Supervisor 4.3 | sdsuper |"
    yield "|---|---|---|---|"
    known = options_there()
    for kind, option in _ours():
        theirs = known.get(option.key)
        if theirs is not None and _differs(option, str(theirs)):
            yield f"| `{kind}` | `{option.key}` | `{theirs}` | `{option.default_text}` |"


def _differs(option: Option, theirs: str) -> bool:
    ours = option.default_text
    if ours is None or theirs == ours:
        return False
    return bool(option.kind.parse(theirs) != option.kind.parse(ours))


def _methods() -> Iterator[str]:
    yield "| Method | What it does |"
    yield "|---|---|"
    for item in sorted(declared_methods(), key=lambda item: item.names[0]):
        if item.names[0].startswith("sdsuper."):
            first = item.documentation.text.partition("\n\n")[0].replace("\n", " ")
            yield f"| `{item.names[0]}` | {first} |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
