"""What systemd passes to a daemon, read from its variables."""

from __future__ import annotations

import pytest

from sdsuper.systemd import fdstore
from sdsuper.systemd.sockets import FDS_MAX, Passed, passed, runtime_directory

PID = 42


def variables(count: object, names: str | None = None, pid: object = PID) -> dict[str, str]:
    found = {"LISTEN_PID": str(pid), "LISTEN_FDS": str(count)}
    return found if names is None else {**found, "LISTEN_FDNAMES": names}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ()),
        (variables(0), ()),
        (variables(1), (Passed(3, "unknown"),)),
        (variables(2, "control:http-1"), (Passed(3, "control"), Passed(4, "http-1"))),
        (variables(2, "same:same"), (Passed(3, "same"), Passed(4, "same"))),
        (variables(3, "one"), (Passed(3, "one"), Passed(4, "unknown"), Passed(5, "unknown"))),
        (variables(2, ":two"), (Passed(3, "unknown"), Passed(4, "two"))),
        (variables(1, "one:two"), (Passed(3, "one"),)),
        (variables(1, pid=PID + 1), ()),
        (variables(1, pid="ours"), ()),
        (variables("many"), ()),
        (variables(-1), ()),
        (variables(FDS_MAX + 1), ()),
        ({"LISTEN_FDS": "1"}, ()),
        ({"LISTEN_PID": str(PID)}, ()),
    ],
)
def test_what_was_passed(environ: dict[str, str], expected: tuple[Passed, ...]) -> None:
    assert passed(environ, PID) == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"RUNTIME_DIRECTORY": ""}, None),
        ({"RUNTIME_DIRECTORY": "/run/a"}, "/run/a"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b", "SYSTEMD_EXEC_PID": "42"}, "/run/a"),
        ({"RUNTIME_DIRECTORY": "/run/of-a-parent", "SYSTEMD_EXEC_PID": "41"}, None),
    ],
)
def test_the_runtime_directory(environ: dict[str, str], expected: str | None) -> None:
    assert runtime_directory(environ, PID) == expected


def test_the_messages_of_the_store() -> None:
    assert fdstore.store("x") == "FDSTORE=1\nFDNAME=x\nFDPOLL=0"
    assert fdstore.remove("x") == "FDSTOREREMOVE=1\nFDNAME=x"
