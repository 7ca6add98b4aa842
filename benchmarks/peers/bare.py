"""The floor beneath us: the barest loop in Python that does the work."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import benchmarks.bare
from benchmarks.peers.base import Peer, Program


class Bare(Peer):
    """`benchmarks/bare.py`, by the interpreter that runs us."""

    name = "bare"
    title = "the barest loop in Python: the floor"

    def write(self, programs: Sequence[Program]) -> None:
        rows = [
            (each.words, str(self.logs / f"{each.name}.log") if each.log else "")
            for program in programs
            for each in program.each()
        ]
        (self.folder / "bare.json").write_text(json.dumps(rows))

    def launch(self) -> list[str]:
        return [sys.executable, "-I", "-S", benchmarks.bare.__file__, str(self.folder)]

    def status(self, programs: Sequence[Program]) -> list[str]:
        return [*self.launch(), "status"]

    @property
    def rpc_socket(self) -> Path:
        return self.folder / "sock"
