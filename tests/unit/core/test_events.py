import pytest

from sdsuper.core import events
from sdsuper.core.events import Event, event_types
from sdsuper.core.states import ProcessState
from tests.unit.core.builders import namespec

NAME = namespec("web:worker")
FROM = ProcessState.STARTING
TOKENS = "processname:worker groupname:web from_state:STARTING"
ORIGIN = "processname:worker groupname:web pid:7"

PAYLOADS: list[tuple[Event, str, str]] = [
    (events.ProcessStarting(NAME, FROM, 0), "PROCESS_STATE_STARTING", f"{TOKENS} tries:0"),
    (events.ProcessBackoff(NAME, FROM, 2), "PROCESS_STATE_BACKOFF", f"{TOKENS} tries:2"),
    (events.ProcessRunning(NAME, FROM, 7), "PROCESS_STATE_RUNNING", f"{TOKENS} pid:7"),
    (events.ProcessStopping(NAME, FROM, 7), "PROCESS_STATE_STOPPING", f"{TOKENS} pid:7"),
    (events.ProcessStopped(NAME, FROM, 0), "PROCESS_STATE_STOPPED", f"{TOKENS} pid:0"),
    (
        events.ProcessExited(NAME, FROM, False, 7),
        "PROCESS_STATE_EXITED",
        f"{TOKENS} expected:0 pid:7",
    ),
    (
        events.ProcessExited(NAME, FROM, True, 7),
        "PROCESS_STATE_EXITED",
        f"{TOKENS} expected:1 pid:7",
    ),
    (events.ProcessFatal(NAME, FROM), "PROCESS_STATE_FATAL", TOKENS),
    (events.ProcessUnknown(NAME, FROM), "PROCESS_STATE_UNKNOWN", TOKENS),
    (
        events.ProcessLogStdout(NAME, 7, "a\nbé\n".encode()),
        "PROCESS_LOG_STDOUT",
        f"{ORIGIN} channel:stdout\na\nbé\n",
    ),
    (
        events.ProcessLogStderr(NAME, 7, b"\x88\n"),
        "PROCESS_LOG_STDERR",
        f"{ORIGIN} channel:stderr\nUndecodable: b'\\x88\\n'",
    ),
    (
        events.ProcessCommunicationStdout(NAME, 7, b"hello"),
        "PROCESS_COMMUNICATION_STDOUT",
        f"{ORIGIN}\nhello",
    ),
    (
        events.ProcessCommunicationStderr(NAME, 7, b"\xff"),
        "PROCESS_COMMUNICATION_STDERR",
        f"{ORIGIN}\nUndecodable: b'\\xff'",
    ),
    (
        events.RemoteCommunication("mytype", "my data\nline2"),
        "REMOTE_COMMUNICATION",
        "type:mytype\nmy data\nline2",
    ),
    (events.SupervisorRunning(), "SUPERVISOR_STATE_CHANGE_RUNNING", ""),
    (events.SupervisorStopping(), "SUPERVISOR_STATE_CHANGE_STOPPING", ""),
    (events.Tick5(1795407780), "TICK_5", "when:1795407780"),
    (events.Tick60(1795407780), "TICK_60", "when:1795407780"),
    (events.Tick3600(1795406400), "TICK_3600", "when:1795406400"),
    (events.ProcessGroupAdded("web"), "PROCESS_GROUP_ADDED", "groupname:web\n"),
    (events.ProcessGroupRemoved("web"), "PROCESS_GROUP_REMOVED", "groupname:web\n"),
]

HEADINGS = {
    "EVENT",
    "PROCESS_STATE",
    "PROCESS_LOG",
    "PROCESS_COMMUNICATION",
    "SUPERVISOR_STATE_CHANGE",
    "TICK",
    "PROCESS_GROUP",
}


@pytest.mark.parametrize(("event", "name", "payload"), PAYLOADS, ids=lambda value: str(value)[:40])
def test_what_goes_over_the_wire(event: Event, name: str, payload: str) -> None:
    assert event.eventname == name
    assert event.payload() == payload


def test_names_lead_to_types_and_back() -> None:
    types = event_types()
    assert all(types[name].eventname == name for name in types)
    assert all(types[event.eventname] is type(event) for event, _, _ in PAYLOADS)
    assert set(types) == HEADINGS | {name for _, name, _ in PAYLOADS}


def test_a_subscription_to_a_heading_matches_what_is_below_it() -> None:
    types = event_types()
    for event, name, _ in PAYLOADS:
        matching = {each for each, kind in types.items() if isinstance(event, kind)}
        prefixes = {heading for heading in HEADINGS if name.startswith(f"{heading}_")}
        assert matching == {"EVENT", name} | prefixes


def test_every_state_has_its_event() -> None:
    below = [name for name in event_types() if name.startswith("PROCESS_STATE_")]
    assert {name.removeprefix("PROCESS_STATE_") for name in below} == set(ProcessState.__members__)
