"""``opa-authz exceptions``: lists the exceptions from rules, with the days that are left."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from authz_plugin import policy
from authz_plugin.cli.options import load_settings, policy_options
from authz_plugin.cli.terminal import json_option, print_json
from authz_plugin.hostpaths import host_paths


@click.command()
@policy_options
@json_option
def exceptions(*, as_json: bool, **options: Any) -> None:
    r"""List the exceptions, the first to end first, one a line.

    \b
    Exit status: 0 listed, 1 there is no policy to read them from, 2 wrong command line or settings.

    \b
    Examples:
      opa-authz exceptions
      opa-authz exceptions --json | jq '.exceptions[] | select(.ending)'
    """
    settings = load_settings(options)
    config = policy.configuration(settings, host_paths(visible=settings.sees_host))
    found = policy.exceptions(config, datetime.now(UTC))
    if as_json:
        print_json(exceptions=[exemption._asdict() for exemption in found])
        return
    for exemption in found:
        click.echo(str(exemption))
