"""Plugins that others published for Supervisor's client work in ours, with Supervisor and without.

Without: an interpreter that finds the plugins, but neither Supervisor nor anything else that was
installed beside it; there our own package stands in.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.ctl_scenarios import normalise
from tests.integration.harness import BIN, PEERS, Daemon, clean_environment

ROOT = Path(__file__).parents[2]
CAT = "command=cat\nstartsecs=0\n"
SERIAL = "supervisorserialrestart.controllerplugin"
PROGRAMS = f"""\
[program:cat]
{CAT}
[program:multi]
{CAT}process_name=%(program_name)s_%(process_num)02d
numprocs=2
[ctlplugin:wild]
supervisor.ctl_factory = supervisorwildcards.controllerplugin:make_wildcards_controllerplugin
match_group = 1
[ctlplugin:serial]
supervisor.ctl_factory = {SERIAL}:make_serialrestart_controllerplugin
[ctlplugin:cache]
supervisor.ctl_factory = supervisor_cache.controllerplugin:make_cache_controllerplugin
[ctlplugin:laforge]
supervisor.ctl_factory = mr.laforge.controllerplugin:make_laforge_controllerplugin
"""
INTERFACES = """\
[rpcinterface:cache]
supervisor.rpcinterface_factory = supervisor_cache.rpcinterface:make_cache_rpcinterface
[rpcinterface:laforge]
supervisor.rpcinterface_factory = mr.laforge.rpcinterface:make_laforge_rpcinterface
"""
PACKAGES = ("supervisorwildcards", "supervisorserialrestart", "supervisor_cache", "mr")
LINES = (
    "help",
    "help mstop",
    "help serialrestart",
    "help cache_store",
    "help kill",
    "mstop multi:*0",
    "mstop multi:*",
    "status",
    "mstart multi:* cat:*",
    "mrestart all",
    "mstop nosuch*",
    "mstop",
    "serialrestart",
    "serialrestart nosuch",
    "serialrestart multi:*",
    "cache_store key 'a  value'",
    "cache_fetch key",
    "cache_keys",
    "cache_count",
    "cache_count x",
    "cache_fetch nosuch",
    "cache_delete key",
    "cache_count",
    "kill",
    "kill HUP nosuch",
    "kill NOSUCH cat",
    "kill CONT cat multi:multi_00",
)
CLIENT_ONLY = ("m", "s")
"""How the commands begin that ask the daemon for nothing but Supervisor's own methods."""


class Answer(NamedTuple):
    """What one line gave: its output in the order of the alphabet, for plugins use threads."""

    line: str
    out: str
    errors: str
    status: int


class Client:
    """A way to run a client."""

    def __init__(self, *command: str) -> None:
        self._command = command

    def run(self, daemon: Daemon, line: str) -> Answer:
        """Run one line."""
        done = subprocess.run(
            [*self._command, "-c", str(daemon.ini), *line.split(" ")],
            check=False,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            env=clean_environment(),
            cwd=daemon.dir,
        )
        out = "".join(sorted(normalise(done.stdout, daemon).splitlines(keepends=True)))
        return Answer(line, out, done.stderr, done.returncode)


@pytest.fixture(scope="module")
def without_supervisor(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Our client where nothing is installed but the plugins."""
    folder = tmp_path_factory.mktemp("plugins")
    for name in PACKAGES:
        spec = find_spec(name)
        assert spec is not None
        assert spec.submodule_search_locations
        (folder / name).symlink_to(next(iter(spec.submodule_search_locations)))
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(folder)!r}]; sys.argv[0] = 'sdsuperctl'; "
        "from sdsuper.sdsuperctl import main; sys.exit(main())"
    )
    return Client(sys.executable, "-I", "-S", "-c", code)


OURS = Client(str(BIN / PEERS["sdsuper"].client))
THEIRS = Client(str(BIN / PEERS["supervisor"].client))


@pytest.fixture(scope="module")
def supervisord() -> Iterator[Daemon]:
    """Supervisor's daemon, with the plugins' other half."""
    with Daemon(PROGRAMS + INTERFACES, peer="supervisor") as daemon:
        yield daemon


@functools.cache
def answers(client: Client, daemon: Daemon, lines: tuple[str, ...] = LINES) -> list[Answer]:
    """Return what a client gives for each of our lines."""
    for name in ("cat", "multi:multi_00", "multi:multi_01"):
        daemon.wait_state(name, "RUNNING")
    return [client.run(daemon, line) for line in lines]


def decided(theirs: Answer) -> Answer:
    """Return what our client answers where Supervisor's answers this: help is said once."""
    if not theirs.line.startswith("help "):
        return theirs
    lines = theirs.out.splitlines(keepends=True)
    return theirs._replace(out="".join(each for each in lines if "No help on" not in each))


def expected(daemon: Daemon, lines: tuple[str, ...] = LINES) -> list[Answer]:
    """Return what our client is to give for these lines."""
    return [decided(each) for each in answers(THEIRS, daemon) if each.line in lines]


def test_plugins_do_the_same_in_our_client(supervisord: Daemon) -> None:
    assert answers(OURS, supervisord) == expected(supervisord)


def test_plugins_do_the_same_without_supervisor(
    supervisord: Daemon, without_supervisor: Client
) -> None:
    assert answers(without_supervisor, supervisord) == expected(supervisord)


def test_plugins_do_the_same_with_our_daemon(
    supervisord: Daemon, without_supervisor: Client
) -> None:
    lines = tuple(line for line in LINES if line.startswith(CLIENT_ONLY))
    with Daemon(PROGRAMS) as daemon:
        ours = answers(without_supervisor, daemon, lines)
    assert ours == expected(supervisord, lines)


def test_a_plugin_that_is_not_there_costs_only_its_own_commands(supervisord: Daemon) -> None:
    text = supervisord.ini.read_text().replace("mr.laforge.controllerplugin", "nosuch.module")
    broken = supervisord.dir / "broken.conf"
    broken.write_text(text)
    line = text.splitlines().index("[ctlplugin:laforge]") + 1
    done = supervisord.run_ctl("mstop", "nosuch", peer="sdsuper", options=["-c", str(broken)])
    assert (done.stdout, done.returncode) == ("No process matched given expression.\n", 0)
    assert done.stderr == (
        "Error: nosuch.module:make_laforge_controllerplugin cannot be resolved within "
        f"[ctlplugin:laforge]\n{broken}:{line}: ModuleNotFoundError: No module named 'nosuch'\n"
    )
    done = supervisord.run_ctl("pid", peer="sdsuper", options=["-c", str(broken)])
    assert (done.stdout, done.stderr) == (f"{supervisord.pid}\n", "")
