from __future__ import annotations

import pytest

from sdsuper.config.find import OWN_PATH, find_config, require_config, search_paths
from sdsuper.errors import UsageError

SUPERVISORS = (
    "/opt/x/etc/supervisord.conf",
    "/opt/x/supervisord.conf",
    "supervisord.conf",
    "etc/supervisord.conf",
    "/etc/supervisord.conf",
    "/etc/supervisor/supervisord.conf",
)


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("command", ["supervisord", "supervisorctl"])
def test_the_drop_in_looks_where_supervisor_does(command: str, root: bool) -> None:
    assert search_paths(f"/opt/x/bin/{command}", root=root) == SUPERVISORS


def test_our_own_path_comes_first() -> None:
    assert search_paths("/opt/x/bin/sdsuperd") == (OWN_PATH, *SUPERVISORS)


def test_root_looks_at_the_working_directory_last() -> None:
    paths = search_paths("/opt/x/bin/sdsuperd", root=True)
    assert set(paths) == {OWN_PATH, *SUPERVISORS}
    assert paths[0] == OWN_PATH
    assert paths[-2:] == ("supervisord.conf", "etc/supervisord.conf")


def test_a_command_without_a_folder_looks_beside_the_working_directory() -> None:
    assert search_paths("supervisord")[:2] == ("etc/supervisord.conf", "supervisord.conf")


def test_the_first_that_exists_is_found() -> None:
    present = {"/etc/supervisord.conf", "etc/supervisord.conf"}
    found = find_config("supervisord", root=False, exists=present.__contains__)
    assert found == "etc/supervisord.conf"
    assert require_config("sdsuperd", root=True, exists=present.__contains__) == (
        "/etc/supervisord.conf"
    )


def test_nothing_is_found() -> None:
    assert find_config("sdsuperd", root=False, exists=lambda _: False) is None
    with pytest.raises(UsageError) as caught:
        require_config("/opt/x/bin/supervisord", root=False, exists=lambda _: False)
    assert str(caught.value) == (
        f"No config file found at default paths ({', '.join(SUPERVISORS)}); "
        "use the -c option to specify a config file at a different path"
    )
