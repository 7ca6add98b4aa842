"""[supervisorctl] and [ctlplugin:x]: what the client reads, and only from the main file."""

from __future__ import annotations

import os
from collections.abc import Mapping

from sdsuper.config.option import Kind, option, section


def _same(text: str) -> str:
    return text


def _parse_path(text: str) -> str:
    return os.path.normpath(os.path.expanduser(text)) if text else text


def _parse_url(text: str) -> str:
    scheme = "unix://"
    return scheme + _parse_path(text[len(scheme) :]) if text.startswith(scheme) else text


_TEXT = Kind("text", "any text", _same, _same)
_PATH = Kind("path", "a path", _parse_path, _same)
_URL = Kind("URL", "http://host:port or unix:///path", _parse_url, _same)
_CALLABLE = Kind("module:callable", "module:callable", _same, _same)


@section("ctlplugin")
class ClientPluginConfig:
    """One [ctlplugin:x] section.

    Attributes:
        name: What stands behind the colon.
        options: Every other key of the section, for the factory.
    """

    name: str
    factory: str = option(
        _CALLABLE,
        key="supervisor.ctl_factory",
        error="{value} cannot be resolved within [{section}]",
        help="Makes the object whose do_ methods become commands.",
    )
    options: Mapping[str, str]


@section("supervisorctl")
class ClientConfig:
    """[supervisorctl]: how the client reaches the daemon.

    Attributes:
        plugins: The [ctlplugin:x] sections.
    """

    serverurl: str = option(_URL, default="http://localhost:9001", help="Where the daemon listens.")
    prompt: str = option(_TEXT, default="supervisor", help="What the shell's prompt says.")
    username: str | None = option(_TEXT, default=None, help="The name to give to the daemon.")
    password: str | None = option(
        _TEXT, default=None, secret=True, help="The password to give to the daemon, in clear."
    )
    history_file: str | None = option(
        _PATH, default=None, help="Where the shell keeps its history."
    )
    plugins: tuple[ClientPluginConfig, ...] = ()
