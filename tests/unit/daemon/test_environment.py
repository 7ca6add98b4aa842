"""What children find in their environment, and what they must not."""

import os
import pwd

from sdsuper.config.model import Account, ChannelConfig, Location, ProcessConfig
from sdsuper.daemon.environment import (
    OURS_FROM_SYSTEMD,
    child_environment,
    inherited,
)


def process(**options: object) -> ProcessConfig:
    return ProcessConfig(
        name="p1",
        group="g",
        program="p",
        location=Location("test.ini", 1),
        command="true",
        stdout=ChannelConfig(),
        stderr=ChannelConfig(),
        **options,  # type: ignore[arg-type]
    )


def test_what_systemd_gave_to_the_daemon_is_not_inherited() -> None:
    environ = dict.fromkeys(OURS_FROM_SYSTEMD, "x") | {"LANG": "C", "NOTIFY": "kept"}
    assert inherited(environ) == {"LANG": "C", "NOTIFY": "kept"}


def test_supervisor_variables() -> None:
    found = child_environment({"A": "1"}, process(), "unix:///s", "mark")
    assert found == {
        "A": "1",
        "SUPERVISOR_ENABLED": "1",
        "SUPERVISOR_SERVER_URL": "unix:///s",
        "SUPERVISOR_PROCESS_NAME": "p1",
        "SUPERVISOR_GROUP_NAME": "g",
        "SDSUPER_INVOCATION": "mark",
    }


def test_without_a_server_there_is_no_url() -> None:
    assert "SUPERVISOR_SERVER_URL" not in child_environment({}, process(), None, "mark")


def test_configuration_may_override_everything_but_the_mark() -> None:
    config = process(
        serverurl="http://other", environment={"SUPERVISOR_ENABLED": "no", "A": "2", "B": ""}
    )
    found = child_environment({"A": "1"}, config, "unix:///s", "mark")
    assert found["SUPERVISOR_SERVER_URL"] == "http://other"
    assert (found["SUPERVISOR_ENABLED"], found["A"], found["B"]) == ("no", "2", "")


def test_home_stays_the_daemons_unless_asked() -> None:
    account = Account(pwd.getpwuid(os.getuid()).pw_name, os.getuid(), os.getgid())
    base = {"HOME": "/daemon", "USER": "daemon"}
    assert child_environment(base, process(user=account), None, "m")["HOME"] == "/daemon"
    found = child_environment(base, process(user=account, user_environment=True), None, "m")
    entry = pwd.getpwuid(os.getuid())
    assert (found["HOME"], found["USER"], found["LOGNAME"]) == (
        entry.pw_dir,
        entry.pw_name,
        entry.pw_name,
    )
