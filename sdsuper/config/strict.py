"""What `strict=true` forbids: open servers, and files by which others would say what root runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from sdsuper.config.model import Config
from sdsuper.errors import ConfigError, Problem


def refuse_unsafe(config: Config) -> None:
    """Refuse a configuration that says `strict=true` and is not.

    Raises:
        ConfigError: An inet server can be reached from other machines without a password, or
            somebody beside root can change what root will run.
    """
    if not config.daemon.strict:
        return
    problems = _open_servers(config)
    if os.geteuid() == 0:
        problems += _of_others(config.files)
    if problems:
        raise ConfigError(problems, config.doubts)


def _open_servers(config: Config) -> list[Problem]:
    reason = (
        "can be reached from other machines without a password; "
        "set username and password, or listen on 127.0.0.1"
    )
    return [
        Problem(
            f"strict=true: [{server.section}] {reason}",
            section=server.section,
            reason=f"strict=true: {reason}",
        )
        for server in config.servers
        if server.family == "inet" and not server.username and not _is_loopback(server.host or "")
    ]


def refuse_changeable(paths: Iterable[str]) -> None:
    """Refuse files and folders that others than root can change.

    Raises:
        ConfigError: There are some.
    """
    problems = _of_others(paths)
    if problems:
        raise ConfigError(problems)


def _of_others(paths: Iterable[str]) -> list[Problem]:
    reason = (
        "can be changed by others than root; it must belong to root and be writable by root alone"
    )
    return [
        Problem(f"strict=true: {path} {reason}", file=path, reason=f"strict=true: {reason}")
        for path in paths
        if _is_of_others(os.stat(path))
    ]


def _is_of_others(found: os.stat_result) -> bool:
    return found.st_uid != 0 or bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
