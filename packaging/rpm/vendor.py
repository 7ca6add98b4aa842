"""Build the bundled Python packages from their source archives: offline, and without pip.

    vendor.py --into FOLDER --licenses FOLDER --tool ARCHIVE... ARCHIVE...

The build backends (`--tool`) run from their own unpacked sources, so that a builder needs nothing
but a Python of 3.11 or later with its headers, and a C compiler.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

_LEGACY_BACKEND = "setuptools.build_meta:__legacy__"  # PEP 517, for sources that name none

_BUILD_WHEEL = """
import functools, importlib, sys
module, _, name = sys.argv[1].partition(":")
backend = importlib.import_module(module)
backend = functools.reduce(getattr, filter(None, name.split(".")), backend)
backend.build_wheel(sys.argv[2])
"""

_NOT_NEEDED = ("test", "tests", "RECORD", "licenses")


def unpack(archive: Path, into: Path) -> Path:
    """Unpack a source archive and return its top folder."""
    shutil.unpack_archive(archive, into)  # its hash was checked: it is what was locked
    return into / archive.name.removesuffix(".tar.gz")


def backend_of(source: Path) -> str:
    """Return the name of the build backend of a source tree (PEP 517)."""
    project = source / "pyproject.toml"
    if not project.exists():
        return _LEGACY_BACKEND
    table = tomllib.loads(project.read_text(encoding="utf-8")).get("build-system", {})
    return str(table.get("build-backend", _LEGACY_BACKEND))


def build_wheel(source: Path, tools: Sequence[Path], folder: Path) -> Path:
    """Build the wheel of a source tree and return its path."""
    folder.mkdir()
    flags = f"{os.environ.get('CFLAGS', '')} -g0 -ffile-prefix-map={source.parent}=."
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, tools)),
        "PYTHONHASHSEED": "0",
        "CFLAGS": flags,
        "LDFLAGS": f"{os.environ.get('LDFLAGS', '')} -s",
    }
    command = [sys.executable, "-P", "-s", "-B", "-c", _BUILD_WHEEL]
    command += [backend_of(source), str(folder)]
    subprocess.run(command, cwd=source, env=environment, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, into: Path) -> None:
    """Unpack a wheel, without what is of no use here."""
    with zipfile.ZipFile(wheel) as archive:
        wanted = [
            name
            for name in archive.namelist()
            if not any(part in _NOT_NEEDED for part in name.split("/")[1:])
        ]
        archive.extractall(into, wanted)


def copy_license(source: Path, folder: Path) -> None:
    """Copy the licence of a source tree into a folder named after it."""
    target = folder / source.name.rpartition("-")[0]
    target.mkdir(parents=True)
    found = [*source.glob("LICENSE*"), *source.glob("COPYING*")]
    if not found:
        raise SystemExit(f"{source.name} has no licence")
    for path in found:
        shutil.copyfile(path, target / path.name)


def main() -> None:
    """Build all that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--licenses", type=Path, required=True)
    parser.add_argument("--tool", type=Path, action="append", default=[])
    parser.add_argument("archives", type=Path, nargs="+")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tools = [unpack(archive, work) for archive in given.tool]
        for archive in given.archives:
            source = unpack(archive, work)
            copy_license(source, given.licenses)
            install(build_wheel(source, tools, work / f"wheel-{source.name}"), given.into)


if __name__ == "__main__":
    main()
