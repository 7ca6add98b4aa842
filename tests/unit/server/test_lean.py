"""What is loaded with h11, and what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def _told(code: str, *path: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"if True:\n import sys\n sys.path[:0] = {path!r}\n{code}"],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return done.stdout


def test_the_library_s_dataclasses_are_not_loaded_and_can_be_later() -> None:
    told = _told("""
 from sdsuper.server.lean import h11
 one, other = [h11.Request(method="GET", target="/", headers=[("host", "h")]) for _ in range(2)]
 assert one == other and one.target == b"/"
 print("dataclasses" in sys.modules, h11.Data(b"x"))
 import dataclasses
 print(dataclasses.is_dataclass(one), dataclasses.fields(h11.Data)[0].name)
""")
    assert told == "False Data(data=b'x', chunk_start=False, chunk_end=False)\nTrue data\n"


def test_what_is_loaded_already_is_left_alone() -> None:
    told = _told("""
 import dataclasses
 from sdsuper.server.lean import h11
 print(sys.modules["dataclasses"] is dataclasses, type(dataclasses.fields(h11.Data)[0]).__module__)
""")
    assert told == "True dataclasses\n"


def test_a_version_that_needs_more_gets_it(tmp_path: Path) -> None:
    package = tmp_path / "h11"
    package.mkdir()
    (package / "__init__.py").write_text("from h11.events import Event\n")
    (package / "events.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass(order=True)\nclass Event:\n    x: int\n"
    )
    told = _told(
        """
 from sdsuper.server.lean import h11
 print(h11.Event(1) < h11.Event(2))
""",
        str(tmp_path),
    )
    assert told == "True\n"


def test_where_another_thread_might_see_it_the_library_s_are_loaded() -> None:
    told = _told("""
 import threading
 end = threading.Event()
 thread = threading.Thread(target=end.wait)
 thread.start()
 from sdsuper.server.lean import h11
 print("inspect" in sys.modules)
 end.set()
""")
    assert told == "True\n"


WHAT_IT_DOES = """
import copy, pickle
events = [
    h11.Request(method="GET", target="/a", headers=[("Host", "x"), ("A", "b")]),
    h11.Request(method="GET", target="/b", headers=[("Host", "x")], http_version="1.0"),
    h11.InformationalResponse(status_code=100, headers=[]),
    h11.Response(status_code=200, headers=[("Content-Length", "3")], reason=b"OK"),
    h11.Response(status_code=200, headers=[("Content-Length", "3")], reason=b"OK"),
    h11.Data(data=b"abc"),
    h11.Data(data=b"abc", chunk_start=True),
    h11.EndOfMessage(),
    h11.EndOfMessage(headers=[("Trailer", "t")]),
    h11.ConnectionClosed(),
]

def refused(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__module__}.{type(error).__name__}: {error}"

for event in events:
    print(repr(event), type(event).__match_args__, hasattr(event, "__dict__"))
    print([event == other for other in events], event == 3, event != event)
    print(refused(lambda: hash(event) == hash(copy.copy(event))))
    print(refused(lambda: copy.copy(event)), refused(lambda: pickle.loads(pickle.dumps(event))))
    for name in (*type(event).__match_args__, "other"):
        print(refused(lambda: setattr(event, name, 1)), refused(lambda: delattr(event, name)))
print(refused(lambda: h11.Request(method="G T", target="/", headers=[("Host", "x")])))
print(refused(lambda: h11.Response(status_code=99, headers=[])))
print(refused(lambda: h11.ConnectionClosed(1)), refused(lambda: h11.Data()))

ours, theirs = h11.Connection(h11.SERVER), h11.Connection(h11.CLIENT)
for sender, receiver, sent in [
    (theirs, ours, [events[0], events[7]]),
    (ours, theirs, [events[3], events[5], events[7]]),
]:
    for each in sent:
        data = sender.send(each)
        print(data)
        receiver.receive_data(data)
    while (event := receiver.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        print(event)
        if type(event) is h11.EndOfMessage:
            break
print(ours.states, theirs.states)
"""


def test_what_it_does_is_the_same() -> None:
    lent, own = (
        subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                f"{first}from sdsuper.server.lean import h11\n{WHAT_IT_DOES}",
            ],
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for first in ("", "import dataclasses\n")
    )
    assert lent == own
    assert lent.count(b"FrozenInstanceError") > 20
