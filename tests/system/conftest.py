"""The packages and the machines to install them on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.container import BUILDER_PACKAGES, SUITES, Container, root_of

ROOT = Path(__file__).parents[2]

HOST_SPEC = """\
Name: host
Version: 1
Release: 1
Summary: Stands for the distribution, whose packages were not installed by rpm
License: none
BuildArch: noarch
AutoReqProv: no
Provides: /bin/sh
Provides: /usr/bin/sh
Provides: /usr/bin/python3
Provides: shadow-utils
Provides: systemd
%description
It provides what the machine has.
%files
"""

REPOSITORY = """\
[{name}]
name={name}
baseurl=file:///srv/{name}
enabled=1
gpgcheck=0
metadata_expire=0
"""


PACKED = (
    "LICENSE", "README.md", "pyproject.toml", "docs", "packaging", "scripts", "sdsuper", "units",
)  # fmt: skip


class Packages:
    """Repositories on this machine, each built when it is first asked for.

    Attributes:
        tree: The sources that all releases are built from.
    """

    def __init__(self, folder: Path) -> None:
        self.tree = _freeze(folder / "tree")
        self._folder = folder
        self._built: dict[str, Path] = {}

    def first(self, suite: str) -> Path:
        """Return the repository of a release for a suite."""
        return self._release(suite, 1)

    def second(self, suite: str) -> Path:
        """Return the repository of a higher release of the same."""
        return self._release(suite, 2)

    def host(self) -> Path:
        """Return the repository of what stands for the distribution."""
        return self._once("host", _build_host)

    def _release(self, suite: str, release: int) -> Path:
        def make(output: Path) -> Path:
            return build(self.tree, suite, release, output)

        return self._once(f"{suite}-{release}", make)

    def _once(self, name: str, make: Callable[[Path], Path]) -> Path:
        if name not in self._built:
            self._built[name] = make(self._folder / name)
        return self._built[name]


def build(tree: Path, suite: str, release: int, output: Path) -> Path:
    """Build the RPMs for a suite from a tree of sources; return their repository."""
    done = subprocess.run(
        [tree / "scripts" / "rpm", str(release), output, root_of(suite, BUILDER_PACKAGES)],
        env={
            **os.environ,
            "SOURCE_DATE_EPOCH": "1700000000",
            "SDSUPER_PIP": f"{sys.executable} -m pip",
        },
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return output


def _freeze(tree: Path) -> Path:
    """Copy the sources, so that somebody at work on them does not change them between builds."""
    tree.mkdir()
    for name in PACKED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tree / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, tree / name)
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True, capture_output=True)
    return tree


def _build_host(folder: Path) -> Path:
    spec = folder / "host.spec"
    folder.mkdir()
    spec.write_text(HOST_SPEC, encoding="utf-8")
    for command in (
        ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {folder}", str(spec)],
        ["createrepo_c", "--quiet", str(folder)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """The package, built once for all tests."""
    return Packages(tmp_path_factory.mktemp("rpm"))


def add_repository(machine: Container, name: str, source: Path) -> None:
    """Let dnf install what is in a repository."""
    machine.copy_in(source, f"/srv/{name}")
    machine.write(f"/etc/yum.repos.d/{name}.repo", REPOSITORY.format(name=name))


@pytest.fixture(scope="module", params=SUITES)
def machine(request: pytest.FixtureRequest, packages: Packages) -> Iterator[Container]:
    """A booted machine for all tests of a module, on which dnf finds the first release."""
    with Container(str(request.param)) as container:
        add_repository(container, "host", packages.host())
        add_repository(container, "first", packages.first(container.suite))
        yield container
