"""``opa-authz schema``: prints the JSON schema of the settings file."""

from __future__ import annotations

import json

import click

from authz_plugin.tools.settings_schema import settings_schema


@click.command()
def schema() -> None:
    r"""Print the JSON schema of the settings file, for an editor.

    An editor with a YAML language server completes keys with it, shows what they mean and marks
    mistakes, if the first line of the file names the schema:

    \b
      # yaml-language-server: $schema=settings.schema.json

    `opa-authz check` checks more than the schema can.

    \b
    Exit status: 0 printed, 2 wrong command line.

    \b
    Examples:
      opa-authz schema > settings.schema.json
    """
    click.echo(json.dumps(settings_schema(), indent=1))
