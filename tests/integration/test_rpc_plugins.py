"""Plugins that others published for Supervisor's daemon work in ours, as they do in Supervisor's.

Ours is tried twice: with Supervisor installed beside it, and by an interpreter that finds nothing
but the plugins and what the daemon itself is made of; there our own package stands in.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import BIN, Daemon, clean_environment

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
COMPAT = ROOT / "sdsuper" / "compat"
PACKAGES = ("h11", "psutil", "supervisor_cache", "supervisor_twiddler", "mr")
LISTENER = r"""
import sys
while True:
    sys.stdout.write("READY\n"); sys.stdout.flush()
    head = dict(word.split(":") for word in sys.stdin.readline().split())
    open("got", "a").write(head["eventname"] + " " + sys.stdin.read(int(head["len"])) + "\n")
    answer = "TELL" if head["eventname"].startswith("PROCESS") else "GOOD"
    sys.stdout.write("RESULT 4\n" + answer); sys.stdout.flush()
"""
PLUGINS = """\
[rpcinterface:cache]
supervisor.rpcinterface_factory = supervisor_cache.rpcinterface:make_cache_rpcinterface
[rpcinterface:laforge]
supervisor.rpcinterface_factory = mr.laforge.rpcinterface:make_laforge_rpcinterface
[rpcinterface:twiddler]
supervisor.rpcinterface_factory = supervisor_twiddler.rpcinterface:make_twiddler_rpcinterface
whitelist = getAPIVersion, getGroupNames, log, addProgramToGroup, removeProcessFromGroup
[rpcinterface:mine]
supervisor.rpcinterface_factory = rpc_plugin:make
Some_Key = 1%%
"""
PROGRAMS = f"""\
[program:cat]
command=cat
startsecs=0
autorestart=false
[eventlistener:pings]
command={sys.executable} listener.py
events=PING
startsecs=0
result_handler=rpc_plugin:handler
"""
CALLS: tuple[tuple[Any, ...], ...] = (
    ("cache.getAPIVersion",),
    ("cache.store", "key", "a value"),
    ("cache.store", "key"),
    ("cache.store", "", ""),
    ("cache.fetch", "key"),
    ("cache.fetch", "nosuch"),
    ("cache.getKeys",),
    ("cache.getCount",),
    ("cache.delete", "key"),
    ("cache.clear",),
    ("cache._update", "x"),
    ("cache.cache",),
    ("cache.supervisord.get_state",),
    ("cache.nosuch",),
    ("laforge.getAPIVersion",),
    ("laforge.killProcess", "cat", "CONT"),
    ("laforge.killProcess", "cat:cat", "SIGCONT"),
    ("laforge.killProcess", "cat", "NOSUCH"),
    ("laforge.killProcess", "nosuch", "HUP"),
    ("laforge.killProcessGroup", "nosuch", "HUP"),
    ("laforge.killProcessGroup", "cat", "CONT"),
    ("twiddler.getAPIVersion",),
    ("twiddler.getGroupNames",),
    ("twiddler.log", "told by a plugin", "WARN"),
    ("twiddler.log", "told as info"),
    ("twiddler.log", "x", "nosuch"),
    ("twiddler.addProgramToGroup", "nosuch", "x", {"command": "cat"}),
    ("twiddler.removeProcessFromGroup", "cat", "nosuch"),
    ("twiddler.removeProcessFromGroup", "cat", "cat"),
    ("mine.describe", "cat"),
    ("mine.ping", "hello"),
    ("mine.restart", "cat"),
    ("mine.start", "cat"),
    ("mine.start", "nosuch"),
    ("mine.refuse", True),
    ("mine.refuse", False),
    ("mine.refuseLater",),
    ("mine.fail",),
    ("mine.nothing",),
    ("mine._hidden",),
    ("mine.getSeen", 1),
    ("system.methodSignature", "mine.ping"),
    ("system.methodSignature", "mine.getSeen"),
    ("system.methodSignature", "cache.store"),
    ("system.multicall", [{"methodName": "cache.getCount", "params": []},
                          {"methodName": "mine.refuse", "params": [True]},
                          {"methodName": "mine.restart", "params": ["cat"]}]),
)  # fmt: skip
KINDS = ("supervisor", "beside Supervisor", "alone")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What runs the daemon where Supervisor is not installed."""
    folder = tmp_path_factory.mktemp("alone")
    for name in PACKAGES:
        spec = find_spec(name)
        assert spec is not None
        assert spec.submodule_search_locations
        (folder / name).symlink_to(next(iter(spec.submodule_search_locations)))
    main = folder / "main.py"
    main.write_text(
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(folder)!r}]; sys.argv = sys.argv[1:]\n"
        "from sdsuper.sdsuperd import main; sys.exit(main())\n"
    )
    return [sys.executable, "-I", "-S", str(main)]


@pytest.fixture(scope="module")
def daemons(alone: list[str]) -> Iterator[dict[str, Daemon]]:
    """Each of the three, running."""
    started: dict[str, Daemon] = {}
    try:
        for kind in KINDS:
            theirs = kind == "supervisor"
            daemon = Daemon(
                PLUGINS + PROGRAMS,
                peer="supervisor" if theirs else "sdsuper",
                settings="" if theirs else f"plugin_path={HERE}\n",
                environment={"PYTHONPATH": str(HERE)} if theirs else {},
                prefix=alone if kind == "alone" else (),
            )
            (daemon.dir / "listener.py").write_text(LISTENER)
            started[kind] = daemon.__enter__()
        yield started
    finally:
        for daemon in started.values():
            daemon.__exit__(None, None, None)


def outcome(daemon: Daemon, name: str, *params: object) -> Any:
    """Return what a call gives: a value, a fault or an HTTP status."""
    method = functools.reduce(getattr, name.split("."), daemon.rpc)
    try:
        return method(*params)
    except xmlrpc.client.Fault as fault:
        return fault.faultCode, fault.faultString
    except xmlrpc.client.ProtocolError as error:
        return error.errcode


@functools.cache
def outcomes(daemon: Daemon) -> dict[str, object]:
    """Return what each of our calls gives."""
    for name in ("cat", "pings"):
        daemon.wait_state(name, "RUNNING")
    return {repr(call): outcome(daemon, *call) for call in CALLS}


@pytest.mark.parametrize("kind", KINDS[1:])
def test_plugins_answer_as_with_supervisor(daemons: dict[str, Daemon], kind: str) -> None:
    assert outcomes(daemons[kind]) == outcomes(daemons["supervisor"])


@pytest.mark.parametrize("kind", KINDS)
def test_events_of_plugins_come_to_listeners_that_name_them(
    daemons: dict[str, Daemon], kind: str
) -> None:
    daemon = daemons[kind]
    got = daemon.dir / "got"

    def has(word: str) -> bool:
        return got.exists() and f"PING said:{word}\n" in got.read_text()

    for word in ("one", "two"):  # the second comes only where our handler called the first done
        assert outcome(daemon, "mine.ping", word) is True
        daemon.wait(functools.partial(has, word))


@pytest.mark.parametrize("kind", KINDS)
def test_plugins_see_events_and_options(daemons: dict[str, Daemon], kind: str) -> None:
    daemon = daemons[kind]
    daemon.wait_state("cat", "RUNNING")
    assert ["PROCESS_STATE_RUNNING", "cat", "cat"] in outcome(daemon, "mine.getSeen")
    assert outcome(daemon, "mine.getOptions") == {"some_key": "1%"}


def test_the_same_methods_are_listed(daemons: dict[str, Daemon]) -> None:
    listed = {
        kind: [name for name in daemon.rpc.system.listMethods()
               if name.startswith(("cache.", "laforge.", "twiddler.", "mine."))]
        for kind, daemon in daemons.items()
    }  # fmt: skip
    assert len(listed["alone"]) > 20
    assert sorted(listed["supervisor"]) == listed["alone"] == listed["beside Supervisor"]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_a_plugin_breaks_is_told_and_ends_nothing(
    daemons: dict[str, Daemon], kind: str
) -> None:
    daemon = daemons[kind]
    assert [outcome(daemon, f"mine.{name}") for name in ("fail", "end", "pingWrongly")] == [500] * 3
    assert daemon.rpc.supervisor.getState()["statename"] == "RUNNING"
    log = daemon.log()
    assert "ValueError: a mistake of the plugin" in log
    assert "TypeError: the payload of Wrong is not text" in log
    assert "RuntimeError: a plugin wanted to end the daemon" in log
    assert outcome(daemon, "twiddler.addProgramToGroup", "cat", "x", {"command": "cat"}) == (
        2,
        "INCORRECT_PARAMETERS: sdsuper takes programs from its configuration alone",
    )


@pytest.mark.parametrize("peer", ["supervisor", "sdsuper"])
def test_result_handlers_are_given_the_event(peer: str) -> None:
    text = f"""\
[program:cat]
command=sh -c 'cat > heard'
[eventlistener:telling]
command={sys.executable} listener.py
events=PROCESS_STATE_RUNNING
startsecs=0
result_handler=rpc_plugin:handler
"""
    theirs = peer == "supervisor"
    daemon = Daemon(
        text,
        peer=peer,
        settings="" if theirs else f"plugin_path={HERE}\n",
        environment={"PYTHONPATH": str(HERE)} if theirs else {},
    )
    (daemon.dir / "listener.py").write_text(LISTENER)
    with daemon:
        heard = daemon.dir / "heard"
        daemon.wait(lambda: heard.exists() and heard.read_text() == "cat ran\n")


def test_plugins_are_there_after_a_restart(alone: list[str]) -> None:
    with Daemon(
        PLUGINS + PROGRAMS.replace("[eventlistener", "[x"),
        prefix=alone,
        settings=f"plugin_path={HERE}\n",
    ) as daemon:
        daemon.wait_state("cat", "RUNNING")
        before = daemon.pid_of("cat")
        daemon.rpc.supervisor.restart()
        daemon.wait(lambda: daemon.log().count("'mine' initialized") == 2)
        daemon.wait_state("cat", "RUNNING")
        assert daemon.pid_of("cat") != before
        seen = [entry for entry in outcome(daemon, "mine.getSeen") if entry[1] == "cat"]
        assert len(seen) == 1


BROKEN = """\
[rpcinterface:nowhere]
supervisor.rpcinterface_factory = nosuch.module:make
[rpcinterface:broken]
supervisor.rpcinterface_factory = rpc_plugin:broken
[program:cat]
command=cat
startsecs=0
"""


def test_a_broken_plugin_keeps_nothing_down() -> None:
    with Daemon(BROKEN, settings=f"plugin_path={HERE}\n") as daemon:
        daemon.wait_state("cat", "RUNNING")
        lines = daemon.ini.read_text().splitlines()
        nowhere, broken = (lines.index(f"[rpcinterface:{name}]") for name in ("nowhere", "broken"))
        messages = daemon.messages()
        refusal = (
            f"CRIT {daemon.ini}:{nowhere + 2}: [rpcinterface:nowhere] supervisor."
            'rpcinterface_factory="nosuch.module:make": nosuch.module:make cannot be resolved '
            "within [rpcinterface:nowhere]: ModuleNotFoundError: No module named 'nosuch'"
        )
        assert refusal in messages
        assert (
            f"CRIT {daemon.ini}:{broken + 1}: Could not make broken rpc interface: "
            "ValueError: no licence; everything else goes on without it"
        ) in messages
        assert outcome(daemon, "nowhere.x") == outcome(daemon, "broken.x") == (1, "UNKNOWN_METHOD")
        done = subprocess.run(
            [str(BIN / "sdsuperd"), "config", "check", "-c", str(daemon.ini)],
            check=False,
            capture_output=True,
            text=True,
            env=clean_environment(),
        )
        assert done.returncode == 2
        assert refusal.removeprefix("CRIT ") in done.stdout


@pytest.mark.root
def test_strict_runs_nothing_that_others_may_change(tmp_path: Path) -> None:
    for mode, ends in ((0o777, True), (0o755, False)):
        (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nmake = list\n")
        tmp_path.chmod(mode)
        text = "[rpcinterface:evil]\nsupervisor.rpcinterface_factory = evil:make\n"
        daemon = Daemon(text, settings=f"strict=true\nplugin_path={tmp_path}\n")
        daemon.ini.chmod(0o600)
        if ends:
            refusal = daemon.refuse()
            assert refusal.status == 2
            assert f"{tmp_path} can be changed by others than root" in refusal.stdout
            assert not (tmp_path / "ran").exists()
        else:
            with daemon:
                assert (tmp_path / "ran").exists()


def test_nothing_of_plugins_is_imported_where_there_are_none() -> None:
    code = (
        "import sys; from sdsuper import sdsuperd; from sdsuper.server import registry; "
        "registry.declared_methods(); "
        "print([m for m in sys.modules if 'compat' in m.split('.') or m.split('.')[0] == "
        "'supervisor' or m in ('sdsuper.server.plugins', 'sdsuper.server.facade')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


SUPERLANCE = f"""\
[program:cat]
command=cat
startsecs=0
[program:bad]
command=sh -c 'exit 3'
startsecs=0
autorestart=false
autostart=false
[eventlistener:crashmail]
command={sys.executable} -S -m superlance.crashmail -a -m me@example.com -s 'tee -a mail >/dev/null'
events=PROCESS_STATE_EXITED
environment=PYTHONPATH="{COMPAT}:%(here)s/lib"
[eventlistener:memmon]
command={sys.executable} -S -m superlance.memmon -p cat=1KB
events=TICK_5
environment=PYTHONPATH="{COMPAT}:%(here)s/lib"
[program:dog]
command=cat
startsecs=0
[eventlistener:httpok]
command={sys.executable} -S -m superlance.httpok -p dog -t 5 http://127.0.0.1:PORT/nosuch
events=TICK_5
environment=PYTHONPATH="{COMPAT}:%(here)s/lib"
"""


def test_superlance_runs_with_the_stand_in_alone() -> None:
    spec = find_spec("superlance")
    assert spec is not None
    assert spec.submodule_search_locations
    daemon = Daemon(inet=True)
    daemon.write(SUPERLANCE.replace("PORT", str(daemon.port)))
    (daemon.dir / "lib").mkdir()
    (daemon.dir / "lib" / "superlance").symlink_to(next(iter(spec.submodule_search_locations)))
    with daemon:
        for name in ("crashmail", "cat", "dog", "memmon", "httpok"):
            daemon.wait_state(name, "RUNNING")
        before = daemon.pid_of("cat"), daemon.pid_of("dog")
        daemon.rpc.supervisor.startProcess("bad", False)
        mail = daemon.dir / "mail"
        wanted = "Process bad in group bad exited unexpectedly"
        daemon.wait(lambda: mail.exists() and wanted in mail.read_text())
        daemon.wait(lambda: daemon.pid_of("cat") not in (0, before[0]), what="another cat")
        daemon.wait(lambda: daemon.pid_of("dog") not in (0, before[1]), what="another dog")
        environment = {**os.environ, "PYTHONPATH": f"{COMPAT}:{daemon.dir}/lib"}
        for module in ("fatalmailbatch", "crashmailbatch", "crashsms"):
            subprocess.run(
                [sys.executable, "-S", "-c", f"import superlance.{module}"],
                check=True,
                env=environment,
            )
