"""The manual pages are current and complete."""

from __future__ import annotations

import pytest

from docs.generate_man import FOLDER, PAGES, page, text
from sdsuper.config import commandline
from sdsuper.config.sections import options_by_kind
from sdsuper.ctl.commands import all_commands
from sdsuper.ctl.options import OPTIONS


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == page(name), "run make docs"


def test_there_is_no_other_page() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_option_of_a_command_line_is_told() -> None:
    for names, _, _ in commandline.rows():
        assert all(rf"\fB{text(name)}\fR" in page("sdsuperd.8") for name in names)
    for option in OPTIONS:
        if option.help:
            assert rf"\fB{text(f'--{option.name}')}\fR" in page("sdsuperctl.1")


def test_every_command_is_told() -> None:
    for command in all_commands().values():
        assert all(rf"\fB{text(form)}\fR" in page("sdsuperctl.1") for form, said in command.forms
                   if said)  # fmt: skip


def test_every_option_of_the_file_is_told() -> None:
    for options in options_by_kind().values():
        for option in options:
            assert rf"\fB{text(option.key)}\fR (" in page("sdsuper.conf.5")


@pytest.mark.parametrize(
    ("plain", "roff"),
    [
        ("a-b", r"a\-b"),
        (r"c:\x", r"c:\ex"),
        ("`-c`", r"\fB\-c\fR"),
        (".x\n'y", "\\&.x\n\\&'y"),
    ],
)
def test_text_is_taken_for_text(plain: str, roff: str) -> None:
    assert text(plain) == roff
