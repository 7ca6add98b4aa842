"""The environment that a child gets."""

from __future__ import annotations

import pwd
from collections.abc import Mapping

from sdsuper.config.model import ProcessConfig

OURS_FROM_SYSTEMD = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE",
        "CREDENTIALS_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "CACHE_DIRECTORY",
        "LOGS_DIRECTORY",
        "CONFIGURATION_DIRECTORY",
        "SYSTEMD_EXEC_PID",
        "MAINPID",
        "FDSTORE",
    }
)
"""What systemd.exec(5) and sd_notify(3) give to the daemon alone.

A program that called sd_notify(3) with the daemon's socket would speak in the daemon's name.
"""

INVOCATION_VARIABLE = "SDSUPER_INVOCATION"
"""Marks every process that an invocation starts, so that strays can be told apart."""


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the daemon's environment that children inherit."""
    return {key: value for key, value in environ.items() if key not in OURS_FROM_SYSTEMD}


def child_environment(
    base: Mapping[str, str],
    config: ProcessConfig,
    server_url: str | None,
    invocation: str,
    notify_socket: str | None = None,
) -> dict[str, str]:
    """Return the environment of one invocation.

    The order of precedence is Supervisor's: the daemon's environment, SUPERVISOR_* variables,
    then `environment=` (which may override them).

    Args:
        base: What `inherited` returned.
        config: The process.
        server_url: URL of the control server where the program names none of its own.
        invocation: The identity of this invocation.
        notify_socket: Where the program may send what sd_notify(3) sends.
    """
    environment = dict(base)
    environment["SUPERVISOR_ENABLED"] = "1"
    url = config.serverurl or server_url
    if url:
        environment["SUPERVISOR_SERVER_URL"] = url
    environment["SUPERVISOR_PROCESS_NAME"] = config.name
    environment["SUPERVISOR_GROUP_NAME"] = config.group
    if config.user_environment and config.user is not None:
        entry = pwd.getpwuid(config.user.uid)
        environment |= {
            "HOME": entry.pw_dir,
            "USER": entry.pw_name,
            "LOGNAME": entry.pw_name,
            "SHELL": entry.pw_shell or "/bin/sh",
        }
    environment.update(config.environment)
    environment[INVOCATION_VARIABLE] = invocation
    if notify_socket is not None:
        environment["NOTIFY_SOCKET"] = notify_socket
        if config.watchdog:
            environment["WATCHDOG_USEC"] = str(config.watchdog * 1_000_000)
    return environment
