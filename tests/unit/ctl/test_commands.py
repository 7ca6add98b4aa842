"""Where commands are found."""

from __future__ import annotations

import pytest

from sdsuper.ctl.commands import MODULES, all_commands, commands_until


@pytest.mark.parametrize("name", ["status", "start", "stop", "restart", "signal", "pid"])
def test_the_usual_commands_are_in_the_first_module(name: str) -> None:
    found = commands_until(name)
    assert found[name] is all_commands()[name]
    assert {each.act.__module__ for each in found.values()} == {
        f"sdsuper.ctl.commands.{MODULES[0]}"
    }


@pytest.mark.parametrize("name", sorted(all_commands()))
def test_every_command_is_found(name: str) -> None:
    assert commands_until(name)[name] is all_commands()[name]


def test_all_are_loaded_for_a_name_that_is_none_of_ours() -> None:
    assert commands_until("nonsense") == all_commands()
