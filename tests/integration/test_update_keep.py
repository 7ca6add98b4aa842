"""`update --keep`: all groups at once, and every process as it was."""

from __future__ import annotations

from tests.integration.conftest import StartDaemon

CAT = "command=cat\nstartsecs=0\n"
MULTI = "process_name=%(program_name)s_%(process_num)d\nnumprocs={0}\n"


def programs(command: str, count: int = 2) -> str:
    return (
        f"[program:auto]\ncommand={command}\nstartsecs=0\n"
        f"[program:byhand]\ncommand={command}\nstartsecs=0\nautostart=false\n"
        f"[program:never]\ncommand={command}\nstartsecs=0\nautostart=false\n"
        f"[program:many]\ncommand={command}\nstartsecs=0\n{MULTI.format(count)}"
    )


def test_what_was_up_or_down_by_hand_stays_so(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        f"{programs('cat')}[program:gone]\n{CAT}[program:same]\n{CAT}"
        "[program:broken]\ncommand=/no/such/file\nstartretries=0\n"
    )
    for name in ("auto", "many:many_0", "gone", "same"):
        daemon.wait_state(name, "RUNNING")
    daemon.wait_state("broken", "FATAL")
    daemon.ctl("start", "byhand")
    daemon.ctl("stop", "many:many_1")
    same = daemon.pid_of("same")
    daemon.write(
        f"{programs('cat -u', 3)}[program:same]\n{CAT}[program:new]\n{CAT}[program:broken]\n{CAT}"
    )
    lines = [f"{name}: stopped" for name in ("auto", "broken", "byhand", "gone", "many", "never")]
    lines += [f"{name}: updated process group" for name in ("auto", "broken", "byhand", "many")]
    lines += ["gone: removed process group", "never: updated process group"]
    lines += ["new: added process group"]
    done = daemon.ctl("update", "--keep")
    assert (sorted(done.stdout.splitlines()), done.status) == (sorted(lines), 0)
    states = {
        f"{info['group']}:{info['name']}": info["statename"]
        for info in daemon.rpc.supervisor.getAllProcessInfo()
    }
    assert states == {
        "auto:auto": "RUNNING",
        "broken:broken": "RUNNING",
        "byhand:byhand": "RUNNING",
        "many:many_0": "RUNNING",
        "many:many_1": "STOPPED",
        "many:many_2": "RUNNING",
        "never:never": "STOPPED",
        "new:new": "RUNNING",
        "same:same": "RUNNING",
    }
    assert daemon.pid_of("same") == same
    assert daemon.ctl("update", "--keep") == ("", 0)


def test_groups_can_be_chosen_and_stop_together(start_daemon: StartDaemon) -> None:
    # Each stops only when the other has been asked to.
    pair = (
        "[program:{0}]\nstartsecs=0\nstopwaitsecs=600\ncommand=sh -c 'trap \"touch %(here)s/{0}; "
        'while [ ! -e %(here)s/{1} ]; do sleep 0.05; done; exit" TERM; echo up; '
        "while :; do sleep 0.05; done'\nstdout_logfile=%(here)s/{0}.log\n"
    )
    both = pair.format("one", "two") + pair.format("two", "one")
    daemon = start_daemon(f"{both}[program:other]\n{CAT}")

    def is_up(name: str) -> bool:
        log = daemon.dir / f"{name}.log"
        return log.exists() and log.read_text() == "up\n"

    daemon.wait(lambda: is_up("one") and is_up("two"))
    daemon.write(f"[program:new]\n{CAT}[program:newer]\n{CAT}")
    told = (
        "ERROR: no such group: nosuch\none: stopped\none: removed process group\n"
        "two: stopped\ntwo: removed process group\nnew: added process group\n"
    )
    assert daemon.ctl("update", "--keep", "two", "one", "new", "nosuch") == (told, 1)
    assert daemon.ctl("status").stdout.split()[::6] == ["new", "other"]


def test_another_daemon_says_that_it_cannot(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(f"[program:cat]\n{CAT}", peer="supervisor")
    daemon.write(f"[program:cat]\n{CAT}[program:new]\n{CAT}")
    assert daemon.ctl("update", "--keep", peer="sdsuper") == (
        "ERROR: this daemon knows no update --keep\n",
        1,
    )
    daemon.wait_state("cat", "RUNNING")
