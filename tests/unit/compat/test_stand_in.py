"""What stands in for Supervisor has Supervisor's names, and is used only where there is need."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sdsuper.server.registry import declared_methods

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "sdsuper" / "compat" / "supervisor"
MODULES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def run(code: str, *flags: str) -> object:
    """Return what a fresh interpreter prints as JSON."""
    prelude = f"import json, sys; sys.path.insert(0, {str(ROOT)!r}); "
    done = subprocess.run(
        [sys.executable, "-I", *flags, "-c", prelude + code],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def offered(module: str) -> list[str]:
    """Return the names that a module of ours offers."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    [names] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ] or [[node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]]
    return list(names)


@functools.cache
def theirs() -> dict[str, list[str]]:
    """Return the names in each module of Supervisor that we have, too."""
    code = (
        "from importlib import import_module as load; "
        f"print(json.dumps({{n: dir(load('supervisor.' + n)) for n in {MODULES!r}}}))"
    )
    return run(code)  # type: ignore[return-value]


@pytest.mark.parametrize("module", MODULES)
def test_every_name_is_one_of_supervisors(module: str) -> None:
    assert sorted(set(offered(module)) - set(theirs()[module])) == []


def test_states_faults_and_functions_agree_with_supervisors() -> None:
    code = (
        "from sdsuper.compat import stand_in; stand_in(); "
        "from supervisor import states, xmlrpc, options, supervisorctl as ctl; "
        "names = lambda kind: {n: repr(getattr(kind, n)) for n in dir(kind) if n.isupper()}; "
        "print(json.dumps(["
        "*map(names, (states.ProcessStates, states.SupervisorStates, states.EventListenerStates,"
        " xmlrpc.Faults, ctl.LSBInitExitStatuses, ctl.LSBStatusExitStatuses)),"
        "sorted(map(int, states.STOPPED_STATES)), sorted(map(int, states.RUNNING_STATES)),"
        "sorted(map(int, states.SIGNALLABLE_STATES)), sorted(ctl.DEAD_PROGRAM_FAULTS),"
        "[states.getProcessStateDescription(n) for n in (0, 20, 1000, 5)],"
        "[states.getSupervisorStateDescription(n) for n in (-1, 1, 7)],"
        "[xmlrpc.getFaultDescription(n) for n in (10, 92, 777)],"
        "[options.split_namespec(n) for n in ('a', 'a:b', 'a:*', 'a:', 'a:b:c')],"
        "[options.make_namespec(*n) for n in (('a', 'a'), ('a', 'b'))], options.VERSION,"
        "str(xmlrpc.RPCError(10, 'x')), str(xmlrpc.RPCError(10)), xmlrpc.RPCError(10, 'x').text"
        "]))"
    )
    ours = run(code, "-S")
    assert ours == run(code)


@pytest.mark.parametrize(("flags", "stands_in"), [(("-S",), True), ((), False)])
def test_it_stands_in_only_where_supervisor_is_not_installed(
    flags: tuple[str, ...], *, stands_in: bool
) -> None:
    code = (
        "from sdsuper.compat import stand_in; found = [stand_in(), stand_in()]; "
        "import supervisor.supervisorctl as ctl; print(json.dumps([found, ctl.__file__]))"
    )
    found, file = run(code, *flags)  # type: ignore[misc]
    assert found == [stands_in, stands_in]
    assert Path(file).is_relative_to(FOLDER) == stands_in


def test_supervisors_own_commands_are_ours_behind_their_names() -> None:
    code = (
        "from sdsuper.compat import stand_in; stand_in(); "
        "from supervisor.supervisorctl import DefaultControllerPlugin; "
        "Ctl = type('Ctl', (), {'onecmd': lambda self, line: lines.append(line)}); lines = []; "
        "plugin = DefaultControllerPlugin(Ctl()); plugin.do_start('a b'); plugin.do_status(''); "
        "one = lambda code: {'group': 'g', 'name': 'n', 'status': code, 'description': 'text'}; "
        "print(json.dumps([lines, hasattr(plugin, 'do_nonsense'), plugin._startresult(one(80)), "
        "plugin._startresult(one(50)), plugin._stopresult(one(70)), plugin._stopresult(one(30)), "
        "plugin._signalresult(one(80)), plugin._clearresult(one(30))]))"
    )
    assert run(code, "-S") == [
        ["start a b", "status "],
        False,
        "g:n: started",
        "g:n: ERROR (spawn error)",
        "g:n: ERROR (not running)",
        "text",
        "g:n: signalled",
        "g:n: ERROR (failed)",
    ]


def test_a_clients_options_are_read_as_the_client_reads_them(tmp_path: Path) -> None:
    config = tmp_path / "c.conf"
    config.write_text("[supervisorctl]\nserverurl=unix:///run/x\nusername=me\nprompt=p\n")
    code = (
        "from sdsuper.compat import stand_in; stand_in(); "
        "from supervisor.options import ClientOptions; options = ClientOptions(); "
        f"options.realize(['-c', {str(config)!r}, '-p', 'secret', 'status', 'a']); "
        "print(json.dumps([options.serverurl, options.username, options.password, options.prompt, "
        "options.args, bool(options.interactive)]))"
    )
    ours = run(code, "-S")
    assert ours == ["unix:///run/x", "me", "secret", "p", ["status", "a"], False]
    assert ours == run(code)


LISTENING = """
import io
from supervisor import childutils as c, datatypes as d, dispatchers, events as e, loggers, http
out, raw = io.StringIO(), io.BytesIO()
event = "ver:3.0 eventname:X len:11\\nab:c d:1\\nxyz"
def told(what, *words):
    try:
        return repr(what(*words))
    except Exception as error:
        return type(error).__name__
print(json.dumps([
    c.listener.wait(io.StringIO(event), out), c.listener.ok(out), c.listener.fail(out),
    c.listener.send("more", out), c.pcomm.send(b"said", raw), raw.getvalue().decode(),
    out.getvalue(),
    c.eventdata("a:b c:d\\nrest\\nx"), c.get_headers("a:b  c:d"), c.get_asctime(1.5),
    [told(d.byte_size, text) for text in ("5", "5KB", "6mb", "1GB", "x", "KB")],
    [told(d.boolean, text) for text in ("Yes", "off", "1", "maybe", "TRUE")],
    [told(d.signal_number, text) for text in ("hup", "SIGTERM", "9", "nope", "999")],
    [told(d.list_of_strings, text) for text in ("a, b", "a", "")],
    [told(dispatchers.default_handler, None, text) for text in (b"OK", b"FAIL")],
    {name: e.getEventNameByType(kind) for name, kind in sorted(vars(e).items())
     if name.endswith("Event") and e.getEventNameByType(kind)},
    sorted(name for name in vars(e.EventTypes) if name.isupper()),
    dict(loggers.LOG_LEVELS_BY_NUM.items()),
    [loggers.getLevelNumByDescription(text) for text in ("warn", "blather", "nope")],
    c.getRPCTransport({"SUPERVISOR_SERVER_URL": "unix:///s"}).serverurl, http.NOT_DONE_YET.__name__,
], sort_keys=True))
"""


def test_what_listeners_and_handlers_import_is_as_supervisors() -> None:
    ours = run("from sdsuper.compat import stand_in; stand_in()" + LISTENING, "-S")
    assert ours == run(LISTENING)


def test_the_daemons_methods_for_plugins_are_those_it_has() -> None:
    text = (FOLDER / "rpcinterface.py").read_text()
    [names] = [
        ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "METHODS"
    ]
    assert sorted(names) == sorted(
        name.removeprefix("supervisor.")
        for method in declared_methods()
        for name in method.names
        if name.startswith("supervisor.")
    )


def test_one_folder_in_pythonpath_is_enough_for_a_listener() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            "from supervisor.states import ProcessStates as p; print(+p.FATAL)",
        ],
        check=True,
        capture_output=True,
        env={"PYTHONPATH": str(FOLDER.parent)},
        cwd="/",
    )
    assert done.stdout == b"200\n"


@pytest.mark.parametrize("flags", [(), ("-S",)])
def test_folders_of_plugins_come_before_what_is_installed(flags: tuple[str, ...]) -> None:
    code = (
        "before = list(sys.path); from sdsuper.compat import open_folders as go; go(['/x', '/y']); "
        "go(['/x']); print(json.dumps([before, sys.path]))"
    )
    before, after = run(code, *flags)  # type: ignore[misc]
    added = ["/usr/local/lib/sdsuper/plugins", "/x", "/y"]
    place = after.index(added[0])
    assert after[place : place + 3] == added
    rest = after[:place] + after[place + 3 :]
    assert rest[: len(before)] == before
    # An interpreter that was started without `site` has it by now.
    assert all(path.endswith("-packages") for path in rest[len(before) :])
    assert [path for path in after[:place] if path.endswith("-packages")] == []
