import os
from pathlib import Path

import pytest

from sdsuper.core import events
from sdsuper.core.events import Event, ProcessStateChange
from sdsuper.core.states import TRANSITIONS, ProcessState
from tests.unit.core import script

TRANSCRIPTS = sorted(Path(__file__).with_name("transcripts").glob("*.txt"))

ENTERED = {
    events.ProcessStarting: ProcessState.STARTING,
    events.ProcessBackoff: ProcessState.BACKOFF,
    events.ProcessRunning: ProcessState.RUNNING,
    events.ProcessStopping: ProcessState.STOPPING,
    events.ProcessStopped: ProcessState.STOPPED,
    events.ProcessExited: ProcessState.EXITED,
    events.ProcessFatal: ProcessState.FATAL,
    events.ProcessUnknown: ProcessState.UNKNOWN,
}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_core_answers_as_written(path: Path) -> None:
    text = path.read_text()
    answered = script.play(text)
    if os.environ.get("SDSUPER_REWRITE") == "1":
        path.write_text(answered)
    else:
        assert answered == text


def edges(event: Event) -> set[tuple[ProcessState, ProcessState]]:
    if not isinstance(event, ProcessStateChange):
        return set()
    return {(event.from_state, ENTERED[type(event)])}


def test_every_transition_is_reached_by_a_transcript() -> None:
    reached = {
        edge
        for path in TRANSCRIPTS
        for event in script.published(path.read_text())
        for edge in edges(event)
    }
    assert reached == set(TRANSITIONS)
