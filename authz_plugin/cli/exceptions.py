"""``opa-authz exceptions``: what is allowed for a time although a rule denies it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from authz_plugin import policy, supervisor
from authz_plugin.cli.options import load_settings, policy_options


@click.command()
@policy_options
def exceptions(**options: Any) -> None:
    """List the exceptions, the first to end first, one a line."""
    settings = load_settings(options)
    config = policy.configuration(settings, supervisor.host_paths(settings))
    for exemption in policy.exceptions(config, datetime.now(UTC)):
        click.echo(str(exemption))
