"""`sdsuperd config check`, `config show` and `config sample`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

from sdsuper.config.commandline import CommandLine
from sdsuper.config.find import require_config
from sdsuper.config.load import load
from sdsuper.config.model import Config
from sdsuper.config.sample import render_sample
from sdsuper.config.servers import PluginModules
from sdsuper.config.show import render_check, render_errors, render_ini, render_json
from sdsuper.config.strict import refuse_unsafe
from sdsuper.errors import ConfigError, UsageError


class _Given(NamedTuple):
    """What all commands get: the daemon's options, and the way to plugins."""

    commandline: CommandLine
    plugins: PluginModules | None


def config_group(
    words: Sequence[str], commandline: CommandLine, plugins: PluginModules | None = None
) -> int:
    """Run `config ...`.

    Args:
        words: The words behind the daemon's options; the first is `config`.
        commandline: Those options: -c and what they lay over the file count here too.
        plugins: Imports the plugins that the configuration names.

    Returns:
        The exit status: 0 clean, 2 for a configuration with errors or a wrong command line.
    """
    try:
        result = group.main(
            list(words[1:]),
            prog_name=f"sdsuperd {words[0]}",
            standalone_mode=False,
            obj=_Given(commandline, plugins),
        )
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        return 130
    return result if isinstance(result, int) else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Look at a configuration without running it."""


_config_option = click.option(
    "-c", "--configuration", "path", metavar="FILE", help="The file; searched for where not given."
)


@group.command()
@_config_option
@click.pass_obj
def check(given: _Given, path: str | None) -> int:
    """Tell everything that is wrong; exit status 2 where there is an error."""
    try:
        config = _load(given, path)
        refuse_unsafe(config)
        text, clean = render_check(config)
    except ConfigError as error:
        click.echo(render_errors(error), nl=False)
        return error.exit_code
    except UsageError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    click.echo(text, nl=False)
    return 0 if clean else UsageError.exit_code


@group.command()
@_config_option
@click.option("--format", "form", type=click.Choice(["ini", "json"]), default="ini")
@click.pass_obj
def show(given: _Given, path: str | None, form: str) -> int:
    """Print what the files come to, defaults included and passwords masked."""
    try:
        config = _load(given, path)
    except ConfigError as error:
        click.echo(render_errors(error), nl=False, err=True)
        return error.exit_code
    except UsageError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    click.echo(render_json(config) if form == "json" else render_ini(config), nl=False)
    return 0


@group.command()
def sample() -> None:
    """Print a sample to begin with: every option, with a comment and its default."""
    click.echo(render_sample(), nl=False)


def _load(given: _Given, path: str | None) -> Config:
    path = path or given.commandline.config or require_config(sys.argv[0])
    return load(path, overrides=given.commandline.overrides, plugins=given.plugins)
