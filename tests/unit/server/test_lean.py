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
