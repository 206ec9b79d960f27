"""``opa-authz check``: would the plugin start with these settings and policies?"""

from __future__ import annotations

from typing import Any

import click

from authz_plugin.cli.options import assembled, policy_options


@click.command()
@policy_options
def check(**options: Any) -> None:
    """Check settings and policies without running anything."""
    with assembled(options) as (_, bundle):
        for exemption in bundle.ending:
            click.echo(f"warning: exception {exemption}", err=True)
        click.echo(
            f"sound: profile {bundle.profile}, policy revision {bundle.revision}, "
            f"{len(bundle.packages)} rule packages"
        )
