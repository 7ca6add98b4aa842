"""What man and the shells of the releases make of the generated pages and scripts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from docs.generate_completions import FOLDER as COMPLETIONS
from docs.generate_man import FOLDER as PAGES
from tests.system.container import BUILDER_PACKAGES, SUITES, root_of

pytestmark = [pytest.mark.booted, pytest.mark.parametrize("suite", SUITES)]

ENVIRONMENT = ("env", "-i", "LANG=C.UTF-8", "PATH=/usr/bin:/bin")
MANUAL = sorted(PAGES.iterdir())


ZSH = """\
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1='> '; fpath=(/mnt $fpath); autoload -Uz compinit; compinit -u -D"
zpty -w shell 'sdsuperctl() {
    case $1 in
    (status) print "web RUNNING pid 7, uptime 0:00:01\\nworker:worker_0 STOPPED Not started" ;;
    (avail) print "alone in use auto 999:999\\nerror: <class x>" ;;
    (*) print -r -- "R""AN:$*:END" ;;
    esac
}'
zpty -w shell 'sdsuperd() { print -r -- "R""AN:$*:END" }'
while read -r line; do
    zpty -w -n shell "$line"$'\\t\\n'
    zpty -r -m shell out '*RAN:*:END*'
    print -r -- "${${out##*RAN:}%%:END*}"
done
"""
"""A terminal in which a line is typed, then Tab and Enter; commands print what they were given."""

MOUNTED = """\
mount -t tmpfs tmpfs "$ROOT/mnt"
cp "$COMPLETIONS"/_* "$ROOT/mnt"
printf %s "$SCRIPT" >"$ROOT/mnt/script"
mount --rbind /dev "$ROOT/dev"
exec chroot "$ROOT" env -i TERM=dumb HOME=/tmp PATH=/usr/bin:/bin zsh -f /mnt/script
"""


def inside(suite: str, *command: str, given: str = "") -> tuple[int, str]:
    """Run a command in the root of a release; return its status and all that it said."""
    done = subprocess.run(
        ["chroot", str(root_of(suite, BUILDER_PACKAGES)), *ENVIRONMENT, *command],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("path", MANUAL, ids=lambda path: path.name)
def test_man_has_no_complaints(suite: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert inside(suite, "groff", "-man", "-ww", "-z", "-Tutf8", given=text) == (0, "")


def test_zsh_reads_its_functions(suite: str) -> None:
    for name in ("_sdsuperd", "_sdsuperctl"):
        script = (COMPLETIONS / name).read_text(encoding="utf-8")
        assert inside(suite, "zsh", "-n", given=script) == (0, "")


def test_zsh_completes_what_is_typed(suite: str) -> None:
    typed = {
        "sdsuperctl shut": "shutdown",
        "sdsuperctl stop we": "stop web",
        "sdsuperctl stop worker:w": "stop worker:worker_0",
        "sdsuperctl update al": "update al",  # alone and all
        "sdsuperctl update alo": "update alone",
        "sdsuperctl signal WIN": "signal WINCH",
        "sdsuperctl --ser": "--serverurl",
        "sdsuperctl help rere": "help reread",
        "sdsuperd config sam": "config sample",
    }
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-euc", MOUNTED],
        input="".join(f"{line}\n" for line in typed),
        env={
            **os.environ,
            "ROOT": str(root_of(suite, BUILDER_PACKAGES)),
            "COMPLETIONS": str(COMPLETIONS),
            "SCRIPT": ZSH,
        },
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
    )
    ran = [line.strip() for line in done.stdout.splitlines()]
    assert ran == list(typed.values()), done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sdsuperctl shut", ["shutdown"]),
        ("sdsuperctl signal USR", ["USR1", "USR2"]),
        ("sdsuperctl --json st", ["start", "status", "stop"]),
        ("sdsuperd config ", ["check", "sample", "show"]),
        ("sdsuperctl stop w", ["web", "worker:worker_0"]),
        ("sdsuperctl update w", ["web", "worker"]),
    ],
)
def test_fish_offers_what_may_follow(suite: str, line: str, offered: list[str]) -> None:
    scripts = [
        (COMPLETIONS / f"{name}.fish").read_text(encoding="utf-8")
        for name in ("sdsuperd", "sdsuperctl")
    ]
    # The client's own words; the shell reads them as it would from the command.
    status = "web RUNNING pid 7, uptime 0:00:01\\nworker:worker_0 STOPPED Not started\\n"
    avail = "web in use auto 999:999\\nworker:worker_0 avail auto 999:999\\nerror: <class x>\\n"
    client = (
        "function sdsuperctl\n"
        f"    if test $argv[1] = status; printf '{status}'; else; printf '{avail}'; end\n"
        "end\n"
    )
    script = "\n".join([client, *scripts, f"complete -C '{line}'"])
    status_code, said = inside(suite, "fish", "--no-config", given=script)
    assert (status_code, sorted(row.split("\t")[0] for row in said.splitlines())) == (0, offered)
