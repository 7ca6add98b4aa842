"""What the journal is told when a process changes its state: one row per state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from sdsuper.core.events import (
    ProcessBackoff,
    ProcessExited,
    ProcessFatal,
    ProcessRunning,
    ProcessStateChange,
    ProcessStopped,
    ProcessStopping,
)
from sdsuper.core.history import Requester, describe_end
from sdsuper.core.process import ExitRecord, Process
from sdsuper.core.states import ProcessState
from sdsuper.values import signal_name

Fields = Iterator[tuple[str, str | int]]

_ERR, _WARNING, _INFO = 3, 4, 6  # syslog(3)


class Message(NamedTuple):
    """How the journal knows one kind of change.

    Attributes:
        id: MESSAGE_ID, for good: people search and alert by it.
        priority: Of syslog(3).
    """

    id: str
    priority: int


MESSAGES: Mapping[ProcessState, Message] = MappingProxyType(
    {
        ProcessState.STARTING: Message("49d8c6c39e88a32551e58fb769752a01", _INFO),
        ProcessState.RUNNING: Message("3989f95a335040d2768d8f3f082bf8f2", _INFO),
        ProcessState.BACKOFF: Message("30b29d74817d647ccd0507b29858a6bf", _WARNING),
        ProcessState.STOPPING: Message("ee6ef21dbd5b6a35e7379e7845194ad9", _INFO),
        ProcessState.STOPPED: Message("380b431431380b099addfdb3bf54af22", _INFO),
        ProcessState.EXITED: Message("4c561be70b9238126813346d0c13dc9c", _INFO),
        ProcessState.FATAL: Message("55e26f5cff4ab334ce8198cd761f4b14", _ERR),
        ProcessState.UNKNOWN: Message("9e4f93a7c321afee5da46ba181d367f5", _ERR),
    }
)
"""By the state that is entered."""

_STATES: Mapping[str, ProcessState] = MappingProxyType(
    {f"PROCESS_STATE_{state.name}": state for state in ProcessState}
)


class StateChange:
    """One change of state.

    Args:
        event: What was published.
        process: The process after the step that published it; that step may have gone further.
    """

    def __init__(self, event: ProcessStateChange, process: Process) -> None:
        self._event = event
        self._process = process
        self._state = _STATES[event.eventname]
        self._ended = self._find_end()
        self._pid = self._find_pid()

    def _find_end(self) -> ExitRecord | None:
        """Return the exit that the change is about, None where it is about none."""
        end = self._process.last_exit
        match self._event:
            case ProcessExited(pid=pid) | ProcessStopped(pid=pid):
                return end if end is not None and end.pid == pid else None
            case ProcessBackoff() | ProcessFatal():
                # None where the latest attempt did not even get a child.
                latest = self._process.invocation
                return end if end is not None and end.invocation == latest else None
            case _:
                return None

    def _find_pid(self) -> int:
        match self._event:
            case ProcessRunning(pid=pid) | ProcessStopping(pid=pid):
                return pid
            case _:
                return self._ended.pid if self._ended is not None else self._process.pid

    @property
    def invocation(self) -> int:
        """The number of the invocation that the change is about."""
        process, end = self._process, self._process.last_exit
        if self._pid and self._pid != process.pid and end is not None and end.pid == self._pid:
            return end.invocation  # the step went on to the next
        return process.invocation

    @property
    def _reason(self) -> str | None:
        match self._state:
            case ProcessState.EXITED | ProcessState.BACKOFF | ProcessState.FATAL:
                return self._process.reason
            case ProcessState.STOPPED if self._ended is not None:
                return describe_end(self._ended.status, oom=self._ended.oom)
            case ProcessState.UNKNOWN:
                return self._process.trouble
            case _:
                return None

    @property
    def _priority(self) -> int:
        failed = isinstance(self._event, ProcessExited) and not self._event.expected
        return _WARNING if failed else MESSAGES[self._state].priority

    @property
    def _requester(self) -> Requester | None:
        """Who asked for it; None where a change is what became of a program by itself."""
        attempt = self._process.attempt
        match self._state:
            case ProcessState.STARTING:
                return attempt.by
            case ProcessState.STOPPING | ProcessState.STOPPED:
                return attempt.stopped_by
            case _:
                return None

    def fields(self) -> Fields:
        """Return the fields of the entry, but for who says it and the name of the invocation."""
        event, config = self._event, self._process.config
        text = f"{event.process}: {event.from_state.name} -> {self._state.name}"
        yield "MESSAGE", f"{text}: {self._reason}" if self._reason else text
        yield "MESSAGE_ID", MESSAGES[self._state].id
        yield "PRIORITY", self._priority
        yield "SDSUPER_PROGRAM", config.program
        yield "SDSUPER_GROUP", event.process.group
        yield "SDSUPER_PROCESS", event.process.process
        yield "SDSUPER_STATE", self._state.name
        yield "SDSUPER_FROM_STATE", event.from_state.name
        if self._pid:
            yield "OBJECT_PID", self._pid
        if self._reason:
            yield "SDSUPER_REASON", self._reason
        if (asked := self._requester) is not None:
            yield "SDSUPER_REQUESTED_BY", asked.describe()
            if asked.uid is not None:
                yield "SDSUPER_REQUESTED_BY_UID", asked.uid
        if isinstance(event, ProcessExited):
            yield "SDSUPER_EXPECTED", int(event.expected)
        if self._ended is not None:
            yield from _exit_fields(self._ended)


def _exit_fields(end: ExitRecord) -> Fields:
    if end.status.code is not None:
        yield "SDSUPER_EXIT_CODE", end.status.code
    elif end.status.signal is not None:
        yield "SDSUPER_EXIT_SIGNAL", signal_name(end.status.signal)
    if end.oom:
        yield "SDSUPER_OOM", 1
