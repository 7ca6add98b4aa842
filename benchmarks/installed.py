"""The commands as their users have them: ours from the package and by pip, Supervisor's by pip.

A development environment starts slower than any of these: it has more for `site` to look at.
"""

from __future__ import annotations

import atexit
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.worker import NotMeasuredError

ROOT = Path(__file__).parents[1]
PYTHON = os.path.realpath(sys.executable)
"""The interpreter outside of the virtual environment that this may be."""

_LAUNCHER = ROOT / "packaging" / "rpm" / "launcher.in"
_ENTRIES = {"sdsuperd": "main", "sdsuperctl": "command as main"}  # as in sdsuper.spec
_UNCOMPILED = shutil.ignore_patterns("__pycache__")


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sdsuper-installed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def packaged() -> Path:
    """Return the folder of our commands as the package has them, made from the working tree.

    They are its launchers, before a private folder of compiled modules.
    """
    modules, commands = _folder() / "package" / "lib", _folder() / "package" / "bin"
    shutil.copytree(ROOT / "sdsuper", modules / "sdsuper", ignore=_UNCOMPILED)
    for requirement in importlib.metadata.requires("sdsuper") or ():
        if "extra ==" not in requirement:
            _copy_modules(re.split(r"[^\w.-]", requirement)[0], modules)
    # As in sdsuper.spec.
    words = ["compileall", "-q", "--invalidation-mode", "unchecked-hash", str(modules)]
    subprocess.run([PYTHON, "-m", *words], check=True)
    commands.mkdir()
    for command, entry in _ENTRIES.items():
        text = _LAUNCHER.read_text()
        for name, value in (
            ("PYTHON", PYTHON),
            ("APPDIR", str(modules)),
            ("COMMAND", command),
            ("MODULE", command),
            ("ENTRY", entry),
        ):
            text = text.replace(f"@{name}@", value)
        (commands / command).write_text(text)
        (commands / command).chmod(0o755)
    return commands


def _copy_modules(name: str, into: Path) -> None:
    """Copy what a distribution that is installed here consists of."""
    for file in importlib.metadata.files(name) or ():
        top = file.parts[0]
        if top != ".." and not top.endswith(".dist-info") and file.suffix != ".pyc":
            target = into / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


@functools.cache
def by_pip(what: str) -> Path:
    """Return the folder of the commands in an environment with nothing else.

    Args:
        what: As pip takes it.

    Raises:
        NotMeasuredError: pip cannot install it.
    """
    folder = _folder() / re.sub(r"\W+", "-", what)
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", what],
        capture_output=True, check=False, encoding="utf-8", cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise NotMeasuredError(f"pip cannot install {what}: {done.stderr[-500:]}")
    return python.parent
