from __future__ import annotations

import pytest

from docs import generate_differences
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


def test_the_page_of_differences_is_current() -> None:
    text = generate_differences.PAGE.read_text(encoding="utf-8")
    assert text == generate_differences.page(text), "run python -m docs.generate_differences"


@pytest.mark.parametrize(
    ("key", "default"),
    [
        ("startsecs", 1),
        ("buffer_size", 10),
        ("stdout_logfile_maxbytes", None),
        ("stderr_syslog", None),
        ("prompt", None),
        ("files", None),
        ("supervisor.ctl_factory", None),
    ],
)
def test_what_supervisor_knows_is_found_in_its_source(key: str, default: object) -> None:
    assert generate_differences.options_there()[key] == default


@pytest.mark.parametrize("key", ["strict", "journal", "notify", "containment", "payload_length"])
def test_and_nothing_else(key: str) -> None:
    assert key not in generate_differences.options_there()
