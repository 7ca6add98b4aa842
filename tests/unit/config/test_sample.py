from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from sdsuper.config import ini, sample
from sdsuper.config.commandline import CommandLine
from sdsuper.config.commands import config_group
from sdsuper.config.sample import render_sample
from sdsuper.config.sections import options_by_kind
from tests.unit.config.conftest import Load

OPTION = re.compile(r"^;(?=\[|[\w.]+=)", re.MULTILINE)


def test_it_loads_as_it_is(read: Load) -> None:
    config = read(render_sample())
    assert config.doubts == ()
    assert config.groups == ()
    assert [(server.section, server.file) for server in config.servers] == [
        ("unix_http_server", "/tmp/supervisor.sock")
    ]
    assert [interface.name for interface in config.rpcinterfaces] == ["supervisor"]
    assert (config.daemon.logfile, config.daemon.strict) == ("/tmp/supervisord.log", False)


def test_every_option_is_in_it() -> None:
    sections = {section.kind: section for section in ini.parse(OPTION.sub("", render_sample()))}
    program = sections["program"].values.keys()
    for kind, options in options_by_kind().items():
        found = set(sections[kind].values)
        if kind in ("eventlistener", "fcgi-program"):
            found |= program
        assert found >= {option.key for option in options}, kind


def test_all_of_it_in_effect_loads_too(read: Load) -> None:
    """Every default and example that it shows can be written."""
    text = OPTION.sub("", render_sample())
    config = read(text)
    assert config.doubts == ()
    names = {process.program for group in config.groups for process in group.processes}
    assert names == {"theprogramname", "theeventlistenername", "thefcgiprogramname"}


def test_what_is_shown_are_the_defaults(read: Load) -> None:
    """Putting an option into effect that shows its default changes nothing."""
    bare = "[supervisord]\n[program:theprogramname]\ncommand=/bin/cat\n"
    (plain,) = read(bare).groups
    for option in options_by_kind()["program"]:
        if not option.default_text or option.key == "command":
            continue
        written = re.search(rf"^;{option.key}=(.*)$", render_sample(), re.MULTILINE)
        assert written is not None, option.key
        (shown,) = read(f"{bare}{option.key}={written[1]}\n").groups
        assert shown == plain, option.key


def test_its_lines_are_short_and_say_what_it_is() -> None:
    lines = render_sample().splitlines()
    assert "Sample supervisor config file" in lines[0]
    assert [line for line in lines if line.startswith("; ") and len(line) > 100] == []


@pytest.mark.parametrize(
    "command", [lambda: config_group(["config", "sample"], CommandLine()), sample.main]
)
def test_the_commands_print_it(
    command: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command() == 0
    assert capsys.readouterr().out == render_sample()
