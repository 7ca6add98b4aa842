from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sdsuper.config.diff import Changes, GroupChange, compare_group, diff, differences
from sdsuper.config.model import (
    ChannelConfig,
    FcgiSocketConfig,
    GroupConfig,
    ListenerPoolConfig,
    Location,
    ProcessConfig,
)
from sdsuper.config.option import LIVE, options_of
from tests.unit.config.conftest import Load

HERE = Location("file", 1)


def process(name: str = "p", **changed: Any) -> ProcessConfig:
    values: dict[str, Any] = {
        "group": "g",
        "program": name,
        "location": HERE,
        "command": "x",
        "stdout": ChannelConfig(),
        "stderr": ChannelConfig(),
    }
    return ProcessConfig(name=name, **{**values, **changed})


def group(*processes: ProcessConfig, **changed: Any) -> GroupConfig:
    values: dict[str, Any] = {"name": "g", "kind": "group", "priority": 1, "location": HERE}
    return GroupConfig(processes=processes, **{**values, **changed})


def test_the_order_of_names() -> None:
    old = [group(name=name) for name in "xcba"]
    new = [group(name=name, priority=9 if name in "ab" else 1) for name in "dabce"]
    assert diff(old, new) == Changes(added=("d", "e"), changed=("a", "b"), removed=("x",))


AUTO = ChannelConfig(auto=True)
GENERATED = ChannelConfig(auto=True, logfile="/tmp/p-stdout---supervisor-abc.log")
EXPLICIT = ChannelConfig(logfile="/tmp/p.log")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (process(), process(location=Location("other", 9)), True),
        (process(), process(numprocs=5), True),
        (process(), process(command="y"), False),
        (process(), process(environment={"A": "1"}), False),
        (process(), process(stopwaitsecs=1), False),
        (process(stdout=GENERATED), process(stdout=AUTO), True),
        (process(stdout=EXPLICIT), process(stdout=AUTO), False),
        (process(stdout=GENERATED), process(stdout=EXPLICIT), False),
        (process(), process(stdout=AUTO), False),
        (process(stderr=GENERATED), process(stderr=replace(AUTO, logfile_backups=1)), False),
    ],
)
def test_equal_processes(old: ProcessConfig, new: ProcessConfig, same: bool) -> None:
    assert diff([group(old)], [group(new)]).changed == (() if same else ("g",))
    assert differences(old, new) == () if same else differences(old, new)


SOCKET = FcgiSocketConfig(url="unix:///x")
POOL = ListenerPoolConfig(events=("TICK_5", "TICK_60"), result_handler="a:b")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (group(), group(location=Location("other", 9)), True),
        (group(), group(programs=("a",)), True),
        (group(), group(priority=2), False),
        (group(), group(kind="program"), False),
        (group(process("a"), process("b")), group(process("b"), process("a")), False),
        (group(sockets={"a": SOCKET}), group(sockets={"a": SOCKET}), True),
        (group(sockets={"a": SOCKET}), group(sockets={"a": replace(SOCKET, mode=0o777)}), False),
        (group(sockets={"a": SOCKET}), group(sockets={"a": replace(SOCKET, owner=(1, 1))}), False),
        (group(sockets={"a": SOCKET}), group(sockets={"a": replace(SOCKET, backlog=5)}), False),
        (group(pool=POOL), group(pool=replace(POOL, events=("TICK_60", "TICK_5"))), True),
        (group(pool=POOL), group(pool=replace(POOL, events=("TICK_5",))), False),
        (group(pool=POOL), group(pool=replace(POOL, buffer_size=5)), False),
        (group(pool=POOL), group(pool=replace(POOL, result_handler="c:d")), False),
    ],
)
def test_equal_groups(old: GroupConfig, new: GroupConfig, same: bool) -> None:
    assert diff([old], [new]).changed == (() if same else ("g",))


def test_what_a_change_must_disturb() -> None:
    old = group(process("gone"), process("same"), process("live"), process("hard"))
    new = group(
        process("hard", command="y", startsecs=9),
        process("live", startsecs=9, stdout=ChannelConfig(logfile_maxbytes=1)),
        process("same"),
        process("new"),
    )
    change = compare_group(old, new)
    assert change == GroupChange(
        added=("new",),
        removed=("gone",),
        restart=("hard",),
        live=("live",),
        restart_options=("command",),
        live_options=("startsecs", "stdout_logfile_maxbytes"),
        group=False,
    )
    assert not change.only_live


def test_a_change_that_disturbs_nothing() -> None:
    change = compare_group(group(process()), group(process(autostart=False), priority=7))
    assert change == GroupChange(live=("p",), live_options=("priority", "autostart"))
    assert change.only_live


def test_another_pool_is_another_group() -> None:
    change = compare_group(group(pool=POOL), group(pool=replace(POOL, buffer_size=1)))
    assert change == GroupChange(group=True)
    assert not change.only_live


def test_every_option_is_compared_as_declared() -> None:
    for option in options_of(ProcessConfig):
        old = process(stdout=ChannelConfig(), stderr=ChannelConfig())
        if len(option.path) == 1:
            new = replace(old, **{option.path[0]: "other"})
        else:
            channel = replace(getattr(old, option.path[0]), **{option.path[1]: "other"})
            new = replace(old, **{option.path[0]: channel})
        found = [each.key for each in differences(old, new)]
        assert found == ([] if option.key.startswith("numprocs") else [option.key])
        if found and option.key != "process_name":
            live = compare_group(group(old), group(new)).live
            assert live == (("p",) if option.on_change is LIVE else ())


def test_a_file_read_twice_is_the_same(read: Load) -> None:
    text = (
        "[program:a]\ncommand=a\nnumprocs=2\nprocess_name=%(process_num)d\n"
        "[eventlistener:b]\ncommand=b\nevents=TICK\n[fcgi-program:c]\ncommand=c\nsocket=tcp://h:1\n"
    )
    assert diff(read(text).groups, read("; moved\n" + text).groups) == Changes()


def test_another_environment_of_the_daemon_changes_every_program(read: Load) -> None:
    old = read("[program:a]\ncommand=a\n[program:b]\ncommand=b\n")
    new = read("[supervisord]\nenvironment=A=1\n[program:a]\ncommand=a\n[program:b]\ncommand=b\n")
    assert diff(old.groups, new.groups).changed == ("a", "b")
