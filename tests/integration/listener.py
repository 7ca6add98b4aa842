"""An event listener that notes what it is sent, and answers as its words tell it to.

python listener.py FILE [ANSWER ...]

Each event goes into FILE as a line of JSON. ANSWERs are given in turn, the last one for ever:

    ok, fail      the two usual ones
    raw:TEXT      TEXT as it is, `;` for a new line
    exit          end in the middle of the event
    stop          take no further events
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def read_event() -> dict[str, Any]:
    header = sys.stdin.readline()
    if not header:
        os._exit(0)
    event: dict[str, Any] = dict(token.split(":", 1) for token in header.split())
    event["payload"] = sys.stdin.read(int(event["len"]))
    return event


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main(path: str, answers: list[str]) -> None:
    sys.stdin.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    with open(path, "a", encoding="utf-8") as noted:
        say("READY\n")
        while True:
            event = read_event()
            print(json.dumps(event), file=noted, flush=True)
            answer = answers[0] if len(answers) == 1 else answers.pop(0)
            match answer.partition(":"):
                case "ok", _, _:
                    say("RESULT 2\nOK")
                case "fail", _, _:
                    say("RESULT 4\nFAIL")
                case "raw", _, text:
                    say(text.replace(";", "\n"))
                case "exit", _, _:
                    os._exit(1)
                case "stop", _, _:
                    signal.pause()
            say("READY\n")


main(sys.argv[1], sys.argv[2:] or ["ok"])
