"""A server that answers from a script, and a session that prints into memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sdsuper.ctl.commands import all_commands
from sdsuper.ctl.control import Control, Output
from sdsuper.ctl.keyboard import Keyboard
from sdsuper.ctl.settings import Settings


class FakeStream:
    """A log that is followed: pieces, or an exception in their midst, then the end."""

    def __init__(self, pieces: Iterable[bytes | BaseException]) -> None:
        self._pieces = list(pieces)
        self.ended = self.closed = False

    def read(self) -> bytes:
        if not self._pieces:
            self.ended = True
            return b""
        piece = self._pieces.pop(0)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


class FakeClient:
    """Answers calls by method: a value, an exception, or a function of the parameters.

    Attributes:
        calls: What was called, in order, without the upcheck.
        streams: Answers by path.
        server: What it calls itself.
    """

    def __init__(self, answers: dict[str, Any], streams: dict[str, Any] | None = None) -> None:
        self.server = "Medusa/1.12"
        self._answers = {"getVersion": "3.0", **answers}
        self.streams = streams or {}
        self.calls: list[tuple[Any, ...]] = []

    def call(self, method: str, *params: Any) -> Any:
        name = method.removeprefix("supervisor.")
        if name != "getVersion":
            self.calls.append((name, *params))
        answer = self._answers[name]
        if callable(answer):
            answer = answer(*params)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stream(self, path: str) -> Any:
        self.calls.append(("GET", path))
        answer = self.streams[path]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing is open."""


class FakeKeyboard(Keyboard):
    """Somebody who answers with given words, and then no more."""

    def __init__(self, asked: list[str], replies: list[str]) -> None:
        super().__init__(Output(io.BytesIO()))
        self._asked = asked
        self._replies = replies

    @property
    def is_terminal(self) -> bool:
        return False

    def ask(self, prompt: str) -> str:
        self._asked.append(prompt)
        if not self._replies:
            raise EOFError
        return self._replies.pop(0)

    ask_secret = ask


class Session:
    """A control with a fake server behind it.

    Attributes:
        control: The control.
        client: The server.
    """

    def __init__(
        self,
        answers: dict[str, Any] | None = None,
        *,
        streams: dict[str, Any] | None = None,
        replies: Sequence[str] | None = None,
        json: bool = False,
        connect: Callable[[Settings], Any] | None = None,
    ) -> None:
        self._out, self._errors = io.BytesIO(), io.BytesIO()
        self.client = FakeClient(answers or {}, streams)
        self.asked: list[str] = []
        settings = Settings()
        settings.url = "unix:///run/d.sock"
        settings.interactive = replies is not None
        settings.json = json
        self.control = Control(
            settings,
            Output(self._out),
            Output(self._errors),
            all_commands(),
            connect or self._connect,
            FakeKeyboard(self.asked, list(replies or ())),
        )
        self.control.encoding = "utf-8"

    def _connect(self, _settings: Settings) -> Any:
        return self.client

    def run(self, line: str) -> tuple[str, int]:
        """Run one line; return what was printed and the exit status."""
        self.control.run(line)
        return self.out, self.control.status

    @property
    def out(self) -> str:
        """What was printed."""
        return self._out.getvalue().decode()

    @property
    def errors(self) -> str:
        """What went to stderr."""
        return self._errors.getvalue().decode()


def process(name: str, group: str = "", state: str = "RUNNING", **more: Any) -> dict[str, Any]:
    """Return the struct of a process."""
    return {
        "name": name,
        "group": group or name,
        "statename": state,
        "description": "pid 7, uptime 0:00:05" if state == "RUNNING" else "",
        "pid": 7 if state == "RUNNING" else 0,
        "start": 1,
        "stop": 0,
        "now": 6,
        "exitstatus": 0,
        "spawnerr": "",
        "stdout_logfile": "/o",
        "stderr_logfile": "",
        **more,
    }


def result(name: str, status: int = 80, group: str = "", description: str = "OK") -> dict[str, Any]:
    """Return one entry of a result list."""
    return {"name": name, "group": group or name, "status": status, "description": description}
