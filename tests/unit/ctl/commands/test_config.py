"""Commands about what is configured, every outcome."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sdsuper.rpc.faults import Fault, FaultCode
from tests.unit.ctl.fakes import Session, process, result

CONFIGURED = {
    "group": "g",
    "name": "n",
    "inuse": True,
    "autostart": True,
    "group_prio": 1,
    "process_prio": 2,
}
AVAIL = "g:n                              in use    auto      1:2\n"
BROKEN = Fault(FaultCode.CANT_REREAD, "x.ini: bad")
ENDING = Fault(FaultCode.SHUTDOWN_STATE)
ODD = Fault(FaultCode.FAILED)


@pytest.mark.parametrize("name", ["avail", "reread"])
def test_no_arguments_are_taken(name: str) -> None:
    session = Session()
    help_text = session.control.commands[name].help
    expected = f"Error: {name} accepts no arguments\n{help_text}\n"
    assert session.run(f"{name} x") == (expected, 1)


def test_avail() -> None:
    assert Session({"getAllConfigInfo": [CONFIGURED]}).run("avail") == (AVAIL, 0)
    assert Session({"getAllConfigInfo": []}).run("avail") == ("", 0)
    out, _ = Session({"getAllConfigInfo": [CONFIGURED]}, json=True).run("avail")
    assert json.loads(out)[0]["namespec"] == "g:n"


def test_reread() -> None:
    answers = {"reloadConfig": [[["new"], ["same"], ["gone"]]]}
    out = "gone: disappeared\nnew: available\nsame: changed\n"
    assert Session(answers).run("reread") == (out, 0)
    out, _ = Session(answers, json=True).run("reread")
    assert json.loads(out) == {"added": ["new"], "changed": ["same"], "removed": ["gone"]}
    nothing: dict[str, Any] = {"reloadConfig": [[[], [], []]]}
    assert Session(nothing).run("reread") == ("No config updates to processes\n", 0)


@pytest.mark.parametrize(
    ("line", "method", "fault", "out", "status"),
    [
        ("avail", "getAllConfigInfo", ENDING, "ERROR: supervisor shutting down", 1),
        ("reread", "reloadConfig", ENDING, "ERROR: supervisor shutting down", 1),
        ("update", "reloadConfig", ENDING, "ERROR: already shutting down", 1),
        ("reread", "reloadConfig", BROKEN, "ERROR: CANT_REREAD: x.ini: bad", 1),
        ("update", "reloadConfig", BROKEN, "ERROR: CANT_REREAD: x.ini: bad", 1),
        ("add g", "addProcessGroup", ENDING, "ERROR: shutting down", 1),
        (
            "add g",
            "addProcessGroup",
            Fault(FaultCode.ALREADY_ADDED, "g"),
            "ERROR: process group already active",
            0,
        ),
        (
            "add g",
            "addProcessGroup",
            Fault(FaultCode.BAD_NAME, "g"),
            "ERROR: no such process/group: g",
            1,
        ),
        (
            "remove g",
            "removeProcessGroup",
            Fault(FaultCode.STILL_RUNNING, "g"),
            "ERROR: process/group still running: g",
            1,
        ),
        (
            "remove g",
            "removeProcessGroup",
            Fault(FaultCode.BAD_NAME, "g"),
            "ERROR: no such process/group: g",
            1,
        ),
    ],
)
def test_what_is_refused(line: str, method: str, fault: Fault, out: str, status: int) -> None:
    assert Session({method: fault}).run(line) == (f"{out}\n", status)


@pytest.mark.parametrize(
    ("line", "method"),
    [
        ("avail", "getAllConfigInfo"),
        ("reread", "reloadConfig"),
        ("add g", "addProcessGroup"),
        ("remove g", "removeProcessGroup"),
    ],
)
def test_what_nobody_expects(line: str, method: str) -> None:
    out, status = Session({method: ODD}).run(line)
    assert out.startswith("error: <class 'xmlrpc.client.Fault'>, <Fault 30: 'FAILED'>")
    assert status == 1


def test_add_and_remove() -> None:
    session = Session({"addProcessGroup": True, "removeProcessGroup": True})
    assert session.run("add")[0] == ""
    assert session.run("remove") == ("", 0)
    session.run("add a b")
    expected = "a: added process group\nb: added process group\na: removed process group\n"
    assert session.run("remove a") == (expected, 0)


def changed(*stopped: dict[str, Any]) -> dict[str, Any]:
    return {
        "reloadConfig": [[["new"], ["same"], ["gone"]]],
        "getAllProcessInfo": [process("x", "same"), process("gone"), process("idle")],
        "sdsuper.updateGroups": Fault(FaultCode.UNKNOWN_METHOD),
        "stopProcessGroup": list(stopped),
        "removeProcessGroup": True,
        "addProcessGroup": True,
    }


GONE = "gone: stopped\ngone: removed process group\n"
SAME = "same: stopped\nsame: updated process group\n"
NEW = "new: added process group\n"


@pytest.mark.parametrize(
    ("line", "out", "status"),
    [
        ("update", GONE + SAME + NEW, 0),
        ("update all", GONE + SAME + NEW, 0),
        ("update nosuch all", GONE + SAME + NEW, 0),
        ("update new", NEW, 0),
        ("update new gone", GONE + NEW, 0),
        ("update same", SAME, 0),
        ("update idle", "", 0),
        ("update y nosuch new", f"ERROR: no such group: nosuch\nERROR: no such group: y\n{NEW}", 1),
    ],
)
def test_update(line: str, out: str, status: int) -> None:
    assert Session(changed(result("x"))).run(line) == (out, status)


def test_update_stops_removes_and_adds_in_that_order() -> None:
    session = Session(changed())
    session.run("update same")
    assert session.client.calls[2:] == [
        ("sdsuper.updateGroups", ["same"], False),
        ("stopProcessGroup", "same"),
        ("removeProcessGroup", "same"),
        ("addProcessGroup", "same"),
    ]


def test_update_keeps_what_would_not_stop() -> None:
    session = Session(changed(result("x", FaultCode.FAILED, "gone")))
    out = "gone: stopped\ngone: has problems; not removing\n"
    assert session.run("update gone") == (out, 1)
    assert ("removeProcessGroup", "gone") not in session.client.calls


def replaced(*told: tuple[str, str]) -> dict[str, Any]:
    answer = [{"name": name, "change": change} for name, change in told]
    return {**changed(), "sdsuper.updateGroups": answer}


def test_update_of_all_groups_at_once() -> None:
    session = Session(replaced(("gone", "removed"), ("same", "changed"), ("new", "added")))
    assert session.run("update --keep") == (GONE + SAME + NEW, 0)
    assert session.client.calls[-1] == ("sdsuper.updateGroups", ["gone", "new", "same"])


def changes(kind: str, **told: list[str]) -> list[dict[str, Any]]:
    keys = ("restarted", "removed", "added", "live", "restart_options", "live_options")
    return [{"name": "same", "change": kind, **{key: told.get(key, []) for key in keys}}]


MIXED = changes(
    "updated",
    restarted=["r"],
    removed=["gone"],
    added=["a", "b"],
    live=["l"],
    restart_options=["command", "user"],
    live_options=["stopwaitsecs"],
)
MIXED_TOLD = (
    "same:gone: stopped\nsame:r: stopped\nsame: changed in place (stopwaitsecs)\n"
    "same: updated process group\n"
)
MIXED_PLAN = (
    "same: would remove gone; would restart r (command, user); would add a, b; "
    "would change in place (stopwaitsecs)\n"
)


@pytest.mark.parametrize(
    ("answer", "out", "plan"),
    [
        (
            changes("live", live=["same"], live_options=["autorestart", "priority"]),
            "same: changed in place (autorestart, priority)\n",
            "same: would change in place (autorestart, priority)\n",
        ),
        (changes("live"), "same: changed in place\n", "same: would change in place\n"),
        (MIXED, MIXED_TOLD, MIXED_PLAN),
        (
            changes("changed", restarted=["same"], restart_options=["command"]),
            SAME,
            "same: would restart same (command)\n",
        ),
        (
            changes("removed", removed=["same"]),
            "same: stopped\nsame: removed process group\n",
            "same: would be removed\n",
        ),
        (changes("added", added=["x"]), "same: added process group\n", "same: would be added\n"),
    ],
)
def test_update_says_what_it_has_disturbed(
    answer: list[dict[str, Any]], out: str, plan: str
) -> None:
    session = Session({**changed(), "sdsuper.updateGroups": answer, "sdsuper.planUpdate": answer})
    assert session.run("update same") == (out, 0)
    assert session.client.calls[-1] == ("sdsuper.updateGroups", ["same"], False)
    session = Session({**changed(), "sdsuper.planUpdate": answer})
    assert session.run("update --dry-run same") == (plan, 0)
    assert session.client.calls[-1] == ("sdsuper.planUpdate", ["same"])


def test_an_older_daemon_is_driven_group_by_group() -> None:
    older = {**changed(), "sdsuper.updateGroups": Fault(FaultCode.INCORRECT_PARAMETERS)}
    assert Session(older).run("update") == (GONE + SAME + NEW, 0)


def test_update_of_chosen_groups_at_once() -> None:
    session = Session(replaced(("same", "kept")))
    expected = "ERROR: no such group: nosuch\nsame: stopped\nsame: has problems; not removing\n"
    assert session.run("update --keep same nosuch") == (expected, 1)
    assert session.client.calls[-1] == ("sdsuper.updateGroups", ["nosuch", "same"])


def test_nothing_is_asked_where_nothing_has_changed() -> None:
    session = Session({"reloadConfig": [[[], [], []]]})
    assert session.run("update --keep") == ("", 0)


@pytest.mark.parametrize(
    ("fault", "out"),
    [
        (Fault(FaultCode.UNKNOWN_METHOD), "ERROR: this daemon knows no update {}\n"),
        (ODD, "error: <class 'xmlrpc.client.Fault'>, <Fault 30: 'FAILED'>"),
    ],
)
@pytest.mark.parametrize("option", ["--keep", "--dry-run"])
def test_a_daemon_that_cannot_update_at_once(option: str, fault: Fault, out: str) -> None:
    answers = {**changed(), "sdsuper.updateGroups": fault, "sdsuper.planUpdate": fault}
    found, status = Session(answers).run(f"update {option}")
    out = out.format(option)
    assert found.startswith(out)
    assert status == 1
