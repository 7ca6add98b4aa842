"""Imports point one way: the table of who may import whom, held against the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "sdsuper"
MODULES = sorted(PACKAGE.rglob("*.py"))

VALUES = ("values", "errors", "dataclass")
LEAF = ("core", "config.model", *VALUES)
EDGES = ("logs", "systemd", "listeners")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "values": ("dataclass",),
    "errors": (),
    "dataclass": (),
    "config": VALUES,
    "core": ("config.model", *VALUES),
    "logs": LEAF,
    "systemd": LEAF,
    "listeners": LEAF,
    "handover": (*LEAF, "config.types"),
    "rpc": LEAF,
    "eventloop": (),
    "daemon": ("eventloop", *EDGES, "handover", "compat", "core", "config", *VALUES),
    "server": ("daemon", "eventloop", "rpc", *EDGES, "core", "config", *VALUES),
    "ctl": (
        "rpc",
        *(f"config.{name}" for name in ("client", "expand", "find", "ini", "option", "model")),
        "core.states",
        "compat",
        *VALUES,
    ),
    "compat": ("sdsuperctl", "ctl", "rpc", "core.states", "core.events", *VALUES),
    "sdsuperd": (
        "server",
        "daemon",
        "eventloop",
        "rpc",
        "handover",
        *EDGES,
        "core",
        "config",
        *VALUES,
    ),
    "sdsuperctl": ("ctl", "rpc", *VALUES),
    "pidproxy": (),
}
"""Layer to what it may import of the package, besides itself and the version numbers."""

STANDARD_LIBRARY_ONLY = ("values", "errors", "dataclass", "config", "core", "pidproxy")
EXCEPT = {"config.commands": ("click",)}
"""Modules of those layers that are a command line, imported when it is used."""

IMPURE = frozenset(
    {"asyncio", "datetime", "logging", "os", "random", "socket", "subprocess", "threading", "time"}
)
"""What a pure core has no use for: clocks, I/O, chance."""


def dotted(path: Path, package: Path = PACKAGE) -> str:
    """Return a module's name below the package: `config.model`, "" for the package itself."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of everything a module imports, wherever it does."""
    folder = path.relative_to(package.parent).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *filter(None, [node.module])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def module_of(name: str, package: Path) -> str:
    """Return the module, below the package, that an imported `sdsuper.x.y` is or lives in."""
    path = package.parent.joinpath(*name.split("."))
    is_module = path.is_dir() or path.with_suffix(".py").is_file()
    module = name if is_module else name.rpartition(".")[0]
    return module.removeprefix("sdsuper").removeprefix(".")


def offences(path: Path, package: Path = PACKAGE) -> Iterator[str]:
    """Yield what a module imports though its layer may not."""
    layer = dotted(path, package).split(".")[0]
    if not layer:
        return
    for line, name in imported(path, package):
        top = name.split(".")[0]
        if top != "sdsuper":
            foreign = layer in STANDARD_LIBRARY_ONLY and top not in sys.stdlib_module_names
            foreign = foreign and top not in EXCEPT.get(dotted(path, package), ())
            if foreign or (layer == "core" and top in IMPURE):
                yield f"{path.name}:{line}: {layer} may not import {top}"
            continue
        module = module_of(name, package)
        allowed = (layer, *MAY_IMPORT[layer])
        if module and not any(module == way or module.startswith(f"{way}.") for way in allowed):
            yield f"{path.name}:{line}: {layer} may not import sdsuper.{module}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    assert list(offences(path)) == []


def test_every_layer_is_in_the_table() -> None:
    assert {dotted(path).split(".")[0] for path in MODULES} - {""} <= set(MAY_IMPORT)


RARELY_USED = {
    *("ast", "asyncio", "bz2", "click", "concurrent", "dataclasses", "hashlib", "hmac", "inspect"),
    *("json", "linecache", "locale", "logging", "lzma", "psutil", "sdnotify", "ssl", "subprocess"),
    *("tempfile", "threading", "tokenize", "traceback"),
}


def test_a_daemon_starts_without_what_few_daemons_need() -> None:
    """Each of them, and what it brings along, is memory for as long as it runs."""
    # As it is started: tools that look at the tests may have imported anything.
    code = """if True:
        import sys
        from sdsuper import sdsuperd
        print(*sys.modules)
        list(sdsuperd._import_server())
        print(*sys.modules)
    """
    told = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    before, after = map(str.split, told.stdout.splitlines())
    assert RARELY_USED & set(after) == set()
    # Programs are started before that is imported.
    assert SERVES & set(before) == set()
    assert set(after) >= SERVES


SERVES = {"h11", "sdsuper.rpc", "sdsuper.server.methods.process", "sdsuper.server.web"}


def test_dataclasses_are_our_own_which_cost_less() -> None:
    names = {name: path for path in MODULES for _, name in imported(path, PACKAGE)}
    assert "sdsuper.dataclass.dataclass" in names
    assert names.get("dataclasses.dataclass") == PACKAGE / "dataclass.py"


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("core/process.py", "import time", ["core may not import time"]),
        ("core/process.py", "from os import path", ["core may not import os"]),
        ("core/process.py", "from sdsuper.config import load", ["sdsuper.config.load"]),
        ("core/process.py", "from ..daemon.loop import Daemon", ["sdsuper.daemon.loop"]),
        ("core/process.py", "from sdsuper.config.model import Autorestart", []),
        ("core/process.py", "from sdsuper import SUPERVISOR_VERSION\nimport enum", []),
        ("core/process.py", "from . import manager", []),
        ("config/ini.py", "import click", ["config may not import click"]),
        ("ctl/render.py", "from sdsuper.core import manager", ["sdsuper.core.manager"]),
        ("logs/lines.py", "def f():\n    import sdsuper.rpc.codec", ["sdsuper.rpc.codec"]),
        ("daemon/loop.py", "import asyncio\nfrom sdsuper.config.load import load", []),
    ],
)
def test_the_check_finds_offences_and_nothing_else(
    tmp_path: Path, module: str, text: str, found: list[str]
) -> None:
    package = tmp_path / "sdsuper"
    for existing in ("core/manager.py", "config/load.py", "daemon/loop.py", "rpc/codec.py", module):
        path = package / existing
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (package / module).write_text(text, encoding="utf-8")
    lines = list(offences(package / module, package))
    assert len(lines) == len(found)
    assert all(line.endswith(end) for line, end in zip(lines, found, strict=True))
