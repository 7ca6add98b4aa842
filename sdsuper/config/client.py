"""[supervisorctl] and [ctlplugin:x]: what the client reads, and only from the main file.

The client's whole run takes as long as importing `dataclasses`; so its few options are declared by
rows here, and `sections` shows them to the documentation as any other.
"""

from __future__ import annotations

import os

from sdsuper.config.expand import Names, expand
from sdsuper.config.ini import Document, Section
from sdsuper.config.reading import read_text
from sdsuper.errors import ConfigError, Problem

TYPE_CHECKING = False  # type checkers take it for true; importing typing takes 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FACTORY_KEY = "supervisor.ctl_factory"
_UNIX = "unix://"


class ClientOption:
    """One option of [supervisorctl].

    Attributes:
        key: Its name, also the attribute of ClientConfig.
        default: Its value where it is absent.
        parse: Text to value.
        accepts: What may be written.
        help: One sentence for the documentation.
        secret: Whether `config show` hides it.
    """

    def __init__(
        self,
        key: str,
        default: str | None,
        parse: Callable[[str], str],
        accepts: str,
        help: str,  # noqa: A002 - the word that every option library uses
        *,
        secret: bool = False,
    ) -> None:
        self.key = key
        self.default = default
        self.parse = parse
        self.accepts = accepts
        self.help = help
        self.secret = secret


def _parse_path(text: str) -> str:
    return os.path.normpath(os.path.expanduser(text)) if text else text


def _parse_url(text: str) -> str:
    return _UNIX + _parse_path(text.removeprefix(_UNIX)) if text.startswith(_UNIX) else text


OPTIONS = (
    ClientOption(
        "serverurl",
        "http://localhost:9001",
        _parse_url,
        "http://host:port or unix:///path",
        "Where the daemon listens.",
    ),
    ClientOption("prompt", "supervisor", str, "any text", "What the shell's prompt says."),
    ClientOption("username", None, str, "any text", "The name to give to the daemon."),
    ClientOption(
        "password", None, str, "any text", "The password to give to the daemon.", secret=True
    ),
    ClientOption(
        "history_file", None, _parse_path, "a path", "Where the shell keeps what was typed."
    ),
)


class ClientPluginConfig:
    """One [ctlplugin:x] section.

    Attributes:
        name: What stands behind the colon.
        factory: `module:callable`; it makes the object whose do_ methods become commands.
        options: Every other key of the section, for the factory.
        place: `file:line` of the section.
    """

    def __init__(
        self, name: str, factory: str, options: Mapping[str, str], place: str = ""
    ) -> None:
        self.name = name
        self.factory = factory
        self.options = options
        self.place = place


class ClientConfig:
    """[supervisorctl]: how the client reaches the daemon.

    Attributes:
        serverurl: Where the daemon listens.
        prompt: What the shell's prompt says, without `> `.
        username: The name to give to the daemon.
        password: The password to give to it, in clear.
        history_file: Where the shell keeps what was typed.
        plugins: The [ctlplugin:x] sections.
    """

    def __init__(
        self,
        *,
        serverurl: str = "http://localhost:9001",
        prompt: str = "supervisor",
        username: str | None = None,
        password: str | None = None,
        history_file: str | None = None,
        plugins: tuple[ClientPluginConfig, ...] = (),
    ) -> None:
        self.serverurl = serverurl
        self.prompt = prompt
        self.username = username
        self.password = password
        self.history_file = history_file
        self.plugins = plugins


def load_client(path: str, *, environ: Mapping[str, str] | None = None) -> ClientConfig:
    """Read the client's sections of a configuration file; [include] is not followed.

    Args:
        path: The file.
        environ: The variables that `%(ENV_X)s` stands for; None: those of this process.

    Raises:
        ConfigError: It does not load, or has no [supervisorctl]; it holds every problem.
    """
    document = Document()
    document.merge(read_text(path), path)
    here = os.path.dirname(os.path.abspath(os.path.expanduser(path)))
    plain = {"here": here, "host_node_name": os.uname().nodename}
    names = Names(plain, os.environ if environ is None else environ, path)
    problems: list[Problem] = []
    section = document.get("supervisorctl")
    if section is None:
        problems.append(Problem(".ini file does not include supervisorctl section", file=path))
    values: dict[str, str] = {}
    for option in OPTIONS if section else ():
        text = _text(section, option.key, names, problems) if section else None
        if text is not None:
            values[option.key] = option.parse(text)
    plugins = tuple(_plugin(found, names, problems) for found in document.of_kind("ctlplugin:"))
    if problems:
        raise ConfigError(problems)
    return _client(values, plugins)


def _client(values: Mapping[str, str], plugins: tuple[ClientPluginConfig, ...]) -> ClientConfig:
    client = ClientConfig(plugins=plugins)
    for option in OPTIONS:
        setattr(client, option.key, values.get(option.key, option.default))
    return client


def _text(section: Section, key: str, names: Names, problems: list[Problem]) -> str | None:
    value = section.values.get(key)
    if value is None:
        return None
    try:
        return expand(value.text, names, f"{section.name}.{key}")
    except ValueError as error:
        problems.append(
            Problem(
                str(error),
                file=value.file,
                line=value.line,
                section=section.name,
                option=key,
                found=value.text,
            )
        )
        return None


def _plugin(section: Section, names: Names, problems: list[Problem]) -> ClientPluginConfig:
    texts = {key: _text(section, key, names, problems) or "" for key in section.values}
    factory = texts.pop(FACTORY_KEY, None)
    if factory is None:
        message = f"section [{section.name}] does not specify a {FACTORY_KEY}"
        problems.append(
            Problem(message, file=section.file, line=section.line, section=section.name)
        )
    place = f"{section.file}:{section.line}"
    return ClientPluginConfig(section.label, factory or "", texts, place)
