"""What is on record of the configuration while it changes, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from sdsuper.config.model import Config, DaemonConfig
from sdsuper.core.facts import GroupAdded, GroupRemoved
from sdsuper.core.manager import Manager
from sdsuper.daemon.handover import Inheritance, Keeper
from sdsuper.daemon.records import ConfigRecords, CoreRecords, restored_config
from sdsuper.errors import HandoverError
from sdsuper.handover.codec import Plain
from sdsuper.systemd.notify import Notifier
from tests.unit.core.builders import at, solo

EMPTY = Config(
    file="d.conf", here="/", daemon=DaemonConfig(logfile=None), groups=(), servers=(),
    rpcinterfaces=(),
)  # fmt: skip


class Recorder(Keeper):
    """Writes at once, and counts the bytes."""

    def __init__(self) -> None:
        super().__init__(lambda level, text: None, Notifier({}), enabled=False)
        self.recording = True
        self.records: dict[str, Plain] = {}
        self.bytes = 0

    def changed(self, key: str, export: Callable[[], Plain]) -> None:
        text = json.dumps(export())
        self.records[key] = json.loads(text)
        self.bytes += len(text)

    def gone(self, key: str) -> None:
        self.records.pop(key, None)


class Scene:
    def __init__(self) -> None:
        self.config = EMPTY
        self.manager = Manager()
        self.keeper = Recorder()
        self.core = CoreRecords(self.keeper, self.manager)
        self.read = ConfigRecords(self.keeper, self.manager, lambda: self.config)
        self.tell()

    def tell(self) -> None:
        self.core.tell()
        self.read.tell()

    def restored(self) -> Config:
        return restored_config(Inheritance(dict(self.keeper.records), {}, 1, in_place=False))


def test_the_groups_as_read_last_are_known_at_each_step_of_an_update() -> None:
    scene = Scene()
    first = tuple(solo(f"p{number}") for number in range(4))
    other = tuple(solo(f"p{number}", stopwaitsecs=3) for number in range(2, 6))
    for groups in (first, other, first, ()):
        scene.config = replace(EMPTY, groups=groups)
        scene.tell()
        assert scene.restored().groups == groups
        for name in list(scene.manager.groups):
            scene.manager.handle(GroupRemoved(name), at(0))
            scene.tell()
            assert scene.restored().groups == groups
        for group in groups:
            scene.manager.handle(GroupAdded(group), at(0))
            scene.tell()
            assert scene.restored().groups == groups
        assert not [key for key in scene.keeper.records if key.startswith("read/")]
        exported = {**scene.core.export(), **scene.read.export()}
        assert exported == scene.keeper.records


def bytes_of_update(count: int) -> int:
    scene = Scene()
    scene.config = replace(EMPTY, groups=tuple(solo(f"p{number}") for number in range(count)))
    for group in scene.config.groups:
        scene.manager.handle(GroupAdded(group), at(0))
        scene.tell()
    return scene.keeper.bytes


def test_each_group_of_an_update_is_written_down_once_and_not_with_each_other() -> None:
    assert bytes_of_update(80) < 2.5 * bytes_of_update(40)


@pytest.mark.parametrize("broken", [None, {}, {"groups": ["gone"]}])
def test_a_record_that_is_missing_is_told(broken: Plain) -> None:
    with pytest.raises(HandoverError, match="config"):
        restored_config(Inheritance({"config": broken}, {}, 1, in_place=False))
