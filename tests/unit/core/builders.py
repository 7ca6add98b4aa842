"""Short ways to make what the core is fed with."""

from __future__ import annotations

from typing import Any

from sdsuper.config.model import ChannelConfig, GroupConfig, Location, ProcessConfig
from sdsuper.values import Instant, Namespec

SOMEWHERE = Location("test.conf", 1)
WALL_AT_ZERO = 1_700_000_000.0


def at(mono: float) -> Instant:
    return Instant(mono=mono, wall=WALL_AT_ZERO + mono)


def process_config(name: str, group: str | None = None, **options: Any) -> ProcessConfig:
    return ProcessConfig(
        name=name,
        group=group or name,
        program=name,
        location=SOMEWHERE,
        command=f"/bin/{name}",
        stdout=ChannelConfig(),
        stderr=ChannelConfig(),
        **options,
    )


def group_config(name: str, *processes: ProcessConfig, priority: int = 999) -> GroupConfig:
    return GroupConfig(
        name=name, kind="group", priority=priority, processes=processes, location=SOMEWHERE
    )


def solo(name: str, priority: int = 999, **options: Any) -> GroupConfig:
    """One program that is its own group."""
    return group_config(name, process_config(name, **options), priority=priority)


def namespec(text: str) -> Namespec:
    group, _, process = text.partition(":")
    return Namespec(group, process or group)
