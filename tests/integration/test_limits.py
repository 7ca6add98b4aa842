"""What a program has of its limits, and what is told where one cannot be set."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cgroups import delegated, inside
from tests.integration.conftest import StartDaemon

PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
"""One that other users may execute too."""

PROBE = """
import json, os, resource
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
limits = {
    line[:25].strip(): line[25:].split()[:2]
    for line in open("/proc/self/limits").read().splitlines()[1:]
}
print(json.dumps({
    "uid": os.getuid(), "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "oom": int(open("/proc/self/oom_score_adj").read()), "cpus": sorted(os.sched_getaffinity(0)),
    "no_new_privileges": status["NoNewPrivs"], "limits": limits,
    **{name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
}), flush=True)
input()
"""

OOM_SCORE = Path("/proc/self/oom_score_adj")
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
BIND, SETUID, CHOWN = 1 << 10, 1 << 7, 1 << 0


def probe(start_daemon: StartDaemon, *options: str) -> list[dict[str, Any]]:
    """Start programs that report what they have, one for each text of options."""
    daemon = start_daemon("")
    daemon.dir.chmod(0o755)
    script = daemon.dir / "probe.py"
    script.write_text(PROBE)
    logs = [daemon.dir / f"out{number}" for number in range(len(options))]
    daemon.write(
        "\n".join(
            f"[program:p{number}]\ncommand={PYTHON} {script}\nstdout_logfile={log}\n{text}"
            for number, (log, text) in enumerate(zip(logs, options, strict=True))
        )
    )
    daemon.ctl("update")
    daemon.wait(lambda: all(log.exists() and log.read_text().endswith("\n") for log in logs))
    return [json.loads(log.read_text()) for log in logs]


def test_what_the_child_sets_on_itself(start_daemon: StartDaemon) -> None:
    cpu = max(os.sched_getaffinity(0))
    plain, limited = probe(
        start_daemon,
        "",
        f"nice=19\noom_score_adjust=300\ncpu_affinity={cpu}\nno_new_privileges=true\n"
        "rlimit_nofile=200:300\nrlimit_core=0:1M\nrlimit_cpu=1h:2h\nrlimit_fsize=1G\n"
        "rlimit_nproc=5000\nrlimit_stack=4M:16M\nrlimit_as=2G\nrlimit_data=2G\nrlimit_rss=1G\n"
        "rlimit_memlock=32K\nrlimit_locks=10\nrlimit_sigpending=100\nrlimit_msgqueue=1K:2K\n"
        "rlimit_nice=0\nrlimit_rtprio=0\nrlimit_rttime=20ms:1s",
    )
    assert (plain["nice"], plain["oom"], plain["no_new_privileges"]) == (
        os.getpriority(os.PRIO_PROCESS, 0), int(OOM_SCORE.read_text()), "0",
    )  # fmt: skip
    assert limited["nice"] == 19
    assert limited["oom"] == 300
    assert limited["cpus"] == [cpu]
    assert limited["no_new_privileges"] == "1"
    assert {name: tuple(pair) for name, pair in limited["limits"].items()} == {
        "Max open files": ("200", "300"),
        "Max core file size": ("0", "1048576"),
        "Max cpu time": ("3600", "7200"),
        "Max file size": ("1073741824", "1073741824"),
        "Max processes": ("5000", "5000"),
        "Max stack size": ("4194304", "16777216"),
        "Max address space": ("2147483648", "2147483648"),
        "Max data size": ("2147483648", "2147483648"),
        "Max resident set": ("1073741824", "1073741824"),
        "Max locked memory": ("32768", "32768"),
        "Max file locks": ("10", "10"),
        "Max pending signals": ("100", "100"),
        "Max msgqueue size": ("1024", "2048"),
        "Max nice priority": ("0", "0"),
        "Max realtime priority": ("0", "0"),
        "Max realtime timeout": ("20000", "1000000"),
    }


@pytest.mark.root
def test_another_user_keeps_just_the_capabilities_that_are_named(start_daemon: StartDaemon) -> None:
    named, none, more = probe(
        start_daemon,
        "user=nobody\ncapabilities=CAP_NET_BIND_SERVICE,CAP_CHOWN\nno_new_privileges=true",
        "user=nobody\ncapabilities=none",
        # What only root may do, for one who is not root by then.
        "user=nobody\nnice=-20\nrlimit_nofile=100",
    )
    assert named["uid"] == none["uid"] == more["uid"] == 65534
    assert [named[each] for each in SETS] == [BIND | CHOWN] * 5
    assert [none[each] for each in SETS] == [0] * 5
    assert more["nice"] == -20
    assert more["limits"]["Max open files"][:2] == ["100", "100"]
    assert more["CapEff"] == 0
    assert more["CapBnd"] != 0


@pytest.mark.root
def test_root_is_left_with_what_is_named(start_daemon: StartDaemon) -> None:
    [found] = probe(start_daemon, "capabilities=setuid,CAP_NET_BIND_SERVICE")
    assert found["uid"] == 0
    assert [found[each] for each in SETS] == [BIND | SETUID] * 4 + [0]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("cpu_affinity=8000-8002", "cpu_affinity=8000-8002: EINVAL"),
        ("rlimit_nofile=100000000000", "rlimit_nofile=100000000000: EPERM"),
        ("user=nobody\nrlimit_nofile=9:100000000000", "rlimit_nofile=9:100000000000: EPERM"),
    ],
)
@pytest.mark.root
def test_what_cannot_be_set_is_told_by_its_option(
    option: str, told: str, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(
        f"[program:p]\ncommand=sleep 600\n{option}\nstartretries=0\n"
        "stdout_logfile=NONE\nstderr_logfile=%(here)s/err\n"
    )
    daemon.wait_state("p", "FATAL")
    assert f"WARN cannot run 'p': {told.replace('=', ' ', 1)}" in daemon.messages()
    assert (daemon.dir / "err").read_text() == (
        f"supervisor: couldn't set {told}\nsupervisor: child process was not spawned\n"
    )


@pytest.mark.root
def test_a_daemon_without_the_rights_tells_what_it_may_not_set(start_daemon: StartDaemon) -> None:
    options = "command=sleep 600\nstartretries=0\n"
    daemon = start_daemon(
        f"[program:nice]\n{options}nice=-20\n"
        f"[program:caps]\n{options}capabilities=CAP_KILL\n"
        f"[program:less]\n{options}nice=19\nrlimit_nofile=100:200\nno_new_privileges=true\n",
        prefix=("setpriv", "--bounding-set", "-sys_nice,-setpcap"),
    )
    daemon.wait_state("nice", "FATAL")
    daemon.wait_state("caps", "FATAL")
    daemon.wait_state("less", "RUNNING")
    assert "WARN cannot run 'nice': nice -20: EACCES" in daemon.messages()
    assert "WARN cannot run 'caps': capabilities CAP_KILL: EPERM" in daemon.messages()


CGROUP_OPTIONS = "memory_max=32M\ncpu_quota=50%\npids_max=10\nio_weight=50\n"


def test_what_no_cgroup_can_do_is_told_when_it_is_loaded(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(f"[program:p]\ncommand=sleep 600\n{CGROUP_OPTIONS}")
    daemon.wait_state("p", "RUNNING")
    line = daemon.ini.read_text().splitlines().index("[program:p]") + 1

    def told() -> list[str]:
        return [each for each in daemon.messages() if "has no effect" in each]

    start = f"WARN {daemon.ini}:{line}: [program:p] "
    assert [each.partition(":")[0] for each in told()] == [start.partition(":")[0]] * 4
    assert [each.removeprefix(start).partition(" has")[0] for each in told()] == [
        "memory_max=32MB",
        "cpu_quota=50%",
        "pids_max=10",
        "io_weight=50",
    ]
    daemon.ctl("restart", "p")  # once is enough
    daemon.wait_state("p", "RUNNING")
    assert len(told()) == 4


@pytest.mark.cgroups
def test_a_controller_that_the_host_does_not_delegate_is_named(start_daemon: StartDaemon) -> None:
    with delegated() as cgroup:
        missing = "memory" not in (cgroup / "cgroup.controllers").read_text().split()
        daemon = start_daemon(
            "[program:p]\ncommand=sleep 600\nmemory_max=32M\n", prefix=inside(cgroup)
        )
        daemon.wait_state("p", "RUNNING")
        told = "memory_max=32MB has no effect: the cgroup controller 'memory' is not delegated"
        assert (told in daemon.log()) == missing
        limit = cgroup / "programs" / "p:p" / "memory.max"
        assert missing or limit.read_text() == f"{32 * 1024**2}\n"
        daemon.terminate()
