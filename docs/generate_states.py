"""Write docs/states.md from the state machine's own table: `python -m docs.generate_states`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdsuper.core.states import (
    RUNNING_STATES,
    SIGNALLABLE_STATES,
    STOPPED_STATES,
    TRANSITIONS,
    ProcessState,
)

PAGE = Path(__file__).with_name("states.md")

MEANING = {
    ProcessState.STOPPED: "It is down because somebody asked for it, or was never started.",
    ProcessState.STARTING: "It is being started, and has not been up for `startsecs` yet.",
    ProcessState.RUNNING: "It has been up for `startsecs`.",
    ProcessState.BACKOFF: "A start failed; the next attempt comes after a while.",
    ProcessState.STOPPING: "It was asked to stop, and something of it is still alive.",
    ProcessState.EXITED: "It had been RUNNING and ended by itself.",
    ProcessState.FATAL: "Its starts failed more often than `startretries` allows.",
    ProcessState.UNKNOWN: "A signal could not be sent to it.",
}

TEXT = """\
<!-- Written by docs/generate_states.py; do not edit. -->
# The states of a process

```mermaid
stateDiagram-v2
    [*] --> STOPPED
{arrows}
```

| State | Code | Means | Is | Signals |
|---|---|---|---|---|
{states}

*up*: a start is refused (`already started`), a stop is accepted. *down*: the group may be removed,
and `status` exits with 3. *Signals*: whether `signal` is accepted.

| From | To | When |
|---|---|---|
{transitions}

Each change publishes the event `PROCESS_STATE_` and the state's name.

- A program that cannot be started, or ends before `startsecs` have passed, is tried again after
  1 second, then 2, then 3 and so on: `startretries` times, then it is FATAL. A start by hand begins
  to count anew.
- A program that was RUNNING and ends by itself is started again at once if `autorestart` says so,
  without any limit.
- A stop sends `stopsignal`, and SIGKILL after `stopwaitsecs`. When the main process is gone, the
  processes it left behind are ended too, and nothing is started again before they are gone.
  `containment=none` leaves them alone. They are known by [the cgroup of the
  process](systemd.md#a-cgroup-for-each-process), where cgroups are delegated to the daemon.
- What outlives SIGKILL is waited for only a few seconds by a stop or a shutdown. The log says so,
  and the program is not started again while it is alive.
"""


def page() -> str:
    """Return the text of the page."""
    return TEXT.format(
        arrows="\n".join(_arrows()),
        states="\n".join(_states()),
        transitions="\n".join(_transitions()),
    )


def _arrows() -> Iterator[str]:
    for (left, entered), when in TRANSITIONS.items():
        yield f"    {left.name} --> {entered.name}: {when}"


def _states() -> Iterator[str]:
    for state in ProcessState:
        signals = "yes" if state in SIGNALLABLE_STATES else "no"
        yield f"| {state.name} | {state.value} | {MEANING[state]} | {_is(state)} | {signals} |"


def _is(state: ProcessState) -> str:
    if state in STOPPED_STATES:
        return "down"
    return "up" if state in RUNNING_STATES else "neither"


def _transitions() -> Iterator[str]:
    for (left, entered), when in TRANSITIONS.items():
        yield f"| {left.name} | {entered.name} | {when} |"


if __name__ == "__main__":
    PAGE.write_text(page())
