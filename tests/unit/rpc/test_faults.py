"""Faults: one row each, and how they read."""

from __future__ import annotations

import pytest

from sdsuper.rpc.faults import NAMES, Fault, FaultCode, name_of


def test_the_codes_that_clients_compare() -> None:
    assert NAMES == {
        1: "UNKNOWN_METHOD",
        2: "INCORRECT_PARAMETERS",
        3: "BAD_ARGUMENTS",
        4: "SIGNATURE_UNSUPPORTED",
        6: "SHUTDOWN_STATE",
        10: "BAD_NAME",
        11: "BAD_SIGNAL",
        20: "NO_FILE",
        21: "NOT_EXECUTABLE",
        30: "FAILED",
        40: "ABNORMAL_TERMINATION",
        50: "SPAWN_ERROR",
        60: "ALREADY_STARTED",
        70: "NOT_RUNNING",
        80: "SUCCESS",
        90: "ALREADY_ADDED",
        91: "STILL_RUNNING",
        92: "CANT_REREAD",
    }
    assert name_of(5) == "UNKNOWN"


def test_a_fault_reads_as_its_name_and_detail() -> None:
    assert str(Fault(FaultCode.SHUTDOWN_STATE)) == "SHUTDOWN_STATE"
    fault = Fault(FaultCode.BAD_NAME, "a:b")
    assert (fault.code, fault.detail, str(fault)) == (10, "a:b", "BAD_NAME: a:b")


@pytest.mark.parametrize(
    ("code", "text", "detail"),
    [
        (10, "BAD_NAME: x: y", "x: y"),
        (10, "BAD_NAME", ""),
        (10, "no such thing", "no such thing"),
        (999, "a plugin's own", "a plugin's own"),
        (10, "BAD_NAME: ", ""),
    ],
)
def test_a_fault_from_the_wire_keeps_its_text(code: int, text: str, detail: str) -> None:
    fault = Fault.from_wire(code, text)
    assert (fault.code, fault.text, fault.detail) == (code, text, detail)
