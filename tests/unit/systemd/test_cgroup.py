"""Where we are in the tree of cgroups, and whether it is ours."""

from __future__ import annotations

import pytest

from sdsuper.systemd.cgroup import (
    NAME_BYTES,
    Mount,
    directory,
    find_delegated,
    keyed,
    own_path,
    pressure,
    process_name,
    unified_mounts,
)

UNIFIED = "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "30 25 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "31 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "32 30 0:29 / /sys/fs/cgroup/unified rw shared:9 master:2 - cgroup2 cgroup2 rw\n"
)
LEGACY = "31 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
OVER = UNIFIED.replace(" / ", " /.. ", 1) + UNIFIED
SPACED = "29 22 0:26 /a\\040b /mnt/c\\040d rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "mounts"),
    [
        (UNIFIED, [Mount("/sys/fs/cgroup", "/")]),
        (HYBRID, [Mount("/sys/fs/cgroup/unified", "/")]),
        (SPACED, [Mount("/mnt/c d", "/a b")]),
        (SPACED + UNIFIED, [Mount("/mnt/c d", "/a b"), Mount("/sys/fs/cgroup", "/")]),
        (OVER, [Mount("/sys/fs/cgroup", "/")]),
        (LEGACY, []),
        ("", []),
    ],
)
def test_where_version_2_is_mounted(mountinfo: str, mounts: list[Mount]) -> None:
    assert unified_mounts(mountinfo) == mounts


def test_of_more_mounts_the_one_that_shows_us_is_taken() -> None:
    texts = {"/proc/self/mountinfo": SPACED + UNIFIED, "/proc/self/cgroup": "0::/x\n"}
    found = find_delegated(7, texts.__getitem__, lambda directory: True)
    assert found.unit is not None
    assert found.unit.path == "/sys/fs/cgroup/x"


@pytest.mark.parametrize(
    ("cgroup", "path"),
    [
        ("0::/system.slice/sdsuper.service\n", "/system.slice/sdsuper.service"),
        ("9:name=systemd:/x\n4:memory:/y\n0::/\n", "/"),
        ("0::/gone (deleted)\n", "/gone"),
        ("9:name=systemd:/x\n", None),
    ],
)
def test_the_path_of_a_process(cgroup: str, path: str | None) -> None:
    assert own_path(cgroup) == path


@pytest.mark.parametrize(
    ("root", "path", "found"),
    [
        ("/", "/a.slice/b", "/cg/a.slice/b"),
        ("/", "/", "/cg"),
        ("/docker/1", "/docker/1", "/cg"),
        ("/docker/1", "/docker/1/sub", "/cg/sub"),
        ("/docker/1", "/docker/12", None),
        ("/", "/../outside", None),
        ("/..", "/", None),
    ],
)
def test_the_directory_of_a_path(root: str, path: str, found: str | None) -> None:
    assert directory(Mount("/cg", root), path) == found


UNIT = "/sys/fs/cgroup/system.slice/sdsuper.service"


@pytest.mark.parametrize(
    ("path", "pid", "marked", "unit"),
    [
        pytest.param("/system.slice/sdsuper.service", 7, UNIT, UNIT, id="Delegate=yes"),
        pytest.param("/system.slice/sdsuper.service/daemon", 7, UNIT, UNIT, id="DelegateSubgroup="),
        pytest.param("/system.slice/sdsuper.service/other", 7, UNIT, None, id="not our leaf"),
        pytest.param("/system.slice/sdsuper.service", 7, "", None, id="not delegated"),
        pytest.param("/system.slice/sdsuper.service/daemon", 7, "", None, id="a name only"),
        pytest.param("/", 1, "", "/sys/fs/cgroup", id="PID 1 of a container"),
        pytest.param("/daemon", 1, "", "/sys/fs/cgroup", id="PID 1 after a re-exec"),
        pytest.param("/", 7, "", None, id="not PID 1"),
        pytest.param("/x", 1, "", None, id="PID 1, but not in the root"),
    ],
)
def test_what_is_delegated(path: str, pid: int, marked: str, unit: str | None) -> None:
    texts = {
        "/proc/self/mountinfo": UNIFIED,
        "/proc/self/cgroup": f"0::{path}\n",
        "/sys/fs/cgroup/cgroup.events": "populated 1\n",
    }
    found = find_delegated(pid, texts.__getitem__, lambda directory: directory == marked)
    assert (found.unit.path if found.unit is not None else None) == unit
    assert bool(found.reason) == (unit is None)


def test_the_root_of_the_whole_tree_is_nobodys() -> None:
    def read(file: str) -> str:
        if file.endswith("cgroup.events"):
            raise FileNotFoundError(file)
        return UNIFIED if file.endswith("mountinfo") else "0::/\n"

    assert find_delegated(1, read, lambda directory: False).unit is None


@pytest.mark.parametrize(
    ("mountinfo", "cgroup", "reason"),
    [
        (LEGACY, "1:name=systemd:/x\n", "cgroups of version 2 are not mounted"),
        (UNIFIED, "0::/../x\n", "our cgroup /../x is outside of what is mounted at /sys/fs/cgroup"),
        (UNIFIED, "0::/x\n", "/x is not delegated to us (Delegate=yes in the unit)"),
    ],
)
def test_why_nothing_is_delegated(mountinfo: str, cgroup: str, reason: str) -> None:
    def read(file: str) -> str:
        return mountinfo if file.endswith("mountinfo") else cgroup

    assert find_delegated(7, read, lambda directory: False).reason == reason


def test_without_proc_nothing_is_delegated() -> None:
    def read(file: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", file)

    found = find_delegated(7, read, lambda directory: True)
    assert found == (None, "/proc/self/mountinfo cannot be read: No such file or directory")


NAMES = ["a", "a:b", "a%3Ab", "a/b", "a b", "a\\b", "..", ".", "memory.max", "ä", "\n", "a~b", "A"]
LONG = ["x" * 500, "x" * 499 + "y", "ä" * 100, "/" * 200]


def test_names_of_cgroups_are_safe_and_differ() -> None:
    seen = set()
    for group in NAMES + LONG:
        for process in NAMES + LONG:
            name = process_name(group, process)
            assert name.isascii()
            assert name.isprintable()
            assert not set(name) & set("/\\ ")
            assert name.count(":") == 1
            assert len(name) <= 2 * NAME_BYTES + 1
            seen.add(name)
    assert len(seen) == len(NAMES + LONG) ** 2


def test_a_plain_name_stays_as_it_is() -> None:
    assert process_name("web-app_1", "worker@3.x") == "web-app_1:worker@3.x"
    assert process_name("my group", "50%") == "my%20group:50%25"


def test_lines_with_a_key() -> None:
    assert keyed("populated 1\nfrozen 0\n") == {"populated": "1", "frozen": "0"}


def test_pressure_is_told_in_percent() -> None:
    text = (
        "some avg10=1.50 avg60=0.10 avg300=0.00 total=4711\n"
        "full avg10=0.25 avg60=0.00 avg300=0.00 total=17\n"
    )
    assert pressure(text) == {"some": 1.5, "full": 0.25}
    assert pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n") == {"some": 0.0}
    assert pressure("") == {}
