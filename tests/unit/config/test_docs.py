from __future__ import annotations

from docs.generate import PAGE, SECTIONS, page
from sdsuper.config.sections import options_by_kind


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m docs.generate"


def test_every_section_is_on_it() -> None:
    assert set(SECTIONS) == set(options_by_kind())


def test_every_option_says_what_it_does() -> None:
    for options in options_by_kind().values():
        for option in options:
            assert option.help[0].isupper() or option.help.startswith(("tcp:", "host:"))
            assert option.help.endswith(".")
