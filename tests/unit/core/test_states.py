from docs.generate_states import PAGE, page
from sdsuper.core.states import (
    RUNNING_STATES,
    SIGNALLABLE_STATES,
    STOPPED_STATES,
    TRANSITIONS,
    ManagerState,
    ProcessState,
)

# As Supervisor's users know them: every change of state, whatever causes it.
KNOWN_TO_SUPERVISOR = """
STOPPED STARTING
EXITED STARTING
FATAL STARTING
STARTING BACKOFF
STARTING RUNNING
STARTING STOPPING
RUNNING STOPPING
RUNNING EXITED
BACKOFF STARTING
BACKOFF FATAL
BACKOFF STOPPED
STOPPING STOPPED
STARTING UNKNOWN
RUNNING UNKNOWN
STOPPING UNKNOWN
"""
OURS = {(ProcessState.UNKNOWN, ProcessState.STOPPED)}  # there it ends the daemon


def test_the_transitions_are_those_of_supervisor() -> None:
    known = {
        (ProcessState[left], ProcessState[entered])
        for left, entered in map(str.split, KNOWN_TO_SUPERVISOR.split("\n")[1:-1])
    }
    assert set(TRANSITIONS) == known | OURS


def test_codes_and_sets() -> None:
    codes = {state.name: int(state) for state in ProcessState}
    assert codes == {
        "STOPPED": 0,
        "STARTING": 10,
        "RUNNING": 20,
        "BACKOFF": 30,
        "STOPPING": 40,
        "EXITED": 100,
        "FATAL": 200,
        "UNKNOWN": 1000,
    }
    assert {state.name: int(state) for state in ManagerState} == {
        "FATAL": 2,
        "RUNNING": 1,
        "RESTARTING": 0,
        "SHUTDOWN": -1,
    }
    assert STOPPED_STATES | RUNNING_STATES | {ProcessState.STOPPING} == set(ProcessState)
    assert not STOPPED_STATES & RUNNING_STATES
    signallable = {state.name for state in SIGNALLABLE_STATES}
    assert signallable == {"STARTING", "RUNNING", "STOPPING"}


def test_the_page_about_states_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m docs.generate_states"
