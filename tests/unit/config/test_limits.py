"""What may be written as a limit, what it means, and that it is written as it is read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.limits import CAPABILITIES, INFINITY, Memory, OomPolicy, Rlimit
from sdsuper.config.model import LimitsConfig
from sdsuper.config.option import LIVE, option_named, options_of
from sdsuper.config.show import render_ini
from tests.unit.config.conftest import Load

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@pytest.mark.parametrize(
    ("key", "text", "expected", "written"),
    [
        ("memory_max", "1048576", Memory(MIB), "1MB"),
        ("memory_max", "512K", Memory(512 * KIB), "512KB"),
        ("memory_max", " 32 mib ", Memory(32 * MIB), "32MB"),
        ("memory_max", "3GB", Memory(3 * GIB), "3GB"),
        ("memory_max", "2T", Memory(2048 * GIB), "2048GB"),
        ("memory_max", "25%", Memory(25, percent=True), "25%"),
        ("memory_max", "Infinity", Memory(INFINITY), "infinity"),
        ("memory_high", "1001", Memory(1001), "1001"),
        ("oom_policy", "Continue", OomPolicy.CONTINUE, "continue"),
        ("cpu_quota", "150%", 150, "150%"),
        ("cpu_quota", "5 %", 5, "5%"),
        ("cpu_quota", "infinity", INFINITY, "infinity"),
        ("cpu_weight", "10000", 10000, "10000"),
        ("io_weight", "1", 1, "1"),
        ("pids_max", "1", 1, "1"),
        ("pids_max", "infinity", INFINITY, "infinity"),
        ("nice", "+5", 5, "5"),
        ("nice", "-20", -20, "-20"),
        ("oom_score_adjust", "-1000", -1000, "-1000"),
        ("cpu_affinity", "3", (3,), "3"),
        ("cpu_affinity", "0-2, 5 4,9", (0, 1, 2, 4, 5, 9), "0-2,4-5,9"),
        ("rlimit_nofile", "1024", Rlimit(1024, 1024), "1024"),
        ("rlimit_nofile", "1024:infinity", Rlimit(1024, INFINITY), "1024:infinity"),
        ("rlimit_core", "0 : 1G", Rlimit(0, GIB), "0:1GB"),
        ("rlimit_core", "infinity", Rlimit(INFINITY, INFINITY), "infinity"),
        ("rlimit_cpu", "90:1h 30min", Rlimit(90, 5400), "90s:90min"),
        ("rlimit_rttime", "500ms:1s", Rlimit(500_000, 1_000_000), "500ms:1s"),
        ("rlimit_rttime", "20", Rlimit(20, 20), "20us"),
        ("rlimit_nice", "-5", Rlimit(25, 25), "25"),
        ("rlimit_nice", "+0:-20", Rlimit(20, 40), "20:40"),
        ("rlimit_nice", "1", Rlimit(1, 1), "1"),
        ("no_new_privileges", "yes", True, "true"),
        ("capabilities", "none", frozenset(), "none"),
        ("capabilities", "cap_kill, CHOWN", frozenset((0, 5)), "CAP_CHOWN,CAP_KILL"),
        (
            "capabilities",
            "CAP_NET_BIND_SERVICE CAP_CHECKPOINT_RESTORE",
            frozenset((10, 40)),
            "CAP_NET_BIND_SERVICE,CAP_CHECKPOINT_RESTORE",
        ),
    ],
)
def test_what_may_be_written(key: str, text: str, expected: Any, written: str) -> None:
    kind = option_named(LimitsConfig, key).kind
    assert kind.parse(text) == expected
    assert kind.format(expected) == written
    assert kind.parse(written) == expected


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("memory_max", "0", "not more than 0"),
        ("memory_max", "", "not bytes"),
        ("memory_max", "-1", "not bytes"),
        ("memory_max", "1.5G", "not bytes"),
        ("memory_max", "1 XB", "not bytes"),
        ("memory_max", "8E", "not bytes"),
        ("memory_max", "0%", "not a percentage from 1 to 100: '0'"),
        ("memory_max", "101%", "not a percentage from 1 to 100"),
        ("cpu_quota", "150", "not a percentage of one processor"),
        ("cpu_quota", "0%", "not a percentage of one processor"),
        ("cpu_quota", "half%", "not a percentage of one processor"),
        ("cpu_weight", "0", "not a whole number from 1 to 10000: '0'"),
        ("io_weight", "10001", "not a whole number from 1 to 10000"),
        ("pids_max", "0", "not 1 or more"),
        ("pids_max", "-1", "not a whole number or infinity"),
        ("nice", "20", "not a whole number from -20 to 19"),
        ("nice", "--1", "not a whole number from -20 to 19"),
        ("nice", "1_0", "not a whole number from -20 to 19"),
        ("nice", "\u0661", "not a whole number from -20 to 19"),
        ("oom_score_adjust", "-1001", "not a whole number from -1000 to 1000"),
        ("cpu_affinity", "", "it is empty"),
        ("cpu_affinity", "3-1", "not a processor or a range of them, such as 0-3: '3-1'"),
        ("cpu_affinity", "-1", "not a processor"),
        ("cpu_affinity", "0-9999", "not a processor"),
        ("rlimit_nofile", "", "not a whole number or infinity"),
        ("rlimit_nofile", "1:", "not a whole number or infinity"),
        ("rlimit_nofile", "2:1", "the soft limit is above the hard one: '2:1'"),
        ("rlimit_nofile", "infinity:1", "the soft limit is above the hard one"),
        ("rlimit_nofile", "1:2:3", "not a whole number or infinity"),
        ("rlimit_cpu", "soon", "not a valid span of time"),
        ("rlimit_rttime", "1h", "not microseconds"),
        ("rlimit_nice", "-21", "not a whole number from -20 to 19"),
        ("capabilities", "", "it is empty (none is none)"),
        ("capabilities", "CAP_KILL,CAP_FLY", "not a capability: 'CAP_FLY'"),
        ("capabilities", "none,CAP_KILL", "not a capability: 'none'"),
    ],
)
def test_what_is_refused(key: str, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        option_named(LimitsConfig, key).kind.parse(text)


@given(st.sampled_from(options_of(LimitsConfig)), st.text("0123456789:-+%,kmginfty. ", max_size=12))
def test_what_is_read_is_written_so_that_it_is_read_again(option: Any, text: str) -> None:
    try:
        value = option.kind.parse(text)
    except ValueError:
        return
    assert option.kind.parse(option.kind.format(value)) == value


def test_what_changes_while_the_process_runs_is_of_its_cgroup() -> None:
    live = {option.key for option in options_of(LimitsConfig) if option.on_change is LIVE}
    assert live == {
        "memory_max", "memory_high", "oom_policy", "cpu_quota", "cpu_weight", "pids_max",
        "io_weight",
    }  # fmt: skip


def test_there_is_an_option_for_every_limit_that_the_standard_library_knows() -> None:
    import resource

    known = {name.lower() for name in dir(resource) if name.startswith("RLIMIT_")}
    declared = {option.key for option in options_of(LimitsConfig)}
    assert known - declared == {"rlimit_ofile"}  # another name of RLIMIT_NOFILE


def test_the_capabilities_are_the_kernels() -> None:
    """Source: linux/capability.h."""
    assert CAPABILITIES.index("NET_BIND_SERVICE") == 10
    assert CAPABILITIES.index("SYS_ADMIN") == 21
    assert CAPABILITIES.index("SYSLOG") == 34
    assert CAPABILITIES.index("CHECKPOINT_RESTORE") == len(CAPABILITIES) - 1 == 40


def test_a_percent_sign_at_the_end_need_not_be_written_twice(read: Load) -> None:
    text = "[program:x]\ncommand=x\ncpu_quota=%(ENV_SHARE)s%\nmemory_max=40%%\nmemory_high=30%\n"
    config = read(text, environ={"SHARE": "15"})
    [process] = config.groups[0].processes
    assert process.limits == LimitsConfig(
        cpu_quota=15, memory_max=Memory(40, percent=True), memory_high=Memory(30, percent=True)
    )
    assert "\ncpu_quota=15%%\n" in render_ini(config)


def test_each_process_may_have_processors_of_its_own(read: Load) -> None:
    config = read(
        "[program:x]\ncommand=x\nnumprocs=2\nprocess_name=%(process_num)d\n"
        "cpu_affinity=%(process_num)d\n"
    )
    assert [each.limits.cpu_affinity for each in config.groups[0].processes] == [(0,), (1,)]
