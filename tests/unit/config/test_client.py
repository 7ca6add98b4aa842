from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sdsuper.config.client import OPTIONS, ClientConfig, load_client
from sdsuper.errors import ConfigError


def read(tmp_path: Path, text: str) -> ClientConfig:
    path = tmp_path / "c.conf"
    path.write_text(text)
    return load_client(str(path), environ={"KEY": "value"})


def test_defaults(tmp_path: Path) -> None:
    client = read(tmp_path, "[supervisorctl]\n")
    assert vars(client) == vars(ClientConfig())
    assert {option.key: option.default for option in OPTIONS} == {
        key: value for key, value in vars(ClientConfig()).items() if key != "plugins"
    }


def test_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-test")
    client = read(
        tmp_path,
        "[supervisorctl]\nserverurl=unix://~/a/../x.sock ; c\nprompt=%(ENV_KEY)s\nusername=u\n"
        "password=100%%\nhistory_file=%(here)s/./h\nunknown=x\n[include]\nfiles=*\n"
        "[ctlplugin:p]\nsupervisor.ctl_factory=a:b\nX=%(ENV_KEY)s\n",
    )
    assert client.serverurl == "unix:///home-of-test/x.sock"
    assert (client.prompt, client.username, client.password) == ("value", "u", "100%")
    assert client.history_file == f"{tmp_path}/h"
    [plugin] = client.plugins
    assert (plugin.name, plugin.factory, plugin.options) == ("p", "a:b", {"x": "value"})


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("[supervisord]\n", ".ini file does not include supervisorctl section"),
        (
            "[supervisorctl]\nprompt=%(zz)s\n",
            (
                "Format string '%(zz)s' for 'supervisorctl.prompt' contains names ('zz') which "
                "cannot be expanded. Available names: ENV_*, here, host_node_name"
            ),
        ),
        (
            "[supervisorctl]\n[ctlplugin:p]\n",
            "section [ctlplugin:p] does not specify a supervisor.ctl_factory",
        ),
    ],
)
def test_refused(text: str, first: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.first == first


def test_a_syntax_error_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Source contains parsing errors"):
        read(tmp_path, "[supervisorctl]\nbroken\n")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="could not find config file"):
        load_client(str(tmp_path / "none"))


def test_it_imports_next_to_nothing() -> None:
    heavy = {"typing", "dataclasses", "re", "collections", "pwd", "inspect", "glob", "shlex"}
    script = (
        "import json, sys\nbefore = set(sys.modules)\nimport sdsuper.config.client\n"
        "import sdsuper.config.find\nprint(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=root, capture_output=True, check=True, text=True
    )
    assert heavy.isdisjoint(json.loads(done.stdout))
