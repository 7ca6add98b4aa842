from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.listeners.protocol import (
    RESULT_LINE_MAX_BYTES,
    RESULT_MAX_BYTES,
    BadResult,
    Happening,
    ListenerProtocol,
    ListenerState,
    Moved,
    Result,
)

ACKNOWLEDGED, READY, BUSY, UNKNOWN = (
    ListenerState.ACKNOWLEDGED,
    ListenerState.READY,
    ListenerState.BUSY,
    ListenerState.UNKNOWN,
)
GETS_READY = Moved(ACKNOWLEDGED, READY)
IS_DONE = Moved(BUSY, ACKNOWLEDGED)
IS_LOST = Moved(BUSY, UNKNOWN)


def busy() -> ListenerProtocol:
    protocol = ListenerProtocol()
    protocol.feed(b"READY\n")
    protocol.event_sent()
    return protocol


@pytest.mark.parametrize(
    ("said", "state", "happened"),
    [
        (b"", ACKNOWLEDGED, []),
        (b"READY", ACKNOWLEDGED, []),
        (b"READY\n", READY, [GETS_READY]),
        (b"REDY\n", UNKNOWN, [Moved(ACKNOWLEDGED, UNKNOWN)]),
        (b"x", UNKNOWN, [Moved(ACKNOWLEDGED, UNKNOWN)]),
        (b"READY\r\n", UNKNOWN, [Moved(ACKNOWLEDGED, UNKNOWN)]),
        (b"READY\nhello", UNKNOWN, [GETS_READY, Moved(READY, UNKNOWN)]),
    ],
)
def test_what_a_new_listener_says(
    said: bytes, state: ListenerState, happened: list[Happening]
) -> None:
    protocol = ListenerProtocol()
    assert protocol.feed(said) == happened
    assert protocol.state is state


@pytest.mark.parametrize(
    ("said", "state", "happened"),
    [
        (b"RESULT 2\nO", BUSY, []),
        (b"RESULT 2\nOK", ACKNOWLEDGED, [IS_DONE, Result(b"OK")]),
        (b"RESULT 4\nFAILREADY\n", READY, [IS_DONE, Result(b"FAIL"), GETS_READY]),
        (b"RESULT 0\n", ACKNOWLEDGED, [IS_DONE, Result(b"")]),
        (b"RESULT 0\nREADY\n", READY, [IS_DONE, Result(b""), GETS_READY]),
        (b"RESULT 2\r\nOK", ACKNOWLEDGED, [IS_DONE, Result(b"OK")]),
        (b"RESULT -1\n", UNKNOWN, [BadResult(b"RESULT -1"), IS_LOST]),
        (b"RESULT two\nOK", UNKNOWN, [BadResult(b"RESULT two"), IS_LOST]),
        (b"RESUMED 2\nOK", UNKNOWN, [BadResult(b"RESUMED 2"), IS_LOST]),
        (b"READY\n", UNKNOWN, [BadResult(b"READY"), IS_LOST]),
        (b"RESULT %d\n" % (RESULT_MAX_BYTES + 1), UNKNOWN, None),
        (b"RESULT " + b"9" * 500 + b"\n", UNKNOWN, None),
        (b"x" * RESULT_LINE_MAX_BYTES, BUSY, []),
        (b"x" * (RESULT_LINE_MAX_BYTES + 1), UNKNOWN, None),
    ],
)
def test_what_a_busy_listener_says(
    said: bytes, state: ListenerState, happened: list[Happening] | None
) -> None:
    protocol = busy()
    got = protocol.feed(said)
    assert protocol.state is state
    if happened is None:
        assert isinstance(got[0], BadResult)
        assert got[1:] == [IS_LOST]
    else:
        assert got == happened


def test_who_is_lost_stays_lost() -> None:
    protocol = ListenerProtocol()
    protocol.feed(b"hello\n")
    assert protocol.feed(b"READY\n" * 1000) == []
    assert protocol.state is UNKNOWN


@given(
    st.lists(st.sampled_from([b"READY\n", b"RESULT 2\nOK", b"RESULT 0\n", b"RES", b"x"])),
    st.data(),
)
def test_it_does_not_matter_how_the_stream_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    whole, cut = busy(), busy()
    happened = whole.feed(stream)
    got: list[Happening] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += cut.feed(stream[:size])
        stream = stream[size:]
    assert got == happened
    assert cut.state is whole.state
